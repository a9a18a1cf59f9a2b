"""sideload: releases onto a device that is connected."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgeship.cli import ui

if TYPE_CHECKING:
    from edgeship.publish.packet import Packet
    from edgeship.sideloading import Sideloaded


@click.command()
@click.argument("source", metavar="[REPO]", required=False)
@click.option("--target", metavar="adb[:SERIAL]", help="The device.")
@click.option("--line", metavar="MODEL/v1", help="Of the releases. Default: the one that the app follows.")
@click.option(
    "--unsigned", is_flag=True, help="REPO is a device bundle that nobody signed, for a debug build of the app."
)
@click.option("--back", is_flag=True, help="Send nothing: let the device go back to the release before.")
@click.option("--app", "package", metavar="PACKAGE", help="The app on the device. Default: dev.edgeship.demo.")
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE.zip", help="Write the file; no device."
)
@click.option(
    "--timeout", type=click.FloatRange(1, 3600), default=300, show_default=True, help="Seconds for the device."
)
@ui.json_option
def sideload(
    source: str | None,
    target: str | None,
    line: str | None,
    unsigned: bool,
    back: bool,
    package: str | None,
    out: Path | None,
    timeout: float,
    as_json: bool,
) -> int:
    """Send releases to a device that is connected, and report what it made of them.

    REPO is an update repository: a folder, or s3://BUCKET/PREFIX. The device verifies it as if it came from the
    network, and takes the release that the rollout names for it; what ran there goes on if it refuses.

    With --out the same is written to a file, which the app takes from its file picker.

    \b
    Examples:
      edgeship sideload updates --target adb
      edgeship sideload bundles/digits --target adb:emulator-5554 --unsigned
      edgeship sideload --back --target adb
      edgeship sideload updates --out digits.zip
    """
    from edgeship import sideloading

    if (source is None) != back:
        raise click.UsageError("give REPO to send, or --back")
    if (target is None) == (out is None):
        raise click.UsageError("give --target adb, or --out FILE.zip")
    if out is not None:
        if back or unsigned:
            raise click.UsageError("--out is for what a repository has signed")
        made = sideloading.pack(str(source), out, line)
        ui.emit(made, as_json, lambda: _show_packet(made))
        return 0
    where = str(target)
    if back:
        found = sideloading.roll_back(where, package=package)
    else:
        found = sideloading.sideload(str(source), where, line=line, unsigned=unsigned, package=package, seconds=timeout)
    ui.emit(found, as_json, lambda: _show(found))
    return 0 if found.taken else 1


def _show_packet(made: Packet) -> None:
    versions = ", ".join(made.versions)
    ui.say(
        f"packed: {made.path} {made.line} {versions} {made.size_bytes:,} B, believed until "
        f"{made.expires:%Y-%m-%d %H:%M} UTC   next: open it in the app, Install a file"
    )


def _show(found: Sideloaded) -> None:
    for reason in found.refused:
        ui.say(f"not taken: {reason}")
    word = {
        "updated": f"{found.version} {found.variant} is active, {found.bytes:,} B were taken",
        "current": f"{found.version} was active already",
        "waiting": f"{found.version} is there, and waits until {found.active} has proved itself",
        "kept": f"nothing was taken; {found.active} stays active",
        "unsigned": f"an unsigned {found.variant} runs, beside {found.active or 'nothing'} that was signed",
        "rolled_back": f"{found.active} is active again",
    }
    ui.say(f"{found.target}: {word.get(found.result, found.result)}")
