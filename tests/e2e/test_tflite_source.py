"""A float .tflite file as the model of a build."""

from __future__ import annotations

from pathlib import Path

from .conftest import Demo, Script


def test_a_tflite_file_is_shipped_as_tflite_and_onnx(demo: Demo, edgeship: Script, tmp_path: Path) -> None:
    given = demo.build / "artifacts" / "tflite" / "float32" / "model.tflite"
    args = ("--to", "tflite", "--to", "onnx", "--quantize", "float32", "--quantize", "int8", "--data", "digits")
    ran = edgeship("build", given, *args, "--out", tmp_path / "b", "--json")
    assert ran.code == 0, ran.err
    assert [(a["format"], a["variant"], a["verification"]) for a in ran.json["artifacts"]] == [
        ("tflite", "float32", "passed"),
        ("tflite", "int8", "passed"),
        ("onnx", "float32", "passed"),
        ("onnx", "int8", "passed"),
    ]
    made = tmp_path / "b" / "artifacts" / "tflite" / "float32" / "model.tflite"
    assert made.read_bytes() == given.read_bytes()
