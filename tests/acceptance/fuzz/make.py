"""What of a random model lies on disk; runs in a worker, because it needs Keras."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgeship.codec import to_json
from edgeship.types import Array
from tests.acceptance.fuzz.description import Description
from tests.acceptance.fuzz.samples import draw_samples

#: Samples by split: for ranges, for the pipeline's own verification, and for the comparison that it knows nothing of.
COUNTS: Mapping[str, int] = {"calibration": 64, "test": 24, "validation": 24}
MODEL, DESCRIPTION = "model.keras", "description.json"
#: Of an output, the least spread over samples beside its largest number: below it float32 is no basis for a comparison
#: that allows 0.2 % of the spread.
_LEAST_SPREAD = 2e-4


@dataclass(frozen=True)
class Made:
    """A model's description, or why there is none."""

    description: Description | None
    reason: str = ""


def from_seed(seed: int, folder: Path) -> Made:
    """Draw the model of a seed and write it into the folder."""
    from tests.acceptance.fuzz.description import InvalidModel
    from tests.acceptance.fuzz.generate import candidates

    try:
        made = (from_description(found, folder) for found in candidates(seed))
        return next(one for one in made if one.description is not None)
    except InvalidModel as error:
        return Made(None, str(error))


def from_description(description: Description, folder: Path) -> Made:
    """Write `model.keras`, its samples as a Dataset, and what Keras computes as `<split>/expected/<k>.npy`."""
    from tests.acceptance.fuzz import network
    from tests.acceptance.fuzz.description import InvalidModel

    try:
        model = network.build(description)
    except InvalidModel as error:
        return Made(None, str(error))
    model.save(folder / MODEL)
    (folder / DESCRIPTION).write_text(to_json(description))
    for split, count in COUNTS.items():
        given = [draw_samples(entry, description.seed, split, count) for entry in description.entries]
        (folder / split / "x").mkdir(parents=True, exist_ok=True)
        for entry, array in zip(description.entries, given, strict=True):
            np.save(folder / split / "x" / f"{entry.name}.npy", array)
        (folder / split / "expected").mkdir(exist_ok=True)
        expected = network.run(model, given)
        for position, array in enumerate(expected):
            np.save(folder / split / "expected" / f"{position}.npy", array)
        if not all(_changes(array) for array in expected):
            return Made(None, f"an output is nearly the same for all samples of the {split} split")
        if split == "test" and not _agrees_with_itself(folder / MODEL, given, expected):
            return Made(None, "Keras cannot load and run in a graph what it saved, or computes something else there")
    return Made(description)


def _changes(output: Array) -> bool:
    values = output.astype(np.float64)
    spread = float(np.sqrt(np.mean((values - values.mean(axis=0)) ** 2)))
    return spread > _LEAST_SPREAD * float(np.abs(values).max())


def _agrees_with_itself(file: Path, given: list[Array], expected: list[Array]) -> bool:
    """Whether Keras itself can read the model and run it as a graph, as training does."""
    import keras

    try:
        found = keras.models.load_model(file, compile=False).predict(given, verbose=0)
    except Exception:  # noqa: BLE001 - it raises what it likes
        return False
    results = found if isinstance(found, list) else [found]
    pairs = zip(expected, results, strict=True)
    return all(a.shape == b.shape and np.abs(a - b).max() <= 1e-3 * np.abs(a).max() for a, b in pairs)
