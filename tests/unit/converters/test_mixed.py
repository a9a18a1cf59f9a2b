"""Which operators of a file the precision of a layer means, and what they compute with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from unittest import mock

import frozen_models
import keras
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from keras import layers

from edgeship.errors import InputError, UnsupportedModelError
from edgeship.source import inspect
from edgeship.types import Array, ConvertOptions
from edgeship_converters import mixed
from edgeship_converters.flatfile import described, read
from edgeship_converters.tflite import TFLiteConverter

IMAGES = np.random.default_rng(0).random((12, 8, 8, 3)).astype(np.float32)
TYPES = {schema.TensorType.INT8: "int8", schema.TensorType.INT16: "int16", schema.TensorType.FLOAT32: "float32"}


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """conv -> max pooling -> conv (read twice: leaky relu, sum) -> sum -> dense with softmax."""
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 3), name="image")
    x = layers.Conv2D(4, 3, padding="same", activation="relu", name="first")(image)
    x = layers.MaxPooling2D(2, name="pool")(x)
    x = layers.Conv2D(4, 3, padding="same", name="second")(x)
    y = layers.LeakyReLU(name="leaky")(x)
    x = layers.Flatten(name="flat")(layers.Add(name="sum")([x, y]))
    model = keras.Model(image, layers.Dense(5, activation="softmax", name="scores")(x))
    folder = tmp_path_factory.mktemp("mixed")
    model.save(folder / "model.keras")
    with mock.patch("edgeship_converters.slim.slim", lambda content: content):  # which takes names out
        made = TFLiteConverter().convert(inspect(folder / "model.keras"), "float32", ConvertOptions(), folder)
    return made.entry.read_bytes()


def samples() -> Iterator[dict[str, Array]]:
    return iter([{"image": image[None]} for image in IMAGES])


def outputs(content: bytes) -> list[tuple[str, str]]:
    """Kind of each operator and the type of what it gives, without changes of precision."""
    found: list[tuple[str, str]] = []
    for graph, operator, description in described(read(content)):
        if description.kind not in ("QUANTIZE", "DEQUANTIZE"):
            found.append((description.kind, TYPES[graph.tensors[operator.outputs[0]].type]))
    return found


def kinds(found: list[tuple[str, str]], wanted: str) -> list[str]:
    return [kind for kind, word in found if word == wanted]


def test_without_a_layer_it_is_int8_throughout(content: bytes) -> None:
    found = mixed.quantize(content, {}, samples)
    assert {kind for kind, word in outputs(found.content) if word != "int8"} == {"LEAKY_RELU"}
    assert [name.startswith("leaky") for name in found.left_float] == [True]


@pytest.mark.parametrize(
    ("precision", "sixteen", "floats"),
    [
        # What reads a 16-bit tensor takes 16 bits, also behind an operator that passes values on.
        ({"first": "int16x8"}, ["CONV_2D", "MAX_POOL_2D", "CONV_2D"], []),
        ({"image": "int16x8"}, ["CONV_2D"], []),
        ({"scores": "int16x8"}, ["FULLY_CONNECTED", "SOFTMAX"], []),
        ({"scores": "float32"}, [], ["FULLY_CONNECTED", "SOFTMAX"]),
        ({"first": "float32"}, ["MAX_POOL_2D", "CONV_2D"], ["CONV_2D"]),
        ({"first": "int8"}, [], []),
        ({"second": "int16x8"}, ["CONV_2D", "ADD"], []),
        ({"first": "float32", "second": "int16x8"}, ["MAX_POOL_2D", "CONV_2D", "ADD"], ["CONV_2D"]),
    ],
)
def test_the_precision_of_a_layer(
    content: bytes, precision: dict[str, str], sixteen: list[str], floats: list[str]
) -> None:
    found = mixed.quantize(content, precision, samples)
    made = outputs(found.content)
    assert kinds(made, "int16") == sixteen
    # ai-edge-quantizer has no LeakyReLU in any integers.
    assert [kind for kind in kinds(made, "float32") if kind != "LEAKY_RELU"] == floats
    assert [name.startswith("leaky") for name in found.left_float] == [True]


def test_says_what_is_not_there(content: bytes) -> None:
    with pytest.raises(InputError, match="'third'"):
        mixed.quantize(content, {"third": "int16x8"}, samples)
    with pytest.raises(InputError, match="int4"):
        mixed.quantize(content, {"first": "int4"}, samples)


def test_refuses_loops(tmp_path: Any) -> None:
    source = frozen_models.save(frozen_models.lstm(), tmp_path)
    options = ConvertOptions(calibration=frozen_models.calibration(source, tmp_path / "data"))
    with pytest.raises(UnsupportedModelError, match="recurrent"):
        TFLiteConverter().convert(source, "mixed", options, tmp_path)
