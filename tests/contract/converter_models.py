"""Models for the contract suite over converters; everything here runs in a worker, because it needs TensorFlow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

CALIBRATION = 64
SAMPLES = 24


def make(folder: Path) -> None:
    """Write of each model `<name>.keras`, `<name>/calibration/` (a Dataset), `<name>/expected/` (inputs, outputs)."""
    import keras
    import numpy as np

    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    for name, build in (("cnn", _cnn), ("pair", _pair), ("lstm", _lstm)):
        model = build(keras, rng)
        model.save(folder / f"{name}.keras")
        for part, count in (("calibration", CALIBRATION), ("expected", SAMPLES)):
            (folder / name / part / "x").mkdir(parents=True)
            inputs = []
            for i, tensor in enumerate(model.inputs):
                # Ranges differ by input: calibration that mixes the inputs up cannot go unnoticed.
                array = (rng.normal(size=(count, *tensor.shape[1:])) * 20.0**i).astype(np.float32)
                np.save(folder / name / part / "x" / f"{tensor.name}.npy", array)
                inputs.append(array)
            np.save(folder / name / part / "y.npy", np.zeros(count, np.int64))
        results = model(inputs[0] if len(inputs) == 1 else inputs, training=False)
        for output, result in zip(model.output_names, results if len(model.outputs) > 1 else [results], strict=True):
            np.save(folder / name / "expected" / f"{output}.npy", np.asarray(result))


def _cnn(keras: Any, rng: Any) -> Any:
    """Convolution, batch normalization, depthwise, residual, pooling, dense: outputs that differ well by sample."""
    layers = keras.layers
    image = keras.Input((8, 8, 3), name="image")
    x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(8, 3, padding="same", use_bias=False)(image)))
    x = layers.Add()([x, layers.DepthwiseConv2D(3, padding="same")(x)])
    x = layers.Conv2D(16, 3, strides=2, activation="relu")(x)
    x = layers.Dense(64, activation="relu")(layers.GlobalAveragePooling2D()(x))
    model = keras.Model(image, layers.Dense(10, activation="softmax", name="probabilities")(x))
    for weight in model.weights:
        if weight.path.endswith("gamma") or weight.path.endswith("moving_variance"):
            weight.assign(rng.uniform(0.5, 2.0, weight.shape))
        elif len(weight.shape) == 1:
            weight.assign(rng.normal(0, 0.1, weight.shape))
    model.layers[-1].kernel.assign(model.layers[-1].kernel * 6)
    return model


def _pair(keras: Any, rng: Any) -> Any:
    """Two inputs of one shape and different ranges, two outputs; neither in alphabetical order."""
    del rng
    layers = keras.layers
    right, left = keras.Input((4,), name="right"), keras.Input((4,), name="left")
    zebra = layers.Dense(3, name="zebra")(layers.Concatenate()([right, layers.Rescaling(0.05)(left)]))
    return keras.Model([right, left], [zebra, layers.Subtract(name="apple")([right, left])])


def _lstm(keras: Any, rng: Any) -> Any:
    del rng
    steps = keras.Input((6, 5), name="steps")
    return keras.Model(steps, keras.layers.Dense(3, name="score")(keras.layers.LSTM(8)(steps)))
