"""Statistics of paired results: what changed from one model to another on the same samples, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgeship.contracts import Metric
from edgeship.errors import MissingPackageError
from edgeship.metrics import worse_by
from edgeship.types import Array, Change

#: Resamples of a bootstrap interval; 1,000 give the ends of a 95 % interval to about 1 % of its width.
RESAMPLES = 1000
#: Two-sided 95 % quantile of the normal distribution.
Z95 = 1.959963984540054


def _special() -> Any:
    try:
        import scipy.special
    except ImportError as error:
        raise MissingPackageError(
            "comparing slices needs SciPy", remedy="Get it: pip install 'edgeship[tensorflow]'"
        ) from error
    return scipy.special


def mcnemar(broken: int, fixed: int) -> float:
    """P of the exact McNemar test: of `broken + fixed` changed samples each went either way like a coin (two-sided).

    McNemar, Psychometrika 12 (1947); the exact form is a binomial test.
    """
    if broken + fixed == 0:
        return 1.0
    special = _special()
    return min(1.0, 2 * float(special.bdtr(min(broken, fixed), broken + fixed, 0.5)))


def proportions(broken: int, fixed: int, n: int) -> tuple[float, float]:
    """Centre and standard error of the change of a share of right samples, of which `broken` fell and `fixed` rose.

    The adjusted Wald method for paired proportions (Bonett and Price, Journal of Educational and Behavioral Statistics
    37, 2012): one pseudo-sample more on each side. It has a width where nothing changed, too.
    """
    down, up = (broken + 1) / (n + 2), (fixed + 1) / (n + 2)
    return up - down, math.sqrt((down + up - (up - down) ** 2) / (n + 2))


def proportions_interval(broken: int, fixed: int, n: int) -> tuple[float, float]:
    """95 % interval of that change."""
    centre, error = proportions(broken, fixed, n)
    return centre - Z95 * error, centre + Z95 * error


def holm(values: Sequence[float]) -> list[float]:
    """Adjusted p of each test, so that no true null among all is called with more than the level's probability.

    Holm, Scandinavian Journal of Statistics 6 (1979).
    """
    adjusted = [1.0] * len(values)
    largest = 0.0
    for rank, k in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        largest = max(largest, min(1.0, values[k] * (len(values) - rank)))
        adjusted[k] = largest
    return adjusted


@dataclass(frozen=True)
class Spread:
    """What an estimate is distributed around: its centre, standard error, and Student's degrees of freedom."""

    centre: float
    error: float
    freedom: float = math.inf

    def above(self, limit: float) -> float:
        """P of the one-sided test that the truth is at most `limit`; 1 where nothing is known."""
        if not (math.isfinite(self.centre) and math.isfinite(self.error)):
            return 1.0
        if self.error == 0:
            return 0.0 if self.centre > limit else 1.0
        return float(_special().stdtr(self.freedom, (limit - self.centre) / self.error))


@dataclass(frozen=True)
class Estimate:
    """What became of a metric on some samples; fields as of `SliceRow`, and the `spread` of `drop`."""

    n: int
    before: float
    after: float
    delta: float
    low: float
    high: float
    broken: int | None
    fixed: int | None
    p: float
    drop: Change
    spread: Spread

    @property
    def finite(self) -> bool:
        """Whether the metric is defined before and after."""
        return math.isfinite(self.before) and math.isfinite(self.after)


def estimate(metric: Metric, base: Array, found: Array, seed: int = 0) -> Estimate:
    """The change of a metric between two results on the same samples, with its 95 % interval and test.

    Right and wrong: `proportions_interval`, `mcnemar`. Other means of one number a sample: Student's t on the paired
    differences; the interval of a drop in % of the value before is that of a ratio of means (delta method). Other
    metrics: percentiles of the paired bootstrap over samples (Efron and Tibshirani, An Introduction to the Bootstrap,
    1993, chapter 13), and the normal test with its standard error (chapter 6). The spread of the drop is the one that
    its interval is made of; of a bootstrap the normal one, because its percentiles end at one of `RESAMPLES`.

    Args:
        metric: computes the value from rows.
        base: per-sample rows of the original, (N,) or (N, K).
        found: per-sample rows of the other, same shape.
        seed: of the resampling.
    """
    if is_mean(metric, base):
        binary = metric.unit == "points" and bool(np.isin(base, (0, 1)).all() and np.isin(found, (0, 1)).all())
        return _proportions(metric, base, found) if binary else _means(metric, base, found)
    return _resampled(metric, base, found, seed)


def is_mean(metric: Metric, rows: Array) -> bool:
    """Whether the metric is the mean of one number a sample."""
    if rows.ndim != 1 or not np.isfinite(rows).all():
        return rows.ndim == 1
    return math.isclose(metric.value(rows), float(rows.mean()), rel_tol=1e-9, abs_tol=1e-12)


