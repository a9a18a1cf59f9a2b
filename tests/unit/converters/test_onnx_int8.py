"""Ranges of activations for int8 ONNX files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeship.errors import UnsupportedModelError
from edgeship.types import Array, Dataset, TensorSpec
from edgeship_converters.onnx import int8 as onnx_int8

WIDTH = 128
SAMPLES = 240
INPUTS = (TensorSpec("x", (None, WIDTH), "float32"),)


def model_of(last: str | None = "Softmax", width: int = WIDTH) -> Any:
    """A fully connected layer, and perhaps what squashes its scores."""
    weights = np.random.default_rng(1).normal(0, 0.2, size=(width, 6)).astype(np.float32)
    nodes = [helper.make_node("MatMul", ["x", "w"], ["scores" if last else "y"], "dense")]
    if last:
        nodes.append(helper.make_node(last, ["scores"], ["y"], "last"))
    graph = helper.make_graph(
        nodes,
        "model",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", width])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 6])],
        [numpy_helper.from_array(weights, "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def calibration(folder: Path, x: Array, inputs: tuple[TensorSpec, ...] = INPUTS) -> Dataset:
    place = folder / "calibration" / "x"
    place.mkdir(parents=True)
    np.save(place / f"{inputs[0].name}.npy", x)
    return Dataset(folder, "x", "0" * 64, "unlabelled", inputs, {"calibration": len(x)})


def input_range(model: Any) -> float:
    """Width of the range that the input is quantized in."""
    node = next(n for n in model.graph.node if n.op_type == "QuantizeLinear" and n.input[0] == "x")
    scale = next(t for t in model.graph.initializer if t.name == node.input[1])
    return float(numpy_helper.to_array(scale)) * 255


def run(model: Any, x: Array) -> Array:
    session = onnxruntime.InferenceSession(model.SerializeToString())
    found: Array = session.run(["y"], {"x": x})[0]
    return found


def test_an_outlier_does_not_ruin_the_range(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, size=(SAMPLES, WIDTH)).astype(np.float32)
    x[7, 3] = 60.0
    made = onnx_int8.quantize(model_of(), INPUTS, calibration(tmp_path, x))
    assert input_range(made) < 2.5
    usual = rng.uniform(-1, 1, size=(50, WIDTH)).astype(np.float32)
    np.testing.assert_allclose(run(made, usual), run(model_of(), usual), rtol=0, atol=0.05)


def test_values_that_matter_are_not_cut_off(tmp_path: Path) -> None:
    """One input in 40,000 carries most of the signal."""
    rng, width = np.random.default_rng(0), 40_000
    x = rng.normal(size=(32, width)).astype(np.float32) * 0.01
    x[:, 0] = rng.uniform(15, 20, size=32)
    given = (TensorSpec("x", (None, width), "float32"),)
    made = onnx_int8.quantize(model_of(None, width), given, calibration(tmp_path, x))
    assert input_range(made) > 19
    assert histogram(x).range(onnx_int8._COVERED[-1])[1] < 1  # what the other candidate would have done


@pytest.mark.parametrize("last", ["Softmax", "Sigmoid", "LogSoftmax"])
def test_what_squashes_the_scores_stays_float(tmp_path: Path, last: str) -> None:
    x = np.random.default_rng(0).normal(size=(SAMPLES, WIDTH)).astype(np.float32)
    made = onnx_int8.quantize(model_of(last), INPUTS, calibration(tmp_path, x))
    makers = {name: node for node in made.graph.node for name in node.output}
    assert makers["y"].op_type == last
    assert makers[makers["y"].input[0]].op_type == "DequantizeLinear"


def test_equal_samples_give_equal_files(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(SAMPLES + 5, WIDTH)).astype(np.float32)  # the last batch is not full
    first, second = (onnx_int8.quantize(model_of(), INPUTS, calibration(tmp_path / n, x)) for n in "ab")
    names = [sorted(t.SerializeToString(deterministic=True) for t in m.graph.initializer) for m in (first, second)]
    assert names[0] == names[1]


def test_shapes_that_only_onnx_finds_are_enough(tmp_path: Path) -> None:
    """The product behind a maximum is in integers; once ONNX Runtime finds its shape itself, one way is enough."""
    from onnxruntime.quantization.shape_inference import quant_pre_process

    model = model_of()
    model.graph.node[0].input[0] = "highest"
    model.graph.node.insert(0, helper.make_node("ReduceMax", ["x3", "axes"], ["highest"], "max", keepdims=0))
    model.graph.initializer.append(numpy_helper.from_array(np.array([1], np.int64), "axes"))
    model.graph.input[0].CopyFrom(helper.make_tensor_value_info("x3", TensorProto.FLOAT, ["batch", 3, WIDTH]))
    onnx.save(model, tmp_path / "model.onnx")
    with pytest.raises(TypeError):
        quant_pre_process(tmp_path / "model.onnx", tmp_path / "prepared.onnx")
    x = np.random.default_rng(0).normal(size=(SAMPLES, 3, WIDTH)).astype(np.float32)
    given = (TensorSpec("x3", (None, 3, WIDTH), "float32"),)
    made = onnx_int8.quantize(model, given, calibration(tmp_path, x, given))
    makers = {name: node.op_type for node in made.graph.node for name in node.output}
    product = next(node for node in made.graph.node if node.op_type in ("MatMul", "Gemm"))
    assert {makers[name] for name in product.input} == {"DequantizeLinear"}


def test_what_onnx_runtime_cannot_read_is_an_error_of_ours(tmp_path: Path) -> None:
    model = model_of()
    model.graph.node[1].op_type, model.graph.node[1].domain = "Strange", "somewhere"
    x = np.zeros((SAMPLES, WIDTH), np.float32)
    with pytest.raises(UnsupportedModelError, match=r"cannot prepare the model: InferenceError.*somewhere") as caught:
        onnx_int8.quantize(model, INPUTS, calibration(tmp_path, x))
    assert "float32" in caught.value.remedy


def test_onnx_runtime_leaves_nothing_where_the_user_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It writes what it has when it finds no shapes; once it no longer does, the change of directory can go."""
    from onnxruntime.tools.symbolic_shape_infer import SymbolicShapeInference

    monkeypatch.setattr(SymbolicShapeInference, "_infer_impl", lambda self: setattr(self, "run_", False))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(Exception, match="Incomplete symbolic shape inference"):
        SymbolicShapeInference.infer_shapes(model_of())
    assert "sym_shape_infer_temp.onnx" in {file.name for file in (tmp_path / "here").iterdir()}
    for file in (tmp_path / "here").iterdir():
        file.unlink()
    x = np.random.default_rng(0).normal(size=(SAMPLES, WIDTH)).astype(np.float32)
    onnx_int8.quantize(model_of(), INPUTS, calibration(tmp_path, x))
    assert not list((tmp_path / "here").iterdir())


def histogram(*batches: Array) -> onnx_int8._Histogram:
    found = onnx_int8._Histogram()
    for batch in batches:
        found.see(batch)
    for batch in batches:
        found.add(batch)
    return found


def test_a_range_covers_the_share_that_was_asked_for() -> None:
    values = np.random.default_rng(0).normal(size=100_000).astype(np.float32)
    found = histogram(values[:30_000], values[30_000:])
    assert found.range(1.0) == (values.min(), values.max())
    low, high = found.range(0.999)
    wanted = np.quantile(values, [0.0005, 0.9995])
    width = np.ptp(values) / onnx_int8._BINS
    np.testing.assert_allclose([low, high], wanted, atol=2 * width)
    assert ((values >= low) & (values <= high)).mean() >= 0.999


def test_what_is_not_finite_is_left_out_of_ranges() -> None:
    values = np.array([[-np.inf, 0.0], [1.0, 2.0]], np.float32)
    assert histogram(values).range(1.0) == (0.0, 2.0)
    assert histogram(np.full((2, 2), -np.inf, np.float32)).range(0.999) == (0.0, 0.0)
    assert histogram(np.full((2, 2), 3.0, np.float32)).range(0.999) == (3.0, 3.0)
