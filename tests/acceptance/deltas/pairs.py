"""Pairs of files, before and after: real models, trained on as people do, exported to every format.

Written once to a cache folder: `<folder>/<model>/<state>/<format>-<variant>/<files>`, where the state `base` is what
devices have and the others are what they get.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import edgeship
from edgeship import cache
from edgeship.data import DataOptions
from edgeship.types import Array
from tests.acceptance.compression.data import SHARED, cifar10, mnist

#: What a state is to the base; `recalibrated` has its weights and other calibration samples.
STATES = ("full-1e-3", "full-1e-4", "last-layer", "recalibrated", "pruned")
VARIANTS = {
    "tflite": ("float32", "float16", "int8"),
    "tfjs": ("float32", "float16", "uint8"),
    "onnx": ("float32", "float16", "int8"),
}
_ONLY_RECALIBRATED = ("int8",)
_SAMPLES = 12_000
_SPARSITY = 0.7


@dataclass(frozen=True)
class Task:
    """A model and the data it is trained on with."""

    model: Callable[[], Any]
    data: Callable[[], dict[str, Array]]


def folder() -> Path:
    """Where pairs are kept."""
    return cache.root() / "acceptance" / "deltas"


def make(name: str) -> None:
    """Train on and export one model in all states that are not there yet."""
    task = TASKS[name]
    arrays = _shifted(task.data())
    for state in ("base", *STATES):
        place = folder() / name / state
        if place.is_dir():
            continue
        model = task.model()
        _trained(model, state, arrays)
        samples = np.roll(arrays["x_train"], len(arrays["x_train"]) // 2, 0) if state == "recalibrated" else None
        _export(model, place, arrays if samples is None else {**arrays, "x_train": samples}, state)


def _shifted(arrays: dict[str, Array]) -> dict[str, Array]:
    """Other conditions than those of the base: darker, with noise, as from another camera or microphone."""
    random = np.random.default_rng(0)

    def change(x: Array) -> Array:
        spread = float(x.std())
        changed = 0.8 * x.astype(np.float32) + 0.15 * spread * random.standard_normal(x.shape)
        return np.clip(changed, x.min(), x.max()).astype(np.float32)

    given = {key: value[:_SAMPLES] for key, value in arrays.items()}
    return {key: change(value) if key.startswith("x") else value for key, value in given.items()}


def _trained(model: Any, state: str, arrays: dict[str, Array]) -> None:
    import keras

    keras.utils.set_random_seed(0)
    if state in ("base", "recalibrated"):
        return
    if state == "last-layer":
        for layer in model.layers[:-1]:
            layer.trainable = False
    rate = 1e-4 if state == "full-1e-4" else 1e-3
    masks = _prune(model) if state == "pruned" else {}

    class Keep(keras.callbacks.Callback):
        """Weights that are gone stay so."""

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            for variable in model.trainable_variables:
                if variable.path in masks:
                    variable.assign(variable * masks[variable.path])

    loss = "mse" if "y_train" not in arrays else "sparse_categorical_crossentropy"
    model.compile(keras.optimizers.Adam(rate), loss)
    model.fit(arrays["x_train"], arrays.get("y_train", arrays["x_train"]), 64, 1, verbose=0, callbacks=[Keep()])


def _prune(model: Any) -> dict[str, Array]:
    """Take the smallest weights of each kernel away; the masks by path."""
    masks = {}
    for variable in model.trainable_variables:
        if len(variable.shape) > 1:
            value = np.asarray(variable)
            mask = (np.abs(value) > np.quantile(np.abs(value), _SPARSITY)).astype(np.float32)
            variable.assign(value * mask)
            masks[variable.path] = mask
    return masks


def _export(model: Any, place: Path, arrays: dict[str, Array], state: str) -> None:
    with tempfile.TemporaryDirectory(prefix="edgeship-deltas-") as scratch:
        saved = Path(scratch) / "model.keras"  # the same name for every state: it is what an export is called after
        model.save(saved)
        made = Path(scratch) / "made"
        for kind, variants in VARIANTS.items():
            chosen = [v for v in variants if state != "recalibrated" or v in _ONLY_RECALIBRATED]
            if not chosen:
                continue
            report = edgeship.convert(
                saved, to=kind, quantize=chosen, data=arrays, out=Path(scratch) / kind,
                data_options=DataOptions(seed=0, calibration_samples=200),
            )  # fmt: skip
            assert {artifact.variant for artifact in report.artifacts} == set(chosen), report
            for artifact in report.artifacts:
                target = made / artifact.id.replace("/", "-")
                target.mkdir(parents=True)
                for entry in artifact.files:
                    shutil.copy(artifact.path / entry.name, target / entry.name)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(made, place)


def files(name: str, state: str) -> Iterator[tuple[str, bytes, bytes]]:
    """What a device has and gets, by `format-variant/file`."""
    for new in sorted((folder() / name / state).rglob("*")):
        old = folder() / name / "base" / new.relative_to(folder() / name / state)
        if new.is_file() and old.is_file():
            yield new.relative_to(folder() / name / state).as_posix(), old.read_bytes(), new.read_bytes()


def _loaded(path: str) -> Callable[[], Any]:
    def load() -> Any:
        import keras

        return keras.models.load_model(SHARED / path, compile=False)

    return load


def _autoencoder() -> Any:
    """The official ad01, read from Keras 2's file."""
    import keras

    return keras.models.load_model(SHARED / "mlperf_tiny/anomaly_detection/ad01.h5", compile=False)


def _windows() -> dict[str, Array]:
    """196 windows of the recording, with small changes of level, as if there were many."""
    found = next((SHARED / "mlperf_tiny/anomaly_detection").glob("*.bin"))
    mels = np.fromfile(found, np.float32).reshape(200, 128)
    windows = np.stack([mels[i : i + 5].reshape(-1) for i in range(196)])
    random = np.random.default_rng(1)
    x = np.concatenate([windows + random.normal(0, 1, (196, 1)) for _ in range(30)]).astype(np.float32)
    return {"x_train": x, "x_test": windows}


TASKS = {
    "resnet8": Task(_loaded("base/resnet8_cifar10_jpeg.keras"), cifar10),
    "mnist_cnn": Task(_loaded("tfjs_reference/mnist_cnn/mnist_cnn.keras"), mnist),
    "ad01": Task(_autoencoder, _windows),
}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.acceptance.deltas.pairs", description=__doc__)
    parser.add_argument("models", nargs="*", default=list(TASKS))
    for chosen_model in parser.parse_args().models:
        make(chosen_model)
