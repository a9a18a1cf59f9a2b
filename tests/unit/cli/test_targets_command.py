"""`edgeship targets` and the tables of `edgeship benchmark`, with targets that are there and one that is not."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from tests import report_builder, result_rows

from edgeship import benchmarking, plugins
from edgeship.cli import cli
from edgeship.cli.failures import run
from edgeship.errors import InputError, TargetUnavailable
from edgeship.types import DeviceInfo, Progress, ProgressCallback


class Board:
    """A target of a package of someone else: one board is there, no other is."""

    examples = ("board:near", "board:far")

    def __init__(self, rest: str) -> None:
        if rest not in ("", "near", "far"):
            raise InputError(f"no board is called {rest!r}", remedy="There are near and far.")
        self.name = f"board:{rest or 'near'}"

    def probe(self) -> DeviceInfo:
        if self.name == "board:far":
            raise TargetUnavailable("nobody answers", remedy="Switch it on.")
        return DeviceInfo(self.name, "measured", {"machine": "armv6l"})

    def prepare(self, progress: ProgressCallback | None = None) -> Sequence[str]:
        if progress is not None:
            progress(Progress("prepare", 1, 1))
        return ("a runtime was installed",)

    def check(self, artifact: object, inputs: object) -> None: ...

    def measure(self, artifacts, inputs, plan, progress=None):  # type: ignore[no-untyped-def] # as the Protocol has it
        raise TargetUnavailable("nobody answers", remedy="Switch it on.")


@pytest.fixture(autouse=True)
def board(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """`local` and the board are the targets that are installed."""
    entries = {
        "local": EntryPoint("local", "edgeship_benchmarks.targets.local:LocalTarget", "edgeship.targets"),
        "board": EntryPoint("board", f"{__name__}:Board", "edgeship.targets"),
    }
    original = plugins._entries
    monkeypatch.setattr(plugins, "_entries", lambda kind: entries if kind == "targets" else original(kind))
    plugins.target.cache_clear()
    yield
    plugins.target.cache_clear()


def test_schemes_are_listed_with_addresses(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(cli, ["targets"]) == 0
    shown = capsys.readouterr().out
    assert "board:near" in shown
    assert "board:far" in shown
    assert "edgeship_benchmarks.targets.local:LocalTarget" in shown
    assert run(cli, ["targets", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[1]["addresses"] == ["board:near", "board:far"]


def test_a_probe_of_all_shows_each_and_succeeds(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(cli, ["targets", "probe"]) == 0
    shown = capsys.readouterr().out
    assert "machine: armv6l" in shown
    assert "load_average" in shown


def test_a_probe_by_name_of_what_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(cli, ["targets", "probe", "board:far", "board:near"]) == 3
    shown = capsys.readouterr().out
    assert "not here" in shown
    assert "nobody answers" in shown
    assert "Switch it on." in shown
    assert "machine: armv6l" in shown
    assert run(cli, ["targets", "probe", "board:elsewhere"]) == 2
    assert "There are near and far." in capsys.readouterr().err


def test_prepare(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(cli, ["targets", "prepare", "board:near", "local"]) == 0
    shown = capsys.readouterr().out
    assert "board:near: a runtime was installed" in shown
    assert "local: nothing to prepare" in shown
    assert run(cli, ["targets", "prepare"]) == 2


def test_a_target_that_is_not_there_costs_only_its_rows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = report_builder.build(tmp_path)
    first = made.artifacts[0]
    monkeypatch.setattr(benchmarking, "find_artifacts", lambda _: list(made.artifacts[:2]))
    local = plugins.target("local")
    monkeypatch.setattr(type(local), "measure", lambda *_: list(made.measurements[:2]))
    assert run(cli, ["benchmark", str(first.entry), "--target", "local", "--target", "board"]) == 3
    shown = capsys.readouterr()
    assert "is 1.0" in shown.out.replace("takes", "is") or "slower than" in shown.out
    assert "not measured" in shown.out
    assert "nobody answers" in shown.out
    assert run(cli, ["benchmark", str(first.entry), "--target", "local", "--target", "moon"]) == 2


def test_each_provenance_has_its_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = report_builder.build(tmp_path)
    rows = [
        *made.measurements[:2],
        *(result_rows.emulation(), result_rows.micro(), result_rows.bound(), result_rows.fit(), result_rows.refused()),
    ]
    monkeypatch.setattr(benchmarking, "benchmark", lambda *_: benchmarking.Found(tuple(rows)))
    assert run(cli, ["benchmark", "any.tflite"]) == 3  # of the browser there is nothing at all
    shown = capsys.readouterr().out
    measured, _, rest = shown.partition("emulated")
    assert "median ms" in measured
    assert "emulated:cortex-a72" not in measured
    emulated, _, estimated = rest.partition("estimated, not measured")
    assert "3,234,011" in emulated
    assert " ms" not in emulated
    assert "≥ 1.90 ms" in estimated
    assert run(cli, ["benchmark", "any.tflite", "--json"]) == 3
    document = json.loads(capsys.readouterr().out)
    assert {key: len(value) for key, value in document.items()} == {
        "measurements": 2, "emulations": 2, "estimates": 2, "unmeasured": 1
    }  # fmt: skip
