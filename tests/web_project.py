"""The npm project of the web bundle for tests: copies of it that run."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests import npm

ROOT = Path(__file__).parent.parent
WEB = ROOT / "toolkit/edgeship/web"


def copied(folder: Path) -> Path:
    """The project in a tree of its own, with its packages and the vectors, as it lies in the repository."""
    web = folder / "toolkit/edgeship/web"
    shutil.copytree(WEB, web, ignore=shutil.ignore_patterns("node_modules", "dist"))
    (web / "node_modules").symlink_to(npm.modules(WEB))
    (folder / "tests").mkdir()
    (folder / "tests/vectors").symlink_to(ROOT / "tests/vectors")
    return web


def bundled(web: Path, entry: str, out: Path, *options: str) -> Path:
    """A module of a copied project and all that it imports, in one file."""
    esbuild = npm.modules(WEB) / ".bin/esbuild"
    command = [str(esbuild), entry, "--bundle", "--format=esm", "--target=es2022", f"--outfile={out}", *options]
    done = subprocess.run(command, cwd=web, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return out
