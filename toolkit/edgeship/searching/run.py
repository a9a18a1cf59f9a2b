"""The search itself: proposes, runs, records, until its time is up or nothing new is found; then builds the choice."""

from __future__ import annotations

import fcntl
import platform
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from edgeship import cache, codec, pipeline, plugins
from edgeship import recipe as recipes
from edgeship.child import Worker
from edgeship.errors import (
    ChildError,
    EdgeshipError,
    InputError,
    OutputError,
    StorageFullError,
    TargetUnavailable,
    UnavailableError,
)
from edgeship.files import storage_errors, write_text
from edgeship.recipe import Recipe
from edgeship.searching import database, page
from edgeship.searching.choice import Choice, choose, front
from edgeship.searching.database import SAMPLERS, Sampler, Setting
from edgeship.searching.default_space import derive
from edgeship.searching.executors import Executor, Result, make
from edgeship.searching.limits import Limits, objectives
from edgeship.searching.space import Space, load
from edgeship.searching.study import Proposal, Study
from edgeship.searching.trial import look
from edgeship.searching.trials import Job, Task, Trial
from edgeship.types import Plan, Progress, ProgressCallback, Report

#: How long one look at the executor takes at most, in seconds.
_LOOK_SECONDS = 1.0
#: A trial that the executor lost is submitted again, so often in all.
_TRIES = 3


@dataclass(frozen=True)
class Options:
    """How a search goes about it; nothing of this changes what its trials give.

    Attributes:
        folder: of the search: its database, its trials, `front.html`.
        out: where the chosen build is written; None: nowhere.
        trials: how many there are to be in all, those of earlier runs and other machines counted; None: any number.
        budget_seconds: no trial is proposed, and no stage begun, after so long; None: no such bound.
        executor: `local`, `dask://HOST:PORT` or `ray`.
        workers: trials at once.
        storage: `postgresql://...`; None: SQLite in `folder`.
        measuring: plan of the chosen build's measurements.
    """

    folder: Path
    out: Path | None = None
    trials: int | None = None
    budget_seconds: float | None = None
    executor: str = "local"
    workers: int = 1
    storage: str | None = None
    sampler: Sampler = "tpe"
    seed: int = 0
    heartbeat_seconds: int = 60
    patience_seconds: float = 60.0
    force: bool = False
    measuring: Plan = field(default_factory=Plan)
    command: tuple[str, ...] = ()


@dataclass(frozen=True)
class Search:
    """What a search found.

    Attributes:
        trials: all that came to an end, in order.
        front: finished trials that no other one dominates in `objectives`, by the first beside the drop.
        choice: what is built; None where no trial keeps all limits.
        runner_up: the next best that keeps them.
        why: the choice explained, in sentences.
        ended: why the search ended.
        page: the page with the front.
        report: of the chosen build, on the test samples; None where nothing was built.
    """

    trials: tuple[Trial, ...]
    front: tuple[Trial, ...]
    choice: Trial | None
    runner_up: Trial | None
    why: tuple[str, ...]
    objectives: tuple[str, ...]
    limits: Limits
    ended: str
    page: Path
    report: Report | None = None


def search(
    task: Task,
    options: Options,
    limits: Limits,
    space: Path | None = None,
    minimize: tuple[str, ...] = (),
    progress: ProgressCallback = lambda _: None,
) -> Search:
    """Search, and build what is chosen.

    Raises:
        InputError: a model, data, space, limit or folder that cannot be used; nothing was tried then.
        UnavailableError: Optuna, a target, the storage or the cluster is not there. StorageFullError: the disk is full.
            After both, the same call goes on with all that was finished.
    """
    database.require()
    database.check_address(options.storage)
    targets = tuple(dict.fromkeys((*task.targets, *limits.targets)))
    task = replace(task, targets=targets, max_slice_drop=limits.max_slice_drop)
    task = replace(task, queue=options.storage or "", queue_seconds=options.patience_seconds)
    wanted = objectives(minimize, targets)
    _check(task, options)
    given = load(space) if space is not None else None
    with _held(options.folder):
        progress(Progress("search", 0, options.trials, "looking at the model and the data"))
        with Worker(task.limits) as worker:
            source, dataset, measured = look(task, Recipe("look", variants=("float32",)), worker)
        found = given or derive(source, dataset, task.format)
        key = _key(task, found, limits, wanted, (source.sha256, dataset.sha256, options.seed))
        owner = f"{platform.node()}:{options.folder.resolve()}"
        more = {name: getattr(options, name) for name in ("sampler", "seed", "heartbeat_seconds", "patience_seconds")}
        setting = Setting(options.folder, key, found, wanted, limits, owner, options.storage, **more)
        with Study(setting) as kept:
            running = Running(task, options, limits, kept, progress, measured)
            ended = running.run(lambda told: make(options.executor, task, options.workers, told))
            trials = kept.trials()
            picked = choose(trials, wanted, limits)
            report = None
            if picked.trial is not None and options.out is not None:
                report = _build(task, options, limits, picked.trial, progress)
            drawn = running.show(ended, report)
    return Search(
        trials, front(trials, wanted), picked.trial, picked.runner_up, picked.why, wanted, limits, ended, drawn, report
    )


