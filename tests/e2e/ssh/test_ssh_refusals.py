"""Boards that cannot be used, each with its own answer: full, unprepared, unreachable, foreign."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from edgeship.errors import ConnectionLost, InputError, StorageFullError, TargetUnavailable
from edgeship.types import Artifact, NotMeasured
from edgeship_benchmarks.boards import preparing
from edgeship_benchmarks.targets.ssh import SSHTarget
from edgeship_benchmarks.transports import ssh
from edgeship_benchmarks.transports.address import Address
from edgeship_benchmarks.transports.ssh import Connection
from tests.e2e.ssh.conftest import PLAN
from tests.ssh_server import Server


@pytest.fixture
def small_disk(board: Server) -> Iterator[Path]:
    """2 MiB for all that is written on the board."""
    if os.geteuid() != 0:
        pytest.skip("needs root to mount a small file system")
    place = board.home / ".cache"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip(f"cannot mount a small file system here: {done.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_when_preparing(board: Server, small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = board.folder / "big-1-py3-none-any.whl"
    import zipfile

    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("big.bin", np.random.default_rng(0).bytes(4 << 20))
    monkeypatch.setattr(preparing.wheels, "download", lambda *_: wheel)
    with pytest.raises(StorageFullError) as caught:
        SSHTarget("board").prepare()
    assert "the disk of board is full" in caught.value.message
    assert "df" in caught.value.remedy
    assert [p for p in small_disk.rglob("*") if p.is_file()] == []


def test_a_full_disk_when_measuring(
    prepared: Server, model: Artifact, inputs: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root to mount a small file system")
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=96k", "tmpfs", str(prepared.tmp)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip(f"cannot mount a small file system here: {done.stderr.decode().strip()}")
    try:
        (row,) = SSHTarget("board").measure([model], {"x": np.zeros((40_000, 4), np.float32)}, PLAN)
        assert isinstance(row, NotMeasured)
        assert (row.type, row.reason.partition(":")[0]) == ("StorageFullError", "the disk of board is full")
        deadline = time.monotonic() + 10
        while list(prepared.tmp.iterdir()) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert list(prepared.tmp.iterdir()) == []
    finally:
        subprocess.run(["umount", str(prepared.tmp)], check=True)


def test_no_runtime_prepared(board: Server, model: Artifact, inputs: dict[str, np.ndarray]) -> None:
    shutil.rmtree(board.home / ".cache", ignore_errors=True)
    (row,) = SSHTarget("board").measure([model], inputs, PLAN)
    assert isinstance(row, NotMeasured)
    assert row.reason == "ssh://board has no runtime yet"
    assert row.remedy == "Get it there: edgeship targets prepare ssh://board"


def _refused(target: SSHTarget) -> TargetUnavailable:
    with pytest.raises(TargetUnavailable) as caught:
        target.probe()
    assert caught.value.remedy
    return caught.value


def test_connection_refused(board: Server) -> None:
    board.stop()
    error = _refused(SSHTarget("board"))
    assert "no ssh server answers" in error.message
    assert "openssh-server" in error.remedy


def test_unknown_name(board: Server) -> None:
    assert "is no known name" in _refused(SSHTarget("no-such-board.invalid")).message


def test_wrong_host_key(board: Server) -> None:
    known = board.client / "known_hosts"
    right = known.read_text()
    try:
        other = (board.client / "user.pub").read_text()
        known.write_text(f"[127.0.0.1]:{board.port} {other}")
        error = _refused(SSHTarget("board"))
        assert "answers with another host key" in error.message
        assert "ssh-keygen -R" in error.remedy
        known.write_text("")
        error = _refused(SSHTarget("board"))
        assert "a host key that is not known here" in error.message
        assert "ssh board" in error.remedy
    finally:
        known.write_text(right)


def test_permission_denied(board: Server) -> None:
    keys = board.folder / "server/authorized_keys"
    right = keys.read_text()
    try:
        keys.write_text("")
        error = _refused(SSHTarget("pi@board"))
        assert "refuses the login" in error.message
        assert "ssh-copy-id pi@board" in error.remedy
    finally:
        keys.write_text(right)


def test_a_silent_connection_is_lost_within_seconds(board: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is closed, as when a cable is pulled: the server's side stops to answer."""
    assert "ServerAliveInterval=3" in ssh._OPTIONS
    faster = tuple("ServerAliveInterval=1" if o.startswith("ServerAliveInterval") else o for o in ssh._OPTIONS)
    monkeypatch.setattr(ssh, "_OPTIONS", faster)  # 3 s instead of 9
    with Connection(Address.parse("board")) as connection:
        stopped = board.connections()
        for pid in stopped:
            with suppress(ProcessLookupError):  # of a connection of before, which was about to end
                os.kill(pid, signal.SIGSTOP)
        started = time.monotonic()
        try:
            with pytest.raises(ConnectionLost):
                connection.run("true")
            assert time.monotonic() - started < 20
        finally:
            for pid in stopped:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


