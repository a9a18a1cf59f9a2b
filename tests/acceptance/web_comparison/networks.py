"""`python -m tests.acceptance.web_comparison.networks FOLDER`: MobileNetV2 for the digits, three times as large."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from edgeship.data import digits

SHAPE = (1, 96, 96, 3)
_EPOCHS = 8
_TIMES = SHAPE[1] // 32


def mobilenet(folder: Path, samples: int) -> None:
    """Write a trained `model.keras`, and `data.npz` with the last `samples` digits for testing."""
    import keras

    data = digits.arrays()
    x = data["x"].repeat(_TIMES, axis=1).repeat(_TIMES, axis=2).repeat(3, axis=3).astype(np.float32)
    y = data["y"]
    keras.utils.set_random_seed(0)
    image = keras.Input(SHAPE[1:], name="image")
    model = keras.applications.MobileNetV2(weights=None, classes=10, input_tensor=image)
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.9  # few steps: the usual averages would still remember the beginning
    model.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x[:-samples], y[:-samples], epochs=_EPOCHS, batch_size=32, verbose=2)
    print(model.evaluate(x[-samples:], y[-samples:], verbose=0), file=sys.stderr)
    model.save(folder / "model.keras")
    test = {"x_test": x[-samples:], "y_test": y[-samples:]}
    np.savez(folder / "data.npz", x_train=x[:-samples], y_train=y[:-samples], **test)


if __name__ == "__main__":
    mobilenet(Path(sys.argv[1]), int(sys.argv[2]))
