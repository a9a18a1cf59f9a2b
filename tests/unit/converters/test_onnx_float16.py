"""Which parts of a model are float16, and which stay float32."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeship.types import Array
from edgeship_converters.onnx.float16 import halved, to_float16


def _model(nodes: list[Any], inputs: dict[str, tuple[int, list[Any]]], outputs: list[str], **weights: Array) -> Any:
    rank = len(next(iter(inputs.values()))[1])
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in inputs.items()],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [f"{name}_{i}" for i in range(rank)])
            for name in outputs
        ],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def _run(model: Any, **feeds: Array) -> list[Array]:
    onnx.checker.check_model(model, full_check=True)
    found: list[Array] = onnxruntime.InferenceSession(model.SerializeToString()).run(None, feeds)
    return found


def _kinds(model: Any) -> dict[str, int]:
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    return {value.name: value.type.tensor_type.elem_type for value in inferred.graph.value_info}


X = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)
W = np.random.default_rng(1).normal(size=(6, 6)).astype(np.float32)
FLOAT = (TensorProto.FLOAT, ["n", 6])


def test_operators_of_a_runtime_stay_float32() -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["scores"], "scores"),
        helper.make_node("Gelu", ["scores"], ["y"], "y", domain="com.microsoft"),
    ]
    model = _model(nodes, {"x": FLOAT}, ["y"], w=W)
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    half = to_float16(model)
    (found,), (wanted,) = _run(half, x=X), _run(model, x=X)
    assert np.allclose(found, wanted, atol=2e-2)
    assert TensorProto.FLOAT16 in [tensor.data_type for tensor in half.graph.initializer]


def test_a_mask_stays_float32_until_softmax() -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["scores"], "scores"),
        helper.make_node("Mul", ["mask", "minus"], ["masked"], "masked"),
        helper.make_node("Add", ["scores", "masked"], ["sum"], "sum"),
        helper.make_node("Softmax", ["sum"], ["shares"], "shares"),
        helper.make_node("MatMul", ["shares", "w"], ["y"], "y"),
    ]
    model = _model(nodes, {"x": FLOAT, "mask": FLOAT}, ["y"], w=W, minus=np.array(-1e9, np.float32))
    mask = (np.random.default_rng(2).uniform(size=X.shape) > 0.5).astype(np.float32)
    mask[0] = 1  # all is masked: in float16 this row would be 0 / 0
    half = to_float16(model)
    (found,), (wanted,) = _run(half, x=X, mask=mask), _run(model, x=X, mask=mask)
    np.testing.assert_allclose(found, wanted, atol=5e-3)
    kinds = _kinds(half)
    assert {kinds[name] for name in ("masked", "sum", "shares")} == {TensorProto.FLOAT}
    assert kinds["scores"] == TensorProto.FLOAT16


def test_large_limits_are_the_largest_number() -> None:
    nodes = [
        helper.make_node("Min", ["x", "most"], ["low"], "low"),
        helper.make_node("MatMul", ["low", "w"], ["y"], "y"),
    ]
    model = _model(nodes, {"x": FLOAT}, ["y"], w=W, most=np.array(3e38, np.float32))
    half = to_float16(model)
    assert _kinds(half)["low"] == TensorProto.FLOAT16
    np.testing.assert_allclose(_run(half, x=X)[0], X @ W, atol=2e-2)


def test_integers_are_compared_in_float32() -> None:
    nodes = [
        helper.make_node("Cast", ["ids"], ["number"], "number", to=TensorProto.FLOAT),
        helper.make_node("Equal", ["number", "wanted"], ["same"], "same"),
        helper.make_node("Cast", ["same"], ["found"], "found", to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["found", "w"], ["y"], "y"),
    ]
    model = _model(
        nodes, {"ids": (TensorProto.INT32, ["n", 6])}, ["y"], w=np.eye(6, dtype=np.float32), wanted=np.float32([2049.0])
    )
    ids = np.array([[2047, 2048, 2049, 2050, 2051, 4097]], np.int32)
    np.testing.assert_array_equal(_run(to_float16(model), ids=ids)[0], [[0, 0, 1, 0, 0, 0]])


def test_scales_of_resize_stay_float32() -> None:
    resize = helper.make_node("Resize", ["image", "", "scales"], ["y"], "y", mode="linear")
    model = _model(
        [resize], {"image": (TensorProto.FLOAT, [1, 2, 3, 4])}, ["y"], scales=np.array([1, 1, 2.5, 1.3], np.float32)
    )
    half = to_float16(model)
    assert {t.data_type for t in half.graph.initializer if t.name == "scales"} == {TensorProto.FLOAT}
    image = np.random.default_rng(0).normal(size=(1, 2, 3, 4)).astype(np.float32)
    np.testing.assert_allclose(_run(half, image=image)[0], _run(model, image=image)[0], atol=5e-3)


def test_branches_read_float32() -> None:
    def body(op: str) -> Any:
        out = helper.make_tensor_value_info(f"{op}_out", TensorProto.FLOAT, ["n", 6])
        return helper.make_graph([helper.make_node(op, ["inner"], [f"{op}_out"], op)], op, [], [out])

    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["inner"], "inner"),
        helper.make_node("If", ["flag"], ["chosen"], "chosen", then_branch=body("Neg"), else_branch=body("Relu")),
        helper.make_node("MatMul", ["chosen", "w"], ["y"], "y"),
    ]
    model = _model(nodes, {"x": FLOAT, "flag": (TensorProto.BOOL, [])}, ["y"], w=W)
    half = to_float16(model)
    for flag in (np.array(True), np.array(False)):
        np.testing.assert_allclose(_run(half, x=X, flag=flag)[0], _run(model, x=X, flag=flag)[0], atol=3e-2)


def test_an_output_that_others_read_and_constants_of_nodes() -> None:
    one = numpy_helper.from_array(np.array([1.5], np.float32))
    nodes = [
        helper.make_node("Shape", ["x"], ["size"], "size"),
        helper.make_node("ConstantOfShape", ["size"], ["filled"], "filled", value=one),
        helper.make_node("Add", ["x", "filled"], ["y"], "y"),
        helper.make_node("MatMul", ["y", "w"], ["z"], "z"),
        helper.make_node("CumSum", ["z", "axis"], ["c"], "c"),
    ]
    model = _model(nodes, {"x": FLOAT}, ["y", "z", "c"], w=W, axis=np.array(1, np.int64))
    for found, wanted in zip(_run(to_float16(model), x=X), _run(model, x=X), strict=True):
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, wanted, atol=5e-2)


@pytest.mark.parametrize("kind", ["Constant", "ConstantOfShape"])
def test_large_numbers_that_a_node_carries_itself_stay_float32(kind: str) -> None:
    held = numpy_helper.from_array(np.array([-1e9], np.float32))
    inputs = [] if kind == "Constant" else ["size"]
    nodes = [
        helper.make_node(kind, inputs, ["minus"], "minus", value=held),
        helper.make_node("Mul", ["mask", "minus"], ["masked"], "masked"),
        helper.make_node("Softmax", ["masked"], ["y"], "y"),
    ]
    model = _model(nodes, {"mask": FLOAT}, ["y"], size=np.array([1], np.int64))
    (found,) = _run(to_float16(model), mask=np.zeros((4, 6), np.float32))
    np.testing.assert_allclose(found, 1 / 6, atol=1e-3)  # in float16 it would be 0 * infinity


def test_small_numbers_do_not_become_zero() -> None:
    found = halved(np.array([1e-12, -1e-9, 0.0, 1.0, 7e4], np.float32), limit=True)
    assert found.tolist() == [2.0**-24, -(2.0**-24), 0.0, 1.0, 65504.0]
