"""Releases onto a device that is connected: what a repository signed, on the terms of any update; or unsigned ones."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeship import manifest as manifests
from edgeship.errors import EdgeshipError, InputError, StorageFullError, TargetUnavailable, UpdateRefused

if TYPE_CHECKING:
    from edgeship.publish.packet import Packet
    from edgeship_benchmarks.android.app import App

#: A self-test may take two minutes on a device; unpacking and checking come on top.
SECONDS = 300.0
#: What an app answers -> the error here.
_ERRORS: dict[str, type[EdgeshipError]] = {
    "REFUSED": UpdateRefused,
    "STORAGE": StorageFullError,
    "INPUT": InputError,
}


@dataclass(frozen=True)
class Sideloaded:
    """What a device made of what it was sent.

    Attributes:
        target: the device, `adb:SERIAL`.
        result: `updated`, `current` (it was active already; any unsigned one is gone), `waiting` (until the release in
            use has proved itself), `kept` (nothing else fits there), `unsigned` or `rolled_back`.
        version: of the release that the result is about; None: of an unsigned bundle.
        bytes: of what the device took of it; less than the file where a patch was enough.
        refused: releases that were tried and not taken, with the reason.
        active: the version that is active now; None: none is.
        app: what the app says about itself.
    """

    target: str
    result: str
    version: str | None
    variant: str | None
    bytes: int
    refused: tuple[str, ...]
    active: str | None
    app: dict[str, Any]

    @property
    def taken(self) -> bool:
        """Whether the device runs what it was sent."""
        return self.result not in ("waiting", "kept")


def sideload(
    source: str | Path,
    target: str = "adb",
    *,
    line: str | None = None,
    unsigned: bool = False,
    package: str | None = None,
    seconds: float = SECONDS,
) -> Sideloaded:
    """Send releases to a device that is connected, and say what it made of them.

    Args:
        source: an update repository: a folder or `s3://bucket/prefix`. The device verifies it as if it came from the
            network, and takes what the rollout names for it. With `unsigned` a device bundle.
        target: `adb`, or `adb:SERIAL`.
        line: of releases, `digits/v1`; None: the one that the app follows.
        unsigned: send a bundle that nobody signed, which apps take that were built for debugging.
        package: of the app; None: that of android_demo.
        seconds: how long the device may take.

    Raises:
        InputError: the source is none, or the app refuses what it is asked, such as a release build what nobody signed.
        UpdateRefused: the device refuses it: not signed, damaged, too old, or it failed there. What ran there goes on.
        TargetUnavailable: no device, no app, or no answer.
    """
    from edgeship_benchmarks.android import app as apps

    serial = apps.address(target)
    _check(str(source), unsigned=unsigned)
    with (
        apps.connected(serial, package or apps.PACKAGE) as app,
        tempfile.TemporaryDirectory(prefix="edgeship-") as folder,
    ):
        packet = Path(folder) / "packet.zip"
        if unsigned:
            from edgeship.publish.packet import pack_bundle

            name = app.send(pack_bundle(Path(source), packet), ".zip")
            return _result(app, app.ask("unsigned", seconds, file=name))
        follows = str(app.status.get("line"))
        if line not in (None, follows):
            raise InputError(f"the app on {app.device} follows {follows}, not {line}", remedy="Leave --line out.")
        pack(source, packet, follows)
        return _result(app, app.ask("sideload", seconds, file=app.send(packet, ".zip")))


def roll_back(target: str = "adb", *, package: str | None = None) -> Sideloaded:
    """Let a device go back: from an unsigned bundle to what was signed, else to the release before.

    Raises as `sideload` does; UpdateRefused where there is none to go back to.
    """
    from edgeship_benchmarks.android import app as apps

    with apps.connected(apps.address(target), package or apps.PACKAGE) as app:
        return _result(app, app.ask("rollback", SECONDS))


def pack(source: str | Path, out: Path, line: str | None = None) -> Packet:
    """Write what `sideload` sends to a file, for the app's file picker; see `edgeship.publish.packet.pack`."""
    from edgeship.publish import packet, stores

    _check(str(source), unsigned=False)
    return packet.pack(stores.open_store(str(source)), out, line)


def _check(source: str, *, unsigned: bool) -> None:
    """Raises InputError where a bundle is sent as if it were signed."""
    if not unsigned and (Path(source) / manifests.NAME).is_file():
        raise InputError(
            f"{source} is a bundle, which nobody has signed",
            remedy=f"Publish it (edgeship publish {source} --repo REPO --keys KEYS), then sideload REPO. "
            "An app that was built for debugging takes it as it is: --unsigned.",
        )


def _result(app: App, answer: dict[str, Any]) -> Sideloaded:
    """The answer as a value, or the error that it is."""
    result = str(answer["result"])
    message, remedy = str(answer.get("message", "")), str(answer.get("remedy", ""))
    if message or result in _ERRORS:
        if result == "INPUT" and "release build" in message:
            remedy = "Publish it, and sideload the repository; or install the debug build of the app."
        raise _ERRORS.get(result, TargetUnavailable)(f"{app.package} on {app.device}: {message}", remedy=remedy)
    status = dict(answer["status"])
    return Sideloaded(
        f"adb:{app.device}",
        result.lower(),
        _text(answer.get("version")),
        _text(answer.get("variant")),
        int(answer.get("bytes") or 0),
        tuple(map(str, answer.get("refused", ()))),
        _text(status.get("active")),
        status,
    )


def _text(found: object) -> str | None:
    return None if found is None else str(found)
