"""What latency samples say, and how sure one may be.

Latencies are skewed, have outliers, and follow each other: a slow one is likely followed by a slow one. So: medians and
percentiles, never a mean with a standard deviation; intervals from blocks of successive samples, not from single ones;
and a measurement that moved while it was taken is called unstable instead of being averaged.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgeship.errors import InputError
from edgeship.types import Measurement

if TYPE_CHECKING:
    from edgeship.types import Array

#: A p99 from n samples rests on the n/100 slowest; below five of them it is hardly more than the maximum.
P99_MIN_SAMPLES = 500
#: Fewer samples than this give no interval: there are no blocks to draw from.
INTERVAL_MIN_SAMPLES = 20
RESAMPLES = 2000
MAX_BLOCKS = 1000
#: Round medians further apart than this (largest over smallest, minus one) mean that the machine changed meanwhile.
DRIFT_LIMIT = 0.10
#: Width of the median's interval, as a share of the median, above which nothing can be compared.
WIDTH_LIMIT = 0.10
#: Share of outliers worth a note. They alone do not make a median unstable: where noise is small, most are 5 % slower.
OUTLIER_LIMIT = 0.10
_Z975 = 1.95996
#: 97.5 % quantiles of Student's t for 1 to 30 degrees of freedom (any table).
_T975 = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
    *(2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
)


@dataclass(frozen=True)
class Summary:
    """Statistics of one measurement, in milliseconds.

    Attributes:
        interval_ms: 95 % interval of the median; None below 20 samples.
        p99_ms: None below 500 samples.
        outliers: share of samples whose modified z-score exceeds 3.5.
        drift: largest over smallest round median, minus one.
        unstable: the machine changed, or was disturbed, while measuring; the numbers are no basis for a comparison.
    """

    n: int
    median_ms: float
    interval_ms: tuple[float, float] | None
    p90_ms: float
    p99_ms: float | None
    min_ms: float
    max_ms: float
    outliers: float
    drift: float
    unstable: bool


@dataclass(frozen=True)
class Ratio:
    """How many times slower `a` is than `b` (2.0 = takes twice as long).

    Attributes:
        interval: 95 %; None with fewer than two rounds.
        rounds: number of pairs that it rests on.
    """

    value: float
    interval: tuple[float, float] | None
    rounds: int


def summary(measurement: Measurement) -> Summary:
    """Statistics of a measurement; equal samples give equal numbers. Raises InputError where there are no samples."""
    x = _samples(measurement.latency_ms)
    p90, p99 = np.quantile(x, [0.9, 0.99])
    return Summary(
        n=len(x),
        median_ms=float(np.median(x)),
        interval_ms=median_interval(x),
        p90_ms=float(p90),
        p99_ms=float(p99) if len(x) >= P99_MIN_SAMPLES else None,
        min_ms=float(x.min()),
        max_ms=float(x.max()),
        outliers=outlier_share(x),
        drift=drift(x, measurement.round_lengths),
        unstable=bool(_instabilities(x, measurement.round_lengths, measurement.device.facts)),
    )


def ratio(a: Measurement, b: Measurement) -> Ratio:
    """How many times slower `a` is than `b`, from two measurements that were interleaved in the same rounds.

    The geometric mean over rounds of the ratio of the two medians of that round, with Student's t interval of the
    logarithm: the round, not the sample, is what was repeated independently (Kalibera and Jones, "Rigorous
    Benchmarking in Reasonable Time", ISMM 2013, section 9). Raises InputError for measurements that are no pair.
    """
    first, second = _round_medians(a), _round_medians(b)
    if len(first) != len(second) or a.target != b.target:
        raise InputError(
            f"{a.artifact} on {a.target} ({len(first)} rounds) and {b.artifact} on {b.target} ({len(second)} rounds) "
            "were not interleaved",
            remedy="Measure both in one call.",
        )
    logs = np.log(first / second)
    mean, rounds = float(logs.mean()), len(logs)
    if rounds < 2:
        return Ratio(math.exp(mean), None, rounds)
    half = _t975(rounds - 1) * float(logs.std(ddof=1)) / math.sqrt(rounds)
    return Ratio(math.exp(mean), (math.exp(mean - half), math.exp(mean + half)), rounds)


def median_interval(samples: Sequence[float] | Array, seed: int = 0) -> tuple[float, float] | None:
    """95 % interval of the median that respects autocorrelation; None below 20 samples.

    How often a sample lies at or below the sample median is resampled by the circular block bootstrap (Politis and
    Romano, 1992), with the block length that Politis and White (2004, corrected by Patton, Politis and White, 2009)
    choose for that indicator; the quantiles of the data at the resulting levels bound the median (Woodruff, 1952).
    Resampling the indicator, not the data, needs sums only, so that 100,000 samples take milliseconds.
    """
    x = _samples(samples)
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
    widen = math.sqrt(blocks / (blocks - 1)) * _t975(blocks - 1) / _Z975
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


def drift(samples: Array, round_lengths: Sequence[int]) -> float:
    """Largest over smallest median of the rounds, minus one; 0 for a single round."""
    medians = [float(np.median(part)) for part in _rounds(samples, round_lengths)]
    return max(medians) / min(medians) - 1 if min(medians) > 0 else 0.0


def outlier_share(samples: Array) -> float:
    """Share of samples with a modified z-score above 3.5 (Iglewicz and Hoaglin, 1993, section 3.2)."""
    distance = np.abs(samples - np.median(samples))
    scale = float(np.median(distance)) / 0.6745
    if scale == 0.0:  # more than half are equal (a coarse clock): their mean absolute deviation instead
        scale = float(distance.mean()) * 1.2533
    return float((distance > 3.5 * scale).mean()) if scale > 0.0 else 0.0


def notes(
    samples: Sequence[float], round_lengths: Sequence[int], facts: Mapping[str, str], *, warm: bool = True
) -> tuple[str, ...]:
    """What a reader must know about a measurement, each with what to do about it.

    Args:
        samples: milliseconds, in order.
        round_lengths: samples by round.
        facts: of the device; `load_average`, `cores`, `governor`, `throttled` are looked at.
        warm: whether warm-up ended because latency was stable.
    """
    x = _samples(samples)
    found = _instabilities(x, round_lengths, facts)
    if not warm:
        found.append("warm-up ended at its limit before latency was stable: raise the warm-up limit")
    outliers = outlier_share(x)
    if outliers > OUTLIER_LIMIT:
        found.append(f"{outliers:.0%} of the samples are outliers: stop other work for a cleaner tail")
    load, cores = _number(facts.get("load_average")), _number(facts.get("cores"))
    if load is not None and cores and load > cores / 2:
        found.append(f"load average {load:g} on {cores:g} cores before measuring: stop other work for shorter times")
    if facts.get("governor") in ("powersave", "ondemand", "conservative"):
        found.append(f"frequency governor {facts['governor']}: clocks vary; set it to performance to compare")
    if len(x) < P99_MIN_SAMPLES:
        found.append(f"no p99: it needs {P99_MIN_SAMPLES} samples, there are {len(x)}; raise the number of runs")
    return tuple(found)


def _instabilities(x: Array, round_lengths: Sequence[int], facts: Mapping[str, str]) -> list[str]:
    """Why the median is no basis for a comparison; empty when it is one."""
    found = []
    moved, interval = drift(x, round_lengths), median_interval(x)
    if moved > DRIFT_LIMIT:
        found.append(f"unstable: round medians differ by {moved:.0%}; stop other work, let the device cool, repeat")
    if interval is not None and interval[1] - interval[0] > WIDTH_LIMIT * float(np.median(x)):
        found.append(f"unstable: the median lies between {interval[0]:.3g} and {interval[1]:.3g} ms; raise the runs")
    if _throttled(facts):
        found.append("unstable: the board throttled or lacked voltage; cool it, use its own power supply, repeat")
    return found


def _samples(values: Sequence[float] | Array) -> Array:
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1 or x.size == 0 or not np.isfinite(x).all():
        raise InputError(f"latencies are a list of {x.size} numbers", remedy="Give at least one, all finite.")
    return x


def _rounds(samples: Array, round_lengths: Sequence[int]) -> list[Array]:
    if sum(round_lengths) != len(samples) or min(round_lengths, default=0) < 1:
        raise InputError(f"rounds of {list(round_lengths)} samples do not make up {len(samples)} samples")
    return np.split(samples, np.cumsum(round_lengths)[:-1])


def _round_medians(measurement: Measurement) -> Array:
    parts = _rounds(_samples(measurement.latency_ms), measurement.round_lengths)
    return np.array([np.median(part) for part in parts])


def _last_significant(significant: Array, quiet_run: int) -> int:
    """Lag after which `quiet_run` autocorrelations in a row are insignificant; else the last significant lag."""
    for lag in range(len(significant) - quiet_run + 1):
        if not significant[lag : lag + quiet_run].any():
            return lag
    return int(np.flatnonzero(significant)[-1]) + 1


def _t975(degrees: int) -> float:
    # Beyond the table: the first term of Abramowitz and Stegun, 26.7.5.
    return _T975[degrees - 1] if degrees <= len(_T975) else _Z975 + (_Z975**3 + _Z975) / (4 * degrees)


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None


def _throttled(facts: Mapping[str, str]) -> bool:
    """Bits 0 to 3 of the Raspberry Pi firmware's word: under-voltage, capped, throttled, soft limit, right now."""
    words = (facts.get("throttled"), facts.get("throttled_after"))
    try:
        return any(int(word, 16) & 0xF for word in words if word)
    except ValueError:
        return False
