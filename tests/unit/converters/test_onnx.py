from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import frozen_models as zoo
import numpy as np
import onnx
import onnxruntime
import pytest

from edgeship.errors import UnsupportedModelError
from edgeship.types import Array, Artifact, ConvertOptions, Source
from edgeship_converters.onnx import ONNXConverter

BUILDS = [zoo.cnn, zoo.bytes_image, zoo.lstm, zoo.bidirectional_gru, zoo.shared, zoo.embedding, zoo.highest]


@pytest.fixture(autouse=True)
def _same_weights() -> None:
    """What int8 loses depends on the weights: now and then more than these tests allow."""
    zoo.keras.utils.set_random_seed(0)


def convert(source: Source, variant: str, folder: Path) -> Artifact:
    out = folder / "out" / variant
    out.mkdir(parents=True)
    calibration = zoo.calibration(source, folder / "data") if variant == "int8" else None
    return ONNXConverter().convert(source, variant, ConvertOptions(calibration=calibration), out)


def run(artifact: Artifact, inputs: dict[str, Array]) -> list[Array]:
    session = onnxruntime.InferenceSession(str(artifact.entry))
    found: list[Array] = session.run([o.name for o in artifact.outputs], inputs)
    return found


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize(("variant", "tolerance"), [("float32", 1e-5), ("float16", 5e-3), ("int8", 0.06)])
def test_computes_what_keras_computes(tmp_path: Path, build: Callable[[], Any], variant: str, tolerance: float) -> None:
    source = zoo.save(build(), tmp_path)
    artifact = convert(source, variant, tmp_path)
    for count in (1, 7):  # the batch axis is dynamic
        inputs = zoo.samples(source, count)
        for found, wanted in zip(run(artifact, inputs), zoo.reference(source, inputs), strict=True):
            np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance * max(1, np.ptp(wanted)))


def test_is_plain_onnx_of_opset_18_with_names(tmp_path: Path) -> None:
    source = zoo.save(zoo.cnn(), tmp_path)
    model = onnx.load(convert(source, "float32", tmp_path).entry)
    assert {(o.domain, o.version) for o in model.opset_import if not o.domain} == {("", 18)}
    assert {node.domain for node in model.graph.node} == {""}
    ((given,), (result,)) = (model.graph.input, model.graph.output)
    assert (given.name, result.name) == ("image", "probabilities")
    assert [d.dim_param or d.dim_value for d in given.type.tensor_type.shape.dim] == ["batch", 8, 8, 3]
    assert [d.dim_param or d.dim_value for d in result.type.tensor_type.shape.dim] == ["batch", 5]
    assert sum(node.op_type == "BatchNormalization" for node in model.graph.node) == 0  # folded


def test_float16_keeps_float32_at_the_edges(tmp_path: Path) -> None:
    source = zoo.save(zoo.cnn(), tmp_path)
    model = onnx.load(convert(source, "float16", tmp_path).entry)
    edges = {value.type.tensor_type.elem_type for value in (*model.graph.input, *model.graph.output)}
    assert edges == {onnx.TensorProto.FLOAT}
    weights = {tensor.data_type for tensor in model.graph.initializer}
    assert onnx.TensorProto.FLOAT16 in weights
    assert onnx.TensorProto.FLOAT not in weights


def test_float16_leaves_what_it_cannot_hold_in_float32(tmp_path: Path) -> None:
    x = zoo.keras.Input((4,), name="x")
    model = zoo.keras.Model(x, zoo.layers.Dense(2, name="y", use_bias=False)(zoo.layers.Dense(4)(x)))
    model.layers[-1].kernel.assign(np.full((4, 2), 1e6, np.float32))
    source = zoo.save(model, tmp_path)
    artifact = convert(source, "float16", tmp_path)
    kinds = {tensor.name: tensor.data_type for tensor in onnx.load(artifact.entry).graph.initializer}
    assert set(kinds.values()) == {onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16}
    inputs = zoo.samples(source, 3)
    np.testing.assert_allclose(run(artifact, inputs)[0], zoo.reference(source, inputs)[0], rtol=2e-2)


def test_int8_is_uint8_activations_and_int8_weights_per_channel(tmp_path: Path) -> None:
    source = zoo.save(zoo.cnn(), tmp_path)
    model = onnx.load(convert(source, "int8", tmp_path).entry)
    initializers = {tensor.name: tensor for tensor in model.graph.initializer}
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    makers = {output: node for node in model.graph.node for output in node.output}
    assert len(convolutions) == 3
    for node in convolutions:
        activation, weight = makers[node.input[0]], makers[node.input[1]]
        assert activation.op_type == weight.op_type == "DequantizeLinear"
        assert initializers[activation.input[2]].data_type == onnx.TensorProto.UINT8
        stored = initializers[weight.input[0]]
        assert stored.data_type == onnx.TensorProto.INT8
        assert list(initializers[weight.input[1]].dims) == [stored.dims[0]]


def test_an_operator_that_onnx_lacks_is_named(tmp_path: Path) -> None:
    source = zoo.save(zoo.gamma(), tmp_path)
    with pytest.raises(UnsupportedModelError, match="Igamma"):
        convert(source, "float32", tmp_path)
    assert not list((tmp_path / "out" / "float32").iterdir())


def test_a_fixed_batch_stays_fixed(tmp_path: Path) -> None:
    image = zoo.keras.Input((8, 8, 3), name="image", batch_size=4)
    source = zoo.save(zoo.keras.Model(image, zoo.cnn()(image)), tmp_path)
    artifact = ONNXConverter().convert(source, "float32", ConvertOptions(), tmp_path)
    assert artifact.inputs[0].shape == (4, 8, 8, 3)
    inputs = zoo.samples(source, 4)
    np.testing.assert_allclose(run(artifact, inputs)[0], zoo.reference(source, inputs)[0], atol=1e-5)
