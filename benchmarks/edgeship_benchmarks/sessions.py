"""How one file's time in one session compares with that in another, when the two were not interleaved.

What two sessions do not share (clocks, heat, other work, a kernel since then) moves all starts of one of them alike, so
that the spread of the starts says nothing about it: an interval from the starts alone would call most sessions of one
and the same file different. So a session counts as one value, and what is known about their noise is how far apart the
sessions of unchanged files were on that device.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from edgeship.types import Measurement
from edgeship_benchmarks.comparison import VERDICT_LEVEL, Ratio, round_medians
from edgeship_benchmarks.intervals import t_quantile, trimmed_mean_interval

#: Half-width that is added where the history is too short to tell how far apart sessions are.
FLOOR = 0.10
#: Fewer degrees of freedom than this are too few: five sessions of one unchanged file.
MIN_DEGREES = 4


@dataclass(frozen=True)
class Level:
    """The logarithm of one session's time in milliseconds, and the half-width of its interval by its own starts."""

    value: float
    half: float


@dataclass(frozen=True)
class Spread:
    """How far apart sessions of unchanged files are.

    Attributes:
        deviation: standard deviation of the logarithm of a session's time.
        degrees: of freedom.
    """

    deviation: float
    degrees: int


def level(measurement: Measurement, share: float = VERDICT_LEVEL) -> Level:
    """Of each start the median of its rounds; over the starts their trimmed mean with its interval.

    With a single start the half-width is 0: there is nothing to tell it by. Raises as `comparison.round_medians`.
    """
    parts = np.split(np.log(round_medians(measurement)), measurement.repeats)
    starts = np.array([float(np.median(part)) for part in parts])
    if len(starts) == 1:
        return Level(float(starts[0]), 0.0)
    mean, low, high = trimmed_mean_interval(starts, share)
    return Level(mean, (high - low) / 2)


def spread(unchanged: Iterable[Sequence[Measurement]]) -> Spread | None:
    """Pooled over groups of sessions, each of one unchanged file; None where no group has two. Raises as `level`."""
    squares, degrees = 0.0, 0
    for group in unchanged:
        values = np.array([level(measurement).value for measurement in group])
        if len(values) > 1:
            squares += float(((values - values.mean()) ** 2).sum())
            degrees += len(values) - 1
    return Spread(math.sqrt(squares / degrees), degrees) if degrees else None


def ratio(now: Measurement, before: Measurement, known: Spread | None, share: float = VERDICT_LEVEL) -> Ratio:
    """How many times slower `now` is than `before`, with an interval that carries the noise between sessions.

    With five sessions of unchanged files or more (`MIN_DEGREES`): the prediction interval of the difference of two
    single values, `t * deviation * sqrt(2)`, and never less than what the starts of the two say. With fewer: what the
    starts say, widened by `FLOOR` to each side. Raises as `level`.
    """
    first, second = level(now, share), level(before, share)
    difference, within = first.value - second.value, math.hypot(first.half, second.half)
    if enough(known):
        assert known is not None
        half = max(within, t_quantile(share, known.degrees) * known.deviation * math.sqrt(2))
    else:
        half = within + math.log1p(FLOOR)
    ends = (math.exp(difference - half), math.exp(difference + half))
    rounds = min(len(now.round_lengths), len(before.round_lengths))
    return Ratio(math.exp(difference), ends, rounds, share, min(now.repeats, before.repeats))


def enough(known: Spread | None) -> bool:
    """Whether a spread rests on sessions enough to be used."""
    return known is not None and known.degrees >= MIN_DEGREES
