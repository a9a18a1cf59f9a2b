"""What differs between two files."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_inspect_tflite import repacked
from tests import tiny_tflite

from edgeship.inspection.diff import Difference, compare, difference, distance
from edgeship.inspection.onnx import open_onnx
from edgeship.inspection.tflite import open_tflite


def pair(folder: Path, first: bytes, second: bytes) -> Difference:
    found = []
    for name, content in (("a.tflite", first), ("b.tflite", second)):
        (folder / name).write_bytes(content)
        found.append(open_tflite(folder / name))
    return compare(*found)


def test_a_file_equals_itself(tmp_path: Path) -> None:
    found = pair(tmp_path, tiny_tflite.model_bytes(), tiny_tflite.model_bytes())
    assert found.same
    assert [weight.equal for weight in found.weights] == [True]
    assert found.layers == ()


def test_weights_that_differ_are_measured(tmp_path: Path) -> None:
    changed = tiny_tflite.WEIGHTS.copy()
    changed[1, 2] += 0.5
    found = pair(tmp_path, tiny_tflite.model_bytes(), tiny_tflite.model_bytes(weights=changed))
    (weight,) = found.weights
    signal = float((tiny_tflite.WEIGHTS.astype(float) ** 2).sum())
    assert weight.sqnr_db == pytest.approx(10 * math.log10(signal / 0.25), abs=1e-4)
    assert weight.max_abs == pytest.approx(0.5, abs=1e-6)
    assert not found.same
    assert found.ops == ()


def test_ops_that_are_gone_or_other(tmp_path: Path) -> None:
    def shorten(model: Any) -> None:
        del model.subgraphs[0].operators[1]
        model.subgraphs[0].outputs = [3]

    found = pair(tmp_path, tiny_tflite.model_bytes(), repacked(shorten))
    assert [(op.state, op.type, op.first) for op in found.ops] == [("removed", "SOFTMAX", "probabilities")]
    assert [change.name for change in found.tensors] == ["output 0"]

    def sharpen(model: Any) -> None:
        model.subgraphs[0].operators[1].builtinOptions.beta = 2.0

    found = pair(tmp_path, tiny_tflite.model_bytes(), repacked(sharpen))
    assert [(op.state, op.what) for op in found.ops] == [("changed", ("beta: 1.0 -> 2.0",))]


def test_across_formats_kernels_are_compared_in_one_layout(tmp_path: Path) -> None:
    from onnx import TensorProto, helper, numpy_helper, save

    turned = np.ascontiguousarray(tiny_tflite.WEIGHTS.T)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"], "dense")],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3])],
        [numpy_helper.from_array(turned, "w")],
    )
    save(helper.make_model(graph), str(tmp_path / "model.onnx"))
    (tmp_path / "model.tflite").write_bytes(tiny_tflite.model_bytes())
    found = compare(open_tflite(tmp_path / "model.tflite"), open_onnx(tmp_path / "model.onnx"))
    assert found.across
    assert [(weight.count, weight.equal) for weight in found.weights] == [(12, True)]
    assert found.ops == ()


def test_distance_of_odd_numbers() -> None:
    zeros, ones = np.zeros(3), np.ones(3)
    assert distance(ones, ones) == (None, 0.0)
    assert distance(zeros, ones)[0] == -999.0
    assert distance(ones, np.array([1, np.nan, 1]))[0] == -999.0
    assert distance(ones, -ones)[0] == pytest.approx(-6.0206, abs=1e-4)


def test_the_official_int8_file_of_resnet8(shared_data: Path) -> None:
    folder = shared_data / "mlperf_tiny" / "image_classification"
    found = difference(folder / "pretrainedResnet.tflite", folder / "pretrainedResnet_quant.tflite")
    assert len(found.weights) == 10
    # 8 bits a channel: 6.02 dB a bit, less what the crest factor of each channel takes.
    assert all(40 < (weight.sqnr_db or 0) < 50 for weight in found.weights)
    assert found.totals["bytes"] == (318_144, 98_496)
    assert {change.name for change in found.other} == {"precision", "TFLite"}
