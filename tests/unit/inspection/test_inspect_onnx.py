"""Looking into .onnx files."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper, save, shape_inference

from edgeship.errors import ArtifactError
from edgeship.inspection.onnx import open_onnx

RNG = np.random.default_rng(1)
KERNEL = RNG.normal(size=(4, 3, 3, 3)).astype(np.float32)
STORED = RNG.integers(-127, 128, (8, 5)).astype(np.int8)
SCALES = np.linspace(0.01, 0.05, 5, dtype=np.float32)


def info(name: str, *shape: Any) -> Any:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))


def network(folder: Path) -> Path:
    """A grouped, a plain convolution, and a dense layer of int8 weights; shapes in between are not in the file."""
    constants = {
        "kernel": KERNEL,
        "depthwise": np.ones((4, 1, 3, 3), np.float32),
        "stored": STORED,
        "scales": SCALES,
        "zeros": np.zeros(5, np.int8),
        "bias": np.zeros(4, np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["x", "kernel", "bias"], ["a"], "first", strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("Conv", ["a", "depthwise"], ["b"], "second", group=4, pads=[1, 1, 1, 1]),
        helper.make_node("GlobalAveragePool", ["b"], ["c"]),
        helper.make_node("Concat", ["c", "c"], ["d"], axis=1),
        helper.make_node("Flatten", ["d"], ["e"]),
        helper.make_node("DequantizeLinear", ["stored", "scales", "zeros"], ["w"], "dequantize", axis=1),
        helper.make_node("MatMul", ["e", "w"], ["y"], "dense"),
    ]
    initializers = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "net", [info("x", "batch", 3, 16, 16)], [info("y", "batch", 5)], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], producer_name="somebody")
    model.ir_version = 8
    helper.set_model_props(model, {"labels": '["a", "b"]', "author": "me"})
    save(model, str(folder / "model.onnx"))
    return folder / "model.onnx"


def test_ops_kernels_and_macs(tmp_path: Path) -> None:
    opened = open_onnx(network(tmp_path))
    found = opened.description
    by_name = {op.name: op for op in found.ops}
    first, second, dense = by_name["first"], by_name["second"], by_name["dense"]
    assert (first.kind, first.layout, first.macs, first.parameters) == ("conv", "OIHW", 108 * 64, 112)
    assert (second.kind, second.layout, second.macs) == ("depthwise", "C1HW", 36 * 64)
    assert (dense.kind, dense.kernel, dense.layout, dense.macs) == ("dense", "stored", "IO", 40)
    assert first.options["strides"] == [2, 2]
    assert (found.parameters, found.macs) == (108 + 4 + 36 + 40, 108 * 64 + 36 * 64 + 40)
    np.testing.assert_allclose(opened.values("stored"), STORED * SCALES, rtol=1e-6)
    np.testing.assert_array_equal(opened.values("kernel"), KERNEL)


def test_quantization_versions_and_metadata(tmp_path: Path) -> None:
    found = open_onnx(network(tmp_path)).description
    tensor = found.tensor("stored")
    assert tensor is not None
    assert tensor.quantization is not None
    assert (len(tensor.quantization.scales), tensor.quantization.axis) == (5, 1)
    assert found.requires == {"IR version": "8", "opset ai.onnx": "18", "ONNX": "1.13.0", "ONNX Runtime": "1.14.0"}
    assert found.labels == ("a", "b")
    assert found.metadata["author"] == "me"
    assert found.facts["made by"] == "somebody"
    assert found.inputs[0].shape == (None, 3, 16, 16)
    assert found.precision.startswith("weights: float32 (2 ops), int8 per channel (1 op)")


def test_recurrent_ops_and_ops_that_cannot_be_counted(tmp_path: Path) -> None:
    weights = {"w": np.zeros((1, 24, 4), np.float32), "r": np.zeros((1, 24, 6), np.float32)}
    nodes = [
        helper.make_node("LSTM", ["x", "w", "r"], ["y"], "lstm", hidden_size=6),
        helper.make_node("Odd", ["y"], ["z"], "odd", domain="com.example"),
    ]
    graph = helper.make_graph(
        nodes, "net", [info("x", 7, 1, 4)], [info("z", 7)], [numpy_helper.from_array(v, k) for k, v in weights.items()]
    )
    sets = [helper.make_opsetid("", 14), helper.make_opsetid("com.example", 1)]
    save(helper.make_model(graph, opset_imports=sets), str(tmp_path / "model.onnx"))
    found = open_onnx(tmp_path / "model.onnx").description
    assert found.ops[0].macs == 7 * (24 * 4 + 24 * 6)
    assert (found.macs, found.uncounted) == (None, ("com.example.Odd",))
    assert found.requires["operators of"] == "com.example"


def test_values_in_other_files_are_not_read(tmp_path: Path) -> None:
    path = network(tmp_path)
    import onnx

    model = onnx.load(str(path))
    tensor = model.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "/etc/passwd"
    path.write_bytes(model.SerializeToString())
    opened = open_onnx(path)
    assert opened.values("kernel") is None
    assert "lie in another file, which is not read" in opened.description.notes[0]


@pytest.mark.parametrize("content", [b"", b"\x08", b"not a model at all", b"\xff" * 100])
def test_what_is_no_onnx_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.onnx").write_bytes(content)
    with pytest.raises(ArtifactError):
        open_onnx(tmp_path / "model.onnx")


def test_mutated_onnx_files_are_errors_or_descriptions(tmp_path: Path) -> None:
    content, draw, refused = network(tmp_path).read_bytes(), random.Random(3), 0
    for _ in range(200):
        changed = bytearray(content)
        for _ in range(draw.choice((1, 2, 8))):
            changed[draw.randrange(len(changed))] = draw.randrange(256)
        (tmp_path / "model.onnx").write_bytes(changed)
        try:
            open_onnx(tmp_path / "model.onnx").description.to_json()
        except ArtifactError:
            refused += 1
    assert 20 < refused < 190


def test_shapes_that_cannot_be_inferred_for_no_said_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(*_: Any, **__: Any) -> None:
        raise ValueError

    monkeypatch.setattr(shape_inference, "infer_shapes", silent)
    found = open_onnx(network(tmp_path)).description
    assert "shapes could not be inferred: ValueError" in found.notes
