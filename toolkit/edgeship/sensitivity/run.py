"""The analysis as commands and builds call it. Imports no ML framework until it runs, which it does in a worker."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from edgeship import cache, codec, plugins
from edgeship.child import Limits, Worker
from edgeship.data import DataOptions
from edgeship.errors import DataError, EdgeshipError, OutputError, StorageFullError
from edgeship.pipeline import steps
from edgeship.pipeline.exports import Export
from edgeship.references import is_reference
from edgeship.sensitivity.findings import Fix, Options, Sensitivity
from edgeship.types import Artifact, ConvertOptions, Dataset, Progress, ProgressCallback, Source
from edgeship.usercode import code_sha256

_INT8 = Export("tflite", "int8", by_name=False)


@dataclass(frozen=True)
class Request:
    """A model to look at, with data."""

    model: Path
    data: str
    options: Options = field(default_factory=Options)
    data_options: DataOptions = field(default_factory=DataOptions)
    limits: Limits = field(default_factory=Limits)
    custom_objects: tuple[str, ...] = ()
    allow_unsafe: bool = False


def sensitivity(request: Request, progress: ProgressCallback) -> Sensitivity:
    """What each layer's precision does to a model, and which few to keep above int8.

    Raises:
        UnsupportedModelError: names the layer that cannot be simulated.
        InputError: a model or dataset that cannot be used.
    """
    with Worker(request.limits) as worker:
        progress(Progress("read model", 0, 1, request.model.name))
        source = steps.open_source(worker, request.model, request.custom_objects, allow_unsafe=request.allow_unsafe)
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
        return steps.convert(worker, source, _INT8, ConvertOptions(calibration=dataset))
    except (StorageFullError, OutputError):
        raise
    except EdgeshipError:
        return None  # what stops the converter is said by `convert`; the simulation has its own word on the layers


def analyse(
    source: Source, dataset: Dataset, options: Options, file: Artifact | None, progress: ProgressCallback
) -> Sensitivity:
    """See `edgeship.sensitivity.analysis.analyse` [child]."""
    from edgeship.sensitivity import analysis

    return analysis.analyse(source, dataset, options, file, progress)


def propose(
    source: Source, dataset: Dataset, options: Options, file: Artifact | None, progress: ProgressCallback
) -> Fix:
    """See `edgeship.sensitivity.analysis.propose` [child]."""
    from edgeship.sensitivity import analysis

    return analysis.propose(source, dataset, options, file, progress)
