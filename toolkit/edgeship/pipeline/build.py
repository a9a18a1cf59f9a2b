"""The whole flow: source -> compress -> converters -> verify -> benchmarks -> report."""

from __future__ import annotations

import platform
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from edgeship import cache, machines, plugins, report
from edgeship import recipe as recipe_module
from edgeship.child import Worker, under_its_limits
from edgeship.contracts import Target
from edgeship.errors import (
    ArtifactError,
    ChildError,
    RecipeError,
    SourceError,
    UnavailableError,
)
from edgeship.files import storage_errors
from edgeship.history.remembering import earlier, remember
from edgeship.pipeline import (
    checks,
    exports,
    folder,
    lineage,
    looking,
    measuring,
    precision,
    results,
    slicing,
    snapping,
    steps,
)
from edgeship.pipeline.attempts import Choice, Scene, choose
from edgeship.pipeline.attribution import Attribution, attribute, timed
from edgeship.pipeline.baking import bake
from edgeship.pipeline.checks import Baseline, Checked
from edgeship.pipeline.conversions import convert_all
from edgeship.pipeline.exports import Export, ExportPlan
from edgeship.pipeline.request import Request, convert_options, provenance, request_key, slice_wishes, stated
from edgeship.pipeline.validation import Validation, leading, open_validation, seen_before
from edgeship.source import place_of, why_not_trainable
from edgeship.types import (
    Artifact,
    Dataset,
    Failure,
    NotMeasured,
    Prediction,
    Progress,
    ProgressCallback,
    Report,
    Result,
    SliceStudy,
    Source,
    Stage,
)
from edgeship.verify import GatePolicy

#: What a graph without its weights may take; a larger file has repeated itself.
_GRAPH_BYTES = 64 << 10


def _quiet(_: Progress) -> None:
    """No progress wanted."""


@under_its_limits
def build(request: Request, progress: ProgressCallback = _quiet) -> Report:
    """Make, verify, measure and report every requested file; returns the report, which is also in `request.out`.

    A converter, runtime or target that fails costs only its own files: it becomes a `Failure` of the report. Raises
    InputError (nothing is written) for a model, dataset, recipe or output folder that cannot be used.
    """
    report.require()
    cache.tidy()
    for target in request.targets:
        plugins.target(target)
    with Worker(request.limits) as worker:
        made = make(worker, request, progress)
    checked = verify_all(request, made.files, made.base, progress)
    artifacts = [c.artifact for c in checked]
    checks.write_golden(request.out, artifacts, made.base, progress)
    rows = measure_all(request, artifacts, made.base.dataset, progress)
    stages = made.stages
    if request.targets:
        # Stages are compared by milliseconds, which this machine always has.
        place = "local" if "local" in request.targets else request.targets[0]
        stages = timed(stages, request.out, place, made.base.dataset, request.plan, progress, request.turn)
    failures = (*made.failures, *(f for c in checked for f in c.failures), *results.failures(rows))
    of = {artifact.id: artifact for artifact in artifacts}
    studies, unseen = looking.studies(request, made.source, made.base, checked, progress)
    notes = remember("build", [(of[row.artifact], row) for row in rows if isinstance(row, Result)])
    found = compose(
        request, Results(replace(made, stages=stages), tuple(checked), rows, failures, (*notes, *unseen), studies)
    )
    report.write(found, request.out, earlier(artifacts))
    lineage.write(request)
    return found


@dataclass(frozen=True)
class Made:
    """What was made of a request, before it is verified and measured.

    Attributes:
        stages: what each stage did.
        failures: what could not be made.
        validation: the original on the validation split; None where nothing is chosen by it.
    """

    source: Source
    base: Baseline
    plan: ExportPlan
    choice: Choice
    stages: Attribution
    files: tuple[tuple[Export, Artifact], ...]
    failures: tuple[Failure, ...]
    validation: Validation | None = None


def make(worker: Worker, request: Request, progress: ProgressCallback) -> Made:
    """All that needs a worker: read, compress, convert. Raises as `build`."""
    old = snapping.read(request.snap_to)
    possible = snapping.with_snapped(exports.possible(request.formats, request.recipe), old)
    source, dataset = open_inputs(worker, request, possible, progress)
    key, inputs = request_key(request, source, dataset), (request.model,)
    folder.check(request.out, key, force=request.force, inputs=inputs)
    baking = bake(source, dataset) if request.bake_preprocessing else None
    choosing = request.recipe.stages or request.recipe.attempts
    held = open_validation(worker, source, dataset, request.metric, progress) if choosing else None
    choice = choose(Scene(worker, request, source, dataset, held), progress)
    planned = exports.plan_for(request.formats, request.recipe, choice.recipe)
    plan = replace(snapping.with_snapped(planned, old), baking=baking)
    models = {e.id: source if e.id in plan.as_given else choice.compressed.source for e in plan.exports}
    base = baseline(worker, request, source, models, dataset, progress)
    if baking is not None:
        base = replace(base, dataset=baking.dataset)
    folder.claim(request.out, key, provenance(request, source, dataset), force=request.force, inputs=inputs)
    folder.start(request.out, [export.id for export in plan.exports])
    options = convert_options(request, dataset)
    files, failures = convert_all(request, worker, models, options, (plan, choice.recipe, old), progress)
    by_stage = (source, *choice.compressed.models)
    leader = leading([export for export in plan.exports if export.id not in plan.as_given])
    if leader is not None and choice.compressed.stages:  # every stage in the precision of the file that is delivered
        wanted = (choice.recipe, request.metric)
        options, _ = precision.resolve(worker, choice.compressed.source, leader, options, wanted, progress)
    stages = attribute(worker, held, by_stage, choice.compressed.stages, leader, options, progress)
    return Made(source, base, plan, choice, stages, tuple(files), failures, held)


