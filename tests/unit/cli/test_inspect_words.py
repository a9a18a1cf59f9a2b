"""`edgeship inspect` as people type it, without --sensitivity."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests import tiny_tflite

from edgeship.cli import cli
from edgeship.cli.failures import run


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "model.tflite").write_bytes(tiny_tflite.model_bytes())
    return tmp_path / "model.tflite"


def test_a_file_in_words_and_as_a_page(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(cli, ["inspect", str(file), "--ops", "--html", str(tmp_path / "page.html")]) == 0
    shown = capsys.readouterr().out
    for words in (
        "parameters:    15",
        "MACs:          12",
        "FULLY_CONNECTED v1",
        "beta 1.0",
        "ran on zeros",
        "needs TFLite",
    ):
        assert words in shown
    assert "<svg" in (tmp_path / "page.html").read_text()


def test_one_json_document(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(cli, ["inspect", str(file), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [op["type"] for op in found["ops"]] == ["FULLY_CONNECTED", "SOFTMAX"]
    assert found["support"][0]["state"] == "runs"


def test_what_differs(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "other.tflite"
    other.write_bytes(tiny_tflite.model_bytes(weights=tiny_tflite.WEIGHTS * 1.01))
    assert run(cli, ["inspect", str(file), "--diff", str(other), "--html", str(tmp_path / "page.html")]) == 0
    shown = capsys.readouterr().out
    assert "40.0" in shown
    assert shown.endswith("the files differ\npage: " + str(tmp_path / "page.html") + "\n")
    assert run(cli, ["inspect", str(file), "--diff", str(file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ops"] == []


def test_a_damaged_file(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_bytes(file.read_bytes()[:200])
    assert run(cli, ["inspect", str(file)]) == 2
    assert "is broken" in capsys.readouterr().err
