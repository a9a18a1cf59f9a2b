"""The demo's trained model: a small network on scikit-learn's digits, trained once and kept in the cache."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgeship import cache
from edgeship.child import Worker
from edgeship.data import DataOptions, digits, load, open_dataset
from edgeship.types import Dataset, Progress, ProgressCallback, TensorSpec

EPOCHS = 12


def trained_baseline(progress: ProgressCallback, seed: int = 0) -> Path:
    """Path of the trained `digits.keras`; trains it (under a minute) if the cache does not hold it."""

    def train(place: Path) -> None:
        outputs = (TensorSpec("probabilities", (None, len(digits.CLASSES)), "float32"),)
        dataset = open_dataset("digits", (digits.INPUT,), outputs, DataOptions(seed=seed), cache.root() / "datasets")
        with Worker() as worker:
            worker.call(
                train_baseline,
                out=place / "digits.keras",
                dataset=dataset,
                epochs=EPOCHS,
                seed=seed,
                progress=progress,
            )

    return cache.entry("demo", cache.key("demo", epochs=EPOCHS, seed=seed), train) / "digits.keras"


def train_baseline(out: Path, dataset: Dataset, epochs: int, seed: int, progress: ProgressCallback) -> Path:
    """Train a small convolutional network on the digits and save it at `out` (.keras).

    Input `image` (N, 32, 32, 1) in 0..1, output `probabilities` (N, 10). Needs TensorFlow: runs in a worker.

    Args:
        out: the file to write; its folder exists.
        dataset: made by `open_dataset("digits", ...)`.
        epochs: passes over the training split; 12 reach about 98 % on the test split.
        seed: of the initial weights and the order of samples.
        progress: called after each epoch.
    """
    import keras
    import numpy as np

    train = load(dataset, "train")
    assert train.labels is not None
    x, y = np.asarray(next(iter(train.inputs.values()))), np.asarray(train.labels)
    keras.utils.set_random_seed(seed)
    model = _network(keras)
    steps = -(-len(x) // 32)
    model.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(4e-3, epochs * steps)),
        keras.losses.SparseCategoricalCrossentropy(),
    )
    notify = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: progress(
            Progress("train the baseline", epoch + 1, epochs, f"loss {logs['loss']:.3f}")
        )
    )
    model.fit(x, y, batch_size=32, epochs=epochs, verbose=0, callbacks=[notify])
    model.save(out)
    return out


def _network(keras: Any) -> Any:
    """Convolutions with batch normalization, depthwise-separable residual blocks, global pooling: 31 k parameters.

    Every layer is named: automatic names depend on what the process has built before, and are part of the model.
    """
    layers = keras.layers

    def normalized(x: Any, layer: Any) -> Any:
        return layers.BatchNormalization(momentum=0.9, name=f"{layer.name}_norm")(layer(x))

    def activated(x: Any, layer: Any) -> Any:
        return layers.ReLU(name=f"{layer.name}_relu")(normalized(x, layer))

    def convolution(channels: int, size: int, strides: int, name: str) -> Any:
        return layers.Conv2D(channels, size, strides=strides, padding="same", use_bias=False, name=name)

    image = keras.Input(digits.INPUT.shape[1:], name="image")
    x = activated(image, convolution(16, 3, 2, "stem"))
    for block, channels in (("block1", 32), ("block2", 64)):
        x = activated(x, convolution(channels, 3, 2, f"{block}_down"))
        depthwise = layers.DepthwiseConv2D(3, padding="same", use_bias=False, name=f"{block}_depthwise")
        y = normalized(activated(x, depthwise), convolution(channels, 1, 1, f"{block}_pointwise"))
        x = layers.ReLU(name=f"{block}_relu")(layers.Add(name=f"{block}_add")([x, y]))
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(image, layers.Dense(10, activation="softmax", name="probabilities")(x), name="digits")
