"""Environments of other tools, each installed once from its lock in `requirements/` into edgeship's cache."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from edgeship import cache
from edgeship.errors import UnavailableError

ROOT = Path(__file__).parents[2]
#: All locks are made for this Python.
_PYTHON = (3, 11)


def lock(name: str) -> Path:
    """The lock file of an environment."""
    return ROOT / "requirements" / f"{name}.txt"


def interpreter(name: str) -> Path:
    """The environment's interpreter; installs the environment where it is not there (up to 3 GB).

    Raises UnavailableError without Python 3.11, or where pip cannot install.
    """
    place = cache.root() / name / cache.digest(lock=lock(name).read_text())[:16]
    if not (place / "ready").is_file():
        wanted = ".".join(map(str, _PYTHON))
        python = sys.executable if sys.version_info[:2] == _PYTHON else shutil.which(f"python{wanted}")
        if python is None:
            raise UnavailableError(f"{name} needs Python {wanted}", remedy=f"Install python{wanted}.")
        shutil.rmtree(place, ignore_errors=True)
        install = ["-m", "pip", "install", "--quiet", "--require-hashes", "--requirement", str(lock(name))]
        for command in ([python, "-m", "venv", str(place)], [str(place / "bin" / "python"), *install]):
            done = subprocess.run(command, env=clean(), capture_output=True, text=True, check=False)
            if done.returncode:
                raise UnavailableError(f"the environment {name} cannot be built: {done.stderr[-800:]}")
        (place / "ready").touch()
    return place / "bin" / "python"


def clean() -> dict[str, str]:
    """This process's environment variables for another interpreter: no paths of ours, no GPU, quiet TensorFlow."""
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}
    return {**kept, "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}
