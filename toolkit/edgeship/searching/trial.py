"""One trial: train stage by stage, export, run on the validation samples, measure. The test split plays no part.

All results lie in the stage cache under the keys of a normal build: what one trial did, no other does again, and the
build of the recipe that is chosen finds everything there.
"""

from __future__ import annotations

import platform
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from edgeship import codec, verify
from edgeship.child import Worker, under_its_limits
from edgeship.compress.run import Compressed, Part
from edgeship.data import load as load_split
from edgeship.errors import (
    ArtifactError,
    ChildCrashed,
    ChildOutOfMemory,
    DataError,
    EdgeshipError,
    StorageFullError,
    TargetUnavailable,
    TimeSpent,
    UnavailableError,
    UnsupportedModelError,
    from_wire,
    to_wire,
)
from edgeship.metrics import worse_by
from edgeship.pipeline import exports, measuring, precision, slicing, steps
from edgeship.pipeline.build import open_inputs
from edgeship.pipeline.exports import Export
from edgeship.pipeline.request import Request, convert_options, slice_wishes
from edgeship.pipeline.validation import SPLIT, Validation, Weighed, leading, open_validation, seen_before, weigh
from edgeship.recipe import Cluster, Recipe, parse
from edgeship.searching.trials import Job, Outcome, Task, Timing, Trial, WorstSlice
from edgeship.types import Artifact, Dataset, Measurement, NotMeasured, Progress, ProgressCallback, Source

#: A trial whose worker was killed is begun again, so often in all.
TRIES = 3


class _GivenUp(Exception):
    """The model is far beyond the limit after a stage."""

    def __init__(self, reason: str, done: Compressed, reused: int, drop: float) -> None:
        super().__init__(reason)
        self.stages = done.stages
        self.reused = reused
        self.drop = drop


@dataclass(frozen=True)
class _Opened:
    worker: Worker
    task: Task
    request: Request
    source: Source
    dataset: Dataset
    validation: Validation


def run_text(task: str, job: str) -> str:
    """`run` for a worker elsewhere: JSON in, JSON out."""
    given = codec.from_json(Task, task)
    with Worker(given.limits) as worker:
        return codec.to_json(run(given, codec.from_json(Job, job), worker, _quiet))


def _quiet(_: Progress) -> None:
    """Nobody watches."""


