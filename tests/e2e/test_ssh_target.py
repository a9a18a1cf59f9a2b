"""The ssh target against a real OpenSSH server: measuring, preparing, and everything that goes wrong with boards."""

from __future__ import annotations

import os
import platform
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edgeship import artifact as sidecar
from edgeship import plugins
from edgeship.contracts import Preparable
from edgeship.errors import ConnectionLost, InputError, StorageFullError, TargetUnavailable, UnavailableError
from edgeship.standalone import with_specs
from edgeship.types import Artifact, Measurement, NotMeasured, Plan
from edgeship_benchmarks.boards import preparing
from edgeship_benchmarks.boards import session as boards
from edgeship_benchmarks.targets.local import LocalTarget
from edgeship_benchmarks.targets.ssh import SSHTarget
from edgeship_benchmarks.transports import ssh
from edgeship_benchmarks.transports.address import Address
from edgeship_benchmarks.transports.ssh import Connection
from tests.sharing import Shared
from tests.ssh_server import Server, children
from tests.tiny_tflite import model_bytes

from .conftest import Script

_PLAN = Plan(min_runs=12, min_seconds=0.0, rounds=3, warmup_max_runs=20)


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
    while time.monotonic() < deadline and (list(machine.tmp.iterdir()) or _agents(machine)):
        time.sleep(0.05)
    assert list(machine.tmp.iterdir()) == []
    assert _agents(machine) == []


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


