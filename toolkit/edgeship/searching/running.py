"""One run of a search: proposes, has trials done, records, until its time is up or nothing new is found."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from edgeship import codec
from edgeship.errors import (
    ChildError,
    EdgeshipError,
    InputError,
    StorageFullError,
    TargetUnavailable,
    UnavailableError,
)
from edgeship.files import write_text
from edgeship.searching import page
from edgeship.searching.choice import Choice, choose
from edgeship.searching.executors import Executor, Result
from edgeship.searching.options import Options
from edgeship.searching.study import Proposal, Study
from edgeship.searching.trials import Job, Task, Trial
from edgeship.types import Progress, ProgressCallback, Report

#: How long one look at the executor takes at most, in seconds.
_LOOK_SECONDS = 1.0
#: A trial that the executor lost is submitted again, so often in all.
_TRIES = 3


class Running:
    """One run of a search."""

    def __init__(
        self,
        task: Task,
        options: Options,
        kept: Study,
        progress: ProgressCallback,
        measured: Mapping[str, float],
        until: float | None = None,
        notes: tuple[str, ...] = (),
    ) -> None:
        self._task, self._options, self._kept = task, options, kept
        self._limits = kept.setting.limits
        self._told = progress
        self._measured = measured
        self._until = until
        self.notes = notes
        self._jobs: dict[int, Job] = {}
        self._tries: dict[int, int] = {}
        self._done = 0
        self._exhausted = False
        self._others_ran = False

    def run(self, start: Callable[[ProgressCallback], Executor]) -> str:
        """Until there is nothing left to do; returns why it ended. `start` makes the executor."""
        kept = self._kept
        # All times of a search are held against what the yardstick took when it began, wherever that was.
        self._measured = kept.note("yardstick_ms", dict(self._measured))
        kept.adopt(self._read_results())
        self.show("running")
        executor = start(self._progress)
        try:
            self._loop(executor)
        except BaseException as error:
            self._keep_the_rest(executor)
            with suppress(EdgeshipError):
                self.show(f"it was interrupted ({type(error).__name__}): the same command goes on")
            raise
        finally:
            executor.close()
            with suppress(EdgeshipError):  # what is lost here waits again when it gives no sign of life
                for number in list(self._jobs):
                    kept.again(number)
        return self._why_ended()

    def _loop(self, executor: Executor) -> None:
        revived = time.monotonic()
        while True:
            while len(self._jobs) < self._options.workers and self._may_begin():
                proposal = self._kept.next()
                if proposal is None:
                    self._exhausted = True
                    break
                self._begin(executor, proposal)
            if self._jobs:
                for number, result in executor.ended(_LOOK_SECONDS):
                    self._end(executor, number, result)
            elif self._wait_for_others():
                time.sleep(_LOOK_SECONDS)
            else:
                return
            if time.monotonic() - revived > self._options.heartbeat_seconds:
                self._kept.revive()
                revived = time.monotonic()
            if self._exhausted and self._kept.waiting():
                self._exhausted = False  # one that somebody lost is for us

    def _keep_the_rest(self, executor: Executor) -> None:
        """What came in while the search was ended by an error, or by the user."""
        with suppress(EdgeshipError):  # of the executor: it has nothing more
            while ended := executor.ended(0.0):
                for number, result in ended:
                    if isinstance(result, Trial):
                        with suppress(EdgeshipError):  # a full disk may still have room for others
                            self._end(executor, number, result)

    def _time_is_up(self) -> bool:
        return self._until is not None and time.time() > self._until

    def _may_begin(self) -> bool:
        if self._time_is_up() or self._exhausted:
            return False
        if self._options.trials is None:
            return True
        ended, running = self._kept.count()
        return ended + running < self._options.trials

    def _wait_for_others(self) -> bool:
        """Whether trials run elsewhere that may be lost, and would then be for us."""
        if self._time_is_up() or self._options.storage is None:
            return False
        ended, running = self._kept.count()
        ran, self._others_ran = self._others_ran, running > 0  # one that is lost is nobody's for a moment
        return (running > 0 or ran) and (self._options.trials is None or ended < self._options.trials)

    def _begin(self, executor: Executor, proposal: Proposal) -> None:
        job = Job(proposal.number, proposal.recipe.to_data(), self._limits.far_beyond, self._until)
        self._jobs[job.number] = job
        self._tries[job.number] = 1
        executor.submit(job)
        self._progress(Progress("search", -1, None, f"{job.number}: {proposal.recipe.name}"))

    def _end(self, executor: Executor, number: int, result: Result) -> None:
        job = self._jobs[number]
        if isinstance(result, StorageFullError):
            raise result
        if isinstance(result, (UnavailableError, ChildError)) and self._tries[number] < _TRIES:
            self._tries[number] += 1  # its worker, or the way to it, was lost
            executor.submit(job)
            return
        if isinstance(result, TargetUnavailable):
            raise result
        if isinstance(result, EdgeshipError):
            kind = type(result).__name__
            result = Trial("failed", job.recipe, number, result.message, kind, result.remedy)
        result = self._timed(result)
        del self._jobs[number]
        self._exhausted = False  # what was proposed while it ran may have been the same
        if result.outcome == "cut":
            self._kept.again(number)
        else:
            self._keep(result)
            self._done += 1
        self.show("running")
        self._progress(Progress("search", self._done, self._options.trials, f"{result.name}: {result.outcome}"))

    def _timed(self, trial: Trial) -> Trial:
        """With milliseconds as they were when the search began."""
        times = tuple(replace(t, ms=t.ratio * self._measured[t.target]) for t in trial.timings)
        return replace(trial, timings=times)

    def _keep(self, trial: Trial) -> None:
        """In the folder first, so that none is lost with the storage; in the storage even if the disk here is full."""
        full: StorageFullError | None = None
        try:
            write_text(self._place(trial.number), codec.to_json(trial))
        except StorageFullError as error:
            full = error
        self._kept.record(trial)
        if full is not None:
            raise full

    def _place(self, number: int) -> Path:
        return self._options.folder / "trials" / f"{self._kept.setting.key[:12]}-{number:05d}.json"

    def _read_results(self) -> dict[int, Trial]:
        """What earlier runs of this search found here."""
        found = {}
        for path in sorted((self._options.folder / "trials").glob(f"{self._kept.setting.key[:12]}-*.json")):
            with suppress(InputError, OSError):  # a file that others changed is no result
                trial = codec.from_json(Trial, path.read_text())
                found[trial.number] = trial
        return found

    def _progress(self, event: Progress) -> None:
        self._told(replace(event, done=self._done, total=self._options.trials))

    def _why_ended(self) -> str:
        if self._time_is_up():
            return f"the time of {self._options.budget_seconds:g} s is up"
        if self._exhausted or self._options.trials is None:
            return "nothing in the space is left to try"
        return f"{self._options.trials} trials are done"

    def show(self, ended: str, report: Report | None = None, broken: tuple[str, ...] = ()) -> Path:
        """Write the page with the front, and what came of the build; returns where."""
        trials, setting = self._kept.trials(), self._kept.setting
        picked: Choice = choose(trials, setting.objectives, self._limits)
        path = self._options.folder / "front.html"
        of = (self._task.model.name, trials, setting.objectives, self._limits, picked)
        shown = page.Shown(*of, ended, report, broken, self.notes)
        write_text(path, page.render(shown, running=ended == "running"))
        return path
