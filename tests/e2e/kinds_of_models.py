"""The kinds of models that people ship, small: what is typical of each is there, trained it is not.

Runs in a worker, because it needs Keras. Statistics of normalizations are those of the samples, as after training.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers, ops

#: Samples for ranges, and for verification.
CALIBRATION, TEST = 48, 16
#: Size of images where the model leaves it open.
OPEN_SIZE = (24, 32)

Build = Callable[[], keras.Model]


def make(kind: str, folder: Path) -> None:
    """Write `model.keras`, and samples of it as a Dataset: `<split>/x/<input>.npy`."""
    keras.utils.set_random_seed(0)
    write(KINDS[kind](), folder)


def write(model: keras.Model, folder: Path, scale: float = 1.0) -> None:
    """Write a model as `make` does; `scale` is that of samples of real numbers."""
    rng = np.random.default_rng(0)
    for split, count in (("calibration", CALIBRATION), ("test", TEST)):
        arrays = [_samples(tensor, count, rng, scale) for tensor in model.inputs]
        (folder / split / "x").mkdir(parents=True)
        for tensor, array in zip(model.inputs, arrays, strict=True):
            np.save(folder / split / "x" / f"{tensor.name}.npy", array)
        if split == "calibration":
            _settle(model, arrays)
    model.save(folder / "model.keras")


def _samples(tensor: Any, count: int, rng: np.random.Generator, scale: float) -> Any:
    sizes = list(tensor.shape[1:])
    if None in sizes:
        sizes[:2] = OPEN_SIZE
    if tensor.dtype == "float32":
        return (scale * rng.normal(size=(count, *sizes))).astype(np.float32)
    return rng.integers(0, IDS, (count, *sizes)).astype(tensor.dtype)


def _settle(model: keras.Model, arrays: list[Any]) -> None:
    """Normalizations take the statistics of the samples, and channels differ, as after training."""
    found = [layer for layer in model._flatten_layers() if isinstance(layer, layers.BatchNormalization)]
    if not found:
        return
    for layer in found:
        layer.momentum = 0.0
        if layer.scale:
            layer.gamma.assign(layer.gamma * np.random.default_rng(1).uniform(0.7, 1.3, layer.gamma.shape))
    model(arrays if len(arrays) > 1 else arrays[0], training=True)
    for layer in found:
        layer.momentum = 0.99


#: Ids of embeddings are below this.
IDS = 30


def _bn(x: Any, activation: str | None = "relu") -> Any:
    x = layers.BatchNormalization()(x)
    return layers.Activation(activation)(x) if activation else x


def _conv(x: Any, filters: int, size: int = 3, strides: int = 1, activation: str | None = "relu") -> Any:
    return _bn(layers.Conv2D(filters, size, strides, padding="same", use_bias=False)(x), activation)


def _head(x: Any, classes: int = 5) -> Any:
    kernel = keras.initializers.RandomNormal(stddev=1.0)
    return layers.Dense(classes, "softmax", kernel_initializer=kernel)(layers.GlobalAveragePooling2D()(x))


def _mobilenet() -> keras.Model:
    """Inverted residuals with ReLU6 and a Rescaling of pixels."""
    image = keras.Input((32, 32, 3), name="image")
    x = _conv(layers.Rescaling(0.5, 0.1)(image), 8, strides=2, activation="relu6")
    for strides in (1, 2):
        y = _conv(x, 24, 1, activation="relu6")
        y = layers.ZeroPadding2D(((0, 1), (0, 1)))(y) if strides == 2 else y
        y = layers.DepthwiseConv2D(3, strides, padding="valid" if strides == 2 else "same", use_bias=False)(y)
        y = _conv(_bn(y, "relu6"), 8, 1, activation=None)
        x = layers.Add()([x, y]) if strides == 1 else y
    return keras.Model(image, _head(x))


def _efficientnet() -> keras.Model:
    """Swish, squeeze and excitation, and a hard swish as of MobileNetV3."""
    image = keras.Input((24, 24, 3), name="image")
    x = _conv(layers.Normalization(mean=[0.1, 0.2, 0.3], variance=[1.0, 2.0, 0.5])(image), 8, activation="swish")
    for activation, gate in (("swish", "sigmoid"), ("hard_swish", "hard_sigmoid")):
        y = _bn(layers.DepthwiseConv2D(5, padding="same", use_bias=False)(_conv(x, 16, 1, activation=activation)))
        scale = layers.Reshape((1, 1, 16))(layers.GlobalAveragePooling2D()(y))
        scale = layers.Conv2D(16, 1, activation=gate)(layers.Conv2D(4, 1, activation=activation)(scale))
        x = layers.Add()([x, _conv(layers.Multiply()([y, scale]), 8, 1, activation=None)])
    return keras.Model(image, _head(layers.Dropout(0.2)(x)))


def _resnet() -> keras.Model:
    """Bottlenecks with a projection, and max pooling over padding."""
    image = keras.Input((32, 32, 3), name="image")
    x = layers.MaxPooling2D(3, 2, padding="same")(_conv(image, 8, 7, 2))
    for strides in (1, 2):
        y = _conv(_conv(x, 4, 1, strides), 4, 3)
        shortcut = _conv(x, 16, 1, strides, activation=None)
        x = layers.ReLU()(layers.Add()([shortcut, _conv(y, 16, 1, activation=None)]))
    return keras.Model(image, _head(x))


def _densenet() -> keras.Model:
    """Everything before, concatenated; average pooling between."""
    image = keras.Input((16, 16, 3), name="image")
    x = layers.Conv2D(8, 3, padding="same")(image)
    for _ in range(2):
        for _ in range(2):
            x = layers.Concatenate()([x, layers.Conv2D(4, 3, padding="same")(_bn(x))])
        x = layers.AveragePooling2D(2)(layers.Conv2D(8, 1)(_bn(x)))
    return keras.Model(image, _head(x))


def _unet() -> keras.Model:
    """Down and up again, by a transposed convolution and by resizing; a class for each pixel."""
    image = keras.Input((16, 16, 3), name="image")
    first = _conv(image, 8)
    second = _conv(layers.MaxPooling2D()(first), 12)
    x = _conv(layers.MaxPooling2D()(second), 16)
    x = layers.Concatenate()([layers.Conv2DTranspose(12, 2, 2)(x), second])
    x = layers.Concatenate()([layers.UpSampling2D(interpolation="bilinear")(_conv(x, 8)), first])
    return keras.Model(image, layers.Conv2D(4, 1, activation="softmax", name="mask")(_conv(x, 8)))


def _keyword_spotting() -> keras.Model:
    """Depthwise separable convolutions over features of sound."""
    features = keras.Input((49, 10, 1), name="mfcc")
    x = _conv(features, 16, (10, 4), (2, 2))
    x = _bn(layers.SeparableConv2D(16, 3, padding="same", use_bias=False)(x))
    return keras.Model(features, _head(layers.Dropout(0.4)(x)))


def _audio() -> keras.Model:
    """From the wave itself: a mel spectrogram in the graph, then convolutions in time."""
    wave = keras.Input((1024,), name="wave")
    mel = layers.MelSpectrogram(
        fft_length=128, sequence_stride=64, sampling_rate=8000, num_mel_bins=16, min_freq=50, max_freq=4000
    )(wave)
    x = layers.Permute((2, 1))(mel)
    for filters in (12, 16):
        x = layers.MaxPooling1D()(_bn(layers.Conv1D(filters, 3, padding="causal", use_bias=False)(x)))
    return keras.Model(wave, layers.Dense(4)(layers.GlobalAveragePooling1D()(x)))


def _recurrent(layer: Any, **options: Any) -> Build:
    def build() -> keras.Model:
        steps = keras.Input((10, 6), name="steps")
        return keras.Model(steps, layers.Dense(3)(layer(8, **options)(steps)))

    return build


def _bidirectional() -> keras.Model:
    steps = keras.Input((8, 5), name="steps")
    x = layers.Bidirectional(layers.LSTM(6, return_sequences=True))(steps)
    return keras.Model(steps, layers.Dense(3)(layers.Bidirectional(layers.GRU(4), merge_mode="sum")(x)))


def _fixed_batch() -> keras.Model:
    """A batch of one, as for streaming, and two layers of recurrence."""
    steps = keras.Input(batch_shape=(1, 8, 5), name="steps")
    return keras.Model(steps, layers.Dense(3)(layers.LSTM(6)(layers.GRU(6, return_sequences=True)(steps))))


def _transformer(dtype: str) -> Build:
    def build() -> keras.Model:
        ids = keras.Input((12,), name="ids", dtype=dtype)
        positions = layers.Embedding(12, 16)(ops.arange(12))
        x = layers.Embedding(IDS, 16)(ids) + positions
        for _ in range(2):
            y = layers.LayerNormalization()(x)
            x = layers.Add()([x, layers.MultiHeadAttention(2, 8)(y, y, use_causal_mask=True)])
            y = layers.Dense(32, activation="gelu")(layers.LayerNormalization()(x))
            x = layers.Add()([x, layers.Dense(16)(y)])
        return keras.Model(ids, layers.Dense(4)(layers.GlobalAveragePooling1D()(layers.LayerNormalization()(x))))

    return build


def _autoencoder() -> keras.Model:
    features = keras.Input((40,), name="features")
    x = features
    for units in (32, 8, 32):
        x = _bn(layers.Dense(units)(x))
    return keras.Model(features, layers.Dense(40, name="again")(x))


def _multi_task() -> keras.Model:
    """A shared trunk; a class, a number, and a yes or no."""
    image = keras.Input((16, 16, 3), name="image")
    x = layers.GlobalAveragePooling2D()(_conv(_conv(image, 8), 16, strides=2))
    heads = {
        "kind": layers.Dense(4, "softmax", name="kind")(x),
        "age": layers.Dense(1, name="age")(layers.Dense(8, "relu")(x)),
        "smiles": layers.Dense(1, "sigmoid", name="smiles")(x),
    }
    return keras.Model(image, heads)


def _tabular() -> keras.Model:
    """Numbers that are normalized in the graph, categories as ids, a one-hot code."""
    numbers = keras.Input((5,), name="numbers")
    city, day = keras.Input((1,), name="city", dtype="int32"), keras.Input((1,), name="day", dtype="int32")
    scaled = layers.Normalization(mean=[0, 1, -1, 0.5, 0], variance=[1, 4, 1, 0.25, 2])(numbers)
    place = layers.Flatten()(layers.Embedding(IDS, 4)(city))
    code = layers.CategoryEncoding(IDS, output_mode="one_hot")(day)
    x = layers.Concatenate()([scaled, place, code])
    return keras.Model([numbers, city, day], layers.Dense(1, "sigmoid")(layers.Dense(16, "relu")(x)))


def _recommender() -> keras.Model:
    """Two towers of embeddings and their dot product."""
    user = keras.Input((1,), name="user", dtype="int64")
    items = keras.Input((4,), name="items", dtype="int64")
    table = keras.initializers.RandomNormal(stddev=1.0)
    taste = layers.Dense(8)(layers.Flatten()(layers.Embedding(IDS, 8, embeddings_initializer=table)(user)))
    seen = layers.GlobalAveragePooling1D()(layers.Embedding(IDS, 8, embeddings_initializer=table)(items))
    return keras.Model([user, items], layers.Dot(1, normalize=True, name="score")([taste, seen]))


def _detector() -> keras.Model:
    """Boxes and scores from two scales; what overlaps is left to the app."""
    image = keras.Input((32, 32, 3), name="image")
    fine = _conv(_conv(image, 8, strides=2), 12, strides=2)
    coarse = _conv(fine, 16, strides=2)
    boxes, scores = [], []
    for x in (fine, coarse):
        boxes.append(layers.Reshape((-1, 4))(layers.Conv2D(8, 3, padding="same")(x)))
        scores.append(layers.Reshape((-1, 3))(layers.Conv2D(6, 3, padding="same", activation="sigmoid")(x)))
    found = layers.Concatenate(axis=1, name="boxes")(boxes), layers.Concatenate(axis=1, name="scores")(scores)
    return keras.Model(image, list(found))


def _any_size() -> keras.Model:
    """Images of any size."""
    image = keras.Input((None, None, 3), name="image")
    return keras.Model(image, _head(_conv(_conv(image, 8, strides=2), 12)))


KINDS: dict[str, Build] = {
    "mobilenet": _mobilenet,
    "efficientnet": _efficientnet,
    "resnet": _resnet,
    "densenet": _densenet,
    "unet": _unet,
    "keyword-spotting": _keyword_spotting,
    "audio": _audio,
    "lstm": _recurrent(layers.LSTM),
    "lstm-unrolled": _recurrent(layers.LSTM, unroll=True),
    "gru": _recurrent(layers.GRU),
    "bidirectional": _bidirectional,
    "fixed-batch": _fixed_batch,
    "transformer-int32": _transformer("int32"),
    "transformer-int64": _transformer("int64"),
    "autoencoder": _autoencoder,
    "multi-task": _multi_task,
    "tabular": _tabular,
    "recommender": _recommender,
    "detector": _detector,
    "any-size": _any_size,
}
