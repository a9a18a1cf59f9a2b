"""Which layer pays for int8, and the precision of each layer of a file of variant `mixed`."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgeship import cache, codec, plugins
from edgeship.child import Limits, Worker, under_its_limits
from edgeship.data import DataOptions
from edgeship.errors import DataError, EdgeshipError, OutputError, StorageFullError
from edgeship.pipeline import steps
from edgeship.pipeline.exports import Export
from edgeship.references import is_reference
from edgeship.sensitivity.findings import Fix, Options, Sensitivity
from edgeship.sensitivity.run import analyse, propose
from edgeship.types import Artifact, ConvertOptions, Dataset, Progress, ProgressCallback, Source
from edgeship.usercode import code_sha256

if TYPE_CHECKING:
    from edgeship.recipe import Recipe

#: int8 throughout.
_INT8 = Export("tflite", "mixed", by_name=False)


@dataclass(frozen=True)
class SensitivityRequest:
    """A model to look at, with data."""

    model: Path
    data: str
    options: Options = field(default_factory=Options)
    data_options: DataOptions = field(default_factory=DataOptions)
    limits: Limits = field(default_factory=Limits)
    custom_objects: tuple[str, ...] = ()
    allow_unsafe: bool = False
    signature: str | None = None


@under_its_limits
def sensitivity(request: SensitivityRequest, progress: ProgressCallback) -> Sensitivity:
    """What each layer's precision does to a model, and which few to keep above int8.

    Raises:
        UnsupportedModelError: names the layer that cannot be simulated.
        InputError: a model or dataset that cannot be used.
    """
    with Worker(request.limits) as worker:
        progress(Progress("read model", 0, 1, request.model.name))
        source = steps.open_source(
            worker,
            request.model,
            request.custom_objects,
            allow_unsafe=request.allow_unsafe,
            signature=request.signature,
        )
        progress(Progress("read data", 0, 1, request.data))
        dataset = steps.open_data(worker, request.data, source, request.data_options)
        _check_splits(dataset)
        file = _int8_file(worker, source, dataset, progress)

        def run(place: Path) -> None:
            arguments = {"source": source, "dataset": dataset, "options": request.options, "file": file}
            found = worker.call(analyse, progress=progress, **arguments)
            (place / "sensitivity.json").write_text(codec.to_json(found))

        place = cache.entry("sensitivity", _key("sensitivity", source, dataset, request.options, file), run)
        found = codec.from_json(Sensitivity, (place / "sensitivity.json").read_text())
    return replace(found, model=request.model.name)


def fix(worker: Worker, source: Source, dataset: Dataset, options: Options, progress: ProgressCallback) -> Fix:
    """Only the proposed fix, for a recipe that chooses the precision of layers by itself; raises as `sensitivity`."""
    _check_splits(dataset)
    file = _int8_file(worker, source, dataset, progress)

    def run(place: Path) -> None:
        arguments = {"source": source, "dataset": dataset, "options": options, "file": file}
        (place / "fix.json").write_text(codec.to_json(worker.call(propose, progress=progress, **arguments)))

    place = cache.entry("fix", _key("fix", source, dataset, options, file), run)
    return codec.from_json(Fix, (place / "fix.json").read_text())


def _key(kind: str, source: Source, dataset: Dataset, options: Options, file: Artifact | None) -> str:
    metric = options.metric or ""
    code = code_sha256((metric,) if is_reference(metric) else ())
    names = [spec.name for spec in (*source.inputs, *source.outputs)]
    parts = {"source": source.sha256, "names": names, "dataset": dataset.sha256, "options": codec.to_data(options)}
    return cache.key_with_code(kind, source.code_sha256, code, **parts, file=None if file is None else file.sha256)


def _check_splits(dataset: Dataset) -> None:
    for split in ("validation", "calibration"):
        if not dataset.counts.get(split):
            raise DataError(
                f"{dataset.name} has no {split} samples",
                remedy="Give more training samples: validation and calibration are taken from them.",
            )


def _int8_file(worker: Worker, source: Source, dataset: Dataset, progress: ProgressCallback) -> Artifact | None:
    """The int8 file that the simulation is held against; None where it cannot be made or run here."""
    if plugins.converter("tflite").missing() or any(r.missing() for r in plugins.runtimes_for("tflite")):
        return None
    progress(Progress("convert", 0, 1, _INT8.id))
    try:
        # Without corrected biases, as the simulation has it.
        return steps.convert(worker, source, _INT8, ConvertOptions(calibration=dataset, correct_biases=False))
    except (StorageFullError, OutputError):
        raise
    except EdgeshipError:
        return None  # what stops the converter is said by `convert`; the simulation has its own word on the layers


def resolve(
    worker: Worker,
    source: Source,
    export: Export,
    options: ConvertOptions,
    wanted: tuple[Recipe, str | None],
    progress: ProgressCallback,
) -> tuple[ConvertOptions, tuple[str, ...]]:
    """Options with the precision of each layer, and how it was found.

    Args:
        worker: where models are loaded.
        source: the model that is converted.
        export: options of other variants are left as they are.
        options: with the dataset.
        wanted: the recipe, and the name of the metric that it holds to its limit (None: by task).
        progress: told while measuring.

    Raises:
        UnsupportedModelError: names a layer whose precision cannot be simulated, where the recipe leaves the choice.
        DataError: no samples to choose by.
    """
    recipe, metric = wanted
    if export.variant != "mixed" or options.calibration is None:
        return options, ()
    if not isinstance(recipe.precision, str):
        return replace(options, precision=recipe.precision), ()
    limits = Options(max_drop=recipe.max_drop, max_growth=recipe.max_growth, metric=metric, seed=recipe.seed)
    found = fix(worker, source, options.calibration, limits, progress)
    return replace(options, precision=found.precision), (f"precision by measured sensitivity: {found.sentence}",)