def _agents(server: Server) -> list[int]:
    """Agents that run on the board."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if (folder / "cwd").readlink().is_relative_to(server.tmp):
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def test_probe_says_what_the_board_is_and_what_it_lacks(board: Server) -> None:
    shutil.rmtree(board.home / ".cache", ignore_errors=True)
    info = SSHTarget("board").probe()
    assert (info.name, info.provenance) == ("ssh://board", "measured")
    assert info.facts["machine"] == platform.machine()
    assert int(info.facts["memory_mib"]) > 0
    assert int(info.facts["disk_free_mib"]) > 0
    assert info.facts["runtime"] == "not prepared: edgeship targets prepare ssh://board"
    assert "numpy" not in info.facts


def test_outputs_are_those_of_this_machine(prepared: Server, model: Artifact, inputs: dict[str, np.ndarray]) -> None:
    found, expected = SSHTarget("board").check(model, inputs), LocalTarget().check(model, inputs)
    assert list(found) == list(expected)
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values)


def test_measures_interleaved_and_cleans_up(prepared: Server, model: Artifact, inputs: dict[str, np.ndarray]) -> None:
    rows = plugins.target("ssh://board").measure([model, model], inputs, _PLAN)
    for row in rows:
        assert isinstance(row, Measurement), row
        assert (row.target, row.runtime, row.provenance) == ("ssh://board", "litert", "measured")
        assert len(row.latency_ms) >= 12
        assert len(row.round_lengths) == 3
        assert row.device.facts["ai-edge-litert"]
        assert not any("lost" in note for note in row.notes)
    assert list((prepared.home / ".cache/edgeship").iterdir()) == [prepared.home / ".cache/edgeship/runtime"]


def test_two_boards_at_once_by_the_command(prepared: Server, edgeship: Script, model: Artifact) -> None:
    targets = [part for name in ("board", "second") for part in ("--target", f"ssh://{name}")]
    options = ["--min-runs", "12", "--min-seconds", "0", "--json"]
    ran = edgeship("benchmark", model.entry, *targets, *options, PATH=os.environ["PATH"])
    assert ran.code == 0, ran.err
    rows = ran.json["measurements"]
    assert [row["target"] for row in rows] == ["ssh://board", "ssh://second"]
    assert all(row["provenance"] == "measured" for row in rows)


def test_probe_by_the_command(board: Server, edgeship: Script) -> None:
    path = os.environ["PATH"]
    ran = edgeship("targets", "probe", "ssh://board", "ssh://board+coral", "ssh://no-such-board.invalid", PATH=path)
    assert ran.code == 3
    assert "disk_free_mib" in ran.out
    assert "is no known name" in ran.out
    assert edgeship("targets", "prepare", "ssh://-x").code == 2


def test_a_format_that_a_board_does_not_run_costs_only_its_row(
    prepared: Server, model: Artifact, inputs: dict[str, np.ndarray]
) -> None:
    from dataclasses import replace

    rows = SSHTarget("board").measure([replace(model, format="tfjs"), model], inputs, _PLAN)
    assert isinstance(rows[0], NotMeasured)
    assert "not tfjs" in rows[0].reason
    assert isinstance(rows[1], Measurement)


def test_a_lost_connection_is_taken_up_and_the_round_measured_again(
    prepared: Server, model: Artifact, inputs: dict[str, np.ndarray]
) -> None:
    plan = Plan(min_runs=12, min_seconds=2.4, rounds=3, warmup_max_runs=20)
    cut: list[int] = []

    def lose(event: object) -> None:
        if "round 2" in str(event) and not cut:
            cut.append(1)
            threading.Timer(0.3, prepared.cut).start()

    rows = SSHTarget("board").measure([model, model], inputs, plan, lose)
    assert cut
    for row in rows:
        assert isinstance(row, Measurement), row
        assert len(row.round_lengths) == 3
        (note,) = [note for note in row.notes if "lost" in note]
        assert "round 2 was measured again" in note


def test_a_connection_lost_while_files_are_opened(
    prepared: Server, model: Artifact, inputs: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    cut: list[int] = []
    load = boards.BoardSession.load

    def lose(*args: object, **kwargs: object) -> object:
        if not cut:
            cut.append(1)
            prepared.cut()
        return load(*args, **kwargs)  # type: ignore[arg-type] # as it was called

    monkeypatch.setattr(boards.BoardSession, "load", lose)
    (row,) = SSHTarget("board").measure([model], inputs, _PLAN)
    assert cut
    assert isinstance(row, Measurement), row


def test_a_board_that_does_not_come_back_is_a_row(
    prepared: Server, model: Artifact, inputs: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(boards, "RECONNECT_SECONDS", 1)
    monkeypatch.setattr(boards, "_RETRY_SECONDS", 0.2)

    def leave(event: object) -> None:
        if "round 2" in str(event):
            prepared.stop()

    rows = SSHTarget("board").measure([model, model], inputs, _PLAN, leave)
    for row in rows:
        assert isinstance(row, NotMeasured)
        assert row.type == "ConnectionLost"
        assert "not to be had again for 1 s" in row.reason
        assert row.remedy


def test_killed_in_the_middle_leaves_nothing_on_the_board(prepared: Server, model: Artifact) -> None:
    script = (
        "from edgeship_benchmarks.boards.session import BoardSession, Link\n"
        "from edgeship_benchmarks.transports.address import Address\n"
        "session = BoardSession(Link(Address.parse('board')), '', 'killed')\n"
        "session.describe()\nprint('up', flush=True)\nimport time\ntime.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        assert _agents(prepared)
        process.send_signal(signal.SIGKILL)
    # the fixture waits until folder and agents are gone


def test_what_an_earlier_run_left_is_removed_and_what_lives_is_not(board: Server) -> None:
    dead = board.tmp / "edgeship-run.999999999.abcdef"
    (dead / "0").mkdir(parents=True)
    (board.tmp / "edgeship-run.precious").mkdir()
    with Connection(Address.parse("board")) as first:
        with Connection(Address.parse("board")) as second:
            assert Path(first.board.folder).is_dir()
            assert Path(second.board.folder).is_dir()
            assert not dead.exists()
        assert Path(first.board.folder).is_dir()
    (board.tmp / "edgeship-run.precious").rmdir()


def test_installs_real_wheels_without_pip_on_the_board_and_resumes(board: Server, model: Artifact) -> None:
    shutil.rmtree(board.home / ".cache", ignore_errors=True)
    target = plugins.target("ssh://board")
    assert isinstance(target, Preparable)
    try:
        with Connection(Address.parse("board")) as connection:
            system = preparing.system_of(connection.board, "board")
            pins = preparing.wheels.pins_for(system)
            place = Path(preparing.runtime_folder(connection.board, "board"))
            # as if the connection had broken after the first wheel
            preparing._send(connection, pins[0], system, f"{place}.partial", lambda _: None)
        (said,) = target.prepare()
    except TargetUnavailable as error:
        pytest.skip(f"needs wheels for this Python: {error.message}")
    except UnavailableError as error:
        pytest.skip(f"needs a package index: {error.message.splitlines()[0]}")
    assert said.startswith("installed NumPy")
    assert not list(place.rglob("*WebGpu*"))
    assert (place / "numpy/__init__.py").is_file()
    assert not (place / "numpy").is_symlink()
    assert [p.name for p in place.parent.iterdir()] == [place.name]
    (again,) = target.prepare()
    assert again.startswith("ready already")
    rows = target.measure([model], {"x": np.zeros((1, 4), np.float32)}, _PLAN)  # type: ignore[attr-defined] # a Target
    assert isinstance(rows[0], Measurement), rows
    shutil.rmtree(board.home / ".cache")


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
        (row,) = SSHTarget("board").measure([model], {"x": np.zeros((40_000, 4), np.float32)}, _PLAN)
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
    (row,) = SSHTarget("board").measure([model], inputs, _PLAN)
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
            os.kill(pid, signal.SIGSTOP)
        started = time.monotonic()
        try:
            with pytest.raises(ConnectionLost):
                connection.run("true")
            assert time.monotonic() - started < 20
        finally:
            for pid in stopped:
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


def test_python_of_this_test_is_as_wide_as_the_board_says(board: Server) -> None:
    with Connection(Address.parse("board")) as connection:
        assert connection.board.bits == str(8 * struct.calcsize("P"))
        assert connection.board.version == ".".join(platform.python_version_tuple()[:2])
        assert children(os.getpid())
