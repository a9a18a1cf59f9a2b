"""The steps of the pipeline: values in, values out, each result cached by the content of what determined it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from edgeship import artifact as sidecar
from edgeship import cache, codec, plugins
from edgeship.child import Worker
from edgeship.compress import run as compress_run
from edgeship.contracts import Runtime
from edgeship.data import DataOptions, open_dataset
from edgeship.data import load as load_split
from edgeship.errors import ArtifactError, ChildError, EdgeshipError, InputError, SourceError, UnavailableError
from edgeship.pipeline import folder
from edgeship.pipeline.exports import Export
from edgeship.pipeline.probe import probe_dataset
from edgeship.recipe import Recipe
from edgeship.source import inspect
from edgeship.source import predict as predict_source
from edgeship.source.tflite import as_artifact
from edgeship.types import Array, Artifact, ConvertOptions, Dataset, Measurement, Plan, ProgressCallback, Source, Stage
from edgeship.verify import Outputs

#: How many test samples a benchmark cycles through.
BENCHMARK_SAMPLES = 16


def file_sha256(path: Path) -> str:
    """Hash of a file, or of a folder with the names in it."""
    digest = hashlib.sha256()
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    for file in files:
        digest.update(file.relative_to(path.parent).as_posix().encode() + b"\0")
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


def open_source(worker: Worker, path: Path, custom_objects: tuple[str, ...], *, allow_unsafe: bool) -> Source:
    """Look at the model; remembered by the bytes of the file. Raises SourceError and its kin."""
    if not path.exists():
        raise SourceError(
            f"no such model: {path}", remedy="Give a .keras, .h5 or .tflite file, or a SavedModel folder."
        )

    def look(place: Path) -> None:
        found = worker.call(inspect, path=path, custom_objects=custom_objects, allow_unsafe=allow_unsafe)
        (place / "source.json").write_text(codec.to_json(found))

    key = cache.key(
        "source", file=file_sha256(path), name=path.name, custom_objects=custom_objects, allow_unsafe=allow_unsafe
    )
    place = cache.entry("source", key, look)
    return replace(codec.from_json(Source, (place / "source.json").read_text()), path=path.absolute())


def open_data(worker: Worker, spec: str, source: Source, options: DataOptions) -> Dataset:
    """Materialize the dataset; code of the user's (`module:function`) runs in the worker."""
    return worker.call(
        open_dataset,
        spec=spec,
        inputs=source.inputs,
        outputs=source.outputs,
        options=options,
        cache_dir=cache.root() / "datasets",
    )


def open_probe(worker: Worker, source: Source, seed: int) -> Dataset:
    """Seeded inputs to which the model's output is sensitive, for parity where no data was given."""
    return worker.call(probe_dataset, source=source, seed=seed, cache_dir=cache.root() / "datasets")


def compress(
    worker: Worker, source: Source, dataset: Dataset, recipe: Recipe, metric: str | None, progress: ProgressCallback
) -> tuple[Source, tuple[Stage, ...]]:
    """Run the recipe's training stages; without stages the source itself."""
    if not recipe.stages:
        return source, ()

    def train(place: Path) -> None:
        result = worker.call(
            compress_run.compress,
            source=source,
            dataset=dataset,
            recipe=recipe.to_data(),
            metric=metric,
            out_dir=place,
            progress=progress,
        )
        (place / "compressed.json").write_text(codec.to_json(result))

    settings = {k: v for k, v in recipe.to_data().items() if k in ("stages", "batch_size", "seed")}
    key = cache.key("compress", source=source.sha256, dataset=dataset.sha256, recipe=settings, metric=metric)
    place = cache.entry("compress", key, train)
    found = codec.from_json(compress_run.Compressed, (place / "compressed.json").read_text())
    return replace(found.source, path=place / found.source.path.name), found.stages


def reference(worker: Worker, source: Source, dataset: Dataset, progress: ProgressCallback) -> Outputs:
    """Outputs of a model, run by the framework it came from, for the test split."""
    if source.kind == "tflite":
        return run_artifact(as_artifact(source), plugins.runtimes_for("tflite")[0], dataset, progress)

    def run(place: Path) -> None:
        worker.call(predict_source, source=source, dataset=dataset, split="test", out_dir=place, progress=progress)

    key = cache.key("reference", source=source.sha256, dataset=dataset.sha256)
    return _read_outputs(cache.entry("reference", key, run), [o.name for o in source.outputs])