@dataclass(frozen=True)
class Results:
    """What the steps of one build gave; `notes` are about the build itself."""

    made: Made
    checked: tuple[Checked, ...]
    rows: tuple[Result | NotMeasured, ...]
    failures: tuple[Failure, ...]
    notes: tuple[str, ...] = ()
    studies: tuple[SliceStudy, ...] = ()


def open_inputs(
    worker: Worker, request: Request, export_plan: ExportPlan, progress: ProgressCallback
) -> tuple[Source, Dataset]:
    """The model, and the data or the probe inputs that stand in for it. Raises InputError where they do not fit."""
    exports.check_opset(request.opset, export_plan.exports)
    progress(Progress("read model", 0, 1, request.model.name))
    source = steps.open_source(
        worker,
        request.model,
        request.custom_objects,
        allow_unsafe=request.allow_unsafe,
        signature=request.signature,
    )
    if request.recipe.stages and not source.trainable:
        raise RecipeError(
            f"recipe {request.recipe.name!r} trains, but {why_not_trainable(source)}",
            remedy="Use --recipe auto, int8 or float16 (post-training work), or give a model that Keras 3 saved.",
        )
    if request.recipe.stages and request.data is None:
        raise RecipeError(f"recipe {request.recipe.name!r} trains and needs training data", remedy="Add --data.")
    exports.check_calibration(export_plan.exports, has_ranges=request.data is not None or source.fake_quantized)
    progress(Progress("read data", 0, 1, request.data or "probe inputs"))
    if request.data is None:
        return source, stated(steps.open_probe(worker, source, request.recipe.seed), source, request)
    dataset = stated(steps.open_data(worker, request.data, source, request.data_options), source, request)
    exports.check_calibration(export_plan.exports, has_ranges="calibration" in dataset.counts or source.fake_quantized)
    return source, dataset


def baseline(
    worker: Worker,
    request: Request,
    source: Source,
    models: Mapping[str, Source],
    dataset: Dataset,
    progress: ProgressCallback,
) -> Baseline:
    """Outputs of the original, and of what each export (by id) is made from, on the test split."""
    original = steps.reference(worker, source, dataset, progress)
    metric = checks.make_metric(request.metric, dataset, original)
    known = {(source.sha256, False): original}
    for export_id, model in models.items():
        which = (model.sha256, steps.strips(model, export_id))
        if which not in known:
            known[which] = steps.reference(worker, model, dataset, progress, stripped=which[1])
    for outputs in known.values():
        for name, array in outputs.arrays.items():
            if not checks.finite(array):
                raise SourceError(
                    f"the model itself gives NaN or infinite values in output {name!r} for the test samples",
                    remedy="Check the samples (range, --scale) and the model: nothing can be held against such "
                    "outputs.",
                )
    policy = GatePolicy(request.recipe.max_drop, request.recipe.inconclusive)
    parts = slicing.prepare(slice_wishes(request), dataset, metric, policy)
    expected = {e: known[(model.sha256, steps.strips(model, e))] for e, model in models.items()}
    return Baseline(dataset, original, expected, metric, policy, parts)


def verify_all(
    request: Request, made: Sequence[tuple[Export, Artifact]], base: Baseline, progress: ProgressCallback
) -> list[Checked]:
    """Verify every file that was made."""
    checked = []
    for done, (export, artifact) in enumerate(made):
        progress(Progress("verify", done, len(made), export.id))
        checked.append(checks.check_artifact(artifact, export, base, request.out, progress))
    progress(Progress("verify", len(made), len(made)))
    return checked


def measure_all(
    request: Request, artifacts: Sequence[Artifact], dataset: Dataset, progress: ProgressCallback
) -> tuple[Result | NotMeasured, ...]:
    """Measure what could be run, on every target, several boards at once; of one that is not there rows say why."""
    verified = [a for a in artifacts if a.verification != "UNVERIFIED"]

    def measure(place: Target) -> list[Result | NotMeasured]:
        try:
            with request.turn(place.name):
                rows = measuring.measure(request.out, verified, place.name, dataset, request.plan, progress)
        except (ArtifactError, ChildError, UnavailableError) as error:
            why = (place.name, "", error.message, error.remedy, type(error).__name__)
            return [NotMeasured(artifact.id, *why) for artifact in verified]
        return [row for mine in rows for row in mine]

    found = machines.each([plugins.target(target) for target in request.targets], measure)
    return tuple(row for rows in found for row in rows)


