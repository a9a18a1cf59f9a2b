"""What a build was asked for, and what makes two builds the same."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from edgeship import cache
from edgeship.child import Limits
from edgeship.data import DataOptions
from edgeship.recipe import Recipe
from edgeship.types import ConvertOptions, Dataset, Plan, Source


@dataclass(frozen=True)
class Request:
    """What the user asked for.

    Attributes:
        model: path of the trained model.
        data: dataset (see `edgeship.data.open_dataset`); None: parity on seeded probe inputs only.
        formats: empty for all that are installed; then what is missing here is left out with a warning.
        targets: where to measure; empty for no measuring.
        signature: of a SavedModel, or the outputs of a frozen graph (see `edgeship.source.inspect`).
        out: the build folder.
        command: how to reproduce it, for the report.
    """

    model: Path
    out: Path
    recipe: Recipe
    data: str | None = None
    metric: str | None = None
    formats: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    data_options: DataOptions = field(default_factory=DataOptions)
    plan: Plan = field(default_factory=Plan)
    limits: Limits = field(default_factory=Limits)
    custom_objects: tuple[str, ...] = ()
    allow_unsafe: bool = False
    signature: str | None = None
    force: bool = False
    command: tuple[str, ...] = ()


def request_key(request: Request, source: Source, dataset: Dataset) -> str:
    """Key of a build folder: what the files are made from.

    Which files are wanted, and the limits they are held to, may change from run to run: the folder then holds what the
    last run asked for. Versions are no part of it either, so an update of edgeship continues in place.
    """
    training = training_of(request.recipe)
    return cache.digest(source=source.sha256, dataset=dataset.sha256, augment=dataset.augment, training=training)


def training_of(recipe: Recipe) -> dict[str, Any]:
    """The part of a recipe that determines what is trained."""
    tried = [training_of(attempt) for attempt in recipe.attempts]
    chosen = {k: v for k, v in recipe.to_data().items() if k in ("stages", "batch_size", "seed")}
    return chosen | ({"attempts": tried} if tried else {})


def convert_options(request: Request, dataset: Dataset) -> ConvertOptions:
    """What converters get beside the model; probe inputs calibrate nothing."""
    calibration = dataset if request.data is not None else None
    return ConvertOptions(
        calibration, labels=dataset.classes, preprocessing=dataset.preprocessing, name=request.model.stem
    )


def provenance(request: Request, source: Source, dataset: Dataset) -> dict[str, Any]:
    """What determines the files of a build."""
    return {
        "model": {
            "name": request.model.name,
            "sha256": source.sha256,
            "loader": source.loader,
            "signature": source.signature,
        },
        "dataset": {"name": dataset.name, "sha256": dataset.sha256, "options": asdict(request.data_options)},
        "recipe": request.recipe.to_data(),
        "versions": cache.versions(),
        "command": list(request.command),
    }
