"""`edgeship benchmark` from files to rows, verdicts and the history, with real files in their runtime."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests import tiny_tflite

from edgeship import benchmarking
from edgeship.benchmarking import Found, Wanted
from edgeship.cli import cli
from edgeship.cli.failures import run
from edgeship.errors import InputError
from edgeship.history import store
from edgeship.types import Plan, Progress

PLAN = Plan(min_runs=4, min_seconds=0.01, rounds=2, warmup_max_runs=4)
QUICK = ("--min-runs", "12", "--min-seconds", "0.01", "--repeats", "2")


def quiet(_: Progress) -> None:
    """No progress wanted."""


def found(*files: Path, **more: Any) -> Found:
    return benchmarking.benchmark(Wanted(files, ("local",), None, replace(PLAN, **more.pop("plan", {})), **more), quiet)


def ids(of: Found) -> Sequence[str]:
    return [row.artifact for row in of.rows]


@pytest.fixture(autouse=True)
def history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGESHIP_HISTORY", str(tmp_path / "history.sqlite3"))


@pytest.fixture
def net(tmp_path: Path) -> Path:
    """A file, with another one of the same name beside it that is 8 bytes longer."""
    for part, tail in (("a", b""), ("b", bytes(8))):
        (tmp_path / part).mkdir()
        (tmp_path / part / "net.tflite").write_bytes(tiny_tflite.model_bytes() + tail)
    return tmp_path / "a" / "net.tflite"


def test_files_of_the_same_name_are_told_apart(net: Path, tmp_path: Path) -> None:
    again = found(net, tmp_path / "b" / "net.tflite", net)
    assert ids(again) == ["tflite/a/net", "tflite/b/net", "tflite/a/net#2"]
    assert ids(found(net)) == ["tflite/net"]
    assert {(item.name, item.result.artifact) for item in store.read()} == {("net", "tflite/foreign")}


def test_a_baseline_that_can_run_is_measured_beside_the_new_file(net: Path, tmp_path: Path) -> None:
    other = tmp_path / "b" / "net.tflite"
    compared = found(other, baseline=str(net), plan={"repeats": 2})
    assert ids(compared) == ["tflite/net@baseline", "tflite/net"]
    size, _, latency = compared.judged
    assert (size.verdict, size.now) == ("regression", len(other.read_bytes()))
    assert latency.ratio is None or latency.how == "interleaved, 2 starts of both"
    assert len(store.read()) == 1  # of the new file only
    same = found(net, baseline=str(net))
    assert ids(same) == ["tflite/net"]
    assert [item.verdict for item in same.judged] == ["same"]


def test_words_are_looked_up_before_anything_is_measured(net: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmarking, "measure", None)
    for wrong in ({"baseline": "last"}, {"label": "last"}, {"baseline": "nowhere"}):
        with pytest.raises(InputError):
            found(net, **wrong)


def test_a_results_file_without_such_a_file_is_no_baseline(net: Path, tmp_path: Path) -> None:
    (tmp_path / "old.json").write_text(json.dumps({"measurements": [], "emulations": []}))
    with pytest.raises(InputError, match="nothing to compare"):
        found(net, baseline=str(tmp_path / "old.json"))


def test_a_history_that_is_broken_costs_a_note(net: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "history.sqlite3").write_bytes(b"no database" * 100)
    (note,) = found(net).notes
    assert "not in the history" in note
    assert "damaged" in note
    assert run(cli, ["benchmark", str(net), *QUICK, "--json"]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["measurements"]
    assert "not in the history" in shown.err


def test_the_command_compares_with_a_label_and_with_a_file(
    net: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other, results = str(tmp_path / "b" / "net.tflite"), tmp_path / "old.json"
    assert run(cli, ["benchmark", str(net), *QUICK, "--label", "v1", "--json"]) == 0
    results.write_text(capsys.readouterr().out)
    for baseline in ("v1", "last", str(results)):
        assert run(cli, ["benchmark", other, *QUICK, "--compare", baseline]) == 1  # it is larger
        shown = capsys.readouterr().out
        assert "regression" in shown
        assert "without a verdict: 1" in shown or "assumed" in shown
        assert run(cli, ["benchmark", str(net), *QUICK, "--compare", "v1", "--json"]) == 0
        document = json.loads(capsys.readouterr().out)["comparison"]
        assert document["figures"][0]["verdict"] == "same"
    html = tmp_path / "page.html"
    assert run(cli, ["benchmark", other, *QUICK, "--compare", "v1", "--allow", "900", "--html", str(html)]) == 0
    assert "nothing is worse" in capsys.readouterr().out
    assert "Against " in html.read_text(encoding="utf-8")
    assert run(cli, ["benchmark", other, "--compare", "v2"]) == 2
    assert re.search(r"There are last, (\w+, )?v1\.", capsys.readouterr().err)  # the commit too, in a repository


def test_the_history_is_listed_and_pruned(net: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(cli, ["history"]) == 0
    assert "edgeship benchmark FILES" in capsys.readouterr().out
    assert run(cli, ["benchmark", str(net), *QUICK, "--label", "v1"]) == 0
    capsys.readouterr()
    assert run(cli, ["history", "net"]) == 0
    shown = capsys.readouterr().out
    for word in ("v1", "net", "tflite/foreign", "litert", "measured", " ms ["):
        assert word in shown
    assert run(cli, ["history", "other", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["records"] == []
    assert run(cli, ["history", "--prune", "1"]) == 0
    assert "0 sessions removed" in capsys.readouterr().out
    assert run(cli, ["history", "--prune", "0", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"pruned": 1}
    assert run(cli, ["history", "net", "--prune", "1"]) == 2
