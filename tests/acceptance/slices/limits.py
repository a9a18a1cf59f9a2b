"""How often the gate `slices` fails a file of which no slice exceeds the limit, and finds one of which a slice does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from edgeship.contracts import Metric
from edgeship.metrics import Accuracy, AreaUnderCurve, MeanSquaredError
from edgeship.slices.comparison import LEVEL, Settings, contrast
from edgeship.slices.definitions import Slice
from edgeship.slices.statistics import Z95, Spread, proportions
from edgeship.types import SliceRow
from tests.acceptance.slices.simulated import NOISE, SHARES, chances

#: Slices of a data set, and samples of each.
SLICES, SAMPLES = 100, 250
#: The same for AUC, whose bootstrap takes its time.
AREAS = 20
#: Limits in points for which the rate is computed exactly.
LIMITS = (0.0, 1.0, 3.0, 5.0)

Draw = Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray]]


def _places(slices: int) -> np.ndarray:
    return np.arange(slices * SAMPLES) % slices


def _rows(metric: Metric, draw: Draw, limit: float, slices: int, rng: np.random.Generator) -> tuple[SliceRow, ...]:
    place = _places(slices)
    parts = tuple(Slice(f"{k}", place == k) for k in range(slices))
    return contrast(metric, *draw(rng), parts, Settings(limit=limit)).rows


def accuracies(loss: float, planted: float | None = None) -> Draw:
    """Right and wrong before and after, `NOISE` of them fixed; every slice loses `loss` points, slice 0 `planted`."""
    lost = np.full(SLICES, loss)
    lost[0] = loss if planted is None else planted
    broken = (NOISE + lost[_places(SLICES)] / 100) / 0.9

    def draw(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        base, chance = rng.random(len(broken)) < 0.9, rng.random(len(broken))
        return base.astype(float), np.where(base, chance >= broken, chance < NOISE / 0.1).astype(float)

    return draw


def errors(growth: float) -> Draw:
    """Squared errors before and after; those of every slice grow by `growth` %."""

    def draw(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        error, other = rng.normal(size=(2, SLICES * SAMPLES))
        after = np.cos(0.2) * error + np.sin(0.2) * other  # turned a little: the mean square stays
        return error**2, (1 + growth / 100) * after**2

    return draw


def areas(n: int = AREAS * SAMPLES) -> Draw:
    """Rows of AUC before and after scores became noisier, everywhere alike."""

    def draw(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        label = (rng.random(n) < 0.4).astype(int)
        score = rng.normal(size=n) + 1.6 * label
        noisy = score + 0.5 * rng.normal(size=n)
        metric = AreaUnderCurve()
        return metric.per_sample(score[:, None], label), metric.per_sample(noisy[:, None], label)

    return draw


def failing(metric: Metric, draw: Draw, limit: float, sets: int, slices: int = SLICES) -> dict[str, float]:
    """Share of data sets in which a slice is `fail`, and in which an interval of 95 % lies beyond the limit."""
    rng = np.random.default_rng(0)
    found = [_rows(metric, draw, limit, slices, rng) for _ in range(sets)]
    return {
        "fails": float(np.mean([any(row.status == "fail" for row in rows) for rows in found])),
        "beyond": float(np.mean([any(row.drop and row.drop.interval[0] > limit for row in rows) for rows in found])),
    }


def rates(sets: int) -> dict[str, dict[str, float]]:
    """Of data sets in which no slice exceeds the limit, by what changes in them."""
    before, after = areas(1_000_000)(np.random.default_rng(1))
    metric = AreaUnderCurve()
    lost = 100 * (metric.value(before) - metric.value(after))
    return {
        "accuracy, limit 0, nothing is lost": failing(Accuracy(), accuracies(0), 0.0, sets),
        "accuracy, limit 1, nothing is lost": failing(Accuracy(), accuracies(0), 1.0, sets),
        "accuracy, limit 1, every slice loses 1": failing(Accuracy(), accuracies(1), 1.0, sets),
        "accuracy, limit 3, every slice loses 3": failing(Accuracy(), accuracies(3), 3.0, sets),
        "mse, limit 5 %, every slice grows by 5 %": failing(MeanSquaredError(), errors(5), 5.0, sets),
        f"auc, {AREAS} slices, every one loses the limit": failing(metric, areas(), lost, sets // 5, AREAS),
    }


def powers(sets: int, losses: tuple[float, ...] = (8, 10, 13, 18)) -> dict[str, dict[str, float]]:
    """Of data sets in which one slice loses so many points and the others nothing, at a limit of 3."""
    return {f"{loss:g}": failing(Accuracy(), accuracies(0, loss), 3.0, sets) for loss in losses}


def exact(samples: int = SAMPLES) -> Mapping[str, Mapping[str, float]]:
    """Limit -> share fixed -> probability that a slice is `fail` where each of `SLICES` loses exactly the limit.

    Over all outcomes, of slices of so many samples that share none; the first of them must pass the test at
    `LEVEL / SLICES`.
    """
    down, up = np.meshgrid(np.arange(samples + 1), np.arange(samples + 1))
    possible = down + up <= samples
    down, up = down[possible], up[possible]
    chance = chances(samples)
    found: dict[str, dict[str, float]] = {}
    for limit in LIMITS:
        fails = np.array([_fails(int(b), int(f), samples, limit) for b, f in zip(down, up, strict=True)])
        one = {share: float(chance(down, up, share + limit / 100, share)[fails].sum()) for share in SHARES}
        found[f"{limit:g}"] = {f"{100 * share:g}": 1 - (1 - p) ** SLICES for share, p in one.items()}
    return found


def _fails(broken: int, fixed: int, samples: int, limit: float) -> bool:
    better, error = proportions(broken, fixed, samples)
    spread = Spread(-100 * better, 100 * error)
    return spread.centre - Z95 * spread.error > limit and spread.above(limit) < LEVEL / SLICES


def smaller() -> dict[str, float]:
    """Samples of a slice -> the largest of these rates."""
    return {str(n): max(max(rates.values()) for rates in exact(n).values()) for n in (30, 50, 100)}


def measure(sets: int) -> dict[str, Any]:
    """All of it, as a record."""
    return {"sets": sets, "slices": SLICES, "samples": SAMPLES, "false": rates(sets), "found": powers(sets // 5),
            "exact": exact(), "smaller": smaller()}  # fmt: skip
