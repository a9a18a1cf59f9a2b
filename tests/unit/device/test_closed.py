"""A board where a service with a user of its own keeps the folder to itself, and somebody else asks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.enrolled_device import Device

from edgeship.device import config as configs
from edgeship.errors import InputError

#: Says, as a user who is not root, what comes of each question.
ASK = """
import json, os, sys
from pathlib import Path
from edgeship.device import Model, config, enrolled
from edgeship.errors import to_wire
folder = Path(sys.argv[1])
os.setgroups([]), os.setgid(65534), os.setuid(65534)
found = []
for ask in (lambda: enrolled("points", folder), lambda: enrolled(None, folder), lambda: Model(folder=folder)):
    try:
        found.append(str(ask()))
    except BaseException as error:
        found.append(to_wire(error))
print(json.dumps(found))
"""

#: `edgeship device WORDS --dir FOLDER`, as root, who imports all that is needed, and then as another user.
COMMAND = """
import os, sys
import edgeship.report.view
from edgeship.cli import cli
from edgeship.cli.failures import run
folder, *words = sys.argv[1:]
command = ["device", *words, "--dir", folder]
assert run(cli, command) == 0
os.setgroups([]), os.setgid(65534), os.setuid(65534)
sys.exit(run(cli, command))
"""

Ask = Callable[[Path], list[Any]]

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")


@pytest.fixture
def ask() -> Ask:
    """What a folder of enrolments is to another user, who may go as far as there."""

    def asked(folder: Path) -> list[Any]:
        for each in folder.parents:
            if each.is_relative_to(tempfile.gettempdir()) and each.stat().st_uid == os.geteuid():
                each.chmod(each.stat().st_mode | 0o011)
        done = subprocess.run([sys.executable, "-c", ASK, folder], check=True, capture_output=True, text=True)
        found: list[Any] = json.loads(done.stdout)
        return found

    return asked


@pytest.fixture
def private(device: Device, tmp_path: Path) -> Path:
    """The folder of all enrolments, as systemd makes it: a link into one that is open to root only."""
    private, folder = tmp_path / "private", tmp_path / "edgeship"
    private.mkdir(mode=0o700)
    (private / "edgeship").mkdir()
    device.place.folder.rename(private / "edgeship" / "points")
    folder.mkdir()
    (folder / "points").symlink_to("../private/edgeship/points")
    return folder


@needs_root
def test_it_is_said_whose_the_folder_is_and_what_to_do(private: Path, ask: Ask) -> None:
    for error in ask(private):
        assert error["type"] == "InputError"
        assert f"may not read {private / 'points'}: {private.parent / 'private'} belongs to root" in error["message"]
        assert "User=" in error["remedy"]


@needs_root
def test_a_folder_that_is_closed_as_a_whole_is_not_taken_for_an_empty_one(device: Device, ask: Ask) -> None:
    device.place.folder.parent.chmod(0o700)
    for error in ask(device.place.folder.parent):
        assert (error["type"], "belongs to root" in error["message"]) == ("InputError", True)


@needs_root
def test_what_others_keep_closed_hides_nothing_else(device: Device, ask: Ask) -> None:
    other = device.place.folder.with_name("other")
    other.mkdir(mode=0o700)
    (other / "config.json").write_text("{}")
    named, only, _ = ask(device.place.folder.parent)
    assert named == only == f"Place(folder={device.place.folder!r})"


def test_who_may_look_is_told_as_before(device: Device, tmp_path: Path) -> None:
    (device.place.folder.parent / "a-file").touch()
    (device.place.folder.parent / "empty").mkdir()
    assert configs.names(device.place.folder.parent) == ("points",)
    for nothing in (tmp_path / "missing", device.place.folder.parent / "a-file", device.place.folder):
        with pytest.raises(InputError, match="no model is enrolled"):
            configs.names(nothing)


@needs_root
def test_a_command_says_so_too(private: Path, ask: Ask) -> None:
    ask(private)  # opens the way
    command = [sys.executable, "-c", COMMAND, str(private)]
    for words in (("status",), ("status", "points")):
        done = subprocess.run([*command, *words], capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert "belongs to root" in done.stderr
