"""The demo's trained model: a small network on scikit-learn's digits, trained once and kept in the cache."""

from __future__ import annotations

from pathlib import Path

from edgeship import cache, digits
from edgeship.child import Worker
from edgeship.data import DataOptions, open_dataset
from edgeship.types import ProgressCallback, TensorSpec

EPOCHS = 12


def trained_baseline(progress: ProgressCallback, seed: int = 0) -> Path:
    """Path of the trained `digits.keras`; trains it (under a minute) if the cache does not hold it."""

    def train(place: Path) -> None:
        inputs = (TensorSpec("image", (None, digits.SIZE, digits.SIZE, 1), "float32"),)
        outputs = (TensorSpec("probabilities", (None, len(digits.CLASSES)), "float32"),)
        dataset = open_dataset("digits", inputs, outputs, DataOptions(seed=seed), cache.root() / "datasets")
        with Worker() as worker:
            worker.call(
                digits.train_baseline,
                out=place / "digits.keras",
                dataset=dataset,
                epochs=EPOCHS,
                seed=seed,
                progress=progress,
            )

    return cache.entry("demo", cache.key("demo", epochs=EPOCHS, seed=seed), train) / "digits.keras"
