"""Small Keras models on disk for the tests of graph, TFLite and ONNX; needs TensorFlow in this process."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from edgeship.source import forward, inspect, load
from edgeship.types import Array, Dataset, Source

layers = keras.layers


def cnn() -> Any:
    image = keras.Input((8, 8, 3), name="image")
    x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(4, 3, use_bias=False)(image)))
    x = layers.Add()([x, layers.DepthwiseConv2D(3, padding="same")(x)])
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(8, 3)(x))
    return keras.Model(image, layers.Dense(5, activation="softmax", name="probabilities")(x))


def lstm() -> Any:
    steps = keras.Input((6, 5), name="steps")
    return keras.Model(steps, layers.Dense(3, name="score")(layers.LSTM(8)(steps)))


def bidirectional_gru() -> Any:
    steps = keras.Input((4, 5), name="steps")
    return keras.Model(steps, layers.Dense(3, name="score")(layers.Bidirectional(layers.GRU(4))(steps)))


def shared() -> Any:
    """One layer used twice, next to one with the name that TensorFlow gives the second scope."""
    left, right = keras.Input((4,), name="left"), keras.Input((4,), name="right")
    dense, other = layers.Dense(3, name="dense"), layers.Dense(3, name="dense_1")
    return keras.Model([left, right], layers.Concatenate(name="both")([dense(left), dense(right), other(left)]))


def embedding() -> Any:
    tokens = keras.Input((6,), name="tokens", dtype="int32")
    x = layers.GlobalAveragePooling1D()(layers.Embedding(20, 8)(tokens))
    return keras.Model(tokens, layers.Dense(3, name="score")(x))


def highest() -> Any:
    """A reduction whose shape ONNX Runtime's symbolic inference does not know, before a layer with weights."""
    image = keras.Input((8, 8, 3), name="image")
    x = layers.GlobalMaxPooling2D()(layers.Conv2D(8, 3, activation="relu")(image))
    return keras.Model(image, layers.Dense(4, name="score")(x))


def bytes_image() -> Any:
    """An image as bytes, scaled in the model."""
    image = keras.Input((8, 8, 3), name="image", dtype="uint8")
    x = layers.Conv2D(4, 3, activation="relu")(layers.Rescaling(1 / 255)(image))
    return keras.Model(image, layers.Dense(3, name="score")(layers.Flatten()(x)))


@keras.saving.register_keras_serializable("edgeship_tests")
class Gamma(layers.Layer):  # type: ignore[misc] # keras ships no types
    """An operator that neither TFLite nor ONNX has."""

    def call(self, inputs: Any) -> Any:
        return tf.math.igamma(tf.abs(inputs) + 1.0, tf.abs(inputs))


def gamma() -> Any:
    x = keras.Input((4,), name="x")
    return keras.Model(x, layers.Dense(2, name="y")(Gamma(name="strange")(x)))


def save(model: Any, folder: Path, name: str = "model") -> Source:
    """Write a Keras model and look at it."""
    folder.mkdir(parents=True, exist_ok=True)
    model.save(folder / f"{name}.keras")
    return inspect(folder / f"{name}.keras", custom_objects=("frozen_models:Gamma",))


def samples(source: Source, count: int, seed: int = 0) -> dict[str, Array]:
    """Random inputs by name."""
    rng = np.random.default_rng(seed)
    shapes = {i.name: (count, *i.shape[1:]) for i in source.inputs}
    return {
        i.name: rng.integers(0, 20, shapes[i.name]).astype(i.dtype)
        if "int" in i.dtype
        else rng.normal(size=shapes[i.name]).astype(i.dtype)
        for i in source.inputs
    }


def reference(source: Source, inputs: Mapping[str, Array]) -> list[Array]:
    """What the framework of the model computes."""
    call = forward(load(source), source)
    return [np.asarray(output) for output in call(*(tf.constant(inputs[i.name]) for i in source.inputs))]


def calibration(source: Source, folder: Path, count: int = 256) -> Dataset:
    """Random calibration samples on disk."""
    place = folder / "calibration"
    (place / "x").mkdir(parents=True)
    for name, array in samples(source, count, seed=1).items():
        np.save(place / "x" / f"{name}.npy", array)
    np.save(place / "y.npy", np.zeros(count, np.int64))
    return Dataset(folder, "random", "0" * 64, "classification", source.inputs, {"calibration": count})
