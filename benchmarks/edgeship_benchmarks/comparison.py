"""Which of two files is faster, and how sure one may be: a verdict instead of two averages.

What is paired is the round: both files met the same machine in it, in an order that was drawn. What is repeated is the
start: two processes of one and the same file differ, by where their memory came to lie, for as long as they live
(Kalibera and Jones, "Rigorous Benchmarking in Reasonable Time", ISMM 2013, section 9). So the starts are the sample,
where there are several.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from edgeship.errors import InputError
from edgeship.types import Measurement
from edgeship_benchmarks.intervals import rounds_of, samples_of, trimmed_mean_interval

if TYPE_CHECKING:
    from edgeship.types import Array

#: Level of the interval that a verdict rests on: of a hundred comparisons of equals one may be called a difference.
VERDICT_LEVEL = 0.99
#: Differences below this are called none, where the interval leaves room for no other.
EQUAL_WITHIN = 0.05


@dataclass(frozen=True)
class Ratio:
    """How many times slower one file is than another (2.0 = takes twice as long).

    Attributes:
        interval: at `level`; None with fewer than two rounds.
        rounds: number of pairs that it rests on.
        level: share of such intervals that hold the true ratio.
        repeats: starts of both files; with one the interval is of these two processes, not of the files.
    """

    value: float
    interval: tuple[float, float] | None
    rounds: int
    level: float = 0.95
    repeats: int = 1


Word = Literal["faster", "slower", "no difference", "undecided"]


@dataclass(frozen=True)
class Verdict:
    """What may be said about a file against another.

    Attributes:
        word: `no difference`: there is none of 5 % or more; `undecided`: the interval leaves room for both.
    """

    word: Word
    ratio: Ratio

    def sentence(self, file: str, other: str) -> str:
        """`B is 1.31x faster than A, 99 % interval 1.27 to 1.36`; a factor is above one where a word says which way."""
        ratio = self.ratio
        if ratio.interval is None:
            return f"{file} takes {ratio.value:.2f}x the time of {other} in a single round, which says nothing"
        low, high, value = *ratio.interval, ratio.value
        if self.word == "faster":
            low, high, value = 1 / high, 1 / low, 1 / value
        interval = f"{100 * ratio.level:.3g} % interval {_factor(low)} to {_factor(high)}"
        if self.word in ("faster", "slower"):
            return f"{file} is {_factor(value)}x {self.word} than {other}, {interval}"
        time = f"{file} takes {_factor(value)}x the time of {other}, {interval}"
        if self.word == "no difference":
            return f"{time}: no difference of {100 * EQUAL_WITHIN:.0f} % or more"
        return f"{time}: undecided; raise --repeats, stop other work"


def _factor(value: float) -> str:
    """Two decimals; three where the difference is below one in ten."""
    return f"{value:.3f}" if abs(value - 1) < 0.1 else f"{value:.2f}"


def verdict(measured: Measurement, other: Measurement, level: float = VERDICT_LEVEL) -> Verdict:
    """What may be said about `measured` against `other`; raises as `ratio`."""
    found = ratio(measured, other, level)
    return Verdict("undecided" if found.interval is None else word_for(*found.interval), found)


def word_for(low: float, high: float) -> Word:
    """What an interval of a ratio says: `faster` and `slower` where it lies on one side of 1."""
    if high < 1.0:
        return "faster"
    if low > 1.0:
        return "slower"
    return "no difference" if low > 1 / (1 + EQUAL_WITHIN) and high < 1 + EQUAL_WITHIN else "undecided"


def ratio(a: Measurement, b: Measurement, level: float = 0.95) -> Ratio:
    """How many times slower `a` is than `b`, from two measurements that were interleaved in the same rounds.

    Of each start, the median over its rounds of the logarithm of the ratio of the round's two medians; over the starts
    their trimmed mean with its interval (`intervals.trimmed_mean_interval`). With a single start the same over rounds.
    Raises InputError for measurements that are no pair.
    """
    first, second = round_medians(a), round_medians(b)
    if len(first) != len(second) or (a.target, a.group, a.repeats) != (b.target, b.group, b.repeats):
        raise InputError(
            f"{a.artifact} on {a.target} ({len(first)} rounds) and {b.artifact} on {b.target} ({len(second)} rounds) "
            "were not interleaved",
            remedy="Measure both in one call.",
        )
    logs, repeats = np.log(first / second), a.repeats
    if len(logs) < 2:
        return Ratio(math.exp(float(logs.mean())), None, len(logs), level, repeats)
    if repeats > 1:
        starts = [float(np.median(part)) for part in np.split(logs, repeats)]
        ends = trimmed_mean_interval(np.array(starts), level)
    else:
        ends = trimmed_mean_interval(logs, level)
    value, low, high = map(math.exp, ends)
    return Ratio(value, (low, high), len(logs), level, repeats)


def round_medians(measurement: Measurement) -> Array:
    """Milliseconds, in order.

    Raises InputError for rounds that are no equal parts of the starts, and for a median of 0.
    """
    parts = rounds_of(samples_of(measurement.latency_ms), measurement.round_lengths)
    if measurement.repeats < 1 or len(parts) % measurement.repeats:
        raise InputError(f"{len(parts)} rounds of {measurement.artifact} are no {measurement.repeats} equal repeats")
    medians = np.array([np.median(part) for part in parts])
    if medians.min() <= 0:
        raise InputError(f"a median of {measurement.artifact} on {measurement.target} is 0: its clock is too coarse")
    return medians
