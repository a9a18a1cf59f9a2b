"""What goes wrong with phones, told by the system's adb about a stand-in: each a clear answer, nothing left behind."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edgeship.errors import StorageFullError, TargetUnavailable
from edgeship.types import Artifact, NotMeasured
from edgeship_benchmarks.android import session as sessions
from edgeship_benchmarks.targets.adb import AdbTarget
from tests.e2e.conftest import Script
from tests.standins.adbd import Adbd
from tests.standins.phone import AdbServer, make_root

from .conftest import PLAN, Phone

Inputs = dict[str, np.ndarray]


def _refusal(target: AdbTarget) -> tuple[str, str]:
    with pytest.raises(TargetUnavailable) as raised:
        target.probe()
    assert raised.value.remedy
    return raised.value.message, raised.value.remedy


def test_no_device(nobody: AdbServer) -> None:
    assert _refusal(AdbTarget())[0] == "no Android device is connected"
    message, remedy = _refusal(AdbTarget("4A291FDAS0001"))
    assert message == "no device 4A291FDAS0001 is connected; there are: none"
    assert "USB debugging" in remedy


def test_unauthorized(nobody: AdbServer, tmp_path: Path) -> None:
    device = Adbd(tmp_path, authorized=False)
    nobody.connect(device)
    message, remedy = _refusal(AdbTarget())
    assert message == f"{device.serial} does not allow this machine to debug it"
    assert "Allow USB debugging?" in remedy


def test_offline(nobody: AdbServer, tmp_path: Path) -> None:
    device = Adbd(tmp_path)
    nobody.connect(device)
    device.stop()
    deadline = time.monotonic() + 10
    while "offline" not in nobody.client("devices").stdout and time.monotonic() < deadline:
        time.sleep(0.05)
    message, remedy = _refusal(AdbTarget())
    assert message == f"{device.serial} is connected but does not answer"
    assert "adb reconnect offline" in remedy


def test_two_devices(nobody: AdbServer, tmp_path: Path) -> None:
    make_root(tmp_path / "one")
    one, two = Adbd(tmp_path / "one", model="One"), Adbd(tmp_path / "two", model="Two")
    nobody.connect(one)
    nobody.connect(two)
    message, remedy = _refusal(AdbTarget())
    assert message.startswith("2 Android devices are connected: ")
    assert f"{one.serial} (One)" in message
    assert f"{two.serial} (Two)" in message
    assert remedy.startswith("Say which one: adb:127.0.0.1:")
    assert AdbTarget(one.serial).probe().facts["serial"] == one.serial


def test_an_android_whose_shell_says_nothing_about_errors(nobody: AdbServer, tmp_path: Path) -> None:
    nobody.connect(Adbd(tmp_path, features=("cmd",)))
    assert "Android 6 or older" in _refusal(AdbTarget())[0]


def test_no_adb(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("ANDROID_HOME", "ANDROID_SDK_ROOT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    message, remedy = _refusal(AdbTarget())
    assert message == "adb is not installed here"
    assert "sudo apt install adb" in remedy


def test_adb_of_the_sdk(phone: Phone, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is found where only ANDROID_HOME leads to it."""
    tools = tmp_path / "sdk/platform-tools"
    tools.mkdir(parents=True)
    (tools / "adb").symlink_to(shutil.which("adb") or "")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("ANDROID_HOME", str(tmp_path / "sdk"))
    assert AdbTarget().probe().facts["serial"] == phone.device.serial


def test_probe_by_the_command(nobody: AdbServer, edgeship: Script) -> None:
    port = os.environ["ANDROID_ADB_SERVER_PORT"]
    ran = edgeship("targets", "probe", "adb", ANDROID_ADB_SERVER_PORT=port)
    assert ran.code == 3
    assert "no Android device is connected" in ran.out
    assert edgeship("targets", "probe", "adb:-x").code == 2


