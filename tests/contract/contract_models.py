"""Two small Keras models for the contract suites; `make` runs in a worker, because it needs TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgeship.types import Array, Artifact


@dataclass(frozen=True)
class Exported:
    """One model: its float32 files by format, some inputs, and what Keras computes for them, in its own order."""

    artifacts: Mapping[str, Artifact]
    inputs: Mapping[str, Array]
    outputs: Mapping[str, Array]


def make(folder: Path) -> None:
    """Write `<name>.keras`, its inputs `<name>.x.<input>.npy` and its outputs `<name>.y.<output>.npy`."""
    import keras
    import numpy as np

    keras.utils.set_random_seed(0)
    layers = keras.layers
    image = keras.Input((8, 8, 1), name="image")
    hidden = layers.MaxPooling2D()(layers.Conv2D(4, 3, activation="relu")(image))
    single = keras.Model(image, layers.Dense(3, activation="softmax", name="probabilities")(layers.Flatten()(hidden)))
    left, right = keras.Input((4,), name="left"), keras.Input((4,), name="right")
    # Alphabetical order is neither the inputs' nor the outputs' order, and left and right are alike in shape.
    zebra = layers.Dense(2, name="zebra")(layers.Concatenate()([right, left]))
    apple = layers.Subtract(name="apple")([left, right])
    multi = keras.Model([right, left], [zebra, apple])

    rng = np.random.default_rng(0)
    for name, model in (("single", single), ("multi", multi)):
        model.save(folder / f"{name}.keras")
        inputs = [rng.normal(size=(7, *tensor.shape[1:])).astype(np.float32) for tensor in model.inputs]
        outputs = model(inputs[0] if len(inputs) == 1 else inputs)
        for tensor, array in zip(model.inputs, inputs, strict=True):
            np.save(folder / f"{name}.x.{tensor.name}.npy", array)
        for output, array in zip(model.output_names, outputs if len(model.outputs) > 1 else [outputs], strict=True):
            np.save(folder / f"{name}.y.{output}.npy", np.asarray(array))
