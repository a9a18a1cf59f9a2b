"""Operators in the words of others: the same numbers, for every padding, stride and size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import frozen_models as zoo
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from tfjs_graphs import frozen as frozen_function

from edgeship import plugins
from edgeship.errors import UnsupportedModelError
from edgeship.types import ConvertOptions, Dataset
from edgeship_converters.flatfile import operators
from edgeship_converters.graph.frozen import FrozenGraph, freeze
from edgeship_converters.lowering.rules import ONNX, TFLITE, lowered
from edgeship_converters.lowering.tflite import for_tflite
from edgeship_converters.onnx import ONNXConverter
from edgeship_converters.tflite import TFLiteConverter

layers, keras = zoo.layers, zoo.keras


def _computed(frozen: FrozenGraph, inputs: np.ndarray) -> np.ndarray:
    (found,) = frozen.function()(tf.constant(inputs))
    return np.asarray(found)


def _both(model: Any, inputs: np.ndarray, place: Path, batch: int | None) -> tuple[FrozenGraph, FrozenGraph]:
    frozen = freeze(zoo.save(model, place), static_batch=batch, fake_quant=False)
    found = lowered(frozen, {**TFLITE, **ONNX})
    np.testing.assert_allclose(_computed(found, inputs), _computed(frozen, inputs), rtol=1e-6, atol=1e-6)
    return frozen, found


@pytest.mark.parametrize("kind", ["MaxPooling3D", "AveragePooling3D"])
@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(("window", "steps"), [((2, 3, 1), (1, 2, 3)), ((3, 3, 3), None), ((1, 2, 4), (2, 1, 2))])
def test_pooling_of_volumes(kind: str, padding: str, window: Any, steps: Any, tmp_path: Path) -> None:
    volume = keras.Input((5, 7, 6, 3))
    pool = getattr(layers, kind)(window, strides=steps, padding=padding, name="pool")
    inputs = np.random.default_rng(0).normal(size=(2, 5, 7, 6, 3)).astype(np.float32)
    _, found = _both(keras.Model(volume, layers.ReLU(max_value=9)(pool(volume))), inputs, tmp_path, None)
    assert not {node.op for node in found.graph_def.node} & TFLITE.keys()
    assert any(node.name.startswith("pool/") for node in found.graph_def.node)


@pytest.mark.parametrize("mode", ["multi_hot", "count"])
def test_counts_of_ids(mode: str, tmp_path: Path) -> None:
    ids = keras.Input((5,), dtype="int32")
    encoded = layers.CategoryEncoding(num_tokens=9, output_mode=mode, name="encoding")(ids)
    inputs = np.random.default_rng(0).integers(0, 9, (4, 5)).astype(np.int32)
    before, found = _both(keras.Model(ids, encoded), inputs, tmp_path, 4)
    assert "DenseBincount" in {node.op for node in before.graph_def.node}
    assert "DenseBincount" not in {node.op for node in found.graph_def.node}


def test_buckets(tmp_path: Path) -> None:
    values = keras.Input((4,))
    model = keras.Model(values, layers.Discretization(bin_boundaries=[-0.5, 0.0, 1.25])(values))
    inputs = np.array([[-0.5, 0.0, 1.25, 3.0], [-9.0, -0.49, 1.2499999, 0.5]], np.float32)  # on and beside boundaries
    _, found = _both(model, inputs, tmp_path, None)
    assert "Bucketize" not in {node.op for node in found.graph_def.node}


@pytest.mark.parametrize("word", ["argmax", "argmin"])
@pytest.mark.parametrize("format_name", ["tflite", "onnx", "tfjs"])
def test_the_place_of_the_largest(word: str, format_name: str, tmp_path: Path) -> None:
    image = keras.Input((4, 4, 2), name="image")
    scores = layers.Conv2D(5, 3, padding="same", name="scores")(image)
    source = zoo.save(keras.Model(image, getattr(keras.ops, word)(scores, axis=-1)), tmp_path)
    frozen = freeze(source, static_batch=None, fake_quant=False)
    assert "Bitcast" in {node.op for node in frozen.graph_def.node}
    out = tmp_path / "out"
    out.mkdir()
    plugins.convert(format_name, source, "float32", ConvertOptions(), out)
    if format_name == "tflite":
        inputs = np.random.default_rng(0).normal(size=(1, 4, 4, 2)).astype(np.float32)
        interpreter = Interpreter(model_path=str(out / "model.tflite"))
        (found,) = interpreter.get_signature_runner()(image=inputs).values()
        np.testing.assert_array_equal(found, _computed(frozen, inputs))


@pytest.mark.parametrize(
    ("layer", "shape", "dtype"),
    [
        *(
            (layers.Conv3D(3, (2, 3, 2), dilation_rate=rates, padding=padding), (7, 8, 6, 2), "float32")
            for rates in ((2, 2, 2), (1, 3, 2), (3, 1, 1))
            for padding in ("valid", "same")
        ),
        (layers.Conv2DTranspose(3, (3, 2), dilation_rate=2, padding="same"), (7, 8, 2), "float32"),
        (layers.Conv1DTranspose(3, 3, dilation_rate=2), (7, 2), "float32"),
        (layers.GlobalMaxPooling2D(), (5, 4, 3), "uint8"),
    ],
)
def test_what_the_converter_to_tflite_has_no_operator_for(layer: Any, shape: Any, dtype: str, tmp_path: Path) -> None:
    x = keras.Input(shape, dtype=dtype, name="x")
    model = keras.Model(x, layers.Rescaling(0.5)(layer(x)))
    inputs = np.random.default_rng(0).integers(0, 256, (2, *shape)).astype(dtype)
    artifact = TFLiteConverter().convert(zoo.save(model, tmp_path), "float32", ConvertOptions(), tmp_path)
    (found,) = plugins.runtime("litert").run(artifact, {"x": inputs}).values()
    np.testing.assert_allclose(found, model.predict(inputs, verbose=0), rtol=1e-5, atol=1e-3)


def test_the_logarithm_of_one_more(tmp_path: Path) -> None:
    x = keras.Input((4,), name="x")
    model = keras.Model(x, keras.ops.log1p(keras.ops.abs(x)))
    inputs = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    _, found = _both(model, inputs, tmp_path, None)
    assert "Log1p" not in {node.op for node in found.graph_def.node}


def test_a_graph_without_such_operators_is_left_alone(tmp_path: Path) -> None:
    frozen = freeze(zoo.save(zoo.cnn(), tmp_path), static_batch=1, fake_quant=False)
    assert lowered(frozen, TFLITE) is frozen


def test_sizes_that_are_not_known_leave_the_operator(tmp_path: Path) -> None:
    volume = keras.Input((None, None, None, 2))
    source = zoo.save(keras.Model(volume, layers.MaxPooling3D(2)(volume)), tmp_path)
    found = lowered(freeze(source, static_batch=1, fake_quant=False), TFLITE)
    assert "MaxPool3D" in {node.op for node in found.graph_def.node}


@pytest.mark.parametrize(("name", "operator"), [("celu", "Expm1"), ("gelu", "Erfc")])
def test_activations_with_an_exponential(name: str, operator: str, tmp_path: Path) -> None:
    x = keras.Input((9,))
    model = keras.Model(x, layers.Activation(name)(x))
    inputs = np.linspace(-6, 3, 36, dtype=np.float32).reshape(4, 9)
    before, found = _both(model, inputs, tmp_path, None)
    assert operator in {node.op for node in before.graph_def.node}
    assert operator not in {node.op for node in found.graph_def.node}


@pytest.mark.parametrize("limit", [None, 6, 2.19])
def test_relu_of_gelu(limit: float | None, tmp_path: Path) -> None:
    """Of which TensorFlow's converter takes the product and the ReLU for one operator, and then finds no GELU."""
    x = keras.Input((9,))
    model = keras.Model(x, layers.ReLU(limit)(layers.Activation("gelu")(x)))
    inputs = np.linspace(-9, 9, 36, dtype=np.float32).reshape(4, 9)
    source = zoo.save(model, tmp_path)
    frozen = freeze(source, static_batch=1, fake_quant=False)
    found = for_tflite(frozen)
    np.testing.assert_allclose(_computed(found, inputs[:1]), _computed(frozen, inputs[:1]), rtol=1e-6, atol=1e-6)
    artifact = TFLiteConverter().convert(source, "float32", ConvertOptions(), tmp_path)
    (given,) = plugins.runtime("litert").run(artifact, {source.inputs[0].name: inputs}).values()
    np.testing.assert_allclose(given, model.predict(inputs, verbose=0), atol=1e-5)
    assert "GELU" in {operator.kind for operator in operators((tmp_path / "model.tflite").read_bytes())}


