"""What runtimes and devices say of a file, and `edgeship.inspect` itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ai_edge_litert import schema_py_generated as tfl
from test_inspect_tfjs import graph_model, node, write
from test_inspect_tflite import repacked
from tests import tiny_tflite

import edgeship
from edgeship.errors import ArtifactError
from edgeship.inspection.description import Support
from edgeship.inspection.devices import edgetpu, micro
from edgeship.inspection.tfjs import open_tfjs
from edgeship.inspection.tflite import open_tflite
from edgeship_converters.tfjs.advice import advise


def test_a_runtime_runs_the_file(tmp_path: Path) -> None:
    (tmp_path / "model.tflite").write_bytes(tiny_tflite.model_bytes())
    found = edgeship.inspect(tmp_path / "model.tflite")
    litert = next(support for support in found.support if support.name == "litert")
    assert (litert.state, litert.how) == ("runs", "asked")
    assert litert.reason.startswith("ran on zeros with ai-edge-litert")
    assert [(note.op, note.state) for note in litert.ops] == [(op.name, "runs") for op in found.ops]
    assert sum(size for _, size in found.layers) == found.size_bytes
    assert edgeship.inspect(tmp_path / "model.tflite", ask=False).support == found.support[1:]


def test_a_runtime_refuses_an_op(tmp_path: Path) -> None:
    def strange(model: Any) -> None:
        code = model.operatorCodes[1]
        code.builtinCode, code.deprecatedBuiltinCode = tfl.BuiltinOperator.CUSTOM, 32
        code.customCode = "OfMyOwn"
        model.subgraphs[0].operators[1].builtinOptionsType = 0
        model.subgraphs[0].operators[1].builtinOptions = None

    (tmp_path / "model.tflite").write_bytes(repacked(strange))
    found = edgeship.inspect(tmp_path / "model.tflite")
    litert = found.support[0]
    assert litert.state == "refused"
    assert "OfMyOwn" in litert.reason
    assert [(note.op, note.state) for note in litert.ops] == [("probabilities", "refused")]
    assert found.requires["custom operators"] == "OfMyOwn"
    assert found.uncounted == ("CUSTOM OfMyOwn",)


def test_the_table_of_tfjs_ops(tmp_path: Path) -> None:
    data = graph_model(tmp_path)
    found = advise(open_tfjs(write(tmp_path, data)).description)
    assert found is not None
    assert found.state == "runs"
    data["modelTopology"]["node"].append(node("odd", "Einsum", "x"))
    found = advise(open_tfjs(write(tmp_path, data)).description)
    assert found is not None
    assert (found.state, found.how) == ("uncertain", "predicted")
    assert "Einsum" in found.reason
    assert [note.reason for note in found.ops if note.state != "runs"] == [
        "its WebAssembly backend has no kernel for it"
    ]


def test_backends_of_tfjs_that_are_wrong_about_integers(tmp_path: Path) -> None:
    data = graph_model(tmp_path)
    data["modelTopology"]["node"] += [node("turned", "Transpose", "shape", "begin"), node("moved", "Transpose", "conv")]
    found = advise(open_tfjs(write(tmp_path, data)).description)
    assert found is not None
    assert found.state == "uncertain"
    assert found.reason.startswith("runs right on wasm, webgl, cpu; not on webgpu: Transpose of integers (turned): ")
    assert {note.op: note.state for note in found.ops if note.op in ("turned", "moved")} == {
        "turned": "uncertain",
        "moved": "runs",
    }


def test_the_edge_tpu_is_predicted_op_by_op(tmp_path: Path, shared_data: Path) -> None:
    found = edgetpu(open_tflite(shared_data / "coral" / "deeplabv3_mnv2_dm05_pascal_quant.tflite").description)
    assert found is not None
    assert len(found.ops) == 72
    assert {note.state for note in found.ops} <= {"runs", "elsewhere", "uncertain"}
    assert all(note.reason for note in found.ops if note.state == "elsewhere")
    other = replace(open_tflite(shared_data / "tflm" / "hello_world_int8.tflite").description, format="onnx")
    assert edgetpu(other) is None


def test_tensorflow_lite_micro_is_predicted_by_its_operators(tmp_path: Path, shared_data: Path) -> None:
    plain = open_tflite(shared_data / "tflm" / "hello_world_int8.tflite").description
    found = micro(plain)
    assert found is not None
    assert (found.state, found.how) == ("runs", "predicted")
    assert {note.state for note in found.ops} == {"runs"}

    def changed(**changes: Any) -> Support:
        ops = (replace(plain.ops[0], **changes), *plain.ops[1:])
        found = micro(replace(plain, ops=ops))
        assert found is not None
        return found

    assert changed(type="CONV_3D").state == "refused"
    assert "no operator CONV_3D" in changed(type="CONV_3D").reason
    assert changed(type="WHILE").ops[0].state == "uncertain"
    halves = tuple(replace(t, dtype="float16") if t.name == plain.ops[0].kernel else t for t in plain.tensors)
    doubted = micro(replace(plain, tensors=halves))
    assert doubted is not None
    assert doubted.state == "uncertain"
    dynamic = micro(replace(plain, inputs=(replace(plain.inputs[0], shape=(None, None)),)))
    assert dynamic is not None
    assert "not fixed" in dynamic.reason
    assert micro(replace(plain, format="onnx")) is None


@pytest.mark.parametrize("name", ["absent.tflite", "absent.keras", "absent"])
def test_what_is_not_there(tmp_path: Path, name: str) -> None:
    with pytest.raises(ArtifactError, match="no such file"):
        edgeship.inspect(tmp_path / name)


def test_the_folder_of_a_tfjs_model(tmp_path: Path) -> None:
    write(tmp_path, graph_model(tmp_path))
    assert edgeship.inspect(tmp_path, ask=False).format == "tfjs"
