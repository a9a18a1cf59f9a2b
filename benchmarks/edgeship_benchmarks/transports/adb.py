"""A connection to an Android device through the system's adb, with the user's own server, keys and settings.

Everything on the device is in one folder of its own in /data/local/tmp (see `leased`); the lease is a shell on it. What
adb does not pass on when a connection breaks, the exit status of a command, each command says itself at its end.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from edgeship.errors import EdgeshipError, InputError, TargetUnavailable
from edgeship_benchmarks.transports import lease
from edgeship_benchmarks.transports.leased import LeasedConnection, last_line, script_command, transfer_seconds

#: Where a shell may write and run programs on every Android.
FOLDER = "/data/local/tmp"
_SERIAL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:()\[\]%-]{0,99}")
_NETWORK = re.compile(r"[A-Za-z0-9.\[\]:%-]{1,80}:\d{1,5}")
_EXIT = re.compile(r"edgeship-exit=(\d{1,3})\s*\Z")
#: How long adb itself may take; it may have to start its server.
_CLIENT_SECONDS = 30.0
_LEASE_SECONDS = 30.0
#: A device that has just been plugged in becomes ready, or says why not, within so many seconds.
_SETTLING_SECONDS = 5.0
_MOST_DEVICES = 100
#: Where the Android SDK is if no variable says so, below the home folder.
_SDK_FOLDERS = ("Android/Sdk", "Library/Android/sdk", "AppData/Local/Android/Sdk")

_GET_ADB = (
    "Get it: sudo apt install adb. Or the SDK's platform-tools "
    "(https://developer.android.com/tools/releases/platform-tools): its folder belongs on PATH, or the SDK's into "
    "ANDROID_HOME."
)
_NONE = (
    "Allow USB debugging on it (Settings, About: tap the build number seven times; then Developer options), connect "
    "the cable, and look: adb devices. Over Wi-Fi: adb pair HOST:PORT, then adb connect HOST:PORT."
)
#: State of a device, as it begins -> what that is, and what to do.
_STATES = {
    "unauthorized": (
        "does not allow this machine to debug it",
        "Unlock it and answer 'Allow USB debugging?' with yes. If it does not ask: adb -s {serial} reconnect",
    ),
    "offline": ("is connected but does not answer", "Plug it in again, or: adb reconnect offline"),
    "no permissions": (
        "is connected, but this user may not open it",
        "sudo apt install android-sdk-platform-tools-common, and be in the group plugdev; then plug it in again",
    ),
    "authorizing": ("waits for its user's answer", "Unlock it and answer 'Allow USB debugging?' with yes."),
    "connecting": ("is only just connecting", "Try again in some seconds."),
}
_RESTARTED = ("bootloader", "recovery", "sideload", "rescue", "fastbootd")
_READY = "device"


@dataclass(frozen=True)
class Device:
    """A device as `adb devices -l` names it.

    Attributes:
        state: `device` where it is ready.
        model: empty where adb does not know it yet.
    """

    serial: str
    state: str
    model: str = ""

    def __str__(self) -> str:
        return f"{self.serial} ({self.model or self.state})"


def check_serial(text: str) -> str:
    """A serial number, or HOST:PORT. Raises InputError for what is none."""
    if not _SERIAL.fullmatch(text):
        raise InputError(
            f"{text!r} is no serial number of a device",
            remedy="Write adb:SERIAL, with one that adb devices shows; adb alone where only one is connected.",
        )
    return text


def find_adb() -> str:
    """Path of the system's adb: on PATH, else in the Android SDK. Raises TargetUnavailable."""
    found = shutil.which("adb")
    if found is not None:
        return found
    named = [Path(os.environ[name]) for name in ("ANDROID_HOME", "ANDROID_SDK_ROOT") if os.environ.get(name)]
    for folder in (*named, *(Path.home() / place for place in _SDK_FOLDERS)):
        found = shutil.which("adb", path=str(folder / "platform-tools"))
        if found is not None:
            return found
    raise TargetUnavailable("adb is not installed here", remedy=_GET_ADB)


