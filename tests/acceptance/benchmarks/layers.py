"""Files of so many equal layers: one in twenty more is 5 % more work, by construction. A script, for TensorFlow.

    python layers.py FOLDER COUNT...

Each layer is a convolution of 3 x 3 over 24 x 24 positions from 16 channels to 16, with a relu: 1,327,104
multiply-adds.
Whether time grows with the layers as the work does is measured, not assumed: see `construction.py`.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

SIZE, CHANNELS = 24, 16


def write(folder: Path, count: int) -> None:
    """`<count>.tflite`; the weights of a layer are those of that layer in every file."""
    import keras
    import numpy as np
    import tensorflow as tf

    image = keras.Input((SIZE, SIZE, CHANNELS))
    values = image
    for _ in range(count):
        values = keras.layers.Conv2D(CHANNELS, 3, padding="same", activation="relu")(values)
    model = keras.Model(image, values)
    for number, layer in enumerate(model.layers[1:]):
        kernel, bias = layer.get_weights()
        rng = np.random.default_rng(number)
        layer.set_weights([rng.normal(0, (2 / (9 * CHANNELS)) ** 0.5, kernel.shape).astype(np.float32), bias])
    (folder / f"{count}.tflite").write_bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    for word in sys.argv[2:]:
        write(Path(sys.argv[1]), int(word))