@pytest.mark.parametrize(
    "compute",
    [
        lambda x: (0.5 * x) * tf.math.erfc(x * 0.7),
        lambda x: (x * x) * tf.math.erfc(-x * 0.7),
        lambda x: (-0.5 * x) * tf.math.erfc(-x * 0.7),
        lambda x: (0.5 * x) * tf.math.erfc(-x + 0.7),
    ],
)
def test_what_is_no_gelu_is_not_taken_for_one(compute: Any) -> None:
    graph = frozen_function(lambda x: tf.nn.relu(compute(x)), x=tf.TensorSpec((None, 5), tf.float32))
    kinds = [node.op for node in for_tflite(graph).graph_def.node]
    assert kinds.count("Erfc") == 1


def test_a_gelu_of_another_steepness() -> None:
    graph = frozen_function(
        lambda x: tf.nn.relu((2 * x) * tf.math.erfc(-x * 1.3)), x=tf.TensorSpec((None, 5), tf.float32)
    )
    inputs = np.linspace(-3, 3, 20, dtype=np.float32).reshape(4, 5)
    found = for_tflite(graph)
    np.testing.assert_allclose(_computed(found, inputs), _computed(graph, inputs), rtol=1e-6)
    assert [node.op for node in found.graph_def.node].count("Erfc") == 2  # the first one is left to the converter


