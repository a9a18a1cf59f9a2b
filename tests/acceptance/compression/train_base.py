"""Trains the bases that are not given: a small network for gestures, MobileNetV2-0.35 for CIFAR-10. Seeded, resumable.

Runs in a worker. Every epoch ends with a backup, so an interrupted training goes on where it was.
"""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

from edgeship import data
from edgeship.types import Array, Dataset
from tests.acceptance.compression.bases import SCHEDULES, SEED
from tests.acceptance.compression.data import flip_and_crop


def gesture() -> keras.Model:
    """Strided convolutions along the stroke, 14,000 parameters."""
    stroke = x = keras.Input((64, 2), name="stroke")
    for filters in (16, 32, 48):
        x = layers.Conv1D(filters, 5, strides=2, padding="same", use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))
    x = layers.Dropout(0.2)(layers.Flatten()(x))
    return keras.Model(stroke, layers.Dense(10, activation="softmax", name="probabilities")(x), name="gesture")


def mobilenetv2() -> keras.Model:
    """MobileNetV2 with width 0.35 (arXiv 1801.04381) for images of 32 pixels: its third stride is 1. Takes 0..255."""

    def without_third_stride(layer: keras.layers.Layer) -> keras.layers.Layer:
        config = layer.get_config()
        if layer.name == "block_3_depthwise":
            config["strides"] = (1, 1)
        if layer.name == "block_3_pad":  # before a stride of 2 one side is padded, before none both are
            config["padding"] = ((1, 1), (1, 1))
        return type(layer).from_config(config)

    image = keras.Input((32, 32, 3), name="image")
    made = keras.applications.MobileNetV2(input_tensor=image, alpha=0.35, weights=None, classes=10)
    return keras.models.clone_model(made, clone_function=without_third_stride)


MODELS = {"gesture": gesture, "mobilenetv2": mobilenetv2}


class Batches(keras.utils.PyDataset):  # type: ignore[misc] # Keras ships no types
    """Shuffled, augmented batches; those of an epoch depend on its number only: a resumed run sees the same."""

    def __init__(self, x: Array, y: Array, batch_size: int, augment: bool) -> None:
        super().__init__()
        self.epoch = 0
        self._x, self._y, self._size, self._augment = x, y, batch_size, augment

    def __len__(self) -> int:
        return math.ceil(len(self._x) / self._size)

    def __getitem__(self, number: int) -> Any:
        order = np.random.default_rng([SEED, self.epoch]).permutation(len(self._x))
        rows = np.sort(order[number * self._size : (number + 1) * self._size])
        x, y = np.asarray(self._x[rows]), np.asarray(self._y[rows])
        return flip_and_crop(x, y, np.random.default_rng([SEED, self.epoch, number])) if self._augment else (x, y)


def train(name: str, dataset: Dataset, augment: bool, out_dir: Path) -> int:
    """Write `<out_dir>/model.keras`; the number of epochs [child]."""
    keras.utils.set_random_seed(SEED)
    schedule, samples = SCHEDULES[name], data.load(dataset, "train")
    (x,) = samples.inputs.values()
    assert samples.labels is not None  # all tasks have some
    batches = Batches(x, samples.labels, schedule.batch_size, augment)
    model = MODELS[name]()
    rate = keras.optimizers.schedules.CosineDecay(schedule.learning_rate, schedule.epochs * len(batches))
    adam = keras.optimizers.Adam(rate)
    model.compile(adam, "sparse_categorical_crossentropy", metrics=["accuracy"], jit_compile=False)
    number = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, _: setattr(batches, "epoch", epoch))
    backup = out_dir / "backup"
    resume = keras.callbacks.BackupAndRestore(str(backup))
    model.fit(batches, epochs=schedule.epochs, shuffle=False, callbacks=[resume, number], verbose=0)
    model.save(out_dir / "model.keras", include_optimizer=False)
    shutil.rmtree(backup, ignore_errors=True)
    return schedule.epochs