def client(*arguments: str, seconds: float = _CLIENT_SECONDS) -> str:
    """What adb writes for a command that asks its server. Raises TargetUnavailable with its last line."""
    try:
        done = subprocess.run(
            [find_adb(), *arguments], stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise TargetUnavailable(
            f"adb {arguments[0]} gave no answer within {seconds:g} s", remedy="Try: adb kill-server; adb devices"
        ) from error
    if done.returncode:
        said = last_line(done.stderr.decode(errors="replace") or done.stdout.decode(errors="replace"))
        raise TargetUnavailable(f"adb {arguments[0]}: {said}", remedy="Try: adb kill-server; adb devices")
    return done.stdout.decode(errors="replace")


def devices_of(listing: str) -> list[Device]:
    """The devices in what `adb devices -l` writes; lines of another form are left out."""
    found = []
    lines = listing.partition("List of devices attached")[2].splitlines()
    for line in lines[: _MOST_DEVICES + 1]:
        serial, _, rest = line.strip().partition(" ")
        rest = rest.strip()
        if not rest or not _SERIAL.fullmatch(serial):
            continue
        state = "no permissions" if rest.startswith("no permissions") else rest.split()[0][:40]
        model = re.search(r"\bmodel:([\w.-]{1,60})", rest)
        found.append(Device(serial, state, model[1].replace("_", " ") if model else ""))
    return found


def choose(devices: list[Device], serial: str = "") -> Device:
    """The device that is meant, ready or not. Raises TargetUnavailable where none is, or where several may be."""
    if serial:
        for device in devices:
            if device.serial == serial:
                return device
        others = ", ".join(map(str, devices)) or "none"
        raise TargetUnavailable(f"no device {serial} is connected; there are: {others}", remedy=_NONE)
    if not devices:
        raise TargetUnavailable("no Android device is connected", remedy=_NONE)
    if len(devices) > 1:
        raise TargetUnavailable(
            f"{len(devices)} Android devices are connected: {', '.join(map(str, devices))}",
            remedy=f"Say which one: adb:{devices[0].serial}",
        )
    return devices[0]


def ready(serial: str = "") -> Device:
    """The device that is meant and answers. Raises TargetUnavailable with what to do about one that does not."""
    deadline = time.monotonic() + _SETTLING_SECONDS
    known = devices_of(client("devices", "-l"))
    if _NETWORK.fullmatch(serial) and serial not in [device.serial for device in known if device.state != "offline"]:
        _connect(serial)
        known = devices_of(client("devices", "-l"))
    while True:
        device = choose(known, serial)
        if device.state not in ("connecting", "authorizing", "offline") or time.monotonic() > deadline:
            break
        time.sleep(0.3)
        known = devices_of(client("devices", "-l"))
    if device.state == _READY:
        return device
    raise _not_ready(device)


def _connect(serial: str) -> None:
    """Reach a device in the network, also one that adb holds for connected and is not; the list says whether it is."""
    for word in ("disconnect", "connect"):
        with suppress(TargetUnavailable):
            client(word, serial)


def _not_ready(device: Device) -> TargetUnavailable:
    if device.state in _RESTARTED:
        return TargetUnavailable(
            f"{device.serial} is in its {device.state}, not in Android", remedy=f"adb -s {device.serial} reboot"
        )
    what, remedy = _STATES.get(device.state, (f"is in the state {device.state!r}", "Look: adb devices -l"))
    return TargetUnavailable(f"{device.serial} {what}", remedy=remedy.format(serial=device.serial))


class AdbConnection(LeasedConnection):
    """An open connection to a device; see `LeasedConnection`. Raises TargetUnavailable also for Android 6 and older.

    Args:
        serial: of a device; empty: the one that is connected.
    """

    when_lost = "Is it still connected, and switched on? Look: adb devices. Then run the same command again."
    when_full = f"Free some space there: adb shell df -h {FOLDER}"

    def __init__(self, serial: str = "") -> None:
        self.device = ready(serial)
        self._adb = [find_adb(), "-s", self.device.serial]
        features = client("-s", self.device.serial, "features").split()
        if "shell_v2" not in features:
            raise TargetUnavailable(
                f"{self.device.serial} has Android 6 or older, whose shell says nothing about errors",
                remedy="Android 7 or newer is needed.",
            )
        self._numbers = itertools.count()
        self._sent: dict[tuple[str, bool], str] = {}
        script = script_command(lease.SCRIPT, name="edgeship-lease")
        start = [*self._adb, "shell", "-T", f"export TMPDIR={FOLDER}; {script}"]
        super().__init__(self.device.serial, start, _LEASE_SECONDS)

    def command(self, script: str, *arguments: str) -> list[str]:
        """The command of this machine that runs a shell script on the device, with `arguments` as $1 and so on."""
        run = script_command(script, *arguments).removeprefix("exec ")
        return [*self._adb, "shell", "-T", f"{run}; echo edgeship-exit=$? >&2"]

    def put(self, file: Path, place: str) -> None:
        """Copy a file to a path on the device. Raises as `run` does."""
        with tempfile.TemporaryFile() as said:
            seconds = transfer_seconds(file.stat().st_size)
            try:
                done = subprocess.run(
                    [*self._adb, "push", str(file), place],
                    stdin=subprocess.DEVNULL,
                    stdout=said,
                    stderr=said,
                    timeout=seconds,
                    check=False,
                )
            except subprocess.TimeoutExpired as error:
                raise self._failure(-9, "", seconds) from error
            said.seek(0)
            text = said.read(1 << 16).decode(errors="replace")
        if done.returncode:
            raise self._failure(done.returncode, text, None)

    def send(self, file: Path, *, executable: bool = False) -> str:
        """Copy a file over, once, and see that all of it arrived; its path there. Raises as `run` does."""
        digest = _sha256(file)
        known = digest, executable
        if known not in self._sent:
            place = self.new_path()
            self.put(file, place)
            if self._sha256_there(place, file.stat().st_size) != digest:
                raise TargetUnavailable(f"{file.name} arrived damaged on {self.name}", remedy="Try another cable.")
            if executable:
                self.run('chmod 700 "$1"', place)
            self._sent[known] = place
        return self._sent[known]

    def new_path(self) -> str:
        """A path in the folder of the connection where nothing is yet."""
        return f"{self.board.folder}/{next(self._numbers)}"

    def _sha256_there(self, place: str, size_bytes: int) -> str:
        said = self.run('command -v sha256sum >/dev/null && sha256sum < "$1" || true', place).decode(errors="replace")
        if said.strip():
            return said.split()[0]
        # Android 7 has no such command.
        content = self.run('cat "$1"', place, limit_bytes=size_bytes + 1, seconds=transfer_seconds(size_bytes))
        return hashlib.sha256(content).hexdigest()

    def _refused(self, status: int, text: str, said: bytes) -> EdgeshipError:
        heard = last_line(text or said.decode(errors="replace")) or "nothing"
        return TargetUnavailable(
            f"a shell on {self.name} ended with status {status} and said: {heard}",
            remedy=f"Does this work, and print a line? adb -s {self.name} shell uname -a",
        )

    def _ended(self, process: subprocess.Popen[bytes], said: str) -> tuple[int, str]:
        match = _EXIT.search(said)
        if match is not None:
            return int(match[1]), said[: match.start()]
        lost = self.lost()
        if lost is not None:
            raise lost
        raise TargetUnavailable(
            f"adb ended with status {process.returncode} before the command on {self.name} did: {last_line(said)}",
            remedy="Does another program use another version of adb? Each stops the other's server.",
        )


def connector(serial: str) -> Callable[[], AdbConnection]:
    """Opens connections to one and the same device, which is chosen now. Raises TargetUnavailable."""
    chosen = ready(serial).serial
    return lambda: AdbConnection(chosen)


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
