"""What a bundle is beyond its build: another file, limits for devices, a model card."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace

import numpy as np
import pytest
from bundle_builds import X, make_build
from tests import tiny_tflite

from edgeship import report
from edgeship.artifact import hash_files, write_sidecar
from edgeship.bundle import Wishes, device_bundle, read_card, read_file
from edgeship.cli import cli, failures
from edgeship.errors import GateFailed, InputError


def onnx_bytes(opset=18):
    """The same network as `tiny_tflite`, as an ONNX file with a dynamic batch axis."""
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("Gemm", ["x", "weights", "bias"], ["scores"], transB=1),
        helper.make_node("Softmax", ["scores"], ["probabilities"]),
    ]
    constants = [
        numpy_helper.from_array(v, n) for v, n in ((tiny_tflite.WEIGHTS, "weights"), (tiny_tflite.BIAS, "bias"))
    ]
    sides = [
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", size])]
        for name, size in (("x", 4), ("probabilities", 3))
    ]
    graph = helper.make_graph(nodes, "net", *sides, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = 8
    return model.SerializeToString()


@pytest.fixture(scope="session")
def both(tmp_path_factory):
    """A build with a TFLite and an ONNX file that passed."""
    build = make_build(tmp_path_factory.mktemp("both"))
    before = report.read(build)
    first = before.artifacts[0]
    place = build / "artifacts" / "onnx" / "float32"
    place.mkdir(parents=True)
    (place / "model.onnx").write_bytes(onnx_bytes())
    files = hash_files(place, ["model.onnx"])
    dynamic = {
        "inputs": (replace(first.inputs[0], shape=(None, 4)),),
        "outputs": (replace(first.outputs[0], shape=(None, 3)),),
    }
    added = replace(first, path=place, format="onnx", files=files, **dynamic)
    write_sidecar(added)
    outputs = build / "golden" / "outputs" / "onnx__float32"
    outputs.mkdir()
    np.save(outputs / "probabilities.npy", tiny_tflite.expected(X))
    gates = (*before.gates, *(replace(gate, artifact=added.id, runtime="onnxruntime") for gate in before.gates))
    report.write(replace(before, artifacts=(first, added), gates=gates), build)
    return build


def test_an_onnx_file_is_delivered_with_what_checks_it(both, tmp_path):
    import onnxruntime

    bundle = device_bundle(both, tmp_path / "out", Wishes(artifact="onnx/float32"))
    manifest = json.loads((bundle.path / "manifest.json").read_text())
    assert (manifest["format"], manifest["entry"], bundle.artifact) == ("onnx", "model.onnx", "onnx/float32")
    ops = [{"name": "Gemm", "version": 18}, {"name": "Softmax", "version": 18}]
    assert manifest["runtime"] == {"name": "onnxruntime", "minimum": "1.14.0", "ops": ops}
    own, other = manifest["golden"]["tolerances"]
    assert (own["runtime"], other["runtime"]) == ("onnxruntime", "*")
    given, expected = (
        np.load(io.BytesIO(read_file(bundle, manifest["golden"][side][name])))
        for side, name in (("inputs", "x"), ("outputs", "probabilities"))
    )
    session = onnxruntime.InferenceSession(read_file(bundle, "model.onnx"), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"x": given})
    assert np.abs(found - expected).max() <= own["max_abs"]["probabilities"]


def test_without_a_wish_it_is_the_tflite_file(both, tmp_path):
    assert device_bundle(both, tmp_path / "out").artifact == "tflite/float32"


@pytest.mark.parametrize("name", ["onnx/int8", "tfjs/float32", "model.onnx", "../onnx/float32"])
def test_a_file_that_there_is_not_is_refused_with_those_that_there_are(both, tmp_path, name):
    with pytest.raises(InputError, match=re.escape(name)) as caught:
        device_bundle(both, tmp_path / "out", Wishes(artifact=name))
    assert "tflite/float32, onnx/float32" in caught.value.remedy
    assert not (tmp_path / "out").exists()


def test_a_file_that_did_not_pass_is_not_delivered_by_name_either(tmp_path):
    build = make_build(tmp_path / "build", verification="failed")
    with pytest.raises(GateFailed, match="tflite/float32 failed"):
        device_bundle(build, tmp_path / "out", Wishes(artifact="tflite/float32"))


CARD = """\
description: Tells left from right.
license: Apache-2.0
limitations: |
  Three classes only.
"""


def test_options_become_budget_and_card(build, tmp_path):
    (tmp_path / "card.yaml").write_text(CARD)
    options = ["--max-latency", "12.5", "--max-memory", "64", "--card", str(tmp_path / "card.yaml")]
    assert failures.run(cli, ["bundle", str(build), "--for", "device", *options, "--out", str(tmp_path / "out")]) == 0
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["budget"] == {"latency_ms": 12.5, "memory_bytes": 64 << 20}
    assert manifest["card"] == {
        "description": "Tells left from right.",
        "license": "Apache-2.0",
        "intended_use": "",
        "limitations": "Three classes only.",
    }


@pytest.mark.parametrize(
    "option", [["--max-latency", "0"], ["--max-memory", "0"], ["--max-latency", "nan"], ["--max-latency", "inf"]]
)
def test_limits_that_nothing_meets_are_refused(build, tmp_path, option):
    arguments = ["bundle", str(build), "--for", "device", *option, "--out", str(tmp_path / "out")]
    assert failures.run(cli, arguments) == 2
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a mapping"),
        ("{}", "not a valid ModelCard"),
        ("- Apache-2.0", "not a mapping"),
        ("license: 2", "license"),
        ("licence: MIT", "licence"),
        ("license: [MIT]", "license"),
        ("license: MIT\nlicense: Apache-2.0", "'license' is written twice"),
        ("description: &a [*a]", "description"),
        ("license: {", "not YAML"),
        ("license: !!python/object/apply:os.getcwd []", "not YAML"),
        ("description: " + "x" * (65 << 10), "larger than"),
        ("description: é".encode("latin-1"), "UTF-8"),
    ],
)
def test_a_card_is_texts_under_known_keys(tmp_path, text, message):
    path = tmp_path / "card.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=message):
        read_card(path)


def test_a_card_may_be_json(tmp_path):
    (tmp_path / "card.json").write_text(json.dumps({"intended_use": "demonstrations"}))
    assert read_card(tmp_path / "card.json").intended_use == "demonstrations"


def test_a_card_that_is_too_long_for_a_manifest_is_refused(build, tmp_path):
    (tmp_path / "card.yaml").write_text(f"description: {'x' * 10_001}")
    with pytest.raises(InputError, match=r"card\.description has more than 10,000"):
        device_bundle(build, tmp_path / "out", Wishes(card=read_card(tmp_path / "card.yaml")))
    assert not (tmp_path / "out").exists()
