"""Running the installed script as a user does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.sharing import Shared

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
def edgeship(shared: Shared) -> Script:
    """The cache is one for all processes of this run: what one has made, the others find."""

    def make(cache: Path) -> None:
        # The Node packages are large and do not depend on the test: share those that `make node` has installed.
        from edgeship.cache import root

        if (root() / "node").is_dir():
            (cache / "node").symlink_to(root() / "node")

    return Script({**os.environ, "EDGESHIP_CACHE": str(shared("cache", make)), "COLUMNS": "140"})


@dataclass(frozen=True)
class Demo:
    """The finished demo: what it printed, its build folder (to be read only), and the model it trained."""

    ran: Ran
    build: Path
    model: Path


@pytest.fixture(scope="session")
def demo(edgeship: Script, shared: Shared) -> Demo:
    def make(folder: Path) -> None:
        ran = edgeship("demo", "--out", folder / "demo")
        (folder / "ran.json").write_text(json.dumps(asdict(ran)))

    folder = shared("demo", make)
    (model,) = Path(edgeship.env["EDGESHIP_CACHE"]).glob("demo/*/digits.keras")
    return Demo(Ran(**json.loads((folder / "ran.json").read_text())), folder / "demo", model)


@pytest.fixture(scope="session")
def digits_npz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small part of the digits as an .npz file."""
    from edgeship.data import digits

    arrays = digits.arrays()
    path = tmp_path_factory.mktemp("data") / "digits.npz"
    x, y = arrays["x"], arrays["y"]
    np.savez(path, x_train=x[:500], y_train=y[:500], x_test=x[500:900], y_test=y[500:900])
    return path
