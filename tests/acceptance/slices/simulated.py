"""How often the comparison of slices errs, where the truth is known."""

from __future__ import annotations

from collections.abc import Callable
from math import lgamma
from typing import Any

import numpy as np

from edgeship.metrics import Accuracy, MeanSquaredError
from edgeship.slices.comparison import Settings, contrast
from edgeship.slices.definitions import Slice
from edgeship.slices.statistics import proportions_interval
from edgeship.types import SliceRow

#: Slices and samples of each, of a simulated data set.
SLICES, SAMPLES = 20, 250
#: Shares of all samples that break and that are fixed, where nothing is planted.
NOISE = 0.02
#: Share that breaks in the slice where something is planted: it loses 10 points.
PLANTED = 0.12
#: Limit of the gate on null data, in points: beyond what noise reaches.
LIMIT = 3.0
SHARES = (0.0, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3)


def coverage(n: int) -> list[float]:
    """Exact probability that the interval of a paired difference holds the truth, over a grid of true shares."""
    down, up = np.meshgrid(np.arange(n + 1), np.arange(n + 1))
    possible = down + up <= n
    down, up = down[possible], up[possible]
    ends = np.array([proportions_interval(int(b), int(f), n) for b, f in zip(down, up, strict=True)])
    held = []
    for broken in SHARES:
        for fixed in SHARES:
            chance = chances(n)(down, up, broken, fixed)
            inside = (ends[:, 0] <= fixed - broken + 1e-12) & (fixed - broken <= ends[:, 1] + 1e-12)
            held.append(float(chance[inside].sum()))
    return held


def chances(n: int) -> Callable[[Any, Any, float, float], Any]:
    """Probability of each outcome (how many break, how many are fixed) of n samples, given the true shares."""
    logs = np.array([lgamma(k + 1) for k in range(n + 1)])

    def chance(down: Any, up: Any, broken: float, fixed: float) -> Any:
        down, up = np.asarray(down, int), np.asarray(up, int)
        same = n - down - up
        shares = np.log(np.maximum([broken, fixed, 1 - broken - fixed], 1e-300))
        ways = logs[n] - logs[down] - logs[up] - logs[same]
        return np.exp(ways + down * shares[0] + up * shares[1] + same * shares[2])

    return chance


def _parts() -> tuple[Slice, ...]:
    place = np.arange(SLICES * SAMPLES) % SLICES
    return tuple(Slice(f"group={k}", place == k) for k in range(SLICES))


def _accuracies(rng: np.random.Generator, breaking: float) -> tuple[np.ndarray, np.ndarray]:
    """Right and wrong before and after; in slice 0 another share breaks."""
    n = SLICES * SAMPLES
    base = (rng.random(n) < 0.9).astype(np.float64)
    # Shares of all samples, from those that can break (0.9) and those that can be fixed (0.1).
    broken = np.where(np.arange(n) % SLICES == 0, breaking, NOISE) / 0.9
    chance = rng.random(n)
    found = np.where(base == 1, (chance >= broken), (chance < NOISE / 0.1)).astype(np.float64)
    return base, found


def rates(sets: int, seed: int, planted: float = PLANTED) -> dict[str, float]:
    """Shares of simulated data sets in which the comparison says what it should, or should not."""
    rng, parts = np.random.default_rng(seed), _parts()
    nulls = [contrast(Accuracy(), *_accuracies(rng, NOISE), parts, Settings(limit=LIMIT)).rows for _ in range(sets)]
    hurt = [contrast(Accuracy(), *_accuracies(rng, planted), parts, Settings()).rows for _ in range(sets)]
    return {
        "null called": _share(any(row.significant for row in rows) for rows in nulls),
        "planted found": _share(_row(rows, "group=0").significant for rows in hurt),
        "another slice called": _share(any(r.significant for r in rows if r.slice != "group=0") for rows in hurt),
        "planted is first": _share(rows[0].slice == "group=0" for rows in hurt),
        "no gate fails of null": _share(all(row.status != "fail" for row in rows) for rows in nulls),
    }


def error_rates(sets: int, seed: int) -> dict[str, float]:
    """The same for squared errors: noise on all predictions; in slice 0 the error grows by a quarter."""
    rng, parts = np.random.default_rng(seed), _parts()
    n = SLICES * SAMPLES

    def draw(growth: float) -> tuple[SliceRow, ...]:
        error = rng.normal(size=n)
        scale = np.where(np.arange(n) % SLICES == 0, np.sqrt(1 + growth), 1.0)
        # Turned a little, so that the mean square stays what it is where nothing grows.
        after = scale * (np.cos(0.2) * error + np.sin(0.2) * rng.normal(size=n))
        return contrast(MeanSquaredError(), error**2, after**2, parts, Settings()).rows

    nulls, hurt = [draw(0.0) for _ in range(sets)], [draw(0.25) for _ in range(sets)]
    return {
        "null called": _share(any(row.significant for row in rows) for rows in nulls),
        "planted found": _share(_row(rows, "group=0").significant for rows in hurt),
    }


def _row(rows: tuple[SliceRow, ...], name: str) -> SliceRow:
    return next(row for row in rows if row.slice == name)


def _share(found: object) -> float:
    values = list(found)  # type: ignore[call-overload] # any iterable of bool
    return sum(values) / len(values)
