"""Keras 3 models as tf_keras models and back."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import zoo
from keras import layers

from edgeship.compress.tfmot.replay import compare, from_tf_keras, to_tf_keras
from edgeship.errors import UnsupportedModelError


@pytest.mark.parametrize("name", ["two_inputs", "unet", "signal", "autoencoder"])
def test_same_network_there_and_back(name: str) -> None:
    model = getattr(zoo, name)()
    replayed = to_tf_keras(model)  # compares the outputs itself
    assert type(replayed).__module__.startswith("tf_keras.")
    assert replayed.count_params() == model.count_params()
    for layer in replayed.layers:
        layer.set_weights([weight + 0.01 for weight in layer.get_weights()])
    changed = from_tf_keras(replayed, model)
    assert [spec.shape for spec in changed.inputs] == [spec.shape for spec in model.inputs]
    assert not any(np.array_equal(a, b) for a, b in zip(changed.get_weights(), model.get_weights(), strict=True))


def test_regularizers_come_along() -> None:
    image = keras.Input((4,), name="x")
    dense = layers.Dense(3, kernel_regularizer=keras.regularizers.L2(0.25), name="dense")
    replayed = to_tf_keras(keras.Model(image, dense(image)))
    found = replayed.get_layer("dense").kernel_regularizer
    assert type(found).__module__.startswith("tf_keras.")
    assert float(found.l2) == pytest.approx(0.25)


class Own(layers.Layer):
    def call(self, x):
        return x


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (layers.Dense(3, activation="hard_silu", name="odd"), "layer odd .* does not fit tf_keras.*hard_silu"),
        (layers.Dense(3, kernel_constraint="non_neg", name="odd"), "layer odd .* has a kernel_constraint"),
        (layers.Dense(3, kernel_regularizer=keras.regularizers.OrthogonalRegularizer(), name="odd"), "Orthogonal"),
        (Own(name="odd"), "layer odd .* no counterpart"),
        (layers.Dense(3, activation="hard_sigmoid", name="odd"), "replay differs by"),  # another function in Keras 2
    ],
)
def test_what_tf_keras_cannot_express_is_refused_by_name(layer, message: str) -> None:
    x = keras.Input((4,))
    with pytest.raises(UnsupportedModelError, match=message) as raised:
        to_tf_keras(keras.Model(x, layer(x)))
    assert "native" in raised.value.remedy


def test_models_that_differ_are_not_taken_for_each_other() -> None:
    x = keras.Input((4,))
    model = keras.Model(x, layers.Dense(3, name="dense")(x))
    replayed = to_tf_keras(model)
    kernel, bias = model.get_weights()
    kernel[0, 0] += 0.01
    model.set_weights([kernel, bias])
    with pytest.raises(UnsupportedModelError, match="replay differs"):
        compare(model, replayed)
    other = keras.Model(x, layers.Dense(3, name="other")(x))
    with pytest.raises(UnsupportedModelError, match=r"layer other .* is not in the trained"):
        from_tf_keras(replayed, other)