def compose(request: Request, given: Results) -> Report:
    """Put everything into one value; the original's own per-sample results are kept beside those of the files."""
    made = given.made
    base = made.base
    original = None
    if base.metric is not None:
        rows = base.per_sample(base.original)
        original = checks.keep_prediction(request.out, ("original",), made.source.loader, base.metric, rows)
        if base.slicing is not None:
            slicing.keep(original.path, base.slicing, base.dataset)
    predictions: dict[str, Prediction] = {}
    for item in given.checked:
        predictions.update(item.predictions)
    found = results.divide(given.rows)
    return Report(
        name=request.model.stem,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        # The user's own, not the copy in the cache: nobody else knows that place.
        source=replace(made.source, path=place_of(request.model).absolute()),
        dataset=base.dataset if request.data is not None else None,
        recipe=request.recipe.to_data(),
        metric=base.metric.name if base.metric is not None else None,
        metric_direction=base.metric.direction if base.metric is not None else None,
        baseline=original,
        stages=made.stages.stages,
        artifacts=tuple(item.artifact for item in given.checked),
        predictions=predictions,
        gates=tuple(gate for item in given.checked for gate in item.gates),
        measurements=found.measurements,
        emulations=found.emulations,
        estimates=found.estimates,
        unmeasured=found.unmeasured,
        failures=given.failures,
        environment=environment(),
        command=request.command,
        warnings=_warnings(request.recipe, given),
        data_options=asdict(request.data_options) if request.data is not None else {},
        attempts=made.choice.attempts,
        slices=given.studies,
        exhibits=slicing.exhibits(given.studies, base.dataset) if given.studies and request.exhibits else (),
    )


def _warnings(recipe: recipe_module.Recipe, results: Results) -> tuple[str, ...]:
    made = results.made
    of_files = (*_left_out(results.failures), *_swollen(results), *_said(results))
    notes = (*made.choice.notes, *made.plan.notes, *_seen(recipe, made), *made.stages.notes)
    return (*notes, *of_files, *results.notes)


def _seen(recipe: recipe_module.Recipe, made: Made) -> tuple[str, ...]:
    """Whether the original knows the validation samples, where training was judged by them."""
    tried = {attempt.recipe for attempt in made.choice.attempts if attempt.outcome != "skipped"}
    trained = recipe.trains or any(attempt.trains for attempt in recipe.attempts if attempt.name in tried)
    if made.validation is None or made.base.metric is None or not trained:
        return ()
    return seen_before(made.validation, made.base.per_sample(made.base.original))


def _left_out(failures: Sequence[Failure]) -> list[str]:
    """Formats that nobody asked for by name and that could not be made or verified here."""
    return [f"{f.artifact} left out ({f.stage}): {f.message}" for f in failures if not f.asked_by_name]


def _swollen(results: Results) -> list[str]:
    """8-bit files that are larger than the float weights: loops that had to be unrolled."""
    limit = 4 * results.made.source.parameters + _GRAPH_BYTES
    return [
        f"{a.id} has {a.size_bytes:,} bytes, more than the float weights: recurrent layers are unrolled for integers"
        for a in (item.artifact for item in results.checked)
        if a.variant.startswith(("int", "uint")) and a.size_bytes > limit
    ]


def _said(results: Results) -> list[str]:
    """What there is to know about single files."""
    return [f"{item.artifact.id}: {note}" for item in results.checked for note in item.artifact.notes]


def environment() -> dict[str, str]:
    """What a reader needs to reproduce a build: interpreter, system, versions."""
    return {
        "python": sys.version.split()[0],
        "system": platform.platform(),
        "machine": platform.machine(),
        **cache.versions(),
    }


@under_its_limits
def compress_only(request: Request, progress: ProgressCallback = _quiet) -> tuple[Path, tuple[Stage, ...]]:
    """Run only the training stages; writes `model.keras` into `request.out` and returns its path and the stages.

    Raises RecipeError for a recipe without training stages, and what `build` raises for unusable inputs.
    """
    if not request.recipe.stages:
        trained = [name for name in recipe_module.shipped() if recipe_module.load(name).stages]
        raise RecipeError(
            f"recipe {request.recipe.name!r} has no training stages",
            remedy=f"Recipes that train: {', '.join(trained)}.",
        )
    with Worker(request.limits) as worker:
        source, dataset = open_inputs(worker, request, ExportPlan((), ()), progress)
        key = request_key(request, source, dataset)
        folder.check(request.out, key, force=request.force, inputs=(request.model,))
        compressed = steps.compress(worker, source, dataset, request.recipe, request.metric, progress)
    folder.claim(request.out, key, provenance(request, source, dataset), force=request.force, inputs=(request.model,))
    path = request.out / "model.keras"
    with storage_errors(path):
        shutil.copyfile(compressed.source.path, path)
    return path, compressed.stages