@pytest.fixture
def other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server that a test changes before it starts it."""
    server = Server(tmp_path / "board")
    server.folder.mkdir()
    yield server
    server.stop()


def _tools(folder: Path, *extra: str) -> Path:
    """A folder with what a small Linux has."""
    folder.mkdir()
    for name in ("sh", "cat", "mktemp", "rm", "grep", "uname", "mkdir", "ls", "df", "tail", "mv", *extra):
        (folder / name).symlink_to(shutil.which(name, path="/usr/bin:/bin") or name)
    return folder


def test_missing_python(other: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    other.env = {"PATH": str(_tools(other.folder / "bin"))}
    other.start()
    monkeypatch.setenv("PATH", f"{other.client}:{os.environ['PATH']}")
    error = _refused(SSHTarget("board"))
    assert "has no Python 3" in error.message
    assert "apt install python3" in error.remedy


@pytest.mark.parametrize(
    ("machine_name", "bits", "words"),
    [
        ("riscv64", 64, "no LiteRT runtime exists for the architecture riscv64"),
        ("armv6l", 32, "no LiteRT runtime exists for the architecture armv6l"),
        ("x86_64", 32, "no LiteRT runtime exists for the architecture i686"),
    ],
)
def test_wrong_architecture(
    other: Server, monkeypatch: pytest.MonkeyPatch, machine_name: str, bits: int, words: str
) -> None:
    """A board whose own programs say so: `uname`, and a Python that is as wide as that."""
    tools = _tools(other.folder / "bin")
    (tools / "uname").unlink()
    (tools / "uname").write_text(f"#!/bin/sh\necho {machine_name}\n")
    real = Path(sys.executable).resolve()
    size = f"import struct; struct.calcsize = lambda _: {bits // 8}"
    (tools / "python3").write_text(
        f'#!/bin/sh\nif [ "$1" = -c ]; then exec {real} -c "{size}\n$2"; fi\nexec {real} "$@"\n'
    )
    for name in ("uname", "python3"):
        (tools / name).chmod(0o755)
    other.env = {"PATH": str(tools)}
    other.start()
    monkeypatch.setenv("PATH", f"{other.client}:{os.environ['PATH']}")
    with pytest.raises(TargetUnavailable, match=words):
        SSHTarget("board").prepare()
    assert SSHTarget("board").probe().facts["runtime"] == f"none: {words}"


def test_a_talkative_shell(board: Server) -> None:
    profile = board.home / ".bashrc"
    profile.write_text("echo welcome home\n")
    try:
        assert "prints 'welcome home' before every command" in _refused(SSHTarget("board")).message
    finally:
        profile.unlink()


def test_an_answer_without_end_is_refused(board: Server) -> None:
    with Connection(Address.parse("board")) as connection:
        with pytest.raises(TargetUnavailable, match="more than 100,000 bytes"):
            connection.run("cat /dev/zero", limit_bytes=100_000)
        with pytest.raises(TargetUnavailable, match="did not finish within"):
            connection.run("sleep 2", seconds=0.5)
        assert connection.run('printf "%s|" "$@"', "a b", "$(id)", "`id`", "'\";&\n*") == b"a b|$(id)|`id`|'\";&\n*|"


@pytest.mark.parametrize("rest", ["-oProxyCommand=touch x", "a b", "a;b", "$(id)", "x@-y", "a@b:99999", "", "h/../x"])
def test_an_address_is_never_an_option_or_a_command(rest: str) -> None:
    with pytest.raises(InputError, match="is no address of a board"):
        SSHTarget(rest)
