"""The steps of the pipeline: values in, values out, each result cached by the content of what determined it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from edgeship import artifact as sidecar
from edgeship import cache, codec, plugins
from edgeship.child import Worker
from edgeship.compress import run as compress_run
from edgeship.compress.run import Compressed, Part
from edgeship.contracts import Runtime
from edgeship.data import DataOptions, open_dataset
from edgeship.data import load as load_split
from edgeship.errors import SourceError
from edgeship.pipeline import originals, snapshot
from edgeship.pipeline.baking import Baking
from edgeship.pipeline.exports import Export
from edgeship.pipeline.probe import probe_dataset
from edgeship.pipeline.request import training_of
from edgeship.pipeline.snapshot import file_sha256 as file_sha256  # noqa: PLC0414 - steps.file_sha256 is used outside
from edgeship.recipe import QuantizeAware, Recipe
from edgeship.references import is_reference
from edgeship.source import inspect, place_of
from edgeship.source import predict as predict_source
from edgeship.source.kinds import ALLOWED, kind_of
from edgeship.types import (
    Array,
    Artifact,
    ConvertOptions,
    Dataset,
    ProgressCallback,
    Source,
)
from edgeship.usercode import code_of, code_sha256
from edgeship.verify import Outputs

#: What keeps the fake quantization of quantization-aware training.
_FAKE_QUANTIZED = ("tflite/int8", "tflite/int8-floatio")
#: The folder of a model's copy, in the entry that says what it is.
_MODEL = "model"


def check_model(path: Path) -> None:
    """Raise SourceError for a model that is not there."""
    if not path.exists():
        raise SourceError(f"no such model: {path}", remedy=ALLOWED)


def open_source(
    worker: Worker,
    path: Path,
    custom_objects: tuple[str, ...],
    *,
    allow_unsafe: bool,
    signature: str | None = None,
) -> Source:
    """Look at the model; remembered by the bytes of the file. Raises SourceError and its kin.

    The arguments are those of `edgeship.source.inspect`. The Source lies in the cache, as a copy: whatever is made of
    it later is made of the bytes that were looked at.
    """
    check_model(path)
    given = place_of(path).absolute()
    given = given.resolve() if given.name == ".." else given
    kind_of(given)  # what is no model is refused before it is copied
    code = None if allow_unsafe else code_sha256(custom_objects)  # what an unsafe model imports, nobody knows
    content = snapshot.content(given)

    def look(place: Path) -> None:
        snapshot.copy(given, content, place / _MODEL)
        options: dict[str, Any] = {"custom_objects": custom_objects, "allow_unsafe": allow_unsafe}
        found = worker.call(inspect, path=place / _MODEL / given.name, signature=signature, **options)
        (place / "source.json").write_text(codec.to_json(found))

    parts = {"file": content, "name": given.name, "custom_objects": custom_objects, "signature": signature}
    place = cache.entry("source", cache.key_with_code("source", code, **parts), look)
    found = codec.from_json(Source, (place / "source.json").read_text())
    return replace(found, path=place / _MODEL / given.name, code_sha256=code)


def open_data(worker: Worker, spec: str, source: Source, options: DataOptions) -> Dataset:
    """Materialize the dataset; code of the user's (`module:function`) runs in the worker."""
    found = worker.call(
        open_dataset,
        spec=spec,
        inputs=source.inputs,
        outputs=source.outputs,
        options=options,
        cache_dir=cache.root() / "datasets",
    )
    cache.used(found.path)
    return found


def open_probe(worker: Worker, source: Source, seed: int) -> Dataset:
    """Seeded inputs to which the model's output is sensitive, for parity where no data was given."""
    return worker.call(probe_dataset, source=source, seed=seed, cache_dir=cache.root() / "datasets")


def compress(
    worker: Worker,
    source: Source,
    dataset: Dataset,
    recipe: Recipe,
    metric: str | None,
    progress: ProgressCallback,
    part: Part | None = None,
) -> Compressed:
    """Run the recipe's stages, or the first of them; without stages the source itself."""
    if not recipe.stages:
        return Compressed(source, (), ())

    def train(place: Path) -> None:
        result = worker.call(
            compress_run.compress,
            source=source,
            dataset=dataset,
            recipe=recipe.to_data(),
            metric=metric,
            out_dir=place,
            progress=progress,
            part=part,
        )
        relative = _with_paths(result, lambda path: path.relative_to(place))  # the entry is moved when complete
        (place / "compressed.json").write_text(codec.to_json(relative))

    key = _compress_key(source, dataset, recipe, metric, None if part is None else part.stages)
    return _compressed(cache.entry("compress", key, train), source)


def trained(source: Source, dataset: Dataset, recipe: Recipe, metric: str | None, stages: int) -> Compressed | None:
    """What the first `stages` of a recipe made, where they have run before; None where they have not."""
    place = cache.found("compress", _compress_key(source, dataset, recipe, metric, stages))
    return None if place is None else _compressed(place, source)


def _compress_key(source: Source, dataset: Dataset, recipe: Recipe, metric: str | None, stages: int | None) -> str:
    named = [metric or "", *dataset.augment, *(name for stage in recipe.stages for name in stage.references())]
    code = code_sha256(name for name in named if is_reference(name))
    plan = training_of(recipe)
    parts = {**_content(source, dataset), "recipe": plan, "metric": metric, "augment": dataset.augment}
    if stages is not None and stages < len(recipe.stages):
        # Of what comes later, a stage knows only whether weights become int8 numbers.
        later = any(isinstance(stage, QuantizeAware) for stage in recipe.stages[stages:])
        parts |= {"recipe": plan | {"stages": plan["stages"][:stages]}, "then_int8": later}
    return cache.key_with_code("compress", source.code_sha256, code, **parts)


