"""Looking into .keras, .h5 and SavedModels; shapes of TF.js ops against TensorFlow's own."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import edgeship
from edgeship.errors import SourceError
from edgeship.inspection.diff import compare
from edgeship.inspection.opening import describe
from edgeship.inspection.picture import picture
from edgeship.inspection.tf_shapes import infer
from edgeship.inspection.trained import open_trained


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Branches, a nested model, a shared layer."""
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 3), name="image")
    x = layers.Conv2D(4, 3, padding="same", name="stem")(image)
    x = layers.BatchNormalization(name="norm")(x)
    y = layers.DepthwiseConv2D(3, padding="same", name="deep")(layers.ReLU(name="relu")(x))
    x = layers.GlobalAveragePooling2D(name="pool")(layers.Add(name="sum")([x, y]))
    head = keras.Sequential([keras.Input((4,)), layers.Dense(5, "relu", name="hidden")], name="head")
    model = keras.Model(image, layers.Dense(2, name="scores")(head(x)))
    folder = tmp_path_factory.mktemp("networks")
    model.save(folder / "model.keras")
    model.export(folder / "saved", verbose=False)
    return folder


def test_a_keras_model(network: Path) -> None:
    opened = open_trained(network / "model.keras", (), allow_unsafe=False)
    found = opened.description
    model = keras.models.load_model(network / "model.keras")
    assert found.macs == edgeship.macs(model)
    assert found.parameters == sum(op.parameters for op in found.ops) == model.count_params()
    by_name = {op.name: op for op in found.ops}
    assert by_name["sum"].inputs == ("norm", "deep")
    assert (by_name["hidden"].kernel, by_name["hidden"].layout, by_name["hidden"].kind) == (
        "hidden/kernel",
        "IO",
        "dense",
    )
    assert by_name["norm"].inputs[1:] == tuple(f"norm/{n}" for n in ("gamma", "beta", "moving_mean", "moving_variance"))
    assert dict(found.layers)["stem"] == 4 * (3 * 3 * 3 * 4 + 4)
    assert sum(size for _, size in found.layers) == found.size_bytes == (network / "model.keras").stat().st_size
    np.testing.assert_array_equal(opened.values("stem/kernel"), model.get_layer("stem").get_weights()[0])
    assert found.requires["Keras"].startswith("written by 3.")
    assert found.facts["training"] == "possible"
    chart = picture(found)
    assert chart is not None
    assert sum(shape.attributes["class"] == "g-line" for shape in chart.shapes) == len(found.ops) + 2


def test_a_saved_model_and_what_differs_from_keras(network: Path) -> None:
    saved = open_trained(network / "saved", (), allow_unsafe=False)
    original = open_trained(network / "model.keras", (), allow_unsafe=False)
    assert saved.description.macs == original.description.macs
    assert "serving_default" in [signature.name for signature in saved.description.signatures]
    assert saved.description.requires["TensorFlow"] == tf.__version__
    sizes = dict(saved.description.layers)
    assert sum(sizes.values()) == saved.description.size_bytes
    assert sum(size for name, size in sizes.items() if "hidden" in name) > 4 * (4 * 5 + 5)
    found = compare(original, saved)
    assert found.across
    assert [weight.equal for weight in found.weights] == [True] * 4
    assert found.ops == ()