@pytest.mark.parametrize(
    ("layer", "variant"),
    [
        *((layer, "int8") for layer in (layers.LayerNormalization, layers.RMSNormalization, layers.ELU)),
        *((layer, "int16x8") for layer in (layers.LayerNormalization, layers.RMSNormalization, layers.ELU)),
        (layers.UnitNormalization, "int8"),  # its minimum is not there in int16
    ],
)
def test_what_the_quantizer_leaves_in_float_becomes_integers(layer: Any, variant: str, tmp_path: Path) -> None:
    x = keras.Input((12,), name="x")
    model = keras.Model(x, layers.Dense(4, name="y")(layer()(layers.Dense(10)(x))))
    (tmp_path / "calibration" / "x").mkdir(parents=True)
    inputs = np.random.default_rng(0).normal(size=(64, 12)).astype(np.float32)
    np.save(tmp_path / "calibration" / "x" / "x.npy", inputs)
    source = zoo.save(model, tmp_path)
    options = ConvertOptions(Dataset(tmp_path, "noise", "", "unlabelled", source.inputs, {"calibration": 64}))
    artifact = TFLiteConverter().convert(source, variant, options, tmp_path)
    (found,) = plugins.runtime("litert").run(artifact, {"x": inputs}).values()
    expected = model.predict(inputs, verbose=0)
    assert np.sqrt(np.mean((found - expected) ** 2)) < 0.05 * expected.std()


def test_refusals_name_the_layer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = keras.Input((8, 8, 3))
    resized = layers.Resizing(5, 5, interpolation="bicubic", name="my_resizing")(image)
    source = zoo.save(keras.Model(image, resized), tmp_path)
    monkeypatch.setattr("edgeship_converters.lowering.tflite.TFLITE", {})
    monkeypatch.setattr("edgeship_converters.lowering.rules.ONNX", {})
    with pytest.raises(UnsupportedModelError, match=r"no built-in operator for ResizeBicubic \(my_resizing/"):
        TFLiteConverter().convert(source, "float32", ConvertOptions(), tmp_path)
    x = keras.Input((8,))
    source = zoo.save(keras.Model(x, layers.Activation("gelu", name="my_gelu")(x)), tmp_path)
    with pytest.raises(UnsupportedModelError, match=r"no operator for my_gelu/\S+ \(Erfc\)"):
        ONNXConverter().convert(source, "float32", ConvertOptions(), tmp_path)
