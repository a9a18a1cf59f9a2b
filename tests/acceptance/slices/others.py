"""Other intervals than those that edgeship takes, and how often each holds the truth."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import ndtr, ndtri, stdtrit

from edgeship.metrics import AreaUnderCurve

_RESAMPLES = 1000
_Z = 1.959963984540054


def tango(down: Any, up: Any, n: int) -> tuple[Any, Any]:
    """Ends of the score interval of `(up - down) / n` (Tango, Statistics in Medicine 17, 1998), by bisection."""
    middle = (up - down) / n

    def statistic(delta: Any) -> Any:
        b = -down - up + (2 * n - up + down) * delta
        nuisance = (np.sqrt(np.maximum(b * b + 8 * n * down * delta * (1 - delta), 0)) - b) / (4 * n)
        variance = n * (2 * nuisance + delta * (1 - delta))
        distance = up - down - n * delta
        safe = np.sqrt(np.maximum(variance, 1e-300))
        return np.where(variance > 0, distance / safe, np.sign(distance) * np.inf)

    def end(outside: float, sign: int) -> Any:
        far, near = np.full_like(middle, outside), middle.copy()
        for _ in range(50):
            half = (far + near) / 2
            beyond = sign * statistic(half) > _Z
            far, near = np.where(beyond, half, far), np.where(beyond, near, half)
        return far

    return end(-1.0, 1), end(1.0, -1)


def tango_coverage(n: int, shares: tuple[float, ...], chances: Callable[[Any, Any, float, float], Any]) -> list[float]:
    """Exact coverage over a grid of true shares; `chances` gives the probability of each outcome."""
    down, up = np.meshgrid(np.arange(n + 1.0), np.arange(n + 1.0))
    possible = down + up <= n
    down, up = down[possible], up[possible]
    low, high = tango(down, up, n)
    held = []
    for broken in shares:
        for fixed in shares:
            inside = (low <= fixed - broken + 1e-9) & (fixed - broken <= high + 1e-9)
            held.append(float(chances(down, up, broken, fixed)[inside].sum()))
    return held


def means(runs: int, seed: int) -> dict[str, dict[str, float]]:
    """Coverage for the mean change of skewed squared errors: percentiles, bias-corrected percentiles, Student's t."""
    rng = np.random.default_rng(seed)

    def heavy(m: int) -> Any:
        error = rng.normal(size=m) * np.exp(rng.normal(size=m) * 0.5)
        return (error + 0.3 * rng.normal(size=m) * np.abs(error) + 0.1 * rng.normal(size=m)) ** 2 - error**2

    def mild(m: int) -> Any:
        error = rng.normal(size=m)
        return (error + 0.2 * rng.normal(size=m)) ** 2 - error**2

    def grown(m: int) -> Any:
        return 0.3 * rng.normal(size=m) ** 2 + 0.05 * rng.normal(size=m)

    found = {}
    for name, draw in (("mild", mild), ("grown", grown), ("heavy", heavy)):
        truth = float(draw(4_000_000).mean())
        for n in (30, 100):
            held = np.zeros(3)
            for _ in range(runs):
                change = draw(n)
                value = change.mean()
                again = change[rng.integers(0, n, (_RESAMPLES, n))].mean(axis=1)
                half = stdtrit(n - 1, 0.975) * change.std(ddof=1) / np.sqrt(n)
                ends = _bootstrap(value, again, (change.sum() - change) / (n - 1))
                held += [*(low <= truth <= high for low, high in ends), abs(value - truth) <= half]
            found[f"{name} {n}"] = dict(zip(("percentile", "bca", "t"), (held / runs).tolist(), strict=True))
    return found


def areas(runs: int, seed: int) -> dict[str, dict[str, float]]:
    """Coverage for the change of an AUC: percentiles and bias-corrected percentiles."""
    rng = np.random.default_rng(seed)
    metric = AreaUnderCurve()

    def draw(m: int) -> tuple[Any, Any]:
        label = (rng.random(m) < 0.4).astype(int)
        score = rng.normal(size=m) + 1.6 * label
        coarse = np.round(4 * (score + 0.5 * rng.normal(size=m))) / 4
        return metric.per_sample(score[:, None], label), metric.per_sample(coarse[:, None], label)

    def change(pair: tuple[Any, Any], rows: Any) -> float:
        return metric.value(pair[1][rows]) - metric.value(pair[0][rows])

    truth = change(draw(1_000_000), slice(None))
    found = {}
    for n in (30, 100):
        held = np.zeros(2)
        for _ in range(runs):
            pair = draw(n)
            again = np.array([change(pair, rng.integers(0, n, n)) for _ in range(_RESAMPLES)])
            without = np.array([change(pair, np.arange(n) != k) for k in range(n)])
            ends = _bootstrap(change(pair, slice(None)), again[np.isfinite(again)], without)
            held += [low <= truth <= high for low, high in ends]
        found[str(n)] = dict(zip(("percentile", "bca"), (held / runs).tolist(), strict=True))
    return found


def _bootstrap(value: float, again: Any, without: Any) -> tuple[tuple[float, float], tuple[float, float]]:
    """Percentile and BCa intervals (Efron and Tibshirani 1993, chapters 13 and 14); `without`: the jackknife."""
    low, high = np.quantile(again, [0.025, 0.975])
    below = ((again < value).mean() + (again <= value).mean()) / 2
    bias = ndtri(np.clip(below, 1 / (len(again) + 1), 1 - 1 / (len(again) + 1)))
    spread = without.mean() - without
    total = (spread**2).sum()
    skew = (spread**3).sum() / (6 * total**1.5) if total > 0 else 0.0
    moved = bias + np.array([-_Z, _Z])
    ends = np.quantile(again, ndtr(bias + moved / (1 - skew * moved)))
    return (float(low), float(high)), (float(ends[0]), float(ends[1]))
