"""The space of a search that is given none: what applies to the model, its data and the format."""

from __future__ import annotations

from typing import Any

from edgeship import plugins
from edgeship import recipe as recipes
from edgeship.pipeline.exports import needs_ranges
from edgeship.recipe import Recipe
from edgeship.searching.space import Space, entry, fixed
from edgeship.types import Dataset, Source

#: Training from the original: 0.7 of the loss, as in the shipped recipes.
_TAUGHT: dict[str, Any] = {"teacher": 0.7, "temperature": 4}
_TUNED: dict[str, Any] = {"quantize-aware": {"epochs": {"from": 1, "to": 5}, "learning_rate": 0.0003, **_TAUGHT}}
_RATE = {"from": 0.0001, "to": 0.005, "log": True}
#: For what has to learn much: a network that lost channels, a student.
_SGD = {"optimizer": "sgd", "learning_rate": {"from": 0.01, "to": 0.2, "log": True}, "weight_decay": 0.005}
_EPOCHS = {"from": 2, "to": 30, "log": True}
#: Recipes that train, with their settings open; each ends in int8.
_TRAINED: tuple[dict[str, Any], ...] = (
    {"name": "few-bits", "stages": [{"quantize-aware": {
        "bits": {"from": 1.2, "to": 8.0}, "epochs": _EPOCHS, "learning_rate": _RATE, **_TAUGHT}}]},
    {"name": "fewer-channels", "stages": [{"prune-channels": {
        "share": {"from": 0.15, "to": 0.9}, "blocks": {"any": [0, 1, 2]}, "multiple_of": {"any": [4, 8, 16]},
        "importance": {"any": ["l1", "taylor"]}, "rounds": 1, "epochs": _EPOCHS, **_SGD, **_TAUGHT}},
        {"quantize-aware": {"bits": {"from": 1.5, "to": 8.0}, "epochs": {"from": 1, "to": 10}, "learning_rate": 0.0003,
        **_TAUGHT}}]},
    {"name": "pruned", "stages": [{"prune": {
        "sparsity": {"from": 0.3, "to": 0.95}, "epochs": _EPOCHS, "learning_rate": _RATE, **_TAUGHT}}, _TUNED]},
    {"name": "low-rank", "stages": [{"factorize": {
        "energy": {"from": 0.6, "to": 0.99}, "epochs": _EPOCHS, "learning_rate": _RATE, **_TAUGHT}}, _TUNED]},
    {"name": "narrow-student", "stages": [{"distil": {
        "student": "narrow", "width": {"from": 0.25, "to": 0.9}, "epochs": _EPOCHS, **_SGD}}, _TUNED]},
)  # fmt: skip


def derive(source: Source, dataset: Dataset, format_name: str) -> Space:
    """Every shipped recipe and variant that applies; where the model trains here, recipes with open settings.

    Args:
        source: the model.
        dataset: its data; recipes that train need labelled training samples.
        format_name: of the file that is searched for.
    """
    entries = [fixed(recipe) for recipe in _shipped(source, dataset, format_name)]
    if _trains(source, dataset) and "int8" in plugins.converter(format_name).variants:
        more = {"variants": ["int8"], "calibration_samples": 500}
        entries += [entry({**data, **more}, "the default space") for data in _TRAINED]
    return Space(tuple(entries))


def _trains(source: Source, dataset: Dataset) -> bool:
    return source.trainable and dataset.task != "unlabelled" and {"train", "validation"} <= set(dataset.counts)


def _shipped(source: Source, dataset: Dataset, format_name: str) -> list[Recipe]:
    """Variants of the model as given, then recipes that train, those with the least training first."""
    variants = [v for v in plugins.converter(format_name).variants if not v.endswith("-floatio")]
    able = [v for v in variants if not needs_ranges(v) or "calibration" in dataset.counts]
    plain = [Recipe(v, f"{v}, no training", variants=(v,)) for v in able]
    if source.trainable and "int8" in able:
        data = {"schema": recipes.SCHEMA, "name": "int8-equalized", "stages": ["equalize"], "variants": ["int8"]}
        plain.append(recipes.parse(data, "int8-equalized"))
    named = [recipes.load(name) for name in recipes.shipped()]
    trained = [r for r in named if r.trains and _trains(source, dataset) and set(r.variants) <= set(able)]
    return [*plain, *sorted(trained, key=lambda r: sum(getattr(stage, "epochs", 0) for stage in r.stages))]
