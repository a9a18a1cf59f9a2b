"""ONNX files in the operator set that was asked for: computed alike, recorded, or refused by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import frozen_models as zoo
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeship.errors import UnsupportedModelError
from edgeship.inspection.opening import describe
from edgeship.source import inspect as read
from edgeship.types import Array, Artifact, ConvertOptions, Source
from edgeship_converters.onnx import ONNXConverter
from edgeship_converters.onnx.opsets import OFFERED, at_opset, opset

keras, layers = zoo.keras, zoo.layers
TOLERANCES = {"float32": 1e-5, "float16": 5e-3, "int8": 0.06}


def attention() -> Any:
    x = keras.Input((6, 8), name="x")
    y = layers.LayerNormalization()(layers.Add()([layers.MultiHeadAttention(2, 4)(x, x), x]))
    y = layers.Dense(8, activation="gelu")(y)
    return keras.Model(x, layers.Dense(3, activation="softmax", name="y")(layers.Flatten()(y)))


@pytest.fixture(autouse=True)
def _same_weights() -> None:
    keras.utils.set_random_seed(0)


def convert(source: Source, variant: str, wanted: int | None, folder: Path) -> Artifact:
    out = folder / variant / str(wanted)
    out.mkdir(parents=True)
    calibration = zoo.calibration(source, out / "data") if variant == "int8" else None
    return ONNXConverter().convert(source, variant, ConvertOptions(calibration=calibration, opset=wanted), out)


def run(path: Path, inputs: dict[str, Array]) -> list[Array]:
    found: list[Array] = onnxruntime.InferenceSession(str(path)).run(None, inputs)
    return found


def check(source: Source, variant: str, wanted: int, folder: Path) -> onnx.ModelProto:
    """Convert, and hold the file against Keras and its own words."""
    artifact = convert(source, variant, wanted, folder)
    inputs = zoo.samples(source, 3)
    for found, exact in zip(run(artifact.entry, inputs), zoo.reference(source, inputs), strict=True):
        np.testing.assert_allclose(found, exact, rtol=0, atol=TOLERANCES[variant] * max(1, np.ptp(exact)))
    model = onnx.load(artifact.entry)
    assert opset(model) == wanted
    assert describe(artifact.entry).requires["opset ai.onnx"] == str(wanted)
    # Readers of that time know no younger file format than the one that came with the operator set.
    assert model.ir_version == helper.find_min_ir_version_for([helper.make_opsetid("", wanted)])
    return model


@pytest.mark.parametrize("wanted", [OFFERED[0], OFFERED[-1]])
@pytest.mark.parametrize("build", [zoo.cnn, zoo.lstm, attention])
def test_the_oldest_and_the_newest(tmp_path: Path, build: Callable[[], Any], wanted: int) -> None:
    source = zoo.save(build(), tmp_path)
    for variant in TOLERANCES:
        check(source, variant, wanted, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("wanted", OFFERED[1:-1])
@pytest.mark.parametrize("build", [zoo.cnn, zoo.lstm, attention])
def test_all_between(tmp_path: Path, build: Callable[[], Any], wanted: int) -> None:
    source = zoo.save(build(), tmp_path)
    for variant in TOLERANCES:
        check(source, variant, wanted, tmp_path)


@pytest.mark.parametrize("padding", ["valid", "same"])
def test_padding_before_a_maximum_below_opset_18(tmp_path: Path, padding: str) -> None:
    """ONNX Runtime merges the two, and so takes the maximum of other numbers, unless it is kept from it."""
    image = keras.Input((9, 13, 4))
    x = layers.ZeroPadding2D([1, 2])(layers.Rescaling(1.0, -5.0)(image))
    source = zoo.save(keras.Model(image, layers.MaxPooling2D(3, 2, padding=padding)(x)), tmp_path)
    check(source, "float32", 17, tmp_path)


def _file(folder: Path, nodes: list[Any], version: int, **held: Any) -> Source:
    """A file of one input `x` (batch, 2, 4, 4) and one output `y`."""
    shapes = ["batch", 2, 4, 4]
    given, result = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shapes) for name in ("x", "y"))
    tensors = [numpy_helper.from_array(np.asarray(value), name) for name, value in held.items()]
    graph = helper.make_graph(nodes, "g", [given], [result], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", version)], ir_version=9)
    onnx.save(model, folder / "given.onnx")
    return read(folder / "given.onnx")


def _mean(version: int) -> list[Any]:
    """x plus its mean over the channels; axes were an attribute before opset 18, and are an input since."""
    new = version >= 18
    mean = helper.make_node("ReduceMean", ["x", "axes"] if new else ["x"], ["m"], "mean", **({} if new else _AXES))
    return [mean, helper.make_node("Add", ["x", "m"], ["y"], "sum")]


_AXES: dict[str, Any] = {"axes": [1]}


@pytest.mark.parametrize(("own", "wanted"), [(11, 13), (13, 18), (13, 26), (20, 17)])
def test_a_file_is_brought_to_another_operator_set(tmp_path: Path, own: int, wanted: int) -> None:
    source = _file(tmp_path, _mean(own), own, **({"axes": np.array([1])} if own >= 18 else {}))
    x = np.random.default_rng(0).normal(size=(2, 2, 4, 4)).astype(np.float32)
    artifact = convert(source, "float32", wanted, tmp_path)
    assert opset(onnx.load(artifact.entry)) == wanted
    np.testing.assert_allclose(run(artifact.entry, {"x": x})[0], x + x.mean(1, keepdims=True), atol=1e-6)


def test_a_file_keeps_its_own_where_none_is_asked_for(tmp_path: Path) -> None:
    source = _file(tmp_path, _mean(11), 11)
    assert opset(onnx.load(convert(source, "float32", None, tmp_path).entry)) == 11
    assert opset(onnx.load(convert(source, "int8", None, tmp_path).entry)) == 13  # the first with channels


def test_an_operator_that_is_too_young_is_named(tmp_path: Path) -> None:
    source = _file(tmp_path, [helper.make_node("Gelu", ["x"], ["y"], "act")], 20)
    with pytest.raises(
        UnsupportedModelError, match=r"opset 17 has no operator for act \(Gelu, of opset 20\)"
    ) as caught:
        convert(source, "float32", 17, tmp_path)
    assert "--opset 20" in caught.value.remedy
    convert(source, "float32", 20, tmp_path)


def test_an_operator_within_a_branch_counts_too() -> None:
    body = helper.make_graph(
        [helper.make_node("Gelu", ["x"], ["z"], "inner")], "b", [], [helper.make_tensor_value_info("z", 1, None)]
    )
    node = helper.make_node("If", ["c"], ["y"], "choice", then_branch=body, else_branch=body)
    ends = [helper.make_tensor_value_info("x", 1, [2]), helper.make_tensor_value_info("c", 9, [])]
    graph = helper.make_graph([node], "g", ends, [helper.make_tensor_value_info("y", 1, None)])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
    with pytest.raises(UnsupportedModelError, match="inner"):
        at_opset(model, 18)


def test_older_forms_that_the_version_converter_does_not_know_are_named(tmp_path: Path) -> None:
    source = _file(tmp_path, _mean(18), 18, axes=np.array([1]))
    with pytest.raises(UnsupportedModelError, match=r"sum \(Add\) cannot be brought from opset 18 to 13"):
        convert(source, "float32", 13, tmp_path)


def test_sparse_weights_of_a_file_become_dense(tmp_path: Path) -> None:
    ones = helper.make_sparse_tensor(
        numpy_helper.from_array(np.array([2.0, 3.0], np.float32), "factor"),
        numpy_helper.from_array(np.array([0, 3], np.int64), "places"),
        [4],
    )
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 4]) for name in ("x", "y")]
    node = helper.make_node("Mul", ["x", "factor"], ["y"], "scaled")
    graph = helper.make_graph([node], "g", ends[:1], ends[1:], sparse_initializer=[ones])
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), tmp_path / "given.onnx"
    )
    source = read(tmp_path / "given.onnx")
    x = np.random.default_rng(0).normal(size=(2, 4)).astype(np.float32)
    for variant, wanted in (("float32", None), ("float16", None), ("float32", 26)):
        found = run(convert(source, variant, wanted, tmp_path).entry, {"x": x})[0]
        np.testing.assert_allclose(found, x * np.array([2, 0, 0, 3], np.float32), atol=5e-3)
