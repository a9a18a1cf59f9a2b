"""Where the time of an inference goes, operator by operator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class OperatorTime:
    """What one operator, or several that a runtime computes as one, takes in one inference of one sample.

    Attributes:
        name: of the operator; of several, of the one that multiplies most.
        type: in the words of the file or of the runtime; of several, all of them.
        ms: may lie below zero within its interval where it is a difference of two times.
        interval_ms: 95 %; None with fewer than two rounds.
        macs: multiply-accumulates of one inference of one sample; None where they cannot be told.
        operators: how many of the file are in it; 0 for what is none of the file's.
    """

    name: str
    type: str
    ms: float
    interval_ms: tuple[float, float] | None
    macs: float | None = None
    operators: int = 1


@dataclass(frozen=True)
class OperatorProfile:
    """The operators of a file in the order in which they run, from a run of its own: profiling costs time.

    Attributes:
        method: `runtime`: it says so itself; `split`: differences of the times of files cut after each operator.
        operators: all parts, what belongs to no operator included where it is known.
        whole_ms: median of an inference of the whole file, beside the profiled one in the same process.
        rounds: how often each part was timed.
        notes: warnings with their remedy.
    """

    method: Literal["runtime", "split"]
    operators: tuple[OperatorTime, ...]
    whole_ms: float
    rounds: int
    notes: tuple[str, ...] = ()

    @property
    def total_ms(self) -> float:
        """Sum of all parts."""
        return sum(operator.ms for operator in self.operators)

    @property
    def error_ms(self) -> float:
        """How far a part may be off: the widest half of an interval, or what came out below zero, which cannot be."""
        halves = [(o.interval_ms[1] - o.interval_ms[0]) / 2 for o in self.operators if o.interval_ms is not None]
        return max([*halves, *(-o.ms for o in self.operators)], default=0.0)
