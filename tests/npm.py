"""Packages of an npm project for tests, installed once for each lock, in the user's cache."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from edgeship import cache
from edgeship.device import durable
from edgeship.errors import MissingPackageError, UnavailableError
from edgeship.files import whole_folder
from edgeship_benchmarks import node

#: That the bundlers and the linter of the projects' locks run on.
_OLDEST = (20, 19)
_LOCK = ("package.json", "package-lock.json", ".npmrc")
_SECONDS = 900


def installed(project: Path) -> Path:
    """`node_modules` of a project's lock.

    Raises:
        MissingPackageError: no Node that is new enough, or no npm.
        UnavailableError: npm failed, for instance without a network.
    """
    npm = shutil.which("npm")
    if npm is None or tuple(int(part) for part in re.findall(r"\d+", node.version())[:2]) < _OLDEST:
        raise MissingPackageError(f"needs Node {_OLDEST[0]}.{_OLDEST[1]} or newer, with npm")
    digest = hashlib.sha256(b"".join((project / name).read_bytes() for name in _LOCK)).hexdigest()
    place = cache.root() / "node" / f"{project.name}-{digest[:40]}"
    place.parent.mkdir(parents=True, exist_ok=True)
    # Another process of this run may be about to do the same.
    with durable.locked(place.with_suffix(".lock"), wait=True):
        if not (place / "node_modules").is_dir():
            _install(npm, project, place)
    return place / "node_modules"


def _install(npm: str, project: Path, place: Path) -> None:
    with whole_folder(place) as folder:
        for name in _LOCK:
            shutil.copyfile(project / name, folder / name)
        command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_SECONDS, check=False)
        if done.returncode:
            raise UnavailableError(f"needs a package index: {done.stderr.strip().splitlines()[-1:]}")


def modules(project: Path) -> Path:
    """As `installed`; the test skips where the packages cannot be had."""
    try:
        return installed(project)
    except (MissingPackageError, UnavailableError) as error:
        pytest.skip(str(error))


def linked(modules: Path, folder: Path) -> None:
    """Give a copy of a project its packages, as links; what else a test installs there stays the copy's own."""
    (folder / "node_modules").mkdir()
    for found in modules.iterdir():
        (folder / "node_modules" / found.name).symlink_to(found)
