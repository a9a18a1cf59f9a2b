"""Hashes of code from outside edgeship: what changes them, and when there is none."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from edgeship import usercode
from edgeship.usercode import code_of, code_sha256


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder, with one module and a package."""
    (tmp_path / "own_layers.py").write_text("from own_parts import size\n")
    (tmp_path / "own_parts").mkdir()
    (tmp_path / "own_parts" / "__init__.py").write_text("size = 1\n")
    (tmp_path / "notes.txt").write_text("a")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_module_stands_for_all_code_beside_it(project: Path) -> None:
    def found() -> str | None:
        return code_sha256(["own_layers:Scale"])

    first = found()
    assert first is not None
    assert first == found() == code_sha256(["own_layers:Other", "own_parts.deep:f"])
    (project / "notes.txt").write_text("b")
    (project / ".hidden").mkdir()
    (project / ".hidden" / "x.py").write_text("1")
    assert found() == first
    (project / "own_parts" / "__init__.py").write_text("size = 2\n")
    second = found()
    assert second != first
    (project / "new.py").write_text("")
    assert found() not in (first, second, None)
    assert "own_layers" not in sys.modules


def test_found_on_the_path_too(
    project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    here = code_sha256(["own_layers:Scale"])
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert code_sha256(["own_layers:Scale"]) is None
    monkeypatch.syspath_prepend(project)
    assert code_sha256(["own_layers:Scale"]) == here


def test_nothing_to_hash() -> None:
    assert code_sha256([]) == ""
    assert code_sha256(["edgeship.metrics:get_metric", "json:loads", "sys:exit"]) == ""
    assert code_sha256(["there_is_no_such_module:x"]) is None


def test_what_is_installed_stands_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    first = code_sha256(["numpy:sum"])
    assert first
    assert first == code_sha256(["numpy.linalg:norm"])
    monkeypatch.setattr(usercode, "_environment", lambda: "another version")
    assert code_sha256(["numpy:sum"]) != first


def test_a_folder_too_large_for_code(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usercode, "_MAX_ENTRIES", 3)
    assert code_sha256(["own_layers:Scale"]) is None
    monkeypatch.undo()
    monkeypatch.chdir(project)
    monkeypatch.setattr(usercode, "_MAX_BYTES", 10)
    assert code_sha256(["own_layers:Scale"]) is None


def test_a_plugin_with_the_module_of_its_base(project: Path) -> None:
    from edgeship_benchmarks.runtimes.litert import LiteRTRuntime

    assert code_of(LiteRTRuntime()) == ""
    theirs = type("Theirs", (LiteRTRuntime,), {"__module__": "own_layers"})
    first = code_of(LiteRTRuntime(), theirs())
    assert first
    (project / "own_layers.py").write_text("changed = 1\n")
    assert code_of(theirs()) not in (first, None)
    assert code_of(type("Lost", (), {"__module__": "no_such_plugin"})()) is None
