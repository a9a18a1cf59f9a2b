"""What latency samples say, and how sure one may be.

Latencies are skewed, have outliers, and follow each other: a slow one is likely followed by a slow one. So: medians and
percentiles, never a mean with a standard deviation; intervals from blocks of successive samples, not from single ones;
and a measurement that moved while it was taken is called unstable instead of being averaged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgeship.types import Measurement
from edgeship_benchmarks.intervals import TRIMMED_MIN_VALUES, median_interval, rounds_of, samples_of

if TYPE_CHECKING:
    from edgeship.types import Array

#: A p99 from n samples rests on the n/100 slowest; below five of them it is hardly more than the maximum.
P99_MIN_SAMPLES = 500
#: Round medians further apart than this (largest over smallest, minus one) mean that the machine changed meanwhile.
DRIFT_LIMIT = 0.10
#: Width of the median's interval, as a share of the median, above which nothing can be compared.
WIDTH_LIMIT = 0.10
#: Share of outliers worth a note. They alone do not make a median unstable: where noise is small, most are 5 % slower.
OUTLIER_LIMIT = 0.10
#: Share by which the clock may fall without a note: governors move it by steps of about 5 %.
CLOCK_LIMIT = 0.10
#: Degrees Celsius from which a Raspberry Pi lowers its clock (raspberrypi.com, documentation of `temp_limit`).
HOT_C = 80.0


@dataclass(frozen=True)
class Summary:
    """Statistics of one measurement, in milliseconds.

    Attributes:
        interval_ms: 95 % interval of the median; None below 20 samples.
        p99_ms: None below 500 samples, and where a sample is a mean of several inferences.
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


def summary(measurement: Measurement) -> Summary:
    """Statistics of a measurement; equal samples give equal numbers. Raises InputError where there are no samples."""
    x = samples_of(measurement.latency_ms)
    p90, p99 = np.quantile(x, [0.9, 0.99])
    return Summary(
        n=len(x),
        median_ms=float(np.median(x)),
        interval_ms=median_interval(x),
        p90_ms=float(p90),
        p99_ms=None if _no_p99(len(x), measurement.device.facts) else float(p99),
        min_ms=float(x.min()),
        max_ms=float(x.max()),
        outliers=outlier_share(x),
        drift=drift(x, measurement.round_lengths),
        unstable=bool(_instabilities(x, measurement.round_lengths, measurement.device.facts)),
    )


def may_be_compared(measurement: Measurement) -> bool:
    """Whether ratios to what was interleaved with it may be trusted: it is stable, or has six starts or more.

    From six on, what moved while measuring moved both in the same rounds, and a start that was disturbed as a whole is
    left out: of 46 trials beside a load that came and went 44 were unstable, and every verdict was right or undecided
    (`python -m tests.acceptance.benchmarks`).
    """
    return measurement.repeats >= TRIMMED_MIN_VALUES or not summary(measurement).unstable


def drift(samples: Array, round_lengths: Sequence[int]) -> float:
    """Largest over smallest median of the rounds, minus one; 0 for a single round."""
    medians = [float(np.median(part)) for part in rounds_of(samples, round_lengths)]
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
        facts: of the device; `load_average`, `cores`, `governor`, `throttled`, `inferences_per_time`, clock and
            temperature are looked at.
        warm: whether warm-up ended because latency was stable.
    """
    x = samples_of(samples)
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
    return (*found, *_heat(facts), *filter(None, [_no_p99(len(x), facts)]))


def _no_p99(count: int, facts: Mapping[str, str]) -> str:
    """Why `count` samples have no p99, with what to do about it; empty where they have one."""
    each = _number(facts.get("inferences_per_time")) or 1
    if each > 1:
        return f"no p99: each time is the mean of {each:g} inferences, and p90 is of such means"
    if count < P99_MIN_SAMPLES:
        return f"no p99: it needs {P99_MIN_SAMPLES} samples, there are {count}; raise the number of runs"
    return ""


def _heat(facts: Mapping[str, str]) -> list[str]:
    """What happened to clock and temperature meanwhile."""
    found = []
    before, after = _number(facts.get("frequency_mhz")), _number(facts.get("frequency_mhz_after"))
    if before and after and after < (1 - CLOCK_LIMIT) * before:
        found.append(f"the clock fell from {before:g} to {after:g} MHz: cool the device, rest with --cool-down SECONDS")
    hottest = _number(facts.get("temperature_c_after"))
    if hottest is not None and hottest >= HOT_C:
        found.append(
            f"{hottest:g} °C afterwards, where boards begin to throttle: cool it, rest with --cool-down SECONDS"
        )
    return found


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


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None


def _throttled(facts: Mapping[str, str]) -> bool:
    """By the Raspberry Pi firmware's word: bits 0 to 3 are under-voltage, capped, throttled and soft limit right now.

    The same bits 16 higher say that it has happened since the start: new ones, that it did while we measured.
    """
    try:
        before, after = (int(facts.get(key) or "0", 16) for key in ("throttled", "throttled_after"))
    except ValueError:
        return False
    return bool((before | after) & 0xF or after & ~before & 0xF0000)
