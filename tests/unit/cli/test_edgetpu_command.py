"""`edgeship inspect --edgetpu`: what it shows of a file, and of what the compiler made of it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from tests.quantized_tflite import Builder, chain

from edgeship.cli import cli
from edgeship.cli.failures import run
from edgeship.edgetpu.graph import COMPILED


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "net.tflite"
    path.write_bytes(chain("RELU", "ELU", "TANH"))
    return path


def compiled() -> bytes:
    builder = Builder()
    tensors = [builder.tensor([1, 8, 8, 4]) for _ in range(4)]
    builder.operator(COMPILED, [tensors[0]], [tensors[1]], custom_data=b"program!")
    builder.operator("ELU", [tensors[1]], [tensors[2]])
    builder.operator("TANH", [tensors[2]], [tensors[3]])
    return builder.file(tensors[:1], tensors[-1:])


def test_a_prediction_says_that_it_is_one_and_what_to_change(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(cli, ["inspect", str(model), "--edgetpu"]) == 0
    shown = capsys.readouterr().out
    assert "a prediction, not the compiler's word" in shown
    assert "1 of 3 on the Edge TPU, 2 on the CPU" in shown
    assert "ELU is not supported" in shown
    assert "change 1 ELU: Use ReLU." in shown
    assert "change 2" not in shown  # it only follows


def test_the_json_document_has_every_operator(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(cli, ["inspect", str(model), "--edgetpu", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert [op["place"] for op in report["operators"]] == ["tpu", "cpu", "cpu"]
    assert [op["rule"] for op in report["operators"]] == ["", "not-listed", "one-part"]
    assert report["basis"] == "predicted"


def test_a_compiled_file_is_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "alone_edgetpu.tflite"
    path.write_bytes(compiled())
    assert run(cli, ["inspect", str(path), "--edgetpu"]) == 0
    shown = capsys.readouterr().out
    assert "2 on the CPU; those on the Edge TPU are inside 1 program(s)" in shown
    assert "8 bytes with its parameters" in shown
    assert "not in the open part" in shown


def test_a_refusal_is_shown_before_the_operators(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "custom.tflite"
    path.write_bytes(chain("RELU", "Atan"))
    assert run(cli, ["inspect", str(path), "--edgetpu"]) == 0
    assert "REFUSED: the compiler does not know the custom operator Atan" in capsys.readouterr().out


def test_without_the_compiler_compile_ends_with_3(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert run(cli, ["inspect", str(model), "--edgetpu", "--compile", str(tmp_path / "out")]) == 3
    assert "coral.ai/docs/edgetpu/compiler" in capsys.readouterr().err


def test_emulated_compile_shows_where_it_went_and_how_good_the_prediction_was(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "made").write_bytes(compiled())
    script = tmp_path / "bin" / "edgetpu_compiler"
    copy = "import shutil, sys; shutil.copy(sys.path[0] + '/made', sys.argv[3] + '/model_edgetpu.tflite')"
    script.write_text(f"#!{sys.executable}\n{copy}\nprint('Edge TPU Compiler version 16.0')\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    assert run(cli, ["inspect", str(model), "--edgetpu", "--compile", str(tmp_path / "out")]) == 0
    shown = capsys.readouterr().out
    assert "1 of 3 on the Edge TPU, 2 on the CPU" in shown
    assert "edgetpu_compiler 16.0" in shown
    assert "3 right, 0 wrong, 0 had been left open" in shown
    assert (tmp_path / "out" / "net_edgetpu.tflite").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["net.tflite", "--compile", "out"], "--compile goes with --edgetpu"),
        (["net.tflite", "--edgetpu", "--sensitivity"], "--sensitivity does not go with --edgetpu"),
        (["net.tflite", "--edgetpu", "--ops"], "--ops does not go with --edgetpu"),
        (["absent.tflite", "--edgetpu"], "cannot read absent.tflite"),
    ],
)
def test_bad_usage(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(cli, ["inspect", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_a_file_of_another_kind_is_told_how_to_become_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "model.onnx").write_bytes(b"\x08\x0a" * 20)
    assert run(cli, ["inspect", str(tmp_path / "model.onnx"), "--edgetpu"]) == 2
    shown = capsys.readouterr().err
    assert "no .tflite file" in shown
    assert "--quantize int8" in shown