def test_no_benchmark_model(
    phone: Phone, model: Artifact, inputs: Inputs, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("EDGESHIP_BENCHMARK_MODEL")
    assert AdbTarget().probe().facts["benchmark_model"].startswith("none: ")
    with pytest.raises(TargetUnavailable, match="EDGESHIP_BENCHMARK_MODEL is not set") as raised:
        AdbTarget().measure([model], inputs, PLAN)
    assert "android_aarch64_benchmark_model" in raised.value.remedy
    monkeypatch.setenv("EDGESHIP_BENCHMARK_MODEL", str(tmp_path / "nowhere"))
    with pytest.raises(TargetUnavailable, match="cannot be read"):
        AdbTarget().measure([model], inputs, PLAN)


def _elf(place: Path, machine: int) -> Path:
    """A program for another processor, as far as its header says."""
    place.write_bytes(b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HH", 3, machine) + bytes(44))
    return place


def test_a_binary_for_another_processor(
    phone: Phone, model: Artifact, inputs: Inputs, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("EDGESHIP_BENCHMARK_MODEL", str(_elf(tmp_path / "x86", 62)))
    with pytest.raises(TargetUnavailable, match="x86 is for x86_64, and the device runs arm64-v8a"):
        AdbTarget().measure([model], inputs, PLAN)


def test_a_binary_that_the_device_cannot_start(
    phone: Phone, model: Artifact, inputs: Inputs, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("EDGESHIP_BENCHMARK_MODEL", str(_elf(tmp_path / "arm", 183)))
    for row in AdbTarget().measure([model], inputs, PLAN):
        assert isinstance(row, NotMeasured)
        assert "benchmark_model cannot be run on the device" in row.reason


@pytest.mark.parametrize(
    ("what", "words", "kind"),
    [
        ("crash", "benchmark_model was ended by signal 11", "ChildCrashed"),
        ("hang", "did not finish within 2 s", "TargetUnavailable"),
        ("chatter", "sent more than 1,048,576 bytes", "TargetUnavailable"),
    ],
)
def test_a_tool_that_breaks(
    phone: Phone, model: Artifact, inputs: Inputs, monkeypatch: pytest.MonkeyPatch, what: str, words: str, kind: str
) -> None:
    phone.say("tool", what)
    if what == "hang":  # the others end by themselves, after all that the tool imports
        monkeypatch.setattr(sessions, "START_SECONDS", 2)
    row = AdbTarget().measure([model], inputs, PLAN)[0]
    assert isinstance(row, NotMeasured)
    assert words in row.reason
    assert row.type == kind


def test_a_file_that_litert_cannot_read(phone: Phone, model: Artifact, inputs: Inputs, tmp_path: Path) -> None:
    from dataclasses import replace

    (tmp_path / "tiny.tflite").write_bytes(b"no model")
    rows = AdbTarget().measure([replace(model, path=tmp_path)], inputs, PLAN)
    assert all(isinstance(row, NotMeasured) and row.type == "ArtifactError" for row in rows)


@pytest.fixture
def small_storage(phone: Phone) -> Iterator[Phone]:
    """2 MiB for all that is written on the device."""
    if os.geteuid() != 0:
        pytest.skip("needs root to mount a small file system")
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(phone.tmp)]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"cannot mount a small file system here: {done.stderr.decode().strip()}")
    yield phone
    phone.settle()
    left = list(phone.tmp.iterdir())
    subprocess.run(["umount", str(phone.tmp)], check=True)
    assert left == []


def test_full_storage(small_storage: Phone, model: Artifact, inputs: Inputs, tmp_path: Path) -> None:
    tool = tmp_path / "benchmark_model"
    tool.write_bytes(tool.read_bytes() + b"\n#" + bytes(4 << 20))
    with pytest.raises(StorageFullError, match="is full"):
        AdbTarget().check(model, inputs)


def test_storage_that_is_full_already(small_storage: Phone, model: Artifact, inputs: Inputs) -> None:
    filler = small_storage.tmp / "filler"
    filler.write_bytes(bytes((2 << 20) - 4096))
    row = AdbTarget().measure([model], inputs, PLAN)[0]
    filler.unlink()
    assert isinstance(row, NotMeasured)
    assert row.type == "StorageFullError"
