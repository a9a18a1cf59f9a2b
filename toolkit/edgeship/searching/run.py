"""A search from end to end: looks at what is given, runs, chooses, and builds the choice."""

from __future__ import annotations

import fcntl
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from edgeship import cache, codec, pipeline, plugins
from edgeship import recipe as recipes
from edgeship.child import Worker
from edgeship.errors import InputError, OutputError
from edgeship.files import storage_errors, write_text
from edgeship.recipe import Recipe
from edgeship.references import is_reference
from edgeship.searching import database
from edgeship.searching.choice import choose, front
from edgeship.searching.database import Setting
from edgeship.searching.default_space import derive
from edgeship.searching.executors import make
from edgeship.searching.limits import Limits, objectives
from edgeship.searching.options import Options
from edgeship.searching.outcome import broken
from edgeship.searching.running import Running
from edgeship.searching.sampling import SAMPLERS
from edgeship.searching.space import Space, load
from edgeship.searching.study import Study
from edgeship.searching.trial import Original, look
from edgeship.searching.trials import Task, Trial
from edgeship.types import Progress, ProgressCallback, Report
from edgeship.usercode import code_sha256


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
        broken: limits of bytes, latency and memory that the chosen build does not keep, in sentences.
        notes: what is to be known of the trials, in sentences.
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
    broken: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


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
    until = None if options.budget_seconds is None else time.time() + options.budget_seconds
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
        setting, original = _setting(task, options, limits, given, wanted)
        with Study(setting) as kept:
            running = Running(task, options, kept, progress, original.measured, until, original.notes)
            return _searched(running, task, options, kept, progress)


def _setting(
    task: Task, options: Options, limits: Limits, given: Space | None, wanted: tuple[str, ...]
) -> tuple[Setting, Original]:
    """What makes the study, and what its trials are held against."""
    with Worker(task.limits) as worker:
        original = look(task, Recipe("look", variants=("float32",)), worker)
    source, dataset = original.source, original.dataset
    space = given or derive(source, dataset, task.format)
    if not any(entry.at({}).trains for entry in space.entries):
        original = replace(original, notes=())
    of = (source.sha256, dataset.sha256, source.code_sha256, options.seed)
    key = _key(task, space, limits, wanted, of)
    owner = f"{platform.node()}:{options.folder.resolve()}"
    more = {name: getattr(options, name) for name in ("sampler", "seed", "heartbeat_seconds", "patience_seconds")}
    return Setting(options.folder, key, space, wanted, limits, owner, options.storage, **more), original


def _searched(running: Running, task: Task, options: Options, kept: Study, progress: ProgressCallback) -> Search:
    """Run, choose, build."""
    wanted, limits = kept.setting.objectives, kept.setting.limits
    ended = running.run(lambda told: make(options.executor, task, options.workers, told))
    trials = kept.trials()
    picked = choose(trials, wanted, limits)
    report = None
    if picked.trial is not None and options.out is not None:
        report = _build(task, options, limits, picked.trial, progress)
    over = () if report is None else broken(limits, report)
    drawn = running.show(ended, report, over)
    best = front(trials, wanted)
    return Search(
        trials, best, picked.trial, picked.runner_up, picked.why, wanted, limits, ended, drawn, report, over,
        running.notes,
    )  # fmt: skip


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


def _key(task: Task, space: Space, limits: Limits, wanted: tuple[str, ...], of: tuple[object, ...]) -> str:
    """What the results of trials depend on, and what they are judged by.

    Of code that cannot be found, its name must do: else such a search could never go on.
    """
    named = (task.metric or "", *task.data_options.augment, *space.references())
    return cache.digest(
        of=of,
        code=code_sha256(filter(is_reference, named)),
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
        except OSError as error:
            raise OutputError(
                f"{folder} cannot be locked: {error.strerror}", remedy="Choose another place with --folder."
            ) from error
        yield


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
