"""rollout: which devices get which release."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from edgeship.cli import repositories, ui
from edgeship.cli.options import together

if TYPE_CHECKING:
    from edgeship.publish.overview import LineStatus, Status
    from edgeship.publish.policies import Ruled
    from edgeship.publish.repository import Repository
    from edgeship.publish.rollout import Rolled, Shares

_line = click.argument("line", metavar="MODEL/vN")
_shares = together(
    click.option("--percent", type=float, metavar="P", help="Share of all devices, in steps of 0.01."),
    click.option("--arm", "arms", multiple=True, metavar="X.Y.Z=P", help="A release and its share; repeat for A/B."),
    click.option(
        "--channel", "channels", multiple=True, metavar="NAME=X.Y.Z", help="What a channel gets; NAME= removes it."
    ),
)
_shrink = click.option("--force", is_flag=True, help="Even if devices go back to the stable release.")
_skip = click.option("--force", is_flag=True, help="Even if the release has not reached all devices.")


@click.group()
def rollout() -> None:
    """Choose which devices get which release of a line, signed online.

    Devices draw by themselves, by a number that never leaves them. What is revoked, and what no device may go below,
    is signed offline (revoke, floor, retire).

    \b
    Example:
      edgeship rollout status digits/v1 --repo updates --keys keys
    """


@rollout.command()
@_line
@click.option("--version", "release", metavar="X.Y.Z", help="The release, with --percent.")
@_shares
@click.option("--not-before", metavar="MOMENT", help="In UTC: 2026-11-20T10:00:00Z.")
@click.option("--variant", "variants", multiple=True, metavar="NAME", help="Only devices that run this one; repeat.")
@repositories.signing
@ui.json_option
def start(
    line: str,
    release: str | None,
    percent: float | None,
    arms: tuple[str, ...],
    channels: tuple[str, ...],
    not_before: str | None,
    variants: tuple[str, ...],
    as_json: bool,
    **given: Any,
) -> int:
    """Give a release to a share of the devices; other ones are drawn than before.

    After a halt, channels that had the halted release get the stable one.

    \b
    Examples:
      edgeship rollout start digits/v1 --version 1.1.0 --percent 1 --repo updates --keys online
      edgeship rollout start digits/v1 --arm 1.1.0=50 --arm 1.2.0=50 --repo updates --keys online
      edgeship rollout start digits/v1 --channel canary=1.1.0 --repo updates --keys online
    """
    from edgeship.publish import rollout as rollouts
    from edgeship.releases.documents import Constraints

    if (release is None) != (percent is None):
        raise click.UsageError("--version and --percent belong together")
    wanted = _read_shares((*arms, *([f"{release}={percent}"] if release else [])), channels)
    constraints = Constraints(variants, not_before)
    return _apply(line, given, as_json, lambda repo, of: rollouts.start(repo, of, wanted, constraints))


@rollout.command("set")
@_line
@_shares
@_shrink
@repositories.signing
@ui.json_option
def set_(
    line: str,
    percent: float | None,
    arms: tuple[str, ...],
    channels: tuple[str, ...],
    force: bool,
    as_json: bool,
    **given: Any,
) -> int:
    """Let the arms of a rollout grow; devices that have one keep it.

    \b
    Example:
      edgeship rollout set digits/v1 --percent 10 --repo updates --keys online
    """
    from edgeship.publish import rollout as rollouts

    if (percent is not None) == bool(arms or channels):
        raise click.UsageError("give --percent, of the only arm, or else --arm and --channel")
    if percent is not None:
        only = percent
        return _apply(line, given, as_json, lambda repo, of: rollouts.set_percent(repo, of, only, force=force))
    wanted = _read_shares(arms, channels)
    return _apply(line, given, as_json, lambda repo, of: rollouts.set_shares(repo, of, wanted, force=force))


@rollout.command()
@_line
@repositories.signing
@ui.json_option
def halt(line: str, as_json: bool, **given: Any) -> int:
    """Stop a rollout: devices with an arm go back to the stable release.

    \b
    Example:
      edgeship rollout halt digits/v1 --repo updates --keys online
    """
    from edgeship.publish import rollout as rollouts

    return _apply(line, given, as_json, rollouts.halt)


@rollout.command()
@_line
@repositories.signing
@ui.json_option
def resume(line: str, as_json: bool, **given: Any) -> int:
    """Go on with a rollout that was halted, with the same devices.

    \b
    Example:
      edgeship rollout resume digits/v1 --repo updates --keys online
    """
    from edgeship.publish import rollout as rollouts

    return _apply(line, given, as_json, rollouts.resume)


@rollout.command()
@_line
@click.option("--version", "winner", metavar="X.Y.Z", help="The arm that all get. Default: the only one.")
@_skip
@repositories.signing
@ui.json_option
def finish(line: str, winner: str | None, force: bool, as_json: bool, **given: Any) -> int:
    """Make an arm the stable release of all devices.

    \b
    Example:
      edgeship rollout finish digits/v1 --repo updates --keys online
    """
    from edgeship.publish import rollout as rollouts

    return _apply(line, given, as_json, lambda repo, of: rollouts.finish(repo, of, winner, force=force))


@rollout.command()
@_line
@click.argument("releases", nargs=-1, required=True)
@click.option("--undo", is_flag=True, help="Allow them again.")
@repositories.signing
@ui.json_option
def revoke(line: str, releases: tuple[str, ...], undo: bool, as_json: bool, **given: Any) -> int:
    """Forbid RELEASES to all devices, whatever a rollout says. Signed offline.

    A device with a revoked release goes to the stable one; where that is revoked too, what it has keeps running until
    something better is there.

    \b
    Example:
      edgeship rollout revoke digits/v1 1.1.0 --repo updates --keys keys
    """
    from edgeship.publish import policies

    return _rule(line, given, as_json, lambda repo, of: policies.revoke(repo, of, releases, undo=undo))


@rollout.command()
@_line
@click.argument("release")
@repositories.signing
@ui.json_option
def floor(line: str, release: str, as_json: bool, **given: Any) -> int:
    """Let no device go below RELEASE. Signed offline.

    \b
    Example:
      edgeship rollout floor digits/v1 1.1.0 --repo updates --keys keys
    """
    from edgeship.publish import policies

    return _rule(line, given, as_json, lambda repo, of: policies.set_floor(repo, of, release))


@rollout.command()
@_line
@repositories.signing
@ui.json_option
def retire(line: str, as_json: bool, **given: Any) -> int:
    """Sign no more what is below the floor: the list of all files, which every device downloads, gets shorter.

    Signed offline. The files stay where they are, for devices that are just reading them; --json lists them, and a week
    later nobody misses them.

    \b
    Example:
      edgeship rollout retire digits/v1 --repo updates --keys keys
    """
    from edgeship.publish import policies

    repository = _open(given)
    made = policies.retire(repository, repositories.read_line(line))
    names = ", ".join(made.releases)
    told = f"{made.line}: {names} signed no more; the list has {made.left} files, {len(made.paths)} fewer"
    none = f"nothing was changed: {made.line} has nothing below its floor that no rollout names"
    ui.emit(made, as_json, lambda: ui.say(told if names else none))
    repositories.warn_after(made.change, repository)
    return 0


@rollout.command()
@click.argument("line", metavar="[MODEL/vN]", required=False)
@repositories.signing
@ui.json_option
def status(line: str | None, as_json: bool, **given: Any) -> int:
    """Show what is published, who gets it, and until when devices believe it.

    Everything shown was verified with the root in --keys; no private key is read, root.json and keys.json will do.
    --passphrase-file is taken, so that options may be the same for all commands, and not read.

    Exits 1 where metadata have expired, or should have been signed anew: those of the online roles past half their
    life, those of the offline ones in its last tenth. Here --repo may be the address of a web server.

    \b
    Examples:
      edgeship rollout status --repo updates --keys keys
      edgeship rollout status digits/v1 --repo updates --keys keys --json
    """
    from edgeship.publish.overview import status as read_status

    found = read_status(_open(given, reading=True), repositories.read_line(line) if line else None)
    ui.emit(found, as_json, lambda: _show_status(found))
    return 1 if found.overdue else 0


@rollout.command()
@repositories.signing
@ui.json_option
def verify(as_json: bool, **given: Any) -> int:
    """Read every file of a repository, or of a copy, and compare it with what was signed.

    What was signed is told by the root in --keys; no private key is read. Here --repo may be the address of a web
    server. Exits 1 where a file is missing or damaged.

    \b
    Examples:
      edgeship rollout verify --repo updates --keys keys
      edgeship rollout verify --repo https://models.example/updates --keys keys
    """
    from edgeship.publish.verifying import verify as read_all

    repository = _open(given, reading=True)
    with ui.progress_bars() as repository.progress:
        found = read_all(repository)

    def show() -> None:
        for word, paths in (("missing", found.missing), ("damaged", found.damaged)):
            for path in paths:
                ui.say(f"{word}: {path}")
        faults = f"{len(found.missing)} missing, {len(found.damaged)} damaged"
        told = "all as they were signed" if found.whole else faults
        ui.say(f"{found.address}: {found.files} files, {found.size_bytes:,} B: {told}")

    ui.emit(found, as_json, show)
    return 0 if found.whole else 1


def _apply(line: str, given: dict[str, Any], as_json: bool, do: Callable[[Repository, Any], Rolled]) -> int:
    repository = _open(given)
    made = do(repository, repositories.read_line(line))
    document = made.rollout
    arms = ", ".join(f"{arm.version} to {arm.percent:g} %" for arm in document.arms) or "no arms"
    channels = "".join(f", {name} gets {text}" for name, text in document.channels.items())
    told = f"{document.line} {document.state}: stable {document.stable}, {arms}{channels}"
    ui.emit(made, as_json, lambda: ui.say(told if made.change.signed else f"nothing was changed: {told}"))
    for channel, text in made.dropped.items():
        repositories.warn(
            f"{channel} does not get {text} back, which was halted; if it shall: --channel {channel}={text}"
        )
    repositories.warn_after(made.change, repository)
    return 0


def _rule(line: str, given: dict[str, Any], as_json: bool, do: Callable[[Repository, Any], Ruled]) -> int:
    repository = _open(given)
    made = do(repository, repositories.read_line(line))
    policy = made.policy
    told = f"{policy.line}: floor {policy.floor}, revoked {', '.join(policy.revoked) or 'none'}"
    ui.emit(made, as_json, lambda: ui.say(told))
    if made.still_named:
        names = ", ".join(made.still_named)
        repositories.warn(f"the rollout of {policy.line} still names {names}: change it with edgeship rollout")
    repositories.warn_after(made.change, repository)
    return 0


def _open(given: dict[str, Any], *, reading: bool = False) -> Repository:
    return repositories.open_repository(
        given["repo"], given["endpoint_url"], given["key_folders"], given["passphrase_files"], reading=reading
    )


def _read_shares(arms: tuple[str, ...], channels: tuple[str, ...]) -> Shares:
    """`X.Y.Z=P` and `NAME=X.Y.Z`. Raises InputError for anything else."""
    from edgeship.errors import InputError
    from edgeship.publish.rollout import Shares

    shares: dict[str, float] = {}
    for text in arms:
        release, _, percent = text.partition("=")
        try:
            shares[release] = float(percent)
        except ValueError as error:
            raise InputError(f"{text!r} is no arm", remedy="Give a version and its percent: 1.1.0=50.") from error
    named: dict[str, str | None] = {}
    for text in channels:
        name, equals, release = text.partition("=")
        if not equals:
            raise InputError(f"{text!r} is no channel", remedy="Give its name and a version: canary=1.1.0.")
        named[name] = release or None
    return Shares(shares, named)


def _show_status(found: Status) -> None:
    for line in found.lines:
        _show_line(line)
    made = ui.table("metadata of", "expires (UTC)", "")
    for role, moment in found.expires.items():
        late = "overdue: edgeship publish --refresh" if role in found.overdue else ""
        ui.row(made, role, moment, "EXPIRED: no device takes updates" if role in found.expired else late)
    ui.print_table(made)


def _show_line(line: LineStatus) -> None:
    document, policy = line.rollout, line.policy
    limits = document.constraints
    since = f", not before {limits.not_before}" if limits.not_before else ""
    only = f", for {', '.join(limits.variants)}" if limits.variants else ""
    made = ui.table(
        "release", "variant", ">bytes", "who", "from older releases", title=f"{line.line}: {document.state}"
    )
    for each in line.releases:
        patches = ", ".join(f"{before}: {size:,}" for before, size in each.patches.items())
        ui.row(made, each.version, each.variant, f"{each.wire_bytes:,}", ", ".join(each.says), patches)
    ui.print_table(made)
    revoked = ", ".join(policy.revoked) or "none"
    ui.say(f"rollout {document.rollout}{since}{only}; floor {policy.floor}; revoked {revoked}")
