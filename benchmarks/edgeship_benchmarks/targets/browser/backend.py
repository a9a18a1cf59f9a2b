"""One runtime in one page, on so many threads: starts of each artifact, then all loaded side by side, timed in turn."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from edgeship.errors import EdgeshipError, TargetUnavailable
from edgeship.types import Artifact, Measurement, NotMeasured, Plan, ProgressCallback
from edgeship_benchmarks import measuring
from edgeship_benchmarks.plan import execute
from edgeship_benchmarks.targets.browser.runtimes import threads
from edgeship_benchmarks.targets.browser.starts import Cold, Starter
from edgeship_benchmarks.ways import Way

if TYPE_CHECKING:
    from edgeship.types import Tensors
    from edgeship_benchmarks.agreement import Expected
    from edgeship_benchmarks.plan import Timing
    from edgeship_benchmarks.targets.browser.pages import Pages
    from edgeship_benchmarks.targets.browser.worker import PageSession

#: What software that stands for a GPU is good for is to see that a file runs: few runs and one start are enough.
_SOFTWARE = Plan(warmup_max_runs=1, min_runs=12, min_seconds=0.0)
_SOFTWARE_NOTE = (
    "software GPU: the file runs, but its times say nothing about any GPU; measure on a device that has one"
)
_HIDDEN_NOTE = "the page was hidden while it measured, and browsers slow hidden pages down; keep it in front"
_NOT_ISOLATED_NOTE = (
    "the page is not cross-origin isolated, because http over a network is not: no threads, coarser clock"
)
_HARDLY = "operators that take less are hardly seen"
_FEW_CORES = "this device has one core, which gives threads nothing to run on"


@dataclass
class _Started:
    """An artifact that starts, and what is known of it so far."""

    starter: Starter
    cold: Cold
    warm_ms: float | None = None
    offline_ms: float | None = None
    notes: tuple[str, ...] = ()

    @property
    def software(self) -> bool:
        """Whether software stands for the GPU."""
        return self.cold.facts.get("software_gpu") == "yes"

    def attempt(self, what: str, start: str) -> None:
        """Take one more start; without it the row is still a row."""
        try:
            setattr(self, start, getattr(self.starter, "again_ms" if start == "warm_ms" else "offline_ms")())
        except EdgeshipError as error:
            self.notes = (*self.notes, f"no {what} start: {error.message}")


class Backend:
    """One runtime on so many threads in one page.

    Args:
        pages: where the page is.
        target: its address.
        runtime: see `runtimes.RUNTIMES`, and its threads `runtimes.counts`.
        facts: of the page.
        inputs: some samples of each input.
        plan: how to measure.
    """

    def __init__(
        self, pages: Pages, target: str, runtime: tuple[str, int], facts: Mapping[str, str], inputs: Tensors, plan: Plan
    ) -> None:
        self._pages, self._target = pages, target
        self._runtime, self._threads = runtime
        self._facts, self._inputs, self._plan = facts, inputs, plan
        cores = facts.get("cores", "")
        self._cores = int(cores) if cores.isascii() and cores.isdigit() and len(cores) < 5 else 1

    def rows(
        self, artifacts: Sequence[Artifact], expected: Mapping[str, Expected], progress: ProgressCallback
    ) -> list[Measurement | NotMeasured]:
        """A row for each artifact, up to the one that took the page with it."""
        rows: list[Measurement | NotMeasured] = []
        started: list[_Started] = []
        try:
            for number, artifact in enumerate(artifacts):
                try:
                    started.append(self._start(artifact, expected[artifact.id]))
                except EdgeshipError as error:
                    rows.append(measuring.not_measured(artifact, self._target, error, self._runtime))
                    if not self._pages.server.hub.here:
                        return rows
                    if isinstance(error, TargetUnavailable):  # the runtime itself, whatever the artifact
                        later = artifacts[number + 1 :]
                        return [*rows, *(measuring.not_measured(a, self._target, error, self._runtime) for a in later)]
            return [*rows, *self._timed(started, progress)]
        finally:
            for one in started:
                one.starter.close()

    def _start(self, artifact: Artifact, expected: Expected) -> _Started:
        wanted = threads(self._threads, self._cores)
        if wanted > 1 and self._cores < 2:
            raise TargetUnavailable(_FEW_CORES)
        starter = Starter(self._pages.server, artifact, self._runtime, wanted, self._inputs)
        try:
            found = _Started(starter, starter.cold(expected))
        except BaseException:
            starter.close()
            raise
        if not found.software:
            found.attempt("warm", "warm_ms")
        return found

    def _timed(self, started: Sequence[_Started], progress: ProgressCallback) -> list[Measurement | NotMeasured]:
        """All side by side, if memory allows: a page that dies of it gives no row, and each is tried alone."""
        plan = _less(self._plan) if any(one.software for one in started) else self._plan
        hidden = self._pages.hidden()
        with contextlib.ExitStack() as stack:
            opened: list[tuple[_Started, PageSession]] = []
            failed: list[tuple[_Started, EdgeshipError]] = []
            for one in started:
                try:
                    opened.append((one, stack.enter_context(one.starter.open())))
                except EdgeshipError as error:
                    failed.append((one, error))
            timings = execute([session for _, session in opened], self._inputs, plan, progress)
            if not self._pages.server.hub.here and len(started) > 1:
                return []
            rows: list[Measurement | NotMeasured] = [self._failed(one, error) for one, error in failed]
            was_hidden = self._pages.hidden() > hidden
            for (one, session), timing in zip(opened, timings, strict=True):
                if isinstance(timing, EdgeshipError):
                    rows.append(self._failed(one, timing))
                else:
                    row = self._measurement(one, session, timing, hidden=was_hidden)
                    rows.append(self._profiled(row, one, session, plan))
        return [self._offline(row, started) for row in rows]

    def _failed(self, one: _Started, error: EdgeshipError) -> NotMeasured:
        return measuring.not_measured(one.starter.artifact, self._target, error, self._runtime)

    def _measurement(self, one: _Started, session: PageSession, timing: Timing, *, hidden: bool) -> Measurement:
        group = session.channel.inferences_per_time
        machine = measuring.both(self._facts, self._pages.machine())
        facts = {**machine, **one.cold.facts, "inferences_per_time": str(group)}
        way, step = Way(session.channel.threads), facts.get("clock_step_ms", "?")
        row = measuring.measurement(one.starter.artifact, way, self._target, session, timing, facts)
        notes = [
            (_SOFTWARE_NOTE, one.software),
            (_HIDDEN_NOTE, hidden),
            (_NOT_ISOLATED_NOTE, facts.get("cross_origin_isolated") == "no"),
            (f"the browser's clock goes in steps of {step} ms: too coarse for a single inference", group > 1),
        ]
        return replace(
            row,
            import_ms=one.cold.import_ms,
            load_ms=one.cold.load_ms,
            first_inference_ms=one.cold.first_inference_ms,
            group=row.engine,
            parity=one.cold.parity,
            notes=(*row.notes, *one.cold.notes, *(note for note, applies in notes if applies)),
        )

    def _profiled(self, row: Measurement, one: _Started, session: PageSession, plan: Plan) -> Measurement:
        """With where the time goes, if the plan asks for it and the clock can see it."""
        found = measuring.profiled(row, session, one.starter.artifact, self._inputs, plan)
        if found.profile is None:
            return found
        step = row.device.facts.get("clock_step_ms", "?")
        coarse = f"the browser's clock goes in steps of {step} ms: {_HARDLY}"
        return replace(found, profile=replace(found.profile, notes=(*found.profile.notes, coarse)))

    def _offline(self, row: Measurement | NotMeasured, started: Sequence[_Started]) -> Measurement | NotMeasured:
        """The row with its starts; the service worker comes last, because from then on it answers for the network."""
        if isinstance(row, NotMeasured):
            return row
        one = next(s for s in started if s.starter.artifact.id == row.artifact)
        if not one.software:
            one.attempt("offline", "offline_ms")
        page = one.starter.page_start(one.cold, one.warm_ms, one.offline_ms)
        return replace(row, page=page, notes=(*row.notes, *one.notes))


def _less(plan: Plan) -> Plan:
    return replace(
        plan,
        warmup_max_runs=min(plan.warmup_max_runs, _SOFTWARE.warmup_max_runs),
        min_runs=min(plan.min_runs, _SOFTWARE.min_runs),
        min_seconds=_SOFTWARE.min_seconds,
        repeats=_SOFTWARE.repeats,
        profile=False,
    )