def _check(task: Task, options: Options) -> None:
    """Raise InputError for what can be seen before anything runs."""
    from edgeship.pipeline.steps import check_model

    check_model(task.model)
    for target in task.targets:
        plugins.target(target)
    if task.format not in plugins.names("converters"):
        raise InputError(
            f"no converter writes {task.format!r}",
            remedy=f"Allowed for --to: {', '.join(plugins.names('converters'))}.",
        )
    if options.out is not None and options.out.resolve() == options.folder.resolve():
        raise InputError(
            f"the build and the search both have the folder {options.out}", remedy="Give one of them another."
        )
    for name, low in (("workers", 1), ("heartbeat_seconds", 1)):
        if not low <= getattr(options, name) <= 10_000:
            raise InputError(f"{name} is {getattr(options, name)}", remedy=f"Allowed: {low} to 10000.")
    if options.sampler not in SAMPLERS:
        raise InputError(f"no sampler is called {options.sampler!r}", remedy=f"Allowed: {', '.join(SAMPLERS)}.")
    remote = [t for t in task.targets if getattr(plugins.target(t), "machine", "")]
    if options.executor != "local" and remote and not options.storage:
        raise InputError(
            f"workers on several machines would measure {remote[0]} at once",
            remedy="Add --storage postgresql://..., where they wait for their turn.",
        )


def _key(task: Task, space: Space, limits: Limits, wanted: tuple[str, ...], of: tuple[str, str, int]) -> str:
    """What the results of trials depend on, and what they are judged by."""
    return cache.digest(
        of=of,
        task=[task.format, task.metric, task.targets, task.slices, task.min_slice, codec.to_data(task.plan)],
        data=codec.to_data(task.data_options),
        space=space.sha256,
        limits=codec.to_data(limits),
        objectives=wanted,
        edgeship=version("edgeship"),
    )


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Hold the folder of a search. Raises OutputError where another process does, or it is no such folder."""
    path = folder / "search.lock"
    if folder.exists() and not path.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise OutputError(f"{folder} holds something else than a search", remedy="Choose another place with --folder.")
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        handle = path.open("a")
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OutputError(
                f"another search runs in {folder}",
                remedy="Wait for it, or give each its own --folder and both one --storage.",
            ) from None
        yield


class Running:
    """One run of a search."""

    def __init__(
        self,
        task: Task,
        options: Options,
        limits: Limits,
        kept: Study,
        progress: ProgressCallback,
        measured: Mapping[str, float],
    ) -> None:
        self._task, self._options, self._limits, self._kept = task, options, limits, kept
        self._told = progress
        self._measured = measured
        self._jobs: dict[int, Job] = {}
        self._tries: dict[int, int] = {}
        self._done = 0
        self._exhausted = False
        budget = options.budget_seconds
        self._until = None if budget is None else time.time() + budget

    def run(self, start: Callable[[ProgressCallback], Executor]) -> str:
        """Until there is nothing left to do; returns why it ended. `start` makes the executor."""
        kept = self._kept
        # All times of a search are held against what the yardstick took when it began, wherever that was.
        self._measured = kept.note("yardstick_ms", lambda: dict(self._measured))
        kept.adopt(self._read_results())
        self.show("running")
        executor = start(self._progress)
        try:
            self._loop(executor)
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
                self._exhausted = False
                self._begin(executor, proposal)
            if not self._jobs and not self._wait_for_others():
                return
            for number, result in executor.ended(_LOOK_SECONDS if self._jobs else 0.0):
                self._end(executor, number, result)
            if not self._jobs and not self._exhausted and not self._may_begin():
                time.sleep(_LOOK_SECONDS)  # others run the last trials: theirs may be lost
            if time.monotonic() - revived > self._options.heartbeat_seconds:
                self._kept.revive()
                revived = time.monotonic()

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
        if self._time_is_up() or self._options.storage is None or self._options.trials is None:
            return False
        ended, running = self._kept.count()
        return ended < self._options.trials and running > 0

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

    def show(self, ended: str, report: Report | None = None) -> Path:
        """Write the page with the front; returns where."""
        trials, setting = self._kept.trials(), self._kept.setting
        picked: Choice = choose(trials, setting.objectives, self._limits)
        path = self._options.folder / "front.html"
        shown = page.Shown(self._task.model.name, trials, setting.objectives, self._limits, picked, ended, report)
        write_text(path, page.render(shown, running=ended == "running"))
        return path


def _build(task: Task, options: Options, limits: Limits, trial: Trial, progress: ProgressCallback) -> Report:
    """The chosen recipe as a normal build, held to its limits on the test samples."""
    assert options.out is not None
    inconclusive: Literal["fail", "pass"] = "fail"
    recipe = recipes.parse({**trial.recipe, "max_drop": limits.max_drop, "inconclusive": inconclusive}, trial.name)
    write_text(options.folder / "chosen.yaml", _yaml(recipe))
    request = task.request(recipe, options.out)
    request = replace(request, plan=options.measuring, force=options.force, command=options.command)
    return pipeline.build(request, progress)


def _yaml(recipe: Recipe) -> str:
    import yaml

    return str(yaml.safe_dump(codec.to_data(recipe.to_data()), sort_keys=False))
