"""Carries out a measuring plan over open sessions: warm up, then interleaved rounds.

Whatever else the machine does (other work, clock changes, heat) comes and goes over seconds. Artifacts that are
measured one after another would each meet a different machine; in interleaved rounds (A B A B) they share it, and the
ratio of two of them within a round is free of it.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgeship.errors import EdgeshipError, InputError
from edgeship.types import Plan, Progress, ProgressCallback

if TYPE_CHECKING:
    from edgeship.types import Tensors
    from edgeship_benchmarks.session import AgentSession, WarmUp

#: Runs before each round that are not counted: the session was idle, its caches cold, while the others ran.
REWARM_RUNS = 10


@dataclass(frozen=True)
class Timing:
    """What the plan gave for one session.

    Attributes:
        latency_ms: all samples in the order taken.
        round_lengths: samples by round.
        warmup_runs: inferences that were not counted, those before each round included.
        peak_memory_mib: of the process once warm, before timings fill its memory.
    """

    latency_ms: tuple[float, ...]
    round_lengths: tuple[int, ...]
    warm_up: WarmUp
    warmup_runs: int
    peak_memory_mib: float | None


def orders(count: int, plan: Plan) -> list[list[int]]:
    """Who runs when, by round: a seeded permutation, rotated so that each takes each place equally often."""
    first = list(range(count))
    random.Random(plan.seed).shuffle(first)  # noqa: S311 - an order, no secret
    return [first[r % count :] + first[: r % count] for r in range(plan.rounds) if count]


def execute(
    sessions: Sequence[AgentSession], inputs: Tensors, plan: Plan, progress: ProgressCallback | None = None
) -> list[Timing | EdgeshipError]:
    """Measure every loaded session; the results are in the order of `sessions`.

    Each round takes `1 / rounds` of the plan's minima from every session. Samples are kept raw: none is dropped. A
    session that fails gives its error in place of a timing, and the others go on. Raises InputError for a plan that
    measures nothing.
    """
    if min(plan.rounds, plan.min_runs, plan.warmup_max_runs, plan.threads) < 1 or not plan.min_seconds >= 0:
        raise InputError(f"cannot measure by {plan}", remedy="Rounds, runs, warm-up and threads are 1 or more.")
    told = progress or (lambda _: None)
    total = len(sessions) * (plan.rounds + 1)
    courses = [_Course(session, inputs, plan) for session in sessions]
    for done, course in enumerate(courses):
        told(Progress("measure", done, total, "warm up"))
        course.attempt(course.start)
    done = len(sessions)
    for number, order in enumerate(orders(len(sessions), plan), start=1):
        for index in order:
            told(Progress("measure", done, total, f"round {number} of {plan.rounds}"))
            courses[index].attempt(courses[index].round)
            done += 1
    told(Progress("measure", total, total))
    return [course.result() for course in courses]


class _Course:
    """What one session has given so far, or why it gives no more."""

    def __init__(self, session: AgentSession, inputs: Tensors, plan: Plan) -> None:
        self._session, self._inputs, self._plan = session, inputs, plan
        self._error: EdgeshipError | None = None
        self._warm_up: WarmUp | None = None
        self._uncounted = 0
        self._peak: float | None = None
        self._rounds: list[tuple[float, ...]] = []

    def attempt(self, step: Callable[[], None]) -> None:
        """Take a step, unless one has failed already."""
        if self._error is None:
            try:
                step()
            except EdgeshipError as error:
                self._error = error

    def start(self) -> None:
        """Warm up."""
        self._warm_up = self._session.warm_up(self._inputs, self._plan.warmup_max_runs)
        self._uncounted = self._warm_up.runs
        self._peak = self._session.memory()

    def round(self) -> None:
        """One round of timings."""
        plan = self._plan
        self._uncounted += self._session.warm_up(self._inputs, min(REWARM_RUNS, plan.warmup_max_runs)).runs
        runs, seconds = math.ceil(plan.min_runs / plan.rounds), plan.min_seconds / plan.rounds
        self._rounds.append(self._session.measure(self._inputs, runs, seconds))

    def result(self) -> Timing | EdgeshipError:
        """The timing, or the error."""
        if self._error is not None:
            return self._error
        assert self._warm_up is not None, "attempt(start) sets it or an error"
        lengths = tuple(map(len, self._rounds))
        return Timing(sum(self._rounds, ()), lengths, self._warm_up, self._uncounted, self._peak)
