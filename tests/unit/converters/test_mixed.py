"""Which operators of a file the precision of a layer means, and what they compute with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import frozen_models
import keras
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from keras import layers

from edgeship import plugins
from edgeship.errors import InputError
from edgeship.source import inspect
from edgeship.types import Array, Artifact, ConvertOptions, Dataset
from edgeship_converters.calibration import outputs as outputs_of
from edgeship_converters.calibration import powers
from edgeship_converters.flatfile import described, operators, read
from edgeship_converters.tflite import TFLiteConverter, mixed, selective

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
    with mock.patch("edgeship_converters.tflite.slim.slim", lambda content, *_: content):  # which takes names out
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


def test_recurrent_layers_are_unrolled(tmp_path: Any) -> None:
    source = frozen_models.save(frozen_models.lstm(), tmp_path)
    options = ConvertOptions(calibration=frozen_models.calibration(source, tmp_path / "data"))
    artifact = TFLiteConverter().convert(source, "mixed", options, tmp_path)
    inputs = frozen_models.samples(source, 8)
    expected = frozen_models.reference(source, inputs)[0]
    (found,) = plugins.runtime("litert").run(artifact, inputs).values()
    assert np.sqrt(np.mean((found - expected) ** 2)) < 0.1 * expected.std()
    assert "WHILE" not in {operator.kind for operator in operators(artifact.entry.read_bytes())}


def convert(place: Path, precision: dict[str, str], *, correct: bool) -> Artifact:
    source = inspect(place / "model.keras")
    (place / "calibration" / "x").mkdir(parents=True, exist_ok=True)
    np.save(place / "calibration" / "x" / "image.npy", np.random.default_rng(4).random((100, 8, 8, 3), np.float32))
    calibration = Dataset(place, "c", "0" * 64, "unlabelled", source.inputs, {"calibration": 100})
    out = place / f"out-{correct}"
    out.mkdir(exist_ok=True)
    options = ConvertOptions(calibration=calibration, precision=precision, correct_biases=correct)
    return TFLiteConverter().convert(source, "mixed", options, out)


@pytest.mark.parametrize("precision", [{}, {"first": "int16x8"}, {"scores": "float32"}])
@mock.patch.dict(selective._LIMITS, {8: (1e9, -1e9)})  # or layers that are too coarse would become floats
def test_biases_make_up_for_what_is_rounded(tmp_path: Path, precision: dict[str, str]) -> None:
    """Kernels with one large weight a channel: the others are rounded coarsely, and inputs have a mean."""
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 3), name="image")
    x = layers.Conv2D(8, 3, activation="relu", name="first")(image)
    x = layers.Conv2D(16, 3, activation="relu", name="second")(x)
    model = keras.Model(image, layers.Dense(6, name="scores")(layers.GlobalAveragePooling2D()(x)))
    for name in ("first", "second"):
        kernel = model.get_layer(name).kernel
        kernel.assign(kernel + 3 * (np.arange(np.prod(kernel.shape)).reshape(kernel.shape) < kernel.shape[-1]))
    model.save(tmp_path / "model.keras")
    x = np.random.default_rng(5).random((200, 8, 8, 3)).astype(np.float32)
    wanted = model.predict(x, verbose=0)
    distances = []
    for correct in (True, False):
        content = convert(tmp_path, precision, correct=correct).entry.read_bytes()
        (found,) = outputs_of(content, ({"image": image[None]} for image in x))
        distances.append(powers([found], [wanted.astype(np.float64)])[0])
    assert distances[0] < 0.7 * distances[1]


def test_the_nearer_file_is_kept(content: bytes) -> None:
    near, far = (mixed.quantize(content, {"scores": word}, samples) for word in ("float32", "int8"))
    assert mixed.nearer(content, (far, near), samples) is near
    assert mixed.nearer(content, (near, far), samples) is near
    assert mixed.nearer(content, (far, far), samples) is far


def test_a_layer_whose_name_folding_changes_can_still_be_named(tmp_path: Path) -> None:
    image = keras.Input((8, 8, 3), name="image")
    inner = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(4, 3, name="conv")], name="inner")
    keras.Model(image, layers.Dense(3, name="scores")(layers.Flatten()(inner(image)))).save(tmp_path / "model.keras")
    content = convert(tmp_path, {"inner": "float32"}, correct=True).entry.read_bytes()
    assert kinds(outputs(content), "float32") == ["CONV_2D"]