def test_a_recurrent_model_of_keras_2(tmp_path: Path) -> None:
    import tf_keras

    given = tf_keras.Input((6, 4))
    model = tf_keras.Model(given, tf_keras.layers.Dense(3)(tf_keras.layers.LSTM(5, name="memory")(given)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # tf_keras calls .h5 a legacy format
        model.save(tmp_path / "model.h5")
    found = describe(tmp_path / "model.h5")
    assert found.format == "h5"
    assert found.facts["parameters"] == f"{model.count_params():,}"
    memory = next(op for op in found.ops if op.type == "LSTM")
    assert memory.macs == 6 * 4 * 5 * (4 + 5)
    assert memory.parameters == 4 * 5 * (4 + 5 + 1)
    assert dict(found.layers)["memory"] == 4 * memory.parameters


def test_a_model_of_other_calls_is_shown_layer_by_layer(tmp_path: Path) -> None:
    given = keras.Input((6,))
    x = layers.Dense(4, name="one")(given)
    model = keras.Model(given, keras.ops.sort(layers.Dense(3, name="two")(x), axis=-1))
    model.save(tmp_path / "model.keras")
    found = describe(tmp_path / "model.keras")
    assert found.notes[0].startswith("shown layer by layer")
    assert [(op.type, op.macs) for op in found.ops] == [("Dense", 24), ("Dense", 12), ("Sort", 0)]
    assert found.ops[2].inputs == ("two",)


def test_a_model_that_carries_code_is_refused(tmp_path: Path) -> None:
    given = keras.Input((6,))
    keras.Model(given, layers.Lambda(lambda x: x + 1)(given)).save(tmp_path / "model.keras")
    with pytest.raises(SourceError, match="carries code"):
        describe(tmp_path / "model.keras")


def _conv(kernel: tuple[int, ...], **settings: Any) -> tuple[str, list[Any], dict[str, Any], Callable[..., Any]]:
    return "Conv2D", [kernel], settings, lambda x, k: tf.raw_ops.Conv2D(input=x, filter=k, **settings)


CASES = [
    _conv((3, 3, 3, 4), strides=[1, 2, 2, 1], padding="SAME"),
    _conv((3, 2, 3, 4), strides=[1, 3, 1, 1], padding="VALID"),
    _conv((3, 3, 3, 4), strides=[1, 1, 1, 1], padding="VALID", dilations=[1, 2, 2, 1]),
    _conv((3, 3, 3, 4), strides=[1, 2, 2, 1], padding="EXPLICIT", explicit_paddings=[0, 0, 0, 1, 2, 1, 0, 0]),
    (
        "DepthwiseConv2dNative",
        [(3, 3, 3, 2)],
        {"strides": [1, 2, 2, 1], "padding": "SAME"},
        lambda x, k: tf.raw_ops.DepthwiseConv2dNative(input=x, filter=k, strides=[1, 2, 2, 1], padding="SAME"),
    ),
    (
        "MaxPool",
        [],
        {"ksize": [1, 3, 2, 1], "strides": [1, 2, 2, 1], "padding": "VALID"},
        lambda x: tf.raw_ops.MaxPool(input=x, ksize=[1, 3, 2, 1], strides=[1, 2, 2, 1], padding="VALID"),
    ),
    ("Mean", [[1, 2]], {}, lambda x, axes: tf.raw_ops.Mean(input=x, axis=axes)),
    ("Mean", [[-1]], {"keep_dims": True}, lambda x, axes: tf.raw_ops.Mean(input=x, axis=axes, keep_dims=True)),
    ("Reshape", [[-1, 21, 9]], {}, tf.reshape),
    ("Transpose", [[0, 3, 1, 2]], {}, tf.transpose),
    ("Pad", [[0, 0, 1, 2, 3, 4, 0, 0]], {}, lambda x, widths: tf.pad(x, tf.reshape(widths, (4, 2)))),
    ("ExpandDims", [[-1]], {}, lambda x, axis: tf.expand_dims(x, axis[0])),
    ("ResizeBilinear", [[4, 5]], {}, lambda x, sizes: tf.raw_ops.ResizeBilinear(images=x, size=sizes)),
    ("AddV2", [(1, 1, 3)], {}, lambda x, other: x + other),
]


@pytest.mark.parametrize(
    ("op", "constants", "attrs", "call"), CASES, ids=[f"{i}-{case[0]}" for i, case in enumerate(CASES)]
)
def test_shapes_are_those_of_tensorflow(op: str, constants: list[Any], attrs: dict[str, Any], call: Any) -> None:
    image = np.zeros((2, 9, 7, 3), np.float32)
    arrays = [np.zeros(c, np.float32) if isinstance(c, tuple) else np.array(c, np.int32) for c in constants]
    names = ["x", *(f"c{i}" for i in range(len(arrays)))]
    values = {
        name: [int(v) for v in a.reshape(-1)] for name, a in zip(names[1:], arrays, strict=True) if a.dtype == np.int32
    }
    shapes = [image.shape, *(array.shape for array in arrays)]
    assert infer(op, names, shapes, attrs, values.get) == tuple(call(image, *arrays).shape)
