"""Intervals that respect how latencies come: skewed, in rounds, and each much like the one before it."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from edgeship.errors import InputError

if TYPE_CHECKING:
    from edgeship.types import Array

#: Fewer samples than this give no interval: there are no blocks to draw from.
INTERVAL_MIN_SAMPLES = 20
RESAMPLES = 2000
MAX_BLOCKS = 1000
#: Share of the values that a trimmed mean leaves out at each end.
TRIMMED = 0.2
TRIMMED_MIN_VALUES = 6
_Z975 = 1.95996


def median_interval(samples: Sequence[float] | Array, seed: int = 0) -> tuple[float, float] | None:
    """95 % interval of the median that respects autocorrelation; None below 20 samples.

    How often a sample lies at or below the sample median is resampled by the circular block bootstrap (Politis and
    Romano, 1992), with the block length that Politis and White (2004, corrected by Patton, Politis and White, 2009)
    choose for that indicator; the quantiles of the data at the resulting levels bound the median (Woodruff, 1952).
    Resampling the indicator, not the data, needs sums only, so that 100,000 samples take milliseconds.
    """
    x = samples_of(samples)
    n = len(x)
    if n < INTERVAL_MIN_SAMPLES:
        return None
    below = (x <= np.median(x)).astype(np.float64)
    # More blocks than the bound cost memory and change nothing: longer blocks than needed are as good then.
    block = max(block_length(below), math.ceil(n / MAX_BLOCKS))
    blocks = math.ceil(n / block)
    total = np.concatenate([[0.0], np.cumsum(np.concatenate([below, below[: block - 1]]))])
    starts = np.random.default_rng(seed).integers(0, n, size=(RESAMPLES, blocks))
    levels = (total[starts + block] - total[starts]).sum(axis=1) / (blocks * block)
    spread = np.quantile(levels, [0.025, 0.975]) - below.mean()
    # With few blocks the spread is itself uncertain: as for batch means, n / (n - 1) and Student's t, over blocks.
    widen = math.sqrt(blocks / (blocks - 1)) * t_quantile(0.95, blocks - 1) / _Z975
    low, high = np.quantile(x, np.clip(0.5 + widen * spread, 0.0, 1.0))
    return float(low), float(high)


def block_length(series: Array) -> int:
    """Block length for the circular block bootstrap of a mean (Politis and White, 2004, section 3.2).

    Uses their flat-top lag window, and the correction of the constant by Patton, Politis and White (2009); at least
    1, at most a third of the series and 3 sqrt(n). A constant series gives 1.
    """
    n = len(series)
    longest = max(1, int(min(3 * math.sqrt(n), n / 3)))
    centred = series - series.mean()
    variance = float(centred @ centred) / n
    if variance == 0.0 or n < 4:
        return 1
    quiet_run = max(5, int(math.sqrt(math.log10(n))))
    lags = min(n - 1, math.ceil(math.sqrt(n)) + quiet_run)
    covariance = np.array([float(centred[: n - k] @ centred[k:]) / n for k in range(lags + 1)])
    significant = np.abs(covariance[1:] / variance) > 2 * math.sqrt(math.log10(n) / n)
    bandwidth = min(lags, 2 * _last_significant(significant, quiet_run))
    if bandwidth == 0:
        return 1
    k = np.arange(-bandwidth, bandwidth + 1)
    window = np.clip(2 * (1 - np.abs(k) / bandwidth), 0.0, 1.0)
    weighted = window * covariance[np.abs(k)]
    spectrum = float(weighted.sum())
    if spectrum <= 0:
        return 1
    slope = float((np.abs(k) * weighted).sum())
    best = (2 * slope**2 / (4 / 3 * spectrum**2) * n) ** (1 / 3)
    return int(min(longest, max(1, math.ceil(best))))


def _last_significant(significant: Array, quiet_run: int) -> int:
    """Lag after which `quiet_run` autocorrelations in a row are insignificant; else the last significant lag."""
    for lag in range(len(significant) - quiet_run + 1):
        if not significant[lag : lag + quiet_run].any():
            return lag
    return int(np.flatnonzero(significant)[-1]) + 1


def trimmed_mean_interval(values: Array, level: float) -> tuple[float, float, float]:
    """20 % trimmed mean of independent values, and its interval (Tukey and McLaughlin, 1963; Yuen, 1974).

    Of rounds, and of starts, a few meet a machine that changes between one file and the next; they would move a mean,
    and widen its interval without bound. The winsorized variance accounts for what was left out. Of fewer than six
    values none is left out, and it is Student's interval; a single one has no interval (NaN).
    """
    n, ordered = len(values), np.sort(values)
    if n == 1:
        return float(values[0]), math.nan, math.nan
    cut = int(TRIMMED * n) if n >= TRIMMED_MIN_VALUES else 0
    kept = ordered[cut : n - cut]
    winsorized = np.clip(ordered, kept[0], kept[-1])
    error = float(winsorized.std(ddof=1)) / ((1 - 2 * cut / n) * math.sqrt(n))
    mean, half = float(kept.mean()), t_quantile(level, len(kept) - 1) * error
    return mean, mean - half, mean + half


@functools.cache
def t_quantile(level: float, degrees: int) -> float:
    """The t for which Student's distribution with these degrees of freedom has the share `level` in -t to t.

    Inverts the finite series of Abramowitz and Stegun, 26.7.3 and 26.7.4, by bisection of the angle. Raises InputError
    outside of 0 < level < 1 and degrees >= 1.
    """
    if not 0 < level < 1 or degrees < 1:
        raise InputError(f"Student's t has no quantile for the level {level} with {degrees} degrees of freedom")
    low, high = 0.0, math.pi / 2
    while high - low > 1e-12 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if _t_share(middle, degrees) < level else (low, middle)
    return math.tan(low) * math.sqrt(degrees)


def _t_share(angle: float, degrees: int) -> float:
    """Share of Student's distribution within tan(angle) * sqrt(degrees) of zero."""
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = degrees % 2
    term = cosine if odd else 1.0
    total = 0.0
    for k in range(1 + odd, degrees, 2):
        total += term
        term *= cosine**2 * k / (k + 1)
    return 2 / math.pi * (angle + sine * total) if odd else sine * total


def samples_of(values: Sequence[float] | Array) -> Array:
    """Latencies as an array. Raises InputError for none, or for one that is not finite."""
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1 or x.size == 0 or not np.isfinite(x).all():
        raise InputError(f"latencies are a list of {x.size} numbers", remedy="Give at least one, all finite.")
    return x


def rounds_of(samples: Array, round_lengths: Sequence[int]) -> list[Array]:
    """The samples of each round. Raises InputError where they do not add up."""
    if sum(round_lengths) != len(samples) or min(round_lengths, default=0) < 1:
        raise InputError(f"rounds of {list(round_lengths)} samples do not make up {len(samples)} samples")
    return np.split(samples, np.cumsum(round_lengths)[:-1])
