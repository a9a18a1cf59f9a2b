"""The folder that stands for an Android device, and an adb server of its own for a test."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.standins.adbd import Adbd
from tests.standins.android_state import BATTERY, CORES, POWER, PROPERTIES, THERMAL

#: What of this machine the device has. Where they are installed, it is what Android has: mksh and toybox.
_TOOLS = (
    *("sh", "cat", "grep", "mktemp", "rm", "mkdir", "chmod", "mv", "uname", "tail", "df", "sha256sum"),
    *("sleep", "true", "touch", "ls", "wc", "head", "env"),
)
_GETPROP = '#!{root}/system/bin/sh\ncat "$STATE/getprop"\n'
_DUMPSYS = """#!{root}/system/bin/sh
[ -f "$STATE/dumpsys.$1" ] || {{ echo "Can't find service: $1" >&2; exit 20; }}
cat "$STATE/dumpsys.$1"
"""
_SETTINGS = '#!{root}/system/bin/sh\ncat "$STATE/settings.$3" 2>/dev/null || echo null\n'


def require_adb() -> str:
    """Path of the system's adb; skips the test where there is none."""
    found = shutil.which("adb")
    if found is None:
        pytest.skip("needs the target adb: apt install adb")
    return found


def make_root(root: Path) -> None:
    """A device's folders, tools and state, below `root`."""
    for name in ("data/local/tmp", "system/bin", "state", "sys/devices/system/cpu"):
        (root / name).mkdir(parents=True, exist_ok=True)
    toybox, mksh = shutil.which("toybox"), shutil.which("mksh")
    for tool in _TOOLS:
        found = (mksh if tool == "sh" else toybox) or shutil.which(tool)
        assert found, tool
        (root / "system/bin" / tool).symlink_to(found)
    for name, text in (("getprop", _GETPROP), ("dumpsys", _DUMPSYS), ("settings", _SETTINGS)):
        program = root / "system/bin" / name
        program.write_text(text.format(root=root))
        program.chmod(0o755)
    state = {"getprop": PROPERTIES, "dumpsys.battery": BATTERY, "dumpsys.thermalservice": THERMAL}
    for name, text in {**state, "dumpsys.power": POWER, "settings.low_power": "0\n"}.items():
        (root / "state" / name).write_text(text)
    cpus = root / "sys/devices/system/cpu"
    (cpus / "present").write_text("0-7\n")
    for core, (governor, now, limit, best) in enumerate(CORES):
        place = cpus / f"cpu{core}/cpufreq"
        place.mkdir(parents=True, exist_ok=True)
        (place / "scaling_governor").write_text(f"{governor}\n")
        (place / "scaling_cur_freq").write_text(f"{now}\n")
        (place / "scaling_max_freq").write_text(f"{limit}\n")
        (place / "cpuinfo_max_freq").write_text(f"{best}\n")
    (root / "proc").mkdir(exist_ok=True)
    (root / "proc/loadavg").write_text("0.42 1.10 1.20 2/900 4321\n")
    (root / "proc/meminfo").write_text("MemTotal:        7711012 kB\nMemFree:          200000 kB\n")


def write_tool(place: Path) -> Path:
    """The stand-in for benchmark_model as one program."""
    source = Path(__file__).with_name("benchmark_model.py")
    place.write_text(f"#!{sys.executable}\n{source.read_text()}")
    place.chmod(0o755)
    return place


@dataclass
class AdbServer:
    """An adb server with a port and a home of its own; devices are connected to it one by one."""

    folder: Path
    port: int
    adb: str = field(default_factory=require_adb)
    process: subprocess.Popen[bytes] | None = None
    devices: list[Adbd] = field(default_factory=list)

    @property
    def env(self) -> dict[str, str]:
        """For clients of it."""
        return {"ANDROID_ADB_SERVER_PORT": str(self.port), "HOME": str(self.folder)}

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [self.adb, "-P", str(self.port), "server", "nodaemon"]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, **self.env}
            )
        deadline = time.monotonic() + 20
        while self.process.poll() is None and time.monotonic() < deadline:
            # Not by a client: one that finds no server starts another, which nobody would end.
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            time.sleep(0.05)
        raise AssertionError((self.folder / "log").read_text())

    def client(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, **self.env}
        return subprocess.run([self.adb, *arguments], env=env, capture_output=True, text=True, timeout=60, check=False)

    def connect(self, device: Adbd) -> None:
        self.devices.append(device)
        self.client("connect", device.serial)

    def forget(self) -> None:
        """Stop all devices."""
        for device in self.devices:
            self.client("disconnect", device.serial)
            device.stop()
        self.devices.clear()

    def stop(self) -> None:
        for device in self.devices:
            device.stop()
        if self.process is not None:
            self.process.kill()
            self.process.wait()
