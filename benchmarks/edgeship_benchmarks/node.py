"""Node and the packages that our agent for TF.js needs: found here, installed from the lock that ships with edgeship.

They live in the user's cache folder, in a folder named by the content of the lock, so that an update of edgeship never
runs with the packages of an older one.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
import shutil
import subprocess
from pathlib import Path

from edgeship import cache
from edgeship.errors import MissingPackageError, UnavailableError
from edgeship.files import whole_folder
from edgeship.types import Progress, ProgressCallback

#: The agent's folder: agent.mjs, package.json and the lock.
WEB = Path(__file__).with_name("web")
AGENT = WEB / "agent.mjs"
REMEDY = "edgeship doctor --install node"

_OLDEST = 18
_LOCK = ("package.json", "package-lock.json")
_SECONDS = 900


def version() -> str:
    """Version of the Node on the path, such as `v22.1.0`; empty where there is none."""
    found = shutil.which("node")
    try:
        return "" if found is None else _version_of(found)
    except (OSError, subprocess.SubprocessError):
        return ""


@functools.cache
def _version_of(node: str) -> str:
    """Remembered, but not a failure: a machine short of memory or time may do better when it is asked again."""
    done = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=30, check=True)
    return done.stdout.strip()


def executable() -> str | None:
    """Path of Node 18 or newer; None where there is none."""
    major = re.match(r"v(\d+)\.", version())
    return shutil.which("node") if major is not None and int(major[1]) >= _OLDEST else None


def packages_folder() -> Path:
    """Where the packages of this edgeship's lock are or will be; `node_modules` lies in it."""
    digest = hashlib.sha256()
    for name in _LOCK:
        digest.update((WEB / name).read_bytes())
    return cache.root() / "node" / digest.hexdigest()[:40]


def missing() -> list[str]:
    """What `install` and the agent lack: `Node >= 18`, or the names of the npm packages; empty means ready."""
    lacking = [] if executable() else [f"Node >= {_OLDEST}"]
    return lacking + _absent(packages_folder())


def _absent(folder: Path) -> list[str]:
    wanted = json.loads((WEB / "package.json").read_text(encoding="utf-8"))["dependencies"]
    return [name for name in wanted if not (folder / "node_modules" / name / "package.json").is_file()]


def install(progress: ProgressCallback) -> Path:
    """Install the locked packages, whole or not at all; returns their folder. Nothing is done where they are there.

    Package scripts are not run, and every file is checked against the hash in the lock (`npm ci`).

    Raises:
        MissingPackageError: Node or npm is not there.
        UnavailableError: npm failed, for instance without a network; the message has its last lines.
        StorageFullError, OutputError: the cache folder cannot be written.
    """
    npm = shutil.which("npm")
    if executable() is None or npm is None:
        raise MissingPackageError(
            f"installing the TF.js runtimes needs Node {_OLDEST} or newer, with npm",
            remedy=f"Install Node (nodejs.org or your system's packages), then: {REMEDY}",
        )
    place = packages_folder()
    if not _absent(place):
        return place
    progress(Progress("install node packages", 0, 1))
    with whole_folder(place) as folder:
        for name in _LOCK:
            shutil.copyfile(WEB / name, folder / name)
        _run([npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"], folder)
        if _absent(folder):
            raise UnavailableError(f"npm left out {', '.join(_absent(folder))}", remedy=f"Try again: {REMEDY}")
    progress(Progress("install node packages", 1, 1))
    return place


def _run(command: list[str], folder: Path) -> None:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise UnavailableError(f"npm did not finish within {_SECONDS} s", remedy=f"Try again: {REMEDY}") from error
    if done.returncode:
        last = "\n".join((done.stdout + done.stderr).strip().splitlines()[-8:])
        raise UnavailableError(f"npm ci failed with status {done.returncode}:\n{last}", remedy=f"Try again: {REMEDY}")
