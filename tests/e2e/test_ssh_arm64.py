"""The ssh target against an arm64 board under emulation, with the /sys of a Raspberry Pi 4.

Real programs of Debian's arm64 packages: sshd, sh, Python, and LiteRT's arm64 wheel. Only the processor is QEMU, so
milliseconds mean nothing here; what is computed, installed and said does.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from edgeship import artifact as sidecar
from edgeship import cache
from edgeship.errors import UnavailableError
from edgeship.standalone import with_specs
from edgeship.types import Measurement, Plan
from edgeship_benchmarks.boards import preparing, wheels
from edgeship_benchmarks.emulation import boards, inside, qemu, root
from edgeship_benchmarks.targets.local import LocalTarget
from edgeship_benchmarks.targets.ssh import SSHTarget
from edgeship_benchmarks.transports.address import Address
from edgeship_benchmarks.transports.ssh import Connection
from tests.ssh_server import Server, children, require_sshd

_CPU = "cortex-a72"
_INNER = "/mnt/board"


@dataclass
class Arm64(Server):
    """The same server as an arm64 program in an arm64 system."""

    system: Path = field(default_factory=Path)

    def command(self) -> list[str]:
        layer = self.folder / "layer"
        state = boards.State(governor="powersave", khz=1_500_000, temperature_c=61.5, throttled="0x50005")
        boards.write(boards.board(_CPU), state, layer)
        site = root.site_packages(lambda _: None)
        spec = {
            "root": str(self.system),
            "layer": str(layer),
            "emulator": qemu.find(),
            "env": {"QEMU_CPU": _CPU, "PATH": "/usr/bin:/bin"},
            "binds": {str(self.folder): _INNER, str(site): "/mnt/site"},
            "program": [
                "/bin/sh",
                "-c",
                f"mkdir -p /run/sshd; exec /usr/sbin/sshd -D -e -f {_INNER}/server/sshd_config",
            ],
        }
        (self.folder / "spec.json").write_text(json.dumps(spec))
        return [sys.executable, inside.__file__, str(self.folder / "spec.json")]

    def connections(self) -> list[int]:
        assert self.process is not None
        return [pid for sshd in children(self.process.pid) for pid in children(sshd)]


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arm64]:
    require_sshd()
    if os.geteuid() != 0:
        pytest.skip("needs an arm64 system, which only root can start here")
    try:
        system = root.make(lambda _: None)
        root.site_packages(lambda _: None)
    except UnavailableError as error:
        pytest.skip(f"needs an arm64 system: {error.message}")
    env = {"QEMU_CPU": _CPU, "PATH": "/usr/local/bin:/usr/bin:/bin"}
    server = Arm64(tmp_path_factory.mktemp("arm64"), inner=_INNER, env=env, system=system)
    server.start()
    path = os.environ["PATH"]
    os.environ["PATH"] = f"{server.client}:{path}"
    yield server
    os.environ["PATH"] = path
    server.stop()


def _prepare_by_hand(board: Arm64) -> None:
    """The unpacked wheels, where `prepare` would put them: sending 80 MB through an emulated sshd takes minutes."""
    with Connection(Address.parse("board")) as connection:
        place = Path(preparing.runtime_folder(connection.board, "board").replace(_INNER, str(board.folder)))
    if not place.exists():
        place.parent.mkdir(parents=True)
        place.symlink_to("/mnt/site")


def test_the_board_is_a_raspberry_pi(board: Arm64) -> None:
    facts = SSHTarget("board").probe().facts
    assert facts["machine"] == "aarch64"
    assert facts["board"] == "Raspberry Pi 4 Model B Rev 1.4"
    assert facts["os"].startswith("Debian GNU/Linux 12")
    assert (facts["governor"], facts["frequency_mhz"]) == ("powersave", "1500")
    assert (facts["temperature_c"], facts["throttled"]) == ("61.5", "0x50005")
    assert {"memory_mib", "disk_free_mib", "cores"} <= set(facts)


def test_int8_outputs_are_bit_identical_and_rows_say_how_the_board_was(board: Arm64, shared_data: Path) -> None:
    _prepare_by_hand(board)
    file = shared_data / "mlperf_tiny/anomaly_detection/ad01_int8.tflite"
    artifact = with_specs(sidecar.read_artifact(file))
    (spec,) = artifact.inputs
    inputs = {spec.name: np.random.default_rng(0).normal(size=(4, *spec.shape[1:])).astype(np.float32)}
    target = SSHTarget("board")
    found, expected = target.check(artifact, inputs), LocalTarget().check(artifact, inputs)
    for name, values in expected.items():
        assert np.ptp(values) > 0
        np.testing.assert_array_equal(found[name], values)
    (row,) = target.measure([artifact], inputs, Plan(min_runs=10, min_seconds=0.0, rounds=2, warmup_max_runs=10))
    assert isinstance(row, Measurement), row
    assert row.device.facts["board"].startswith("Raspberry Pi 4")
    assert any("throttl" in note for note in row.notes), row.notes
    assert any("governor" in note or "powersave" in note for note in row.notes), row.notes
    assert list(board.tmp.iterdir()) == []


def test_its_wheels_are_those_for_arm64(board: Arm64) -> None:
    with Connection(Address.parse("board")) as connection:
        system = preparing.system_of(connection.board, "board")
        assert system == wheels.System("3.11", "aarch64", "glibc 2.36") == root.SYSTEM
        assert {pin.machine for pin in wheels.pins_for(system)} == {"aarch64"}
        wheel = wheels.download(wheels.pins_for(system)[0], system, lambda _: None)
        assert "aarch64" in wheel.name
        assert wheel.is_relative_to(cache.root())


def test_cut_in_the_middle(board: Arm64) -> None:
    with Connection(Address.parse("board")) as connection:
        assert list(board.tmp.iterdir())
        started = time.monotonic()
        board.cut()
        while connection.alive and time.monotonic() - started < 20:
            time.sleep(0.05)
        assert connection.lost() is not None
        while list(board.tmp.iterdir()) and time.monotonic() - started < 20:
            time.sleep(0.05)
        assert list(board.tmp.iterdir()) == []


@pytest.mark.slow
def test_prepare_installs_arm64_wheels_through_the_emulated_server(board: Arm64, shared_data: Path) -> None:
    """All of it for real: 26 MB over ssh, unpacked and imported by the arm64 Python, then a measurement."""
    cache_folder = board.home / ".cache"
    for place in (cache_folder / "edgeship/runtime").glob("*"):
        place.unlink()
    target = SSHTarget("board")
    (said,) = target.prepare()
    assert "for Python 3.11 on aarch64" in said
    (place,) = (cache_folder / "edgeship/runtime").iterdir()
    assert not place.is_symlink()
    assert not list(place.rglob("*WebGpu*"))
    artifact = with_specs(sidecar.read_artifact(shared_data / "mlperf_tiny/anomaly_detection/ad01_int8.tflite"))
    inputs = {artifact.inputs[0].name: np.zeros((1, 640), np.float32)}
    (row,) = target.measure([artifact], inputs, Plan(min_runs=10, min_seconds=0.0, rounds=2, warmup_max_runs=10))
    assert isinstance(row, Measurement), row
    assert row.device.facts["ai-edge-litert"] == "2.3.0"
