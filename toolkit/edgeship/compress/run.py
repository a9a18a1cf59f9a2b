"""The compression stage of the flow. Imports no ML framework until `compress` runs, which it does in a worker."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgeship.types import Dataset, ProgressCallback, Source, Stage


@dataclass(frozen=True)
class Compressed:
    """A compressed model on disk.

    Attributes:
        source: after the last stage.
        stages: what each stage did to it; the first is `base`, the model as given.
        models: after each stage but `base`; the last one is `source`.
    """

    source: Source
    stages: tuple[Stage, ...]
    models: tuple[Source, ...]


def compress(
    source: Source,
    dataset: Dataset,
    recipe: dict[str, Any],
    metric: str | None,
    out_dir: Path,
    progress: ProgressCallback,
) -> Compressed:
    """Run the stages of a recipe and write `<out_dir>/model.keras` [child].

    What comes before it, after each stage but the last, is written to `<out_dir>/stages/<number>-<word>/model.keras`.

    Equal inputs and seed give equal weights on the same machine.

    Args:
        source: a model that Keras 3 reads.
        dataset: with the splits train and validation, and calibration for quantize-aware.
        recipe: `Recipe.to_data()`.
        metric: name of the metric measured on the validation split after each stage; None = by task.
        out_dir: an existing folder.
        progress: told after each epoch.

    Raises:
        UnsupportedModelError: the source cannot be trained here, or a layer cannot be quantized.
        InputError: a pruning schedule did not reach its sparsity.
        DataError: a split is missing, or the data has no labels.
        StorageFullError: no space in `out_dir`.
    """
    from edgeship import source as sources
    from edgeship.compress.stages import Runner
    from edgeship.recipe import parse

    plan = parse(recipe, "recipe")
    runner = Runner(source, dataset, plan, metric, progress)
    stages, paths = [], []
    for number, stage in enumerate(runner.run()):
        stages.append(stage)
        last = number == len(plan.stages)
        if number or last:
            folder = out_dir if last else out_dir / "stages" / f"{number}-{stage.name}"
            paths.append(sources.save_live(runner.model, folder))
    models = [sources.inspect(path, source.custom_objects, source.allow_unsafe) for path in paths]
    return Compressed(models[-1], tuple(stages), tuple(models) if plan.stages else ())


def strip(source: Source, out_dir: Path) -> Source:
    """Write a fake-quantized model without its fake quantization to `<out_dir>/model.keras` [child].

    It is the network that formats without fake quantization get; its inputs and outputs keep their names.
    """
    from edgeship import source as sources
    from edgeship.compress.quantize import aware

    path = sources.save_live(aware.strip(sources.load(source)), out_dir)
    found = sources.inspect(path, source.custom_objects, source.allow_unsafe)
    return replace(found, inputs=source.inputs, outputs=source.outputs)
