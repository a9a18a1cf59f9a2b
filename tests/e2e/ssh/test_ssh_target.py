"""The ssh target against a real OpenSSH server: measuring, preparing, and connections that break."""

from __future__ import annotations

import itertools
import os
import platform
import shutil
import signal
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeship import plugins
from edgeship.contracts import Preparable
from edgeship.errors import TargetUnavailable, UnavailableError
from edgeship.types import Artifact, Measurement, NotMeasured
from edgeship_benchmarks.boards import preparing
from edgeship_benchmarks.boards import session as boards
from edgeship_benchmarks.targets.local import LocalTarget
from edgeship_benchmarks.targets.ssh import SSHTarget
from edgeship_benchmarks.transports import link
from edgeship_benchmarks.transports.address import Address
from edgeship_benchmarks.transports.ssh import Connection
from tests.e2e.conftest import Script
from tests.e2e.ssh.conftest import PLAN
from tests.ssh_server import Server, children


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
    rows = plugins.target("ssh://board").measure([model, model], inputs, replace(PLAN, profile=True))
    for row in rows:
        assert isinstance(row, Measurement), row
        assert (row.target, row.runtime, row.provenance) == ("ssh://board", "litert", "measured")
        assert len(row.latency_ms) >= 12
        assert len(row.round_lengths) == 3
        assert row.device.facts["ai-edge-litert"]
        assert not any("lost" in note for note in row.notes)
        assert row.profile is not None, row.notes
        assert row.profile.method == "split"
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

    rows = SSHTarget("board").measure([replace(model, format="tfjs"), model], inputs, PLAN)
    assert isinstance(rows[0], NotMeasured)
    assert "not tfjs" in rows[0].reason
    assert isinstance(rows[1], Measurement)


def test_a_lost_connection_is_taken_up_and_the_round_measured_again(
    prepared: Server, model: Artifact, inputs: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    measure, timed = boards.BoardSession.measure, itertools.count(1)

    def lose(*args: Any) -> object:
        if next(timed) == 3:  # the first of two files in round 2
            prepared.cut()
        return measure(*args)

    monkeypatch.setattr(boards.BoardSession, "measure", lose)
    rows = SSHTarget("board").measure([model, model], inputs, PLAN)
    assert next(timed) == 8  # three rounds of two, and one lost
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
    (row,) = SSHTarget("board").measure([model], inputs, PLAN)
    assert cut
    assert isinstance(row, Measurement), row


def test_a_board_that_does_not_come_back_is_a_row(
    prepared: Server, model: Artifact, inputs: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "RECONNECT_SECONDS", 1)
    monkeypatch.setattr(link, "_RETRY_SECONDS", 0.2)

    def leave(event: object) -> None:
        if "round 2" in str(event):
            prepared.stop()

    rows = SSHTarget("board").measure([model, model], inputs, PLAN, leave)
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
        assert prepared.agents()
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
    rows = target.measure([model], {"x": np.zeros((1, 4), np.float32)}, PLAN)  # type: ignore[attr-defined] # a Target
    assert isinstance(rows[0], Measurement), rows
    shutil.rmtree(board.home / ".cache")


def test_python_of_this_test_is_as_wide_as_the_board_says(board: Server) -> None:
    with Connection(Address.parse("board")) as connection:
        assert connection.board.bits == str(8 * struct.calcsize("P"))
        assert connection.board.version == ".".join(platform.python_version_tuple()[:2])
        assert children(os.getpid())
