"""Builds that a user's script made once for all processes of a run; they are to be read only."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.sharing import Shared

from edgeship.bundle import device_bundle

_GIT = ("git", "-c", "user.name=Ann", "-c", "user.email=ann@example.org")


@pytest.fixture(scope="session")
def made(shared: Shared) -> Path:
    """A repository with `shops.py`, its models and data, and `builds/` first, again and worse; `cache/` beside it."""

    def make(folder: Path) -> None:
        work = folder / "work"
        work.mkdir()
        shutil.copy(Path(__file__).parent / "shops.py", work)
        (work / ".gitignore").write_text("builds\n*.keras\n*.npz\n")
        for words in (("init", "-q"), ("add", "."), ("commit", "-qm", "A script")):
            subprocess.run([*_GIT, *words], cwd=work, check=True)
        env = {**os.environ, "EDGESHIP_CACHE": str(folder / "cache")}
        done = subprocess.run(
            [sys.executable, "shops.py"], cwd=work, env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        device_bundle(work / "builds" / "first", work / "bundle")

    return shared("records", make)


@pytest.fixture(scope="session")
def work(made: Path) -> Path:
    """The repository itself."""
    return made / "work"


@pytest.fixture
def copy(work: Path, tmp_path: Path) -> Callable[[str], Path]:
    """A build of one's own, to be spoiled."""
    return lambda name: shutil.copytree(work / "builds" / name, tmp_path / name)