@under_its_limits
def run(task: Task, job: Job, worker: Worker, progress: ProgressCallback) -> Trial:
    """Do a trial; what goes wrong in it is its result.

    Raises StorageFullError and TargetUnavailable: then no trial can succeed.
    """
    started = time.monotonic()
    for attempt in range(1, TRIES + 1):
        try:
            found = _run(task, job, worker, progress)
        except (StorageFullError, TargetUnavailable):
            raise
        except (ChildCrashed, ChildOutOfMemory) as error:
            if attempt < TRIES:
                continue
            found = _failed(job, error)
        except EdgeshipError as error:
            found = _failed(job, error)
        except OSError as error:
            problem = from_wire(to_wire(error))
            if isinstance(problem, StorageFullError):
                raise problem from error
            found = _failed(job, problem)
        break
    return replace(
        found,
        number=job.number,
        seconds=round(time.monotonic() - started, 2),
        machine=platform.node(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        tries=attempt,
    )


def _failed(job: Job, error: EdgeshipError) -> Trial:
    outcome: Outcome = "cut" if isinstance(error, TimeSpent) else "failed"
    return Trial(outcome, job.recipe, reason=error.message, error=type(error).__name__, remedy=error.remedy)


def _run(task: Task, job: Job, worker: Worker, progress: ProgressCallback) -> Trial:
    recipe = parse(dict(job.recipe), f"trial {job.number}")
    opened = _open(task, recipe, worker, progress)
    metric = opened.validation.metric
    baseline = metric.value(opened.validation.original)
    named = Trial("finished", job.recipe, baseline=baseline, metric=metric.name)
    named = replace(named, direction=metric.direction, unit=metric.unit)
    try:
        compressed, reused = _train(opened, recipe, job, progress)
    except _GivenUp as given_up:
        stopped = replace(named, outcome="stopped", reason=str(given_up), lost=given_up.drop)
        return replace(stopped, stages=given_up.stages, reused=given_up.reused)
    export = _export(task, recipe)
    options = convert_options(opened.request, opened.dataset)
    options, _ = precision.resolve(worker, compressed.source, export, options, (recipe, task.metric), progress)
    weighed = weigh(worker, opened.validation, compressed.source, export, options, progress)
    _check_parity(opened, compressed.source, export, weighed, progress)
    return replace(
        named,
        stages=compressed.stages,
        reused=reused,
        file=weighed.file,
        worst_slice=_worst_slice(opened, compressed.source, weighed),
        timings=_timings(opened, weighed.artifact, progress),
    )


def _open(task: Task, recipe: Recipe, worker: Worker, progress: ProgressCallback) -> _Opened:
    request = task.request(recipe, Path("unused"))
    source, dataset = open_inputs(worker, request, exports.plan(request.formats, recipe.variants), progress)
    found = open_validation(worker, source, dataset, task.metric, progress)
    if found is None:
        raise UnavailableError(
            "a search judges files on labelled validation samples, and there are none",
            remedy="Give data with labels, and training samples: the validation samples are taken from those.",
        )
    return _Opened(worker, task, request, source, dataset, found)


@dataclass(frozen=True)
class Original:
    """What is given, looked at before the first trial.

    Attributes:
        measured: target -> what the float32 file of the original takes, in ms.
        notes: what is to be known of trials that train, in sentences.
    """

    source: Source
    dataset: Dataset
    measured: Mapping[str, float]
    notes: tuple[str, ...]


@under_its_limits
def look(task: Task, recipe: Recipe, worker: Worker) -> Original:
    """The model, its data, and what its trials are held against.

    Raises InputError for what cannot be used, UnavailableError for a target that is not there.
    """
    opened = _open(task, recipe, worker, _quiet)
    if task.max_slice_drop is not None and not any(
        part.mask.sum() >= task.min_slice for part in _slicing(opened).parts
    ):
        raise DataError(
            f"no slice has {task.min_slice} validation samples",
            remedy="Give more training samples, other --slices, or a lower --min-slice.",
        )
    plain = _plain(opened)
    measured = {}
    for target in task.targets:
        with task.turn(target):
            rows = _measure(opened, (plain,), target, _quiet)[0]
        measured[target] = min(_median(row) for row in rows)
    return Original(opened.source, opened.dataset, measured, _notes(opened))


def _notes(opened: _Opened) -> tuple[str, ...]:
    validation = opened.validation
    labels = load_split(opened.dataset, "test").labels
    if labels is None:
        return ()
    outputs = steps.reference(opened.worker, opened.source, opened.dataset, _quiet)
    return seen_before(validation, validation.metric.per_sample(next(iter(outputs.arrays.values())), labels))


def _export(task: Task, recipe: Recipe) -> Export:
    found = leading(exports.plan((task.format,), recipe.variants).exports)
    if found is None:
        raise UnavailableError(
            f"no runtime here takes all samples of a {task.format} file", remedy="See: edgeship plugins"
        )
    return found


def _train(opened: _Opened, recipe: Recipe, job: Job, progress: ProgressCallback) -> tuple[Compressed, int]:
    """The stages one after another, each kept; how many were there already.

    Raises _GivenUp after a stage that leaves the model far beyond the limit, TimeSpent where a stage would begin too
    late.
    """
    given = (opened.source, opened.dataset, recipe, opened.task.metric)
    total = len(recipe.stages)
    # Beyond `cluster` a model is not gone on with from a file (see `edgeship.compress.run.Part`).
    ends = [k for k in range(1, total + 1) if k == total or not _clusters(recipe, k)]
    done, reused = Compressed(opened.source, (), ()), 0
    for k in reversed(ends):
        known = steps.trained(*given, stages=k)
        if known is not None:
            done, reused = known, k
            break
    _give_up_if_far(opened, job, done, reused)
    for k in [k for k in ends if k > reused]:
        if job.until is not None and time.time() > job.until:
            raise TimeSpent(f"the time of the search is up before stage {k} of {total}")
        part = Part(k, done if done.stages else None)
        done = steps.compress(opened.worker, *given, progress, part)
        _give_up_if_far(opened, job, done, reused)
    return done, reused


def _clusters(recipe: Recipe, stages: int) -> bool:
    return any(isinstance(stage, Cluster) for stage in recipe.stages[:stages])


def _give_up_if_far(opened: _Opened, job: Job, done: Compressed, reused: int) -> None:
    if not done.stages:
        return
    base, last, metric = done.stages[0], done.stages[-1], opened.validation.metric
    drop = worse_by(metric, base.metric, last.metric)
    if not drop <= job.far_beyond:
        reason = (
            f"after {last.name} {metric.name} is {verify.signed(drop)} {metric.unit} worse than the original's; "
            f"beyond {job.far_beyond:g} a trial is given up"
        )
        raise _GivenUp(reason, done, reused, drop)


def _check_parity(opened: _Opened, model: Source, export: Export, weighed: Weighed, progress: ProgressCallback) -> None:
    """Raise ArtifactError where the file does not compute what the model does that it was made from."""
    from edgeship import plugins

    runtime = next(r for r in plugins.runtimes_for(export.format) if r.name == weighed.file.runtime)
    stripped = steps.strips(model, export.id)
    expected = steps.reference(opened.worker, model, opened.dataset, progress, split=SPLIT, stripped=stripped)
    found = steps.run_artifact(weighed.artifact, runtime, opened.dataset, progress, SPLIT)
    classes = opened.dataset.task == "classification"
    for gate in verify.parity(weighed.artifact, runtime.name, expected, found, classes=classes):
        if not gate.accepted:
            why = gate.detail or f"{gate.value:.4g} {gate.unit}, the limit is {gate.limit:g}"
            raise ArtifactError(f"{export.id} in {runtime.name}: gate {gate.name} {gate.status}: {why}")


def _worst_slice(opened: _Opened, model: Source, weighed: Weighed) -> WorstSlice | None:
    """Of the slices with enough validation samples the one that lost most; None where nobody asked for slices."""
    from edgeship.slices.comparison import contrast

    task, validation = opened.task, opened.validation
    if task.max_slice_drop is None and task.slices is None:
        return None
    found = _slicing(opened)
    exact = model.sha256 == validation.sha256 and weighed.file.drop.interval == (0.0, 0.0)
    compared = contrast(validation.metric, validation.original, weighed.rows, found.parts, found.settings, exact=exact)
    gone = [row.slice for row in compared.rows if row.no_number]
    if gone and task.max_slice_drop is not None:
        raise ArtifactError(f"{weighed.artifact.id}: {validation.metric.name} is no number any more in {gone[0]}")
    rows = [(row, row.drop) for row in compared.rows if row.drop is not None]
    if not rows:
        return None
    row, drop = max(rows, key=lambda item: item[1].value)
    return WorstSlice(row.slice, row.n, drop.value, drop.interval, max(drop.interval[1] for _, drop in rows))


def _slicing(opened: _Opened) -> slicing.Slicing:
    policy = verify.GatePolicy(100.0, "fail")
    metric = opened.validation.metric
    found = slicing.prepare(slice_wishes(opened.request), opened.dataset, metric, policy, SPLIT)
    assert found is not None  # there are labels
    return found


def _plain(opened: _Opened) -> Artifact:
    """The yardstick: the float32 file of the original."""
    options = convert_options(opened.request, opened.dataset)
    return steps.convert(opened.worker, opened.source, Export(opened.task.format, "float32", by_name=True), options)


def _timings(opened: _Opened, artifact: Artifact, progress: ProgressCallback) -> tuple[Timing, ...]:
    task = opened.task
    if not task.targets:
        return ()
    plain, found = _plain(opened), []
    for target in task.targets:
        with task.turn(target):
            rows = _measure(opened, (artifact, plain), target, progress)
        found.append(_fastest(target, *rows))
    return tuple(found)


def _measure(
    opened: _Opened, artifacts: tuple[Artifact, ...], target: str, progress: ProgressCallback
) -> tuple[tuple[Measurement, ...], ...]:
    """Times of each artifact, side by side. Raises UnavailableError where a target gives none."""
    names = [f"{number}" for number in range(len(artifacts))]
    with tempfile.TemporaryDirectory(prefix="edgeship-search-") as folder:
        rows = measuring.measure(Path(folder), artifacts, target, opened.dataset, opened.task.plan, progress, names)
    found = tuple(tuple(row for row in mine if isinstance(row, Measurement)) for mine in rows)
    for artifact, mine, times in zip(artifacts, rows, found, strict=True):
        for row in mine:
            if isinstance(row, NotMeasured) and row.type in ("TargetUnavailable", "ConnectionLost"):
                raise TargetUnavailable(row.reason, remedy=row.remedy)
        if not times:
            reasons = [getattr(row, "reason", "") or f"it gives {type(row).__name__.lower()}s" for row in mine]
            raise UnavailableError(f"{target} gives no milliseconds of {artifact.id}: {'; '.join(reasons)}"[:500])
    return found


def _fastest(target: str, ours: tuple[Measurement, ...], theirs: tuple[Measurement, ...]) -> Timing:
    """In the runtime in which the file is fastest, of those in which the yardstick ran too."""
    from edgeship_benchmarks.comparison import ratio

    pairs = [(row, other) for row in ours for other in theirs if row.engine == other.engine]
    if not pairs:
        raise UnsupportedModelError(f"{target} ran the file and the float32 file in different runtimes only")
    row, other = min(pairs, key=lambda pair: _median(pair[0]))
    found = ratio(row, other)
    return Timing(target, row.engine, found.value, found.interval, _median(other), row.peak_memory_mib)


def _median(row: Measurement) -> float:
    from edgeship_benchmarks.stats import summary

    return summary(row).median_ms
