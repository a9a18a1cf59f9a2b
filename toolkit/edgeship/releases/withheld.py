"""Why a device does not get a release that is published: what its owner asks first."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from edgeship.releases.choice import Member
from edgeship.releases.documents import Constraints, Policy, Rollout
from edgeship.releases.names import Version


@dataclass(frozen=True)
class Withheld:
    """A release that a device does not get.

    Attributes:
        cause: `revoked`, `floor`, `unnamed` (by the rollout), `halted`, `constraints`, `channel` (it is for another
            one), `draw` (this device is none of the share), `variant` (none that runs here) or `failed` (here, before).
        why: the same in words, for the owner of this device.
    """

    version: str
    cause: str
    why: str


def withheld(release: Version, document: Rollout, policy: Policy, member: Member, now: datetime) -> Withheld | None:
    """Why policy and rollout keep a release from a device; None where it is the release of all.

    Args:
        release: that the device was not chosen for (`edgeship.releases.choice.wish`).
        document: the rollout of its line.
        policy: of its line.
        member: the device.
        now: with a time zone.
    """
    text = str(release)
    if text in policy.revoked:
        return Withheld(text, "revoked", "it is revoked")
    if not policy.allows(release):
        return Withheld(text, "floor", f"it is below the floor {policy.floor}")
    return _by_rollout(text, document, member, now)


def _by_rollout(text: str, document: Rollout, member: Member, now: datetime) -> Withheld | None:
    arms = {arm.version: arm.percent for arm in document.arms}
    channels = [name for name, named in document.channels.items() if named == text]
    if text == document.stable:
        return None
    if text not in arms and not channels:
        return Withheld(text, "unnamed", "no rollout names it yet")
    if document.state == "halted":
        return Withheld(text, "halted", "its rollout is halted")
    limit = _limit(document.constraints, member, now)
    if limit:
        return Withheld(text, "constraints", limit)
    mine = document.channels.get(member.channel or "")
    if mine is not None or text not in arms:
        here = f"; this device is in the channel {member.channel}, which gets {mine}" if mine else ""
        return Withheld(text, "channel", f"it is for {_whom(arms.get(text), channels)}{here}")
    return Withheld(text, "draw", f"it is for {_whom(arms[text], [])}, and this one was not drawn")


def _whom(percent: float | None, channels: list[str]) -> str:
    share = [f"{percent:g} % of all devices"] if percent is not None else []
    return " and ".join([*share, *(f"the channel {name}" for name in channels)])


def _limit(constraints: Constraints, member: Member, now: datetime) -> str:
    opens = constraints.opens()
    if opens is not None and now < opens:
        return f"it begins at {constraints.not_before}"
    if constraints.variants and set(constraints.variants).isdisjoint(member.variants):
        return f"it is for devices that run {' or '.join(constraints.variants)}"
    return ""
