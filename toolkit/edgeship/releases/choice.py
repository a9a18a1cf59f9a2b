"""Which release a device runs: drawn on the device, from what was published."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from edgeship.releases.documents import PLACES, Policy, Rollout
from edgeship.releases.names import Version, version


@dataclass(frozen=True)
class Member:
    """A device, as far as rollouts tell devices apart. None of this leaves it.

    Attributes:
        install_id: 32 lowercase hexadecimal digits, random.
        channel: that a person put it into; None: none.
        variants: that it can run, best first.
    """

    install_id: str
    variants: tuple[str, ...]
    channel: str | None = None


@dataclass(frozen=True)
class Wish:
    """Versions that a device should run, best first, and why the first is.

    Attributes:
        versions: allowed by the policy; whether they are there, and run here, is for the device to see.
        reason: `stable`, `halted`, `channel`, `arm`, or `constraints` (which this device does not meet).
        wanted: what the rollout gives this device, whether the policy allows it or not; the reason is about this one.
    """

    versions: tuple[Version, ...] = field(default=())
    reason: str = "stable"
    wanted: Version | None = None

    def reason_for(self, release: Version) -> str:
        """Why the device has this one of `versions`: what stands in for another release is `stable`."""
        return self.reason if release == self.wanted else "stable"


def draw(rollout: str, model: str, install_id: str) -> int:
    """The place of a device in a rollout, of `PLACES`: uniform, and independent between rollouts and models."""
    digest = hashlib.sha256(f"{rollout}\0{model}\0{install_id}".encode()).digest()
    return int.from_bytes(digest[:6]) % PLACES


def wish(document: Rollout, policy: Policy, member: Member, now: datetime) -> Wish:
    """What a device should run. `now` has a time zone."""
    wanted, reason = _wanted(document, member, now)
    allowed = [found for found in dict.fromkeys((wanted, version(document.stable))) if policy.allows(found)]
    return Wish(tuple(allowed), reason, wanted)


def _wanted(document: Rollout, member: Member, now: datetime) -> tuple[Version, str]:
    stable = version(document.stable)
    if document.state == "halted":
        return stable, "halted"
    if not _meets(document, member, now):
        return stable, "constraints"
    if member.channel is not None and member.channel in document.channels:
        return version(document.channels[member.channel]), "channel"
    place = draw(document.rollout, document.model, member.install_id)
    drawn = next((found for found, start, places in _ranges(document) if start <= place < start + places), None)
    return (stable, "stable") if drawn is None else (drawn, "arm")


def _meets(document: Rollout, member: Member, now: datetime) -> bool:
    opens, variants = document.constraints.opens(), document.constraints.variants
    return (opens is None or now >= opens) and (not variants or not set(variants).isdisjoint(member.variants))


def _ranges(document: Rollout) -> Iterator[tuple[Version, int, int]]:
    """Each arm with its first place and how many it has; places that it may grow into are no other's."""
    for index, arm in enumerate(document.arms):
        yield version(arm.version), index * (PLACES // len(document.arms)), arm.places
