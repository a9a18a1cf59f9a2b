"""`edgeship inspect --sensitivity`: what it asks for, and what it says to run next."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from edgeship.cli import cli
from edgeship.cli.failures import run
from edgeship.cli.sensitivity import next_command


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["model.keras", "--sensitivity"], "--sensitivity needs --data"),
        (["model.keras", "--data", "digits"], "--data goes with --sensitivity"),
        (["model.keras", "--sensitivity", "--data", "digits", "--diff", "a.tflite"], "do not go with --sensitivity"),
        (["model.keras", "--sensitivity", "--data", "digits", "--sparsity", "1"], "--sparsity"),
        (["absent.keras", "--sensitivity", "--data", "digits"], "no such model"),
    ],
)
def test_bad_usage(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(cli, ["inspect", *arguments]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("verdict", "scale", "command"),
    [
        ("mixed", 1.0, "--recipe mixed --to tflite --max-drop 0.5"),
        ("int8", 0.5, "--recipe int8 --to tflite --scale 0.5 --max-drop 0.5"),
        ("none", 1.0, "--recipe int8-qat --to tflite --max-drop 0.5"),
        ("unclear", 1.0, "--recipe mixed --to tflite --max-drop 0.5"),
    ],
)
def test_the_next_command_can_be_pasted(verdict: str, scale: float, command: str) -> None:
    found = cast("Any", SimpleNamespace(fix=SimpleNamespace(verdict=verdict)))
    given = {"data": "d.npz", "scale": scale, "max_drop": 0.5}
    expected = f"edgeship build 'my model.keras' --data d.npz {command}"
    assert next_command(found, Path("my model.keras"), given) == expected
