"""Who gets which release: the document that the online role signs, and what the offline role says against it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from edgeship.errors import InputError
from edgeship.publish import versions
from edgeship.publish.draft import Draft
from edgeship.publish.repository import Change, Repository
from edgeship.releases.documents import (
    LIMIT_BYTES,
    Arm,
    Constraints,
    Policy,
    Rollout,
    check_rollout,
    no_policy,
    policy,
    rollout,
    written,
)
from edgeship.releases.names import Line, Version, policy_path, rollout_path, version


@dataclass(frozen=True)
class Shares:
    """Who shall get what.

    Attributes:
        arms: version -> percent of all devices.
        channels: channel -> the version of its devices; None: they are treated as all others.
    """

    arms: Mapping[str, float]
    channels: Mapping[str, str | None]


@dataclass(frozen=True)
class Rolled:
    """A rollout as it is now.

    Attributes:
        dropped: channel -> the halted release that it does not get back.
    """

    rollout: Rollout
    change: Change
    dropped: Mapping[str, str] = field(default_factory=dict)


def name(release: Version, now: datetime) -> str:
    """A name for a rollout that no other has."""
    return f"{release}@{now.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def start(repository: Repository, line: Line, shares: Shares, constraints: Constraints) -> Rolled:
    """Begin a rollout: other devices are drawn than before, and channels do not get a halted release back.

    Raises InputError while another one runs, and for releases that are not there, revoked, or below the floor.
    """
    if not shares.arms and not shares.channels:
        raise InputError("nobody is named to get anything", remedy="Give --version and --percent, --arm or --channel.")

    dropped: dict[str, str] = {}

    def edit(draft: Draft, found: Rollout) -> Rollout:
        nonlocal dropped
        if found.arms and found.state == "running":
            shown = ", ".join(f"{arm.version} to {arm.percent:g} %" for arm in found.arms)
            raise InputError(f"a rollout of {line} is under way: {shown}", remedy="Finish or halt it first.")
        dropped = {channel: text for channel, text in _halted(found).items() if channel not in shares.channels}
        kept = {channel: text for channel, text in found.channels.items() if channel not in dropped}
        main = next(iter((*shares.arms, *(v for v in shares.channels.values() if v is not None))), found.stable)
        return replace(
            found,
            rollout=name(version(main), draft.now),
            state="running",
            arms=_arms(shares.arms),
            channels=_channels(kept, shares.channels),
            constraints=constraints,
        )

    return replace(_change(repository, line, edit), dropped=dropped)


def set_shares(repository: Repository, line: Line, shares: Shares, *, force: bool = False) -> Rolled:
    """Change the shares of arms and the channels of a rollout that is under way; the same devices keep what they have.

    Args:
        repository: with the online keys.
        line: whose rollout.
        shares: those that change.
        force: let arms shrink, which takes devices back to the stable release.
    """

    def edit(_: Draft, found: Rollout) -> Rollout:
        before = {arm.version: arm.percent for arm in found.arms}
        for text, percent in shares.arms.items():
            if text not in before:
                raise InputError(f"the rollout of {line} has no arm {text}", remedy=f"It has {_listed(before)}.")
            if percent < before[text] and not force:
                raise InputError(
                    f"{text} would shrink from {before[text]:g} to {percent:g} %",
                    remedy="That takes devices back to the stable release: halt the rollout, or give --force.",
                )
        return replace(
            found, arms=_arms({**before, **shares.arms}), channels=_channels(found.channels, shares.channels)
        )

    return _change(repository, line, edit)


def set_percent(repository: Repository, line: Line, percent: float, *, force: bool = False) -> Rolled:
    """Change the share of the only arm. Raises InputError where there is none, or more than one."""
    found = _only_arm(_read(repository, line))
    return set_shares(repository, line, Shares({found.version: percent}, {}), force=force)


def halt(repository: Repository, line: Line) -> Rolled:
    """Stop a rollout: whoever has an arm goes back to the stable release."""
    return _change(repository, line, lambda _, found: replace(found, state="halted"))


def resume(repository: Repository, line: Line) -> Rolled:
    """Go on with a rollout that was halted: the same devices get the same arms again."""
    return _change(repository, line, lambda _, found: replace(found, state="running"))


def finish(repository: Repository, line: Line, winner: str | None = None, *, force: bool = False) -> Rolled:
    """Make an arm the stable release of all devices.

    Args:
        repository: with the online keys.
        line: whose rollout.
        winner: version of the arm; None: the only one.
        force: finish a staged rollout that has not reached all devices.
    """

    def edit(_: Draft, found: Rollout) -> Rollout:
        arms = {arm.version: arm for arm in found.arms}
        if winner is not None and winner not in arms:
            raise InputError(f"the rollout of {line} has no arm {winner}", remedy=f"It has {_listed(arms)}.")
        arm = _only_arm(found) if winner is None else arms[winner]
        if found.state == "halted":
            raise InputError(f"the rollout of {line} is halted", remedy="Resume it first, or start another one.")
        if len(arms) == 1 and arm.percent < 100 and not force:
            raise InputError(
                f"{arm.version} has reached {arm.percent:g} % of all devices",
                remedy="Set it to 100 % first, or give --force to send it to all at once.",
            )
        # A channel that stayed at the release of all would hold its devices back when the next one comes.
        ahead = {name: text for name, text in found.channels.items() if version(text) > version(arm.version)}
        return replace(found, stable=arm.version, arms=(), channels=ahead, constraints=Constraints())

    return _change(repository, line, edit)


def set_rollout(repository: Repository, document: Rollout) -> Change:
    """Publish a rollout as it is: signed online.

    Raises InputError for a document that no client would obey, or that names a release that is not there, is revoked
    or below the floor.
    """
    return repository.change(lambda draft: put(draft, document))


def put(draft: Draft, document: Rollout) -> None:
    """Check a rollout against releases and policy, and put it in its place.

    What it says already may be revoked or below the floor since: then it must still be possible to halt it.
    """
    check_rollout(document)
    content = written(document)
    rollout(content, document.line)
    before = draft.read(rollout_path(document.line), LIMIT_BYTES)
    said = set() if before is None else set(_says(rollout(before, document.line)))
    allowed, there = read_policy(draft, document.line), versions.releases(draft, document.model)
    for text in (each[-1] for each in _says(document) if each not in said):
        release = version(text)
        if release not in there:
            names = _listed([str(found) for found in sorted(there) if found.major == document.major])
            raise InputError(f"{document.model} {release} is not published", remedy=f"There is {names}.")
        if not allowed.allows(release):
            why = "revoked" if text in allowed.revoked else f"below the floor {allowed.floor}"
            raise InputError(f"{document.model} {release} is {why}", remedy="Devices would not take it.")
    draft.put_online(rollout_path(document.line), content)


def _says(document: Rollout) -> Iterator[tuple[str, ...]]:
    """Who gets what; the version is last."""
    yield "stable", document.stable
    yield from (("arm", f"{arm.percent:g}", arm.version) for arm in document.arms)
    yield from (("channel", channel, text) for channel, text in document.channels.items())


def read(draft: Draft, line: Line) -> Rollout:
    """The rollout of a line. Raises InputError where there is none."""
    content = draft.read(rollout_path(line), LIMIT_BYTES)
    if content is None:
        lines = sorted({"/".join(path.split("/")[1:]).removesuffix(".json") for path in draft.online})
        raise InputError(f"{line} is not published", remedy=f"There is {_listed(lines)}.")
    return rollout(content, line)


def read_policy(draft: Draft, line: Line) -> Policy:
    """Floor and revocations of a line."""
    content = draft.read(policy_path(line), LIMIT_BYTES)
    return no_policy(line) if content is None else policy(content, line)


def _change(repository: Repository, line: Line, edit: Callable[[Draft, Rollout], Rollout]) -> Rolled:
    made: list[Rollout] = []

    def apply(draft: Draft) -> None:
        made.append(edit(draft, read(draft, line)))
        put(draft, made[-1])

    change = repository.change(apply)
    return Rolled(made[-1], change)


def _read(repository: Repository, line: Line) -> Rollout:
    return read(Draft(repository.store, repository.read(), repository.clock()), line)


def _arms(shares: Mapping[str, float]) -> tuple[Arm, ...]:
    return tuple(Arm(text, percent) for text, percent in shares.items())


def _channels(before: Mapping[str, str], changed: Mapping[str, str | None]) -> dict[str, str]:
    return {name: text for name, text in {**before, **changed}.items() if text is not None}


def _halted(found: Rollout) -> dict[str, str]:
    """Channels with a release that was tried and halted; without arms, they were all that was tried."""
    if found.state != "halted":
        return {}
    tried = {arm.version for arm in found.arms} or set(found.channels.values())
    return {channel: text for channel, text in found.channels.items() if text in tried}


def _only_arm(found: Rollout) -> Arm:
    if len(found.arms) != 1:
        shown = _listed([arm.version for arm in found.arms])
        raise InputError(f"the rollout of {found.line} has {len(found.arms)} arms: {shown}", remedy="Name one of them.")
    return found.arms[0]


def _listed(names: Sequence[str] | Mapping[str, object]) -> str:
    return ", ".join(names) or "none"
