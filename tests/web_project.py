"""The npm project of the web bundle for tests: its packages, installed once for each lock; copies of it that run."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from edgeship import cache
from edgeship.device import durable
from edgeship.files import whole_folder
from edgeship_benchmarks import node

ROOT = Path(__file__).parent.parent
WEB = ROOT / "toolkit/edgeship/web"
_OLDEST = (20, 19)
_LOCK = ("package.json", "package-lock.json", ".npmrc")
_SECONDS = 900


def packages() -> Path:
    """The folder with `node_modules` of the lock, in the user's cache; the test skips where it cannot be had."""
    version = tuple(int(part) for part in re.findall(r"\d+", node.version())[:2])
    npm = shutil.which("npm")
    if version < _OLDEST or npm is None:
        pytest.skip(f"needs Node {_OLDEST[0]}.{_OLDEST[1]} or newer, with npm")
    digest = hashlib.sha256(b"".join((WEB / name).read_bytes() for name in _LOCK)).hexdigest()
    place = cache.root() / "node" / f"web-{digest[:40]}"
    place.parent.mkdir(parents=True, exist_ok=True)
    # Another process of this run may be about to do the same.
    with durable.locked(place.with_suffix(".lock"), wait=True):
        if not (place / "node_modules").is_dir():
            _install(npm, place)
    return place


def _install(npm: str, place: Path) -> None:
    with whole_folder(place) as folder:
        for name in _LOCK:
            shutil.copyfile(WEB / name, folder / name)
        command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_SECONDS, check=False)
        if done.returncode:
            pytest.skip(f"needs a package index: {done.stderr.strip().splitlines()[-1:]}")


def copied(folder: Path) -> Path:
    """The project in a tree of its own, with its packages and the vectors, as it lies in the repository."""
    web = folder / "toolkit/edgeship/web"
    shutil.copytree(WEB, web, ignore=shutil.ignore_patterns("node_modules", "dist"))
    (web / "node_modules").symlink_to(packages() / "node_modules")
    (folder / "tests").mkdir()
    (folder / "tests/vectors").symlink_to(ROOT / "tests/vectors")
    return web


def bundled(web: Path, entry: str, out: Path, *options: str) -> Path:
    """A module of a copied project and all that it imports, in one file."""
    esbuild = packages() / "node_modules/.bin/esbuild"
    command = [str(esbuild), entry, "--bundle", "--format=esm", "--target=es2022", f"--outfile={out}", *options]
    done = subprocess.run(command, cwd=web, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return out
