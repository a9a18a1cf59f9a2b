"""For the comparison with the official TF.js converter: models and our conversion; all of it runs in a worker."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgeship.types import ConvertOptions, Source
from edgeship_converters.tfjs import TFJSConverter


def convert(source: Source, out_dir: Path) -> None:
    """Write our graph model."""
    TFJSConverter().convert(source, "float32", ConvertOptions(), out_dir)


def make(folder: Path) -> None:
    """Write `small_cnn.keras` and `mobilenet_v2.keras` (alpha 0.35, 96x96): untrained, statistics as after training."""
    import keras
    import numpy as np

    keras.utils.set_random_seed(0)
    layers = keras.layers
    image = keras.Input((32, 32, 3), name="image")
    x = image
    for filters in (8, 16, 32):
        x = layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
        x = layers.MaxPooling2D()(layers.ReLU()(layers.BatchNormalization()(x)))
    outputs = layers.Dense(10, activation="softmax")(layers.GlobalAveragePooling2D()(x))
    mobile: Any = keras.applications.MobileNetV2(input_shape=(96, 96, 3), alpha=0.35, weights=None, classes=100)
    rng = np.random.default_rng(0)
    for name, model in (("small_cnn", keras.Model(image, outputs)), ("mobilenet_v2", mobile)):
        for layer in model.layers:
            if isinstance(layer, layers.BatchNormalization):
                shape = layer.gamma.shape
                spread, moved = rng.uniform(0.5, 1.5, (2, *shape)), rng.normal(0, 0.2, (2, *shape))
                layer.set_weights([spread[0], moved[0], moved[1], spread[1]])
        model.save(folder / f"{name}.keras")
