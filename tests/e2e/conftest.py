"""Running the installed script as a user does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

EDGESHIP = Path(sys.executable).parent / "edgeship"


@dataclass(frozen=True)
class Ran:
    """An ended command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True)
class Script:
    """The installed script with a cache of its own."""

    env: dict[str, str]

    def __call__(self, *args: object, cwd: Path | None = None, **env: str) -> Ran:
        command = [str(EDGESHIP), *map(str, args)]
        done = subprocess.run(
            command, env={**self.env, **env}, cwd=cwd, capture_output=True, text=True, timeout=500, check=False
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    def start(self, *args: object, **env: str) -> subprocess.Popen[str]:
        command = [str(EDGESHIP), *map(str, args)]
        return subprocess.Popen(
            command,
            env={**self.env, **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # A shell's background jobs ignore Ctrl-C, and so would this process if the tests run in one.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - no threads here
        )


@pytest.fixture(scope="session")
def edgeship(tmp_path_factory: pytest.TempPathFactory) -> Script:
    cache = tmp_path_factory.mktemp("cache")
    # The Node packages are large and do not depend on the test: share those that `make node` has installed.
    from edgeship.cache import root

    if (root() / "node").is_dir():
        (cache / "node").symlink_to(root() / "node")
    return Script({**os.environ, "EDGESHIP_CACHE": str(cache), "COLUMNS": "140"})


@dataclass(frozen=True)
class Demo:
    """The finished demo: what it printed, its build folder, and the model it trained."""

    ran: Ran
    build: Path
    model: Path


@pytest.fixture(scope="session")
def demo(edgeship: Script, tmp_path_factory: pytest.TempPathFactory) -> Demo:
    build = tmp_path_factory.mktemp("demo") / "demo"
    ran = edgeship("demo", "--out", build)
    (model,) = Path(edgeship.env["EDGESHIP_CACHE"]).glob("demo/*/digits.keras")
    return Demo(ran, build, model)


@pytest.fixture(scope="session")
def digits_npz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small part of the digits as an .npz file."""
    from edgeship.data import digits

    arrays = digits.arrays()
    path = tmp_path_factory.mktemp("data") / "digits.npz"
    x, y = arrays["x"], arrays["y"]
    np.savez(path, x_train=x[:500], y_train=y[:500], x_test=x[500:900], y_test=y[500:900])
    return path