def _read_outputs(place: Path, names: Sequence[str]) -> Outputs:
    return Outputs({name: np.load(place / f"{name}.npy", mmap_mode="r") for name in names})


def convert(worker: Worker, source: Source, export: Export, options: ConvertOptions) -> Artifact:
    """Make one exported file (in the cache)."""

    def run(place: Path) -> None:
        made = worker.call(
            plugins.convert,
            format_name=export.format,
            source=source,
            variant=export.variant,
            options=options,
            out_dir=place,
        )
        sidecar.write_sidecar(replace(made, path=place))

    calibration = options.calibration.sha256 if options.calibration is not None else None
    key = cache.key(
        "convert",
        source=source.sha256,
        names=[spec.name for spec in (*source.inputs, *source.outputs)],
        export=export.id,
        calibration=calibration,
        labels=options.labels,
        batch=options.static_batch,
        preprocessing=codec.to_data(options.preprocessing),
    )
    return sidecar.read_artifact(cache.entry("convert", key, run))


def run_artifact(artifact: Artifact, runtime: Runtime, dataset: Dataset, progress: ProgressCallback) -> Outputs:
    """Outputs of an exported file in a runtime for (as many as it can afford of) the test samples."""

    def run(place: Path) -> None:
        inputs = load_split(dataset, "test").inputs
        rows = sample_rows(dataset, runtime)
        chosen = {name: array if rows is None else array[rows] for name, array in inputs.items()}
        for name, array in runtime.run(artifact, chosen, progress).items():
            np.save(place / f"{name}.npy", array)

    files = [(f.name, f.sha256) for f in artifact.files]
    key = cache.key("run", files=files, runtime=runtime.name, limit=runtime.sample_limit, dataset=dataset.sha256)
    return _read_outputs(cache.entry("run", key, run), [o.name for o in artifact.outputs])


def sample_rows(dataset: Dataset, runtime: Runtime) -> Array | None:
    """Indices of the test samples that a runtime verifies, evenly spread; None = all."""
    n, limit = dataset.counts["test"], runtime.sample_limit
    return None if limit is None or limit >= n else np.linspace(0, n - 1, limit).round().astype(np.int64)


def runnable(
    artifacts: Sequence[Artifact], target: str, dataset: Dataset
) -> tuple[list[Artifact], list[tuple[Artifact, EdgeshipError]]]:
    """Which artifacts a target can run at all, so that one that it cannot does not cost the others."""
    inputs = {k: v[:1] for k, v in load_split(dataset, "test").inputs.items()}
    can: list[Artifact] = []
    cannot: list[tuple[Artifact, EdgeshipError]] = []
    for artifact in artifacts:
        try:
            plugins.target(target).check(artifact, inputs)
        except (ArtifactError, ChildError, UnavailableError) as error:
            cannot.append((artifact, error))
        else:
            can.append(artifact)
    return can, cannot


def measure(
    out: Path, artifacts: Sequence[Artifact], target: str, dataset: Dataset, plan: Plan, progress: ProgressCallback
) -> tuple[Measurement, ...]:
    """Measure artifacts on a target, interleaved; what the build folder holds complete is not measured again."""
    paths = {a.id: out / "measurements" / f"{folder.artifact_slug(a.id, target)}.json" for a in artifacts}
    kept = [_kept_measurement(paths[a.id], a, plan) for a in artifacts]
    if None not in kept:
        return tuple(m for m in kept if m is not None)
    inputs = {k: v[:BENCHMARK_SAMPLES] for k, v in load_split(dataset, "test").inputs.items()}
    found = tuple(plugins.target(target).measure(artifacts, inputs, plan, progress))
    for measurement in found:
        cache.write_text(paths[measurement.artifact], codec.to_json(measurement))
    return found


def _kept_measurement(path: Path, artifact: Artifact, plan: Plan) -> Measurement | None:
    try:
        found = codec.from_json(Measurement, path.read_text())
    except (OSError, InputError):
        return None
    same = found.artifact_sha256 == artifact.files[0].sha256 and found.threads == plan.threads
    return found if same and len(found.latency_ms) >= plan.min_runs else None
