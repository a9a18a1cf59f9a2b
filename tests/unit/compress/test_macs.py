"""MACs counted by hand."""

from __future__ import annotations

import keras
import pytest
from keras import layers

from edgeship.compress.graph.macs import macs, macs_by_layer
from edgeship.errors import UnsupportedModelError


def count(shape, *parts):
    return macs(keras.Sequential([keras.Input(shape), *parts]))


@pytest.mark.parametrize(
    ("shape", "layer", "expected"),
    [
        ((8, 8, 3), layers.Conv2D(5, 3, padding="same", strides=2), 4 * 4 * 9 * 3 * 5),
        ((8, 8, 4), layers.Conv2D(6, 3, groups=2), 6 * 6 * 9 * 2 * 6),
        ((8, 8, 3), layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same"), 64 * 9 * 3 * 2),
        ((8, 8, 3), layers.SeparableConv2D(5, 3, depth_multiplier=2), 36 * (9 * 3 * 2 + 6 * 5)),
        ((4, 4, 3), layers.Conv2DTranspose(5, 2, strides=2), 16 * 4 * 3 * 5),  # each input number meets the kernel
        ((10, 3), layers.Conv1D(4, 3, padding="causal"), 10 * 3 * 3 * 4),
        ((4, 4, 4, 2), layers.Conv3D(3, 2), 27 * 8 * 2 * 3),
        ((7,), layers.Dense(5), 35),
        ((6, 7), layers.Dense(5), 6 * 35),
        ((6, 7), layers.EinsumDense("abc,cde->abde", output_shape=(None, 2, 4)), 6 * 7 * 8),
        ((3, 6, 7), layers.EinsumDense("...c,cd->...d", output_shape=4), 18 * 7 * 4),
        ((6, 7), layers.LSTM(5), 6 * (7 * 20 + 5 * 20)),
        ((6, 7), layers.Bidirectional(layers.GRU(5)), 2 * 6 * (7 * 15 + 5 * 15)),
        ((8, 8, 3), layers.BatchNormalization(), 0),
        ((8, 8, 3), layers.MaxPooling2D(), 0),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, layers.Layer) else None,
)
def test_by_hand(shape, layer, expected):
    assert count(shape, layer) == expected


def test_products_of_tensors():
    a, b = keras.Input((5, 12)), keras.Input((7, 12))
    attended = layers.MultiHeadAttention(3, 4, value_dim=2, name="heads")(a, b)
    plain = layers.Attention(name="plain")([a, b])
    dot = layers.Dot(axes=2, name="dot")([a, b])
    found = macs_by_layer(keras.Model([a, b], [attended, plain, dot]))
    projections = 5 * 12 * 12 + 7 * 12 * 12 + 7 * 12 * 6 + 5 * 6 * 12
    assert found["heads"] == projections + 5 * 7 * 3 * (4 + 2)
    assert found["plain"] == 2 * 5 * 7 * 12
    assert found["dot"] == 5 * 7 * 12


def test_layers_of_nested_models_are_listed_by_name():
    inner = keras.Sequential([keras.Input((8,)), layers.Dense(4, name="same")], name="inner")
    numbers = keras.Input((6,))
    model = keras.Model(numbers, layers.Dense(2, name="last")(inner(layers.Dense(8, name="same")(numbers))))
    assert macs_by_layer(model) == {"same": 48, "same_1": 32, "last": 8}


def test_unknown_sizes_are_refused_with_the_layer():
    with pytest.raises(UnsupportedModelError, match="layer wide") as error:
        count((None, None, 3), layers.Conv2D(4, 3, name="wide"))
    assert "keras.Input" in error.value.remedy


def test_layers_around_layers_are_refused():
    with pytest.raises(UnsupportedModelError, match="TimeDistributed"):
        count((4, 6), layers.TimeDistributed(layers.Dense(3)))
