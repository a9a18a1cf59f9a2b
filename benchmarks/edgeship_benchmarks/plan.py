"""Carries out a measuring plan over open sessions: warm up, interleaved rounds, and all of it again from a new start.

Whatever else the machine does (other work, clock changes, heat) comes and goes over seconds. Artifacts that are
measured one after another would each meet a different machine; in interleaved rounds (A B A B) they share it, and the
ratio of two of them within a round is free of it. What a process keeps for its life, such as where its memory lies,
differs from start to start: only repeats show that.
"""

from __future__ import annotations

import functools
import math
import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from edgeship.errors import ArtifactError, ConnectionLost, EdgeshipError, InputError
from edgeship.types import Energy, Plan, Progress, ProgressCallback
from edgeship_benchmarks.answers import WarmUp

if TYPE_CHECKING:
    from edgeship.types import Tensors, Throughput
    from edgeship_benchmarks.answers import Loaded, Processing

#: Runs before each round that are not counted: the session was idle, its caches cold, while the others ran.
REWARM_RUNS = 10
#: How often a session is taken up again whose connection was lost; then its row says why.
MOST_RESTARTS = 3
#: How long throughput is measured, for each kind that was asked for.
THROUGHPUT_SECONDS = 0.5


class Session(Protocol):
    """A file that is open somewhere and can be run, as `edgeship_benchmarks.session.AgentSession` has it."""

    energy: Energy | None
    runtime: str

    @property
    def label(self) -> str:
        """The runtime, as rows name it."""

    @property
    def loaded(self) -> Loaded:
        """What is known about the open file."""

    def restart(self) -> Loaded:
        """Open the file in a new process. May raise ConnectionLost."""

    def warm_up(self, inputs: Tensors, max_runs: int) -> WarmUp:
        """Infer until latency is stable."""

    def memory(self) -> float | None:
        """Peak resident memory of the process in MiB."""

    def measure(self, inputs: Tensors, min_runs: int, min_seconds: float) -> tuple[float, ...]:
        """Milliseconds for one sample, at least one."""

    def describe(self) -> dict[str, str]:
        """Facts about the machine at this moment."""

    def close(self) -> None:
        """End it; safe to call twice."""


@runtime_checkable
class Thorough(Protocol):
    """What a session may have beside these, where `loaded.operations` names it."""

    def processing(self, inputs: Tensors) -> Processing:
        """What it takes to turn a sample into what the file takes, and its outputs back."""

    def throughput(self, inputs: Tensors, batch: int, min_seconds: float) -> Throughput:
        """Samples a second."""


@dataclass(frozen=True)
class Timing:
    """What the plan gave for one session.

    Attributes:
        latency_ms: all samples in the order taken.
        round_lengths: samples by round.
        repeats: starts; the rounds are theirs in equal parts.
        import_ms, load_ms: medians over the starts.
        warm_up: over all starts: the median first inference, all runs, whether each became stable.
        warmup_runs: inferences that were not counted, those before each round included.
        peak_memory_mib: of the process once warm, before timings fill its memory.
        processing: None where the agent cannot tell.
        batch, streaming: throughputs; None where they were not asked for or cannot be had.
        energy: of one inference, median over the rounds; None without a meter.
        notes: why something that was asked for is not here.
        again: numbers of the rounds that were measured again, all of them, after the connection was lost.
    """

    latency_ms: tuple[float, ...]
    round_lengths: tuple[int, ...]
    repeats: int
    import_ms: float
    load_ms: float
    warm_up: WarmUp
    warmup_runs: int
    peak_memory_mib: float | None
    processing: Processing | None = None
    batch: Throughput | None = None
    streaming: Throughput | None = None
    energy: Energy | None = None
    notes: tuple[str, ...] = ()
    again: tuple[int, ...] = ()


def orders(count: int, plan: Plan) -> list[list[int]]:
    """Who runs when, by round over all repeats: drawn, and so that each takes each place (almost) equally often.

    `count` rounds are the rotations of one permutation, in an order that is drawn too; then another one is drawn.
    """
    draw = random.Random(plan.seed)  # noqa: S311 - an order, no secret
    found: list[list[int]] = []
    while count and len(found) < plan.rounds * plan.repeats:
        first = draw.sample(range(count), count)
        found += draw.sample([first[k:] + first[:k] for k in range(count)], count)
    return found[: plan.rounds * plan.repeats]


def execute(
    sessions: Sequence[Session], inputs: Tensors, plan: Plan, progress: ProgressCallback | None = None
) -> list[Timing | EdgeshipError]:
    """Measure every loaded session; the results are in the order of `sessions`.

    Each round takes its share of the plan's minima from every session; a repeat starts all of them anew. Samples are
    kept raw: none is dropped. A session that fails gives its error in place of a timing, and the others go on. Where
    the connection to a board was lost, it is taken up again and the whole round measured anew: its part from before was
    another state of the board. Raises InputError for a plan that measures nothing.
    """
    _check(plan)
    told = progress or (lambda _: None)
    rounds = plan.rounds * plan.repeats
    total = len(sessions) * (rounds + plan.repeats)
    courses = [_Course(session, inputs, plan) for session in sessions]
    done = 0
    for number, order in enumerate(orders(len(sessions), plan)):
        if number % plan.rounds == 0:
            if number:
                time.sleep(plan.cool_down_seconds)
            for index in order:
                told(Progress("measure", done, total, f"start {number // plan.rounds + 1} of {plan.repeats}"))
                while not courses[index].attempt(functools.partial(courses[index].start, number > 0)):
                    pass
                done += 1
        tries, whole = 0, False
        while not whole:
            tries, whole = tries + 1, True
            for place, index in enumerate(order):
                told(Progress("measure", done + place, total, f"round {number + 1} of {rounds}"))
                step = functools.partial(courses[index].round, number + 1, tries > 1)
                whole = courses[index].attempt(step) and whole  # those after a lost one find out here too
        done += len(order)
    for course in courses:
        while not course.attempt(course.finish):
            pass
    told(Progress("measure", total, total))
    return [course.result() for course in courses]


