"""device: a model on this device, kept up to date from a repository."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgeship.cli import ui

if TYPE_CHECKING:
    from edgeship.device import Status
    from edgeship.device.settings import Changed
    from edgeship.device.state import Release

_folder = click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Where enrolments are, a folder for each. Default: EDGESHIP_DEVICE_DIR, /var/lib/edgeship, or the user's.",
)
_name = click.argument("name", required=False)


@click.group()
def device() -> None:
    """Keep a model on this device up to date, and go back if it fails.

    \b
    Example:
      edgeship device init --repo https://models.example/ --root root.json --line wake-word/v1
      edgeship device update
      edgeship device status
    """


@device.command()
@click.option("--repo", required=True, metavar="URL", help="The repository: the folder with metadata/ and targets/.")
@click.option("--root", required=True, type=click.Path(path_type=Path), help="Its root.json: who is believed.")
@click.option("--line", required=True, metavar="MODEL/v1", help="The model and the major version to follow.")
@click.option("--name", help="Of the enrolment. Default: that of the model.")
@click.option("--variant", "variants", multiple=True, metavar="VARIANT", help="That runs here; repeatable, best first.")
@click.option("--channel", help="A channel that this device is in, such as canary; '': none any more.")
@click.option(
    "--textfile", metavar="FILE.prom", help="Count, into this file for Prometheus's node exporter; '': no more."
)
@click.option("--otlp", metavar="URL", help="Count, and send to this OTLP/HTTP receiver (.../v1/metrics); '': no more.")
@click.option("--systemd", metavar="DIR", help="Also write a service and a timer there; - prints them.")
@_folder
@ui.json_option
def init(
    repo: str,
    root: Path,
    line: str,
    name: str | None,
    variants: tuple[str, ...],
    channel: str | None,
    textfile: str | None,
    otlp: str | None,
    systemd: str | None,
    folder: Path | None,
    as_json: bool,
) -> int:
    """Enrol this device: from then on it believes whom root.json names, and nobody else.

    The same again changes nothing; other options, and another --repo, change what they name and nothing else. A
    folder that follows another root or line is refused; a later root of the same repository is taken for the same.

    \b
    Example:
      edgeship device init --repo https://models.example/ --root root.json --line wake-word/v1
    """
    from edgeship.device import config as configs
    from edgeship.device import settings
    from edgeship.device import systemd as units
    from edgeship.errors import InputError
    from edgeship.releases.names import check_model
    from edgeship.releases.names import line as read_line

    place = configs.Place(configs.base(folder) / check_model(name or read_line(line).model))
    before = settings.earlier(place)
    wanted = settings.Wanted(repo.rstrip("/"), line, variants, channel, textfile, otlp)
    made = settings.merged(before, wanted)
    try:
        content = root.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {root}: {error.strerror}") from error
    files = {}
    if systemd is not None:  # before anything is written: a service that could not work is refused
        files = units.units(place.folder.name, folder=place.folder.parent, textfile=made.telemetry.textfile)
    configs.enrol(place, made, content)
    written = [] if systemd in (None, "-") else units.install(files, Path(systemd))
    changed = settings.changes(before, made)

    def show() -> None:
        _show_units(files if systemd == "-" else {}, written)
        _show_settings(changed)
        known = "enrolled" if before is None else "has other settings now" if changed else "was enrolled already"
        then = f"edgeship device update {place.folder.name}{'' if folder is None else f' --dir {folder}'}"
        ui.say(f"{place.folder.name} {known} in {place.folder}   next: {then}")

    document = {"name": place.folder.name, "folder": place.folder, "new": before is None, "changed": changed}
    ui.emit({**document, "units": files}, as_json, show)
    return 0


def _show_units(printed: Mapping[str, str], written: Iterable[Path]) -> None:
    for file, text in printed.items():
        click.echo(f"# {file}\n{text}")
    for path in written:
        ui.say(f"wrote {path}")


def _show_settings(changed: Iterable[Changed]) -> None:
    for each in changed:
        ui.say(f"{each.setting}: {each.after} (was: {each.before})")


@device.command()
@_name
@click.option("--check", "check_only", is_flag=True, help="Only look; take nothing.")
@click.option("--retry", is_flag=True, help="Try again what failed on this device before.")
@click.option("--all", "everything", is_flag=True, help="Every model that is enrolled, one after the other.")
@_folder
@ui.json_option
def update(
    name: str | None, check_only: bool, retry: bool, everything: bool, folder: Path | None, as_json: bool
) -> int:
    """Check for updates and take what there is, verified and tried here; what runs goes on whatever happens.

    Prints one line for each model. Exit codes: 0 done, 1 something that was offered was refused, 3 no check could be
    made; with --all the largest of all.

    \b
    Examples:
      edgeship device update wake-word
      edgeship device update --all
    """
    from edgeship.device import enrolled
    from edgeship.device import update as run

    if everything:
        if name is not None:
            raise click.UsageError("give NAME or --all")
        return _update_all(folder, as_json, check_only=check_only, retry=retry)
    outcome = run(enrolled(name, folder), check_only=check_only, retry=retry)
    ui.emit(outcome, as_json, lambda: ui.say(outcome.message))
    return 1 if outcome.refused else 0


def _update_all(folder: Path | None, as_json: bool, *, check_only: bool, retry: bool) -> int:
    """Update each enrolment, whatever comes of the others."""
    from edgeship.codec import to_data
    from edgeship.device import config as configs
    from edgeship.device import update as run
    from edgeship.errors import EdgeshipError, to_wire

    code, found = 0, {}
    for name in configs.names(folder):
        try:
            outcome = run(configs.enrolled(name, folder), check_only=check_only, retry=retry)
        except EdgeshipError as error:
            code, found[name] = max(code, error.exit_code), {"error": to_wire(error)}
            ui.say(f"{name}: {error}", err=True)
        else:
            code, found[name] = max(code, 1 if outcome.refused else 0), to_data(outcome)
            if not as_json:
                ui.say(outcome.message)
    if as_json:
        click.echo(json.dumps(found, indent=2))
    return code


@device.command()
@_name
@click.option("--install-id", is_flag=True, help="Also show the random number by which rollouts draw devices.")
@_folder
@ui.json_option
def status(name: str | None, install_id: bool, folder: Path | None, as_json: bool) -> int:
    """Say which release runs, how its probation goes, and what is wrong.

    \b
    Example:
      edgeship device status wake-word
    """
    from edgeship.codec import to_data
    from edgeship.device import config as configs
    from edgeship.device import enrolled
    from edgeship.device import status as look

    place = enrolled(name, folder)
    found = look(place)
    own = {"install_id": configs.member(place, configs.read(place)).install_id} if install_id else {}

    def show() -> None:
        _print_status(found)
        for key, value in own.items():
            ui.say(f"{key.replace('_', ' '):<13}{value}")

    if as_json:
        click.echo(json.dumps({**to_data(found), **own}, indent=2))
    else:
        show()
    return 0


@device.command()
@_name
@_folder
@ui.json_option
def rollback(name: str | None, folder: Path | None, as_json: bool) -> int:
    """Go back to the release before; the one that is left is not taken again.

    \b
    Example:
      edgeship device rollback wake-word
    """
    from edgeship.device import enrolled, roll_back
    from edgeship.device import status as look

    place = enrolled(name, folder)
    roll_back(place, "rolled back by hand")
    found = look(place)
    ui.emit(found, as_json, lambda: ui.say(f"{found.model} runs {_release(found.active)} again"))
    return 0


def _print_status(found: Status) -> None:
    from edgeship.releases.moments import text_of

    rows = {
        "model": f"{found.line} from {found.repository}",
        "runs": _release(found.active) + (f", in slot {found.slot}" if found.slot else ""),
        "probation": found.probation_needs or ("over" if found.active else ""),
        "before": _release(found.previous),
        "floor": found.floor,
        "channel": found.channel or "",
        "last check": f"{found.last_check.when}  {found.last_check.message}" if found.last_check else "never",
    }
    for key, value in rows.items():
        if value:
            ui.say(f"{key:<13}{value}")
    for entry in found.failed:
        until = entry.until()
        again = "" if until is None else f"; tried again after {text_of(until)}"
        ui.say(f"{'failed':<13}{entry.version} at {entry.when}: {entry.reason}{again}")
    for problem in found.problems:
        ui.say(f"{'problem':<13}{problem}")


def _release(found: Release | None) -> str:
    return "nothing" if found is None else f"{found.version} ({found.variant}) since {found.since}"
