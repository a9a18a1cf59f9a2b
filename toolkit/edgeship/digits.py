"""The demo's task and its baseline model: scikit-learn's handwritten digits, enlarged to 32x32.

1,797 images of 8x8 in 17 grey levels, 10 classes (UCI "Optical Recognition of Handwritten Digits").
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeship.types import Dataset, Progress, ProgressCallback, TensorSpec

if TYPE_CHECKING:
    from edgeship.types import Array

SIZE = 32
INPUT = TensorSpec("image", (None, SIZE, SIZE, 1), "float32")
CLASSES = tuple(str(digit) for digit in range(10))


def arrays() -> dict[str, Array]:
    """`x` (1797, 32, 32, 1) float32 in 0..1 and `y` (1797,) int64.

    Enlarged bilinearly with half-pixel centers. All weights are multiples of 1/8 and all pixels of 1/16, so that the
    float32 result is exact and the same on every machine.
    """
    from sklearn.datasets import load_digits

    data = load_digits()
    small = (data.images / 16).astype(np.float32)
    weights = _bilinear(small.shape[1], SIZE)
    large = np.einsum("ri,nij,cj->nrc", weights, small, weights, optimize=True)
    return {"x": large[..., None].astype(np.float32), "y": data.target.astype(np.int64)}


def _bilinear(old: int, new: int) -> Array:
    """Interpolation matrix (new, old) with half-pixel centers, edges repeated."""
    center = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)
    low = np.floor(center).astype(int)
    high = np.minimum(low + 1, old - 1)
    weights = np.zeros((new, old), np.float32)
    rows = np.arange(new)
    np.add.at(weights, (rows, low), (1 - (center - low)).astype(np.float32))
    np.add.at(weights, (rows, high), (center - low).astype(np.float32))
    return weights


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

    from edgeship import data

    train = data.load(dataset, "train")
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

    image = keras.Input((SIZE, SIZE, 1), name="image")
    x = activated(image, convolution(16, 3, 2, "stem"))
    for block, channels in (("block1", 32), ("block2", 64)):
        x = activated(x, convolution(channels, 3, 2, f"{block}_down"))
        depthwise = layers.DepthwiseConv2D(3, padding="same", use_bias=False, name=f"{block}_depthwise")
        y = normalized(activated(x, depthwise), convolution(channels, 1, 1, f"{block}_pointwise"))
        x = layers.ReLU(name=f"{block}_relu")(layers.Add(name=f"{block}_add")([x, y]))
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(image, layers.Dense(10, activation="softmax", name="probabilities")(x), name="digits")