def signs(metric: Metric, base: Array, found: Array) -> tuple[int, int]:
    """How many samples became worse, and better; a result that is no number any more is worse."""
    down, up = int((found < base).sum()), int((found > base).sum())
    worse, better = (down, up) if metric.direction == "maximize" else (up, down)
    return worse + int((np.isnan(found) & ~np.isnan(base)).sum()), better


def _proportions(metric: Metric, base: Array, found: Array) -> Estimate:
    n, (broken, fixed) = len(base), signs(metric, base, found)
    before, after = float(base.mean()), float(found.mean())
    down, up = (broken, fixed) if metric.direction == "maximize" else (fixed, broken)
    low, high = proportions_interval(down, up, n)
    drop = _drop(metric, (before, after), (low, high))
    better, error = proportions(broken, fixed, n)
    spread = Spread(-100 * better, 100 * error)
    return Estimate(n, before, after, after - before, low, high, broken, fixed, mcnemar(broken, fixed), drop, spread)


def _means(metric: Metric, base: Array, found: Array) -> Estimate:
    n, (broken, fixed) = len(base), signs(metric, base, found)
    change = np.asarray(found, np.float64) - base
    before, after = float(np.mean(base)), float(np.mean(found))
    low, high, p = student(change)
    drop = _drop(metric, (before, after), (low, high))
    error = abs(worse_by(metric, before, before + standard_error(change)))
    if metric.unit == "%" and before != 0 and math.isfinite(error):
        ratio = (after - before) / abs(before)
        rest = 100 * (change - ratio * np.asarray(base) * np.sign(before)) / abs(before)
        value, half, error = drop.value, student(rest)[1], standard_error(rest)
        drop = Change(value, (value - half, value + half), metric.unit)
    spread = Spread(drop.value, error, n - 1)
    return Estimate(n, before, after, after - before, low, high, broken, fixed, p, drop, spread)


def standard_error(change: Array) -> float:
    """Of the mean of (N,) values; infinite for a single one, and where some are no numbers."""
    if len(change) < 2 or not np.isfinite(change).all():
        return math.inf
    return float(change.std(ddof=1)) / math.sqrt(len(change))


def student(change: Array) -> tuple[float, float, float]:
    """95 % interval of a mean by Student's t, and the p of mean zero."""
    n, mean, error = len(change), float(change.mean()), standard_error(change)
    if error == 0:
        return mean, mean, 1.0 if mean == 0 else 0.0
    if not math.isfinite(error):
        return -math.inf, math.inf, 1.0
    special = _special()
    half = float(special.stdtrit(n - 1, 0.975)) * error
    return mean - half, mean + half, 2 * float(special.stdtr(n - 1, -abs(mean) / error))


def _drop(metric: Metric, values: tuple[float, float], interval: tuple[float, float]) -> Change:
    """The change as a drop, in the unit of gates, its interval scaled by the value before."""
    before, after = values
    ends = sorted(worse_by(metric, before, before + end) for end in interval)
    return Change(worse_by(metric, before, after), (ends[0], ends[1]), metric.unit)


def _resampled(metric: Metric, base: Array, found: Array, seed: int) -> Estimate:
    n = len(base)
    before, after = metric.value(base), metric.value(found)
    if not (math.isfinite(before) and math.isfinite(after)):
        nothing = Change(math.nan, (math.nan, math.nan), metric.unit)
        return Estimate(
            n, before, after, math.nan, math.nan, math.nan, None, None, math.nan, nothing, Spread(math.nan, math.nan)
        )
    rng = np.random.default_rng(seed)
    values = np.array(
        [(metric.value(base[r]), metric.value(found[r])) for r in (rng.integers(0, n, n) for _ in range(RESAMPLES))]
    )
    changes = values[:, 1] - values[:, 0]
    drops = np.array([worse_by(metric, a, b) for a, b in values])
    low, high = (float(end) for end in np.nanquantile(changes, [0.025, 0.975]))
    ends = [float(end) for end in np.nanquantile(drops, [0.025, 0.975])]
    spread, delta = float(np.nanstd(changes, ddof=1)), after - before
    p = 1.0 if spread == 0 and delta == 0 else math.erfc(abs(delta) / max(spread, 1e-300) / math.sqrt(2))
    drop = Change(worse_by(metric, before, after), (ends[0], ends[1]), metric.unit)
    around = Spread(drop.value, float(np.nanstd(drops, ddof=1)))
    return Estimate(n, before, after, delta, low, high, None, None, p, drop, around)


def excess(part: Estimate, rest: Estimate) -> tuple[float, float, float]:
    """The part's change minus that of all samples (part and rest), with its 95 % interval.

    For means, this is the share of the rest times the difference of both changes, which are of different samples; its
    interval is put together from theirs (Zou and Donner, Statistics in Medicine 27, 2008).
    """
    share = rest.n / (part.n + rest.n)
    difference = part.delta - rest.delta
    low = difference - math.hypot(part.delta - part.low, rest.high - rest.delta)
    high = difference + math.hypot(part.high - part.delta, rest.delta - rest.low)
    return share * difference, share * low, share * high
