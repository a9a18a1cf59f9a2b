"""The compression stage of the flow. Imports no ML framework until `compress` runs, which it does in a worker."""

from __future__ import annotations

import shutil
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
        promises: whether it keeps zeros or shared values in what training follows.
    """

    source: Source
    stages: tuple[Stage, ...]
    models: tuple[Source, ...]
    promises: bool = False


@dataclass(frozen=True)
class Part:
    """The beginning of a recipe: its first `stages`, of which `done` has some already."""

    stages: int
    done: Compressed | None = None


def compress(
    source: Source,
    dataset: Dataset,
    recipe: dict[str, Any],
    metric: str | None,
    out_dir: Path,
    progress: ProgressCallback,
    part: Part | None = None,
) -> Compressed:
    """Run the stages of a recipe and write `<out_dir>/model.keras` [child].

    What comes before it, after each stage but the last, is written to `<out_dir>/stages/<number>-<word>/model.keras`.

    Equal inputs and seed give equal weights on the same machine, in one go or in parts.

    Args:
        source: a model that Keras 3 reads.
        dataset: with the splits train and validation, and calibration for quantize-aware.
        recipe: `Recipe.to_data()`.
        metric: name of the metric measured on the validation split after each stage; None = by task.
        out_dir: an existing folder.
        progress: told after each epoch.
        part: only the beginning of the recipe, with no `cluster` in what is done already (values that kernels share are
            found anew from a file in another order); None: all of it.

    Raises:
        UnsupportedModelError: the source cannot be trained here, or a layer cannot be quantized.
        InputError: a pruning schedule did not reach its sparsity.
        DataError: a split is missing, or the data has no labels.
        StorageFullError: no space in `out_dir`.
    """
    from edgeship import source as sources
    from edgeship.compress.finish import promise_again, promises
    from edgeship.compress.stages import Runner
    from edgeship.recipe import parse

    plan = parse(recipe, "recipe")
    end = len(plan.stages) if part is None else part.stages
    done = part.done if part is not None else None
    runner = Runner(source, dataset, plan, metric, progress)
    stages, models = (list(done.stages), _copied(done, out_dir)) if done else ([], [])
    if done:
        runner.model = sources.load(done.source)
        if done.promises:
            promise_again(runner.model)
    for stage in runner.run(tuple(stages), end):
        stages.append(stage)
        number = len(stages) - 1
        last = number == end
        if number or last:
            folder = out_dir if last else _folder(out_dir, number, stage)
            path = sources.save_live(runner.model, folder)
            models.append(sources.inspect(path, source.custom_objects, source.allow_unsafe))
    return Compressed(models[-1], tuple(stages), tuple(models) if plan.stages else (), promises(runner.model))


def _folder(out_dir: Path, number: int, stage: Stage) -> Path:
    return out_dir / "stages" / f"{number}-{stage.name}"


def _copied(done: Compressed, out_dir: Path) -> list[Source]:
    """The models of earlier stages, copied to where they would lie had all stages run at once."""
    found = []
    for number, (stage, model) in enumerate(zip(done.stages[1:], done.models, strict=True), start=1):
        path = _folder(out_dir, number, stage) / model.path.name
        path.parent.mkdir(parents=True)
        shutil.copyfile(model.path, path)
        found.append(replace(model, path=path))
    return found


def strip(source: Source, out_dir: Path) -> Source:
    """Write a fake-quantized model without its fake quantization to `<out_dir>/model.keras` [child].

    It is the network that formats without fake quantization get; its inputs and outputs keep their names.
    """
    from edgeship import source as sources
    from edgeship.compress.quantize import aware

    path = sources.save_live(aware.strip(sources.load(source)), out_dir)
    found = sources.inspect(path, source.custom_objects, source.allow_unsafe)
    return replace(found, inputs=source.inputs, outputs=source.outputs)
