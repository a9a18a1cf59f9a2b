"""What processes of a test run share is made once, whole, by one of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.sharing import Shared

ROOT = Path(__file__).parent.parent.parent


def test_two_processes_make_a_folder_once(tmp_path: Path) -> None:
    script = """
import os, sys, time
from pathlib import Path
from tests.sharing import Shared

def make(folder):
    (folder / f"made-by-{os.getpid()}").touch()
    time.sleep(0.5)
    (folder / "whole").touch()

assert (Shared(Path(sys.argv[1]))("thing", make) / "whole").exists()
"""
    command = [sys.executable, "-c", script, str(tmp_path)]
    both = [subprocess.Popen(command, cwd=ROOT) for _ in range(2)]
    assert [process.wait(timeout=60) for process in both] == [0, 0]
    assert len(list((tmp_path / "thing").glob("made-by-*"))) == 1


def test_what_failed_is_made_again_from_nothing(tmp_path: Path) -> None:
    shared = Shared(tmp_path)

    def fail(folder: Path) -> None:
        (folder / "half").touch()
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        shared("thing", fail)
    found = shared("thing", lambda folder: (folder / "whole").touch())
    assert [p.name for p in found.iterdir()] == ["whole"]
    assert shared("thing", fail) == found
