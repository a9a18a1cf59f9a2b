"""A network for scikit-learn's digits, whole and hurt in one layer, with the data as a dataset on disk."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")


def quiet(_):
    """No progress wanted."""


@pytest.fixture(scope="session")
def healthy(digits):
    """A trained network of three convolutions and a Dense layer. Tests do not change it."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(1)
    image = keras.Input((8, 8, 1), name="image")
    x = layers.Conv2D(12, 3, padding="same", activation="relu", name="first")(image)
    x = layers.Conv2D(16, 3, padding="same", activation="relu", name="middle")(x)
    x = layers.Conv2D(24, 3, strides=2, activation="relu", name="last")(x)
    out = layers.Dense(10, activation="softmax", name="digit")(layers.Flatten()(x))
    model = keras.Model(image, out, name="digits_net")
    model.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy")
    model.fit(digits[0], digits[1], epochs=8, batch_size=32, verbose=0)
    return model


@pytest.fixture(scope="session")
def wide_channel(healthy):
    """The same function, but one output channel of `middle` is 400 times as large, and read with 1/400."""
    model = _copy(healthy)
    kernel, bias = model.get_layer("middle").get_weights()
    after, after_bias = model.get_layer("last").get_weights()
    loudest = int(np.abs(after).sum(axis=(0, 1, 3)).argmax())
    kernel[..., loudest] *= 400
    bias[loudest] *= 400
    after[:, :, loudest] /= 400
    model.get_layer("middle").set_weights([kernel, bias])
    model.get_layer("last").set_weights([after, after_bias])
    return model


@pytest.fixture(scope="session")
def large_weights(healthy):
    """A dead channel of `last`, with large weights in `digit`: they do nothing, but set the scale of all others."""
    model = _copy(healthy)
    kernel, bias = model.get_layer("last").get_weights()
    after, after_bias = model.get_layer("digit").get_weights()
    features = after.reshape(-1, kernel.shape[-1], 10)
    quietest = int(np.abs(features).sum(axis=(0, 2)).argmin())
    kernel[..., quietest], bias[quietest] = 1e-2, -1
    features[:, quietest] = 100
    model.get_layer("last").set_weights([kernel, bias])
    model.get_layer("digit").set_weights([features.reshape(after.shape), after_bias])
    return model


def _copy(model):
    import keras

    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    return copy


@pytest.fixture(scope="session")
def opened(tmp_path_factory, digits) -> Callable[..., SimpleNamespace]:
    """A model as a Source and the digits as a Dataset, 390 of them for validation."""
    from edgeship import source as sources
    from edgeship.data import DataOptions, from_arrays

    def opened(model) -> SimpleNamespace:
        folder = Path(tmp_path_factory.mktemp("opened"))
        source = sources.inspect(sources.save_live(model, folder), (), False)
        arrays = dict(zip(("x_train", "y_train", "x_test", "y_test"), digits, strict=True))
        options = DataOptions(validation_share=0.3)
        dataset = from_arrays(arrays, source.inputs, source.outputs, options, folder / "data", "digits")
        return SimpleNamespace(source=source, dataset=dataset, folder=folder)

    return opened


@pytest.fixture(scope="session")
def litert():
    """Outputs of a .tflite file with float inputs and outputs, for arrays by input name: the first output by name."""
    from ai_edge_litert.interpreter import Interpreter

    def litert(content, arrays):
        runner = Interpreter(model_content=content).get_signature_runner("serving_default")
        count = len(next(iter(arrays.values())))
        rows = [runner(**{name: array[i : i + 1] for name, array in arrays.items()}) for i in range(count)]
        return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}

    return litert
