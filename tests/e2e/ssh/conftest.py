"""A board: a real OpenSSH server on this machine."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edgeship import artifact as sidecar
from edgeship.standalone import with_specs
from edgeship.types import Artifact, Plan
from edgeship_benchmarks.boards import preparing
from edgeship_benchmarks.transports.address import Address
from edgeship_benchmarks.transports.ssh import Connection
from tests.sharing import Shared
from tests.ssh_server import Server
from tests.tiny_tflite import model_bytes

#: Enough to see that a board measures.
PLAN = Plan(min_runs=12, min_seconds=0.0, rounds=3, warmup_max_runs=20)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose board has the Python of this environment."""
    server = Server(tmp_path_factory.mktemp("board"))
    tools = server.folder / "bin"
    tools.mkdir()
    (tools / "python3").symlink_to(Path(sys.executable).resolve())
    server.env = {"PATH": f"{tools}:/usr/bin:/bin"}
    server.start()
    yield server
    server.stop()


@pytest.fixture
def board(machine: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """The server, reached as `board`; a test that leaves anything on it fails."""
    if machine.process is None:
        machine.start()
    monkeypatch.setenv("PATH", f"{machine.client}:{os.environ['PATH']}")
    yield machine
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and (list(machine.tmp.iterdir()) or machine.agents()):
        time.sleep(0.05)
    assert list(machine.tmp.iterdir()) == []
    assert machine.agents() == []


@pytest.fixture
def prepared(board: Server) -> Server:
    """The packages of this environment, where `prepare` would put its own (which another test does)."""
    with Connection(Address.parse("board")) as connection:
        place = Path(preparing.runtime_folder(connection.board, "board"))
    if not place.exists():
        place.mkdir(parents=True)
        site = Path(np.__file__).parent.parent
        for name in ("numpy", "numpy.libs", "ai_edge_litert"):
            if (site / name).exists():
                (place / name).symlink_to(site / name)
    return board


@pytest.fixture(scope="session")
def model(shared: Shared) -> Artifact:
    folder = shared("tiny-for-boards", lambda place: (place / "tiny.tflite").write_bytes(model_bytes()))
    return with_specs(sidecar.read_artifact(folder / "tiny.tflite"))


@pytest.fixture(scope="session")
def inputs() -> dict[str, np.ndarray]:
    return {"x": np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)}
