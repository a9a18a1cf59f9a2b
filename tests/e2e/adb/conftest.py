"""A phone: a stand-in that speaks adb's protocol and runs commands, behind the system's own adb client and server.

No time in these tests is that of a phone: the files run on this machine.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from edgeship import artifact as sidecar
from edgeship.standalone import with_specs
from edgeship.types import Artifact, Plan
from edgeship_benchmarks.android import course, tool
from edgeship_benchmarks.transports import adb
from tests.sharing import Shared
from tests.ssh_server import free_port
from tests.standins.adbd import Adbd
from tests.standins.phone import AdbServer, make_root, require_adb, write_tool
from tests.tiny_tflite import model_bytes

#: Enough to see that a phone measures.
PLAN = Plan(min_runs=12, min_seconds=0.0, rounds=2)


@dataclass
class Phone:
    """A device, and the server that it is connected to."""

    device: Adbd
    server: AdbServer

    @property
    def tmp(self) -> Path:
        """The only folder that anything may be left in."""
        return self.device.root / "data/local/tmp"

    def say(self, name: str, text: str) -> None:
        """Change what the device says, or what its tool does (see `tests.standins.benchmark_model`)."""
        (self.device.root / "state" / name).write_text(text)

    def running(self) -> list[int]:
        """Processes that still run: commands of a connection, and what they have started."""
        return [pid for pid in self.device.processes if _lives(pid)] + self.tools()

    def tools(self) -> list[int]:
        """Processes that run in the folder of a connection."""
        found = []
        for place in Path("/proc").glob("[0-9]*"):
            try:
                if (place / "cwd").readlink().is_relative_to(self.device.root / "data"):
                    found.append(int(place.name))
            except OSError:
                continue
        return found

    def settle(self) -> None:
        """Wait until nothing runs, and nothing is left."""
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and (self.running() or list(self.tmp.iterdir())):
            time.sleep(0.05)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AdbServer]:
    """The system's adb server, on a port of its own."""
    require_adb()
    made = AdbServer(tmp_path_factory.mktemp("adb"), free_port())
    made.start()
    yield made
    made.stop()


@pytest.fixture
def nobody(server: AdbServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AdbServer]:
    """No device yet; adb and benchmark_model are there."""
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(server.port))
    monkeypatch.setenv("EDGESHIP_BENCHMARK_MODEL", str(write_tool(tmp_path / "benchmark_model")))
    monkeypatch.setattr(tool, "WARM_UP_SECONDS", 0.01)
    monkeypatch.setattr(course, "_COMPARED", 1)
    monkeypatch.setattr(adb, "_SETTLING_SECONDS", 0.5)
    yield server
    server.forget()


@pytest.fixture
def phone(nobody: AdbServer, tmp_path: Path) -> Iterator[Phone]:
    """A device that is ready; a test that leaves anything on it fails."""
    make_root(tmp_path / "phone")
    made = Phone(Adbd(tmp_path / "phone"), nobody)
    nobody.connect(made.device)
    yield made
    made.settle()
    assert list(made.tmp.iterdir()) == []
    assert made.running() == []


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture(scope="session")
def model(shared: Shared) -> Artifact:
    folder = shared("tiny-for-phones", lambda place: (place / "tiny.tflite").write_bytes(model_bytes()))
    return with_specs(sidecar.read_artifact(folder / "tiny.tflite"))


@pytest.fixture(scope="session")
def inputs() -> dict[str, np.ndarray]:
    return {"x": np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)}
