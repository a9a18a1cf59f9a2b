"""Carries out a measuring plan over open sessions: warm up, then interleaved rounds.

Whatever else the machine does (other work, clock changes, heat) comes and goes over seconds. Artifacts that are
measured one after another would each meet a different machine; in interleaved rounds (A B A B) they share it, and the
ratio of two of them within a round is free of it.
"""

from __future__ import annotations

import functools
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgeship.errors import ConnectionLost, EdgeshipError, InputError
from edgeship.types import Plan, Progress, ProgressCallback

if TYPE_CHECKING:
    from edgeship.types import Tensors
    from edgeship_benchmarks.session import AgentSession, WarmUp

#: Runs before each round that are not counted: the session was idle, its caches cold, while the others ran.
REWARM_RUNS = 10
#: How often a session is taken up again whose connection was lost; then its row says why.
MOST_RESTARTS = 3


@dataclass(frozen=True)
class Timing:
    """What the plan gave for one session.

    Attributes:
        latency_ms: all samples in the order taken.
        round_lengths: samples by round.
        warmup_runs: inferences that were not counted, those before each round included.
        peak_memory_mib: of the process once warm, before timings fill its memory.
        again: numbers of the rounds that were measured again, all of them, after the connection was lost.
    """

    latency_ms: tuple[float, ...]
    round_lengths: tuple[int, ...]
    warm_up: WarmUp
    warmup_runs: int
    peak_memory_mib: float | None
    again: tuple[int, ...] = ()


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
    session that fails gives its error in place of a timing, and the others go on. Where the connection to a board was
    lost, it is taken up again and the whole round measured anew: its part from before was another state of the board.
    Raises InputError for a plan that measures nothing.
    """
    if min(plan.rounds, plan.min_runs, plan.warmup_max_runs, plan.threads) < 1 or not plan.min_seconds >= 0:
        raise InputError(f"cannot measure by {plan}", remedy="Rounds, runs, warm-up and threads are 1 or more.")
    told = progress or (lambda _: None)
    total = len(sessions) * (plan.rounds + 1)
    courses = [_Course(session, inputs, plan) for session in sessions]
    for done, course in enumerate(courses):
        told(Progress("measure", done, total, "warm up"))
        while not course.attempt(course.start):
            pass
    done = len(sessions)
    for number, order in enumerate(orders(len(sessions), plan), start=1):
        tries, whole = 0, False
        while not whole:
            tries, whole = tries + 1, True
            for place, index in enumerate(order):
                told(Progress("measure", done + place, total, f"round {number} of {plan.rounds}"))
                step = functools.partial(courses[index].round, number, tries > 1)
                whole = courses[index].attempt(step) and whole  # those after a lost one find out here too
        done += len(order)
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
        self._rounds: dict[int, tuple[float, ...]] = {}
        self._again: list[int] = []
        self._restarts = 0
        self._cold = True

    def attempt(self, step: Callable[[], None]) -> bool:
        """Take a step, unless one has failed already; False where the connection was lost, and stands again."""
        if self._error is not None:
            return True
        try:
            try:
                step()
            except ConnectionLost:
                if self._restarts == MOST_RESTARTS:
                    raise
                self._restarts += 1
                self._session.restart()
                self._cold = True
                return False
        except EdgeshipError as error:
            self._error = error
        return True

    def start(self) -> None:
        """Warm up."""
        self._warm_up = self._session.warm_up(self._inputs, self._plan.warmup_max_runs)
        self._uncounted += self._warm_up.runs
        self._peak = self._session.memory()
        self._cold = False

    def round(self, number: int, again: bool) -> None:
        """One round of timings; one that was measured before is replaced."""
        plan = self._plan
        if again:
            self._again.append(number)
        warm_up_runs = plan.warmup_max_runs if self._cold else min(REWARM_RUNS, plan.warmup_max_runs)
        self._uncounted += self._session.warm_up(self._inputs, warm_up_runs).runs
        self._cold = False
        runs, seconds = math.ceil(plan.min_runs / plan.rounds), plan.min_seconds / plan.rounds
        self._rounds[number] = self._session.measure(self._inputs, runs, seconds)

    def result(self) -> Timing | EdgeshipError:
        """The timing, or the error."""
        if self._error is not None:
            return self._error
        assert self._warm_up is not None, "attempt(start) sets it or an error"
        taken = [self._rounds[number] for number in sorted(self._rounds)]
        again = tuple(dict.fromkeys(self._again))
        return Timing(sum(taken, ()), tuple(map(len, taken)), self._warm_up, self._uncounted, self._peak, again)
