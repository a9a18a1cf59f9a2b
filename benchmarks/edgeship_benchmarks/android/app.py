"""The app on an Android device (android_demo): it is asked by intents, and answers in files that the shell may read.

Its activity for that is protected by a permission that the shell has and no app from a store gets. Files go to the
app's folder in `Android/media`, the one that both an app and the shell may use on every Android from 8 on.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeship.closing import Closing
from edgeship.errors import InputError, TargetUnavailable
from edgeship_benchmarks.android import state
from edgeship_benchmarks.transports import adb
from edgeship_benchmarks.transports.adb import AdbConnection
from edgeship_benchmarks.transports.leased import last_line

#: The app of android_demo.
PACKAGE = "dev.edgeship.demo"
#: What its answers are.
SCHEMA = "edgeship.answer/1"
#: How long the app may take for anything but a self-test or a measurement: it may have to start.
STATUS_SECONDS = 60.0
_ACTIVITY = "dev.edgeship.demo.ShellActivity"
_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9_]*(\.[a-zA-Z][a-zA-Z0-9_]*)+")
#: Outputs of a file may be 64 MiB, in base64.
_ANSWER_BYTES = 100 << 20
#: FLAG_ACTIVITY_NEW_TASK and FLAG_ACTIVITY_MULTIPLE_TASK: each question is an activity of its own.
_FLAGS = "0x18000000"

_INSTALLED = 'pm path "$1" 2>/dev/null || true'
_START = 'component=$1; flags=$2; shift 2; am start -f "$flags" -n "$component" "$@" 2>&1'
# Fifths of a second: the shell's sleep takes them on every Android from 7 on.
_WAIT = """n=0
while [ ! -f "$1" ] && [ "$n" -lt "$2" ]; do n=$((n+1)); sleep 0.2; done
cat "$1" 2>/dev/null; rm -f "$1"; true"""


class App(Closing):
    """An app that answers, on a device that is connected. Use as a context manager.

    Attributes:
        package: its name.
        device: its serial number, as adb has it.
        status: what the app says about itself: line, runtime, active and more.

    Args:
        connection: to the device; it is closed with this.

    Raises:
        TargetUnavailable: the app is not installed, or does not answer.
        InputError: for what is no name of an app.
    """

    def __init__(self, connection: AdbConnection, package: str = PACKAGE) -> None:
        if not _NAME.fullmatch(package):
            raise InputError(f"{package!r} is no name of an app", remedy=f"Its applicationId, such as {PACKAGE}.")
        self.package, self._connection = package, connection
        self.device = connection.device.serial
        self._folder = f"/sdcard/Android/media/{package}"
        self._sent: list[str] = []
        if not connection.run(_INSTALLED, package).strip():
            raise TargetUnavailable(
                f"{package} is not installed on {self.device}",
                remedy=f"Build it with make android, then: adb -s {self.device} install -r "
                "android_demo/build/edgeship-demo-debug.apk",
            )
        self.status: Mapping[str, Any] = self.ask("status", STATUS_SECONDS)["status"]

    def ask(self, command: str, seconds: float, /, **words: str) -> dict[str, Any]:
        """What the app answers: `result`, often `message` and `remedy`, and always `status`.

        Args:
            command: one of `dev.edgeship.demo.core.Desk`.
            seconds: how long it may take.
            words: of the command.

        Raises:
            TargetUnavailable: it cannot be started, does not answer, or not in JSON.
            ConnectionLost: the device is gone.
        """
        number = secrets.token_hex(16)
        extras = [
            part for name, word in {"command": command, "id": number, **words}.items() for part in ("--es", name, word)
        ]
        said = self._connection.run(_START, f"{self.package}/{_ACTIVITY}", _FLAGS, *extras).decode(errors="replace")
        if re.search(r"(?m)^\s*(Error|Security exception|Exception|java\.lang\.\w*Exception)", said):
            raise TargetUnavailable(
                f"{self.package} on {self.device} cannot be asked: {last_line(said)}",
                remedy="Is it an app with edgeship's ShellActivity, and up to date? Install it again.",
            )
        place = f"{self._folder}/answer-{number}.json"
        count = str(int(seconds * 5))
        answer = self._connection.run(_WAIT, place, count, limit_bytes=_ANSWER_BYTES, seconds=seconds + 60)
        if not answer:
            raise TargetUnavailable(
                f"{self.package} on {self.device} gave no answer to {command} within {seconds:g} s",
                remedy=f"Unlock the device. Did the app crash? adb -s {self.device} logcat -d -b crash",
            )
        return self._read(answer)

    def _read(self, answer: bytes) -> dict[str, Any]:
        try:
            found = json.loads(answer)
            fits = found["schema"] == SCHEMA and isinstance(found["result"], str) and isinstance(found["status"], dict)
        except (ValueError, KeyError, TypeError, RecursionError):
            fits = False
        if not fits:
            raise TargetUnavailable(
                f"{self.package} on {self.device} gives other answers than this edgeship reads",
                remedy="Build the app and edgeship from one release.",
            )
        return dict(found)

    def facts(self) -> dict[str, str]:
        """What the device says about itself now."""
        return {"serial_sha256": state.hashed(self.device), **state.facts_of(self._connection.run(state.SCRIPT))}

    def send(self, file: Path, suffix: str = "") -> str:
        """Copy a file into the app's folder; its name there, for `ask`. It is removed when this is closed."""
        name = f"sent-{secrets.token_hex(8)}{suffix}"
        self._sent.append(name)
        self._connection.put(file, f"{self._folder}/{name}")
        return name

    def close(self) -> None:
        """Remove what was sent, and end the connection; safe to call twice."""
        names, self._sent = self._sent, []
        try:
            if names and self._connection.alive:
                self._connection.run('cd "$1" && shift && rm -f "$@"', self._folder, *names)
        except TargetUnavailable:
            pass  # the app's folder goes with the app
        finally:
            self._connection.close()


def connected(serial: str = "", package: str = PACKAGE) -> App:
    """The app on a device. Raises as `AdbConnection` and `App` do."""
    connection = AdbConnection(serial)
    try:
        return App(connection, package)
    except BaseException:
        connection.close()
        raise


def address(target: str) -> str:
    """The serial number in `adb:SERIAL`; empty: the one that is connected. Raises InputError for another target."""
    scheme, _, serial = target.partition(":")
    if scheme != "adb":
        raise InputError(f"nothing can be sideloaded to {target}", remedy="Allowed: adb, or adb:SERIAL.")
    return adb.check_serial(serial) if serial else ""
