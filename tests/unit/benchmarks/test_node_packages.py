"""The npm packages of agents in Node: installed as locked, or what is missing is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgeship import cache
from edgeship.errors import MissingPackageError, UnavailableError
from edgeship_benchmarks import node
from edgeship_benchmarks.runtimes.tfjs import TFJSWasmRuntime

pytestmark = pytest.mark.usefixtures("packages")


def test_missing_node_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert TFJSWasmRuntime().missing()[0] == "Node >= 18"
    with pytest.raises(MissingPackageError, match="needs Node 18"):
        node.install(lambda _: None)


def test_a_node_that_failed_once_is_asked_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "node"
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert node.executable() is None
    program.write_text("#!/bin/sh\necho v22.1.0\n")
    assert node.executable() == str(program)


def test_a_failed_installation_leaves_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """npm itself, asked for a registry that is not there."""
    monkeypatch.setenv("EDGESHIP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:9/")
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "npm"))
    monkeypatch.setenv("npm_config_fetch_retries", "0")
    with pytest.raises(UnavailableError, match="npm ci failed"):
        node.install(lambda _: None)
    assert not node.packages_folder().exists()
    assert list((tmp_path / "cache" / "node").iterdir()) == []


def test_the_lock_names_no_registry() -> None:
    lock = json.loads((node.WEB / "package-lock.json").read_text())
    wanted = json.loads((node.WEB / "package.json").read_text())["dependencies"]
    assert lock["packages"][""]["dependencies"] == wanted
    for name, package in lock["packages"].items():
        assert "resolved" not in package
        assert not name or package["integrity"].startswith("sha512-")


def test_the_packages_lie_in_the_cache_by_the_locks_content(packages: None) -> None:
    assert node.packages_folder().parent == cache.root() / "node"
    assert node.missing() == []