def _check(plan: Plan) -> None:
    counts = (plan.rounds, plan.repeats, plan.min_runs, plan.warmup_max_runs)
    if min(counts) < 1 or plan.batch < 0 or not (plan.min_seconds >= 0 and 0 <= plan.cool_down_seconds < math.inf):
        raise InputError(f"cannot measure by {plan}", remedy="Rounds, runs and warm-up are 1 or more.")


class _Course:
    """What one session has given so far, or why it gives no more."""

    def __init__(self, session: Session, inputs: Tensors, plan: Plan) -> None:
        self._session, self._inputs, self._plan = session, inputs, plan
        self._error: EdgeshipError | None = None
        self._loads: list[Loaded] = []
        self._warm_ups: list[WarmUp] = []
        self._uncounted = 0
        self._peak: float | None = None
        self._rounds: dict[int, tuple[float, ...]] = {}
        self._energies: list[Energy] = []
        self._processing: Processing | None = None
        self._throughputs: dict[str, Throughput | None] = {}
        self._notes: list[str] = []
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

    def start(self, anew: bool) -> None:
        """Warm up; `anew`: in a new process."""
        self._loads.append(self._session.restart() if anew else self._session.loaded)
        self._warm_ups.append(self._session.warm_up(self._inputs, self._plan.warmup_max_runs))
        self._uncounted += self._warm_ups[-1].runs
        peak = self._session.memory()
        self._peak = peak if self._peak is None or peak is None else max(self._peak, peak)
        self._cold = False

    def round(self, number: int, again: bool) -> None:
        """One round of timings; one that was measured before is replaced."""
        plan = self._plan
        if again:
            self._again.append(number)
        warm_up_runs = plan.warmup_max_runs if self._cold else min(REWARM_RUNS, plan.warmup_max_runs)
        self._uncounted += self._session.warm_up(self._inputs, warm_up_runs).runs
        self._cold = False
        share = plan.rounds * plan.repeats
        runs, seconds = math.ceil(plan.min_runs / share), plan.min_seconds / share
        self._rounds[number] = self._session.measure(self._inputs, runs, seconds)
        if self._session.energy is not None:
            self._energies.append(self._session.energy)

    def finish(self) -> None:
        """What is no part of a latency."""
        plan, can = self._plan, self._session.loaded.operations
        thorough = self._session if isinstance(self._session, Thorough) else None
        if thorough is not None and "processing" in can:
            self._processing = thorough.processing(self._inputs)
        for word, wanted, size in (("batch", plan.batch > 1, plan.batch), ("streaming", plan.streaming, 1)):
            if wanted and thorough is not None and "throughput" in can:
                self._throughputs[word] = self._throughput(thorough, word, size)
            elif wanted:
                self._notes.append(f"no {word} throughput: {self._session.runtime} does not measure it here")

    def _throughput(self, session: Thorough, word: str, size: int) -> Throughput | None:
        try:
            found = session.throughput(self._inputs, size, THROUGHPUT_SECONDS)
        except ArtifactError as error:
            self._notes.append(f"no {word} throughput with {size} samples in an inference: {error.message}")
            return None
        if found.batch != size and word == "batch":
            self._notes.append(f"no throughput with {size} samples in an inference: the file fixes {found.batch}")
            return None
        return found

    def result(self) -> Timing | EdgeshipError:
        """The timing, or the error."""
        if self._error is not None:
            return self._error
        taken = [self._rounds[number] for number in sorted(self._rounds)]
        first = statistics.median(w.first_inference_ms for w in self._warm_ups)
        return Timing(
            latency_ms=sum(taken, ()),
            round_lengths=tuple(map(len, taken)),
            repeats=self._plan.repeats,
            import_ms=statistics.median(loaded.import_ms for loaded in self._loads),
            load_ms=statistics.median(loaded.load_ms for loaded in self._loads),
            warm_up=WarmUp(first, sum(w.runs for w in self._warm_ups), all(w.stable for w in self._warm_ups)),
            warmup_runs=self._uncounted,
            peak_memory_mib=self._peak,
            processing=self._processing,
            batch=self._throughputs.get("batch"),
            streaming=self._throughputs.get("streaming"),
            energy=self._energy(),
            notes=tuple(self._notes),
            again=tuple(dict.fromkeys(self._again)),
        )

    def _energy(self) -> Energy | None:
        if not self._energies:
            return None
        return Energy(statistics.median(e.millijoules for e in self._energies), self._energies[0].meter)