def _compressed(place: Path, source: Source) -> Compressed:
    """As it lies in the cache."""
    found = codec.from_json(Compressed, (place / "compressed.json").read_text())
    found = _with_paths(found, lambda path: place / path)
    known = [replace(model, code_sha256=source.code_sha256) for model in (found.source, *found.models)]
    return replace(found, source=known[0], models=tuple(known[1:]))


def _with_paths(found: Compressed, change: Callable[[Path], Path]) -> Compressed:
    first, *others = (replace(model, path=change(model.path)) for model in (found.source, *found.models))
    return replace(found, source=first, models=tuple(others))


def _content(source: Source, dataset: Dataset) -> dict[str, Any]:
    """What results of a model and a dataset depend on, beside code. Names are no part of the model's own hash."""
    names = [spec.name for spec in (*source.inputs, *source.outputs)]
    return {"source": source.sha256, "names": names, "dataset": dataset.sha256}


def strips(source: Source, export_id: str) -> bool:
    """Whether an exported file (`format/variant`) is the network without its fake quantization.

    Only TFLite turns it into int8 arithmetic; everywhere else it goes, and the weights stay on their int8 grid.
    """
    return source.fake_quantized and export_id not in _FAKE_QUANTIZED


def reference(
    worker: Worker,
    source: Source,
    dataset: Dataset,
    progress: ProgressCallback,
    *,
    split: str = "test",
    stripped: bool = False,
) -> Outputs:
    """Outputs of a model, run by the framework it came from, for a split.

    `stripped`: of a fake-quantized model, the network that `strips` speaks of; others are what they are.
    """
    if stripped and source.fake_quantized:
        source = _strip(worker, source)

    def run(place: Path) -> None:
        if originals.is_file(source):
            for name, array in originals.run(source, load_split(dataset, split).inputs, progress).items():
                np.save(place / f"{name}.npy", array)
        else:
            worker.call(predict_source, source=source, dataset=dataset, split=split, out_dir=place, progress=progress)

    key = cache.key_with_code("reference", source.code_sha256, **_content(source, dataset), split=split)
    place = cache.entry("reference", key, run)
    return Outputs({spec.name: np.load(place / f"{spec.name}.npy", mmap_mode="r") for spec in source.outputs})


def _strip(worker: Worker, source: Source) -> Source:
    def run(place: Path) -> None:
        found = worker.call(compress_run.strip, source=source, out_dir=place)
        (place / "source.json").write_text(codec.to_json(found))

    place = cache.entry("stripped", cache.key_with_code("stripped", source.code_sha256, source=source.sha256), run)
    found = codec.from_json(Source, (place / "source.json").read_text())
    return replace(found, path=place / found.path.name, code_sha256=source.code_sha256)


def convert(
    worker: Worker, source: Source, export: Export, options: ConvertOptions, baking: Baking | None = None
) -> Artifact:
    """Make one exported file (in the cache); with `baking` one that takes raw values."""
    if baking is not None:
        calibration = None if options.calibration is None else baking.dataset
        source = replace(source, baked=baking.done)
        options = replace(options, calibration=calibration, preprocessing=baking.dataset.preprocessing)
        made = convert(worker, source, export, options)
        return replace(made, notes=(*made.notes, baking.note))

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

    converter = plugins.converter(export.format)
    key = cache.key_with_code(
        "convert",
        source.code_sha256,
        code_of(converter),
        source=source.sha256,
        converter=plugins.origin("converters", export.format),
        names=[spec.name for spec in (*source.inputs, *source.outputs)],
        export=export.id,
        baked=codec.to_data(source.baked),
        calibration=options.calibration.sha256 if options.calibration is not None else None,
        precision=dict(options.precision),
        correct_biases=options.correct_biases,
        labels=options.labels,
        preprocessing=codec.to_data(options.preprocessing),
        name=options.name,
        opset=options.opset,
    )
    return sidecar.read_artifact(cache.entry("convert", key, run))


def run_artifact(
    artifact: Artifact, runtime: Runtime, dataset: Dataset, progress: ProgressCallback, split: str = "test"
) -> Outputs:
    """Outputs of an exported file in a runtime for (as many as it can afford of) the samples of a split."""

    def run(place: Path) -> None:
        inputs = load_split(dataset, split).inputs
        rows = sample_rows(dataset, runtime, split)
        chosen = {name: array if rows is None else array[rows] for name, array in inputs.items()}
        for position, array in enumerate(runtime.run(artifact, chosen, progress).values()):
            np.save(place / f"{position}.npy", array)

    names = [spec.name for spec in artifact.outputs]
    key = cache.key_with_code(
        "run",
        code_of(runtime),
        files=[(f.name, f.sha256) for f in artifact.files],
        outputs=names,  # which one is the first is for the caller to say
        runtime=[runtime.name, runtime.versions()],
        limit=runtime.sample_limit,
        dataset=dataset.sha256,
        split=split,
    )
    place = cache.entry("run", key, run)
    return Outputs({name: np.load(place / f"{k}.npy", mmap_mode="r") for k, name in enumerate(names)})


def sample_rows(dataset: Dataset, runtime: Runtime, split: str = "test") -> Array | None:
    """Indices of the samples that a runtime verifies, evenly spread; None = all."""
    n, limit = dataset.counts[split], runtime.sample_limit
    return None if limit is None or limit >= n else np.linspace(0, n - 1, limit).round().astype(np.int64)
