"""Commands beside a lease, with this machine for the other one."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgeship.errors import EdgeshipError, TargetUnavailable
from edgeship_benchmarks.transports import lease
from edgeship_benchmarks.transports.leased import LeasedConnection


class _Here(LeasedConnection):
    def command(self, script: str, *arguments: str) -> list[str]:
        return ["sh", "-c", script, "edgeship", *arguments]

    def _refused(self, status: int, text: str, said: bytes) -> EdgeshipError:
        return TargetUnavailable(f"status {status}: {text}")


@pytest.fixture
def connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LeasedConnection]:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with _Here("here", ["sh", "-c", lease.SCRIPT, "edgeship-lease"], 30) as made:
        yield made


def test_a_command_that_is_late_is_called_late_and_not_killed(
    connection: LeasedConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the thread that killed it runs on until all is said."""
    kill, here, said = subprocess.Popen.kill, threading.current_thread(), threading.Event()

    def lingering(process: subprocess.Popen[bytes]) -> None:
        kill(process)
        if threading.current_thread() is not here:
            said.wait(60)

    monkeypatch.setattr(subprocess.Popen, "kill", lingering)
    with pytest.raises(TargetUnavailable, match=r"here did not finish within 0\.1 s"):
        connection.run("exec sleep 60", seconds=0.1)
    said.set()


def test_a_command_that_fails_in_time_is_not_called_late(connection: LeasedConnection) -> None:
    with pytest.raises(TargetUnavailable, match="a command on here failed with status 3: no such thing"):
        connection.run("echo no such thing >&2; exit 3")
    assert connection.run("echo well") == b"well\n"
