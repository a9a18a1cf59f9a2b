"""What a device does not go back behind, kept apart from the metadata, which may be lost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from edgeship.codec import from_json, to_json
from edgeship.device import durable
from edgeship.device.config import Place
from edgeship.errors import InputError, UpdateRefused
from edgeship.releases.moments import moment_of

#: Roles whose keys, once replaced, let a repository begin anew.
_RENEWING = ("timestamp", "snapshot")


@dataclass(frozen=True)
class Seen:
    """What a device does not go back behind, whatever else it loses.

    Attributes:
        passed: a moment that has passed for certain.
        root: newest version.
        keys: role -> who signs for it, as a digest.
        versions: file name of metadata -> newest version.
        floor: of the policy, as it was seen last; empty: none was.
        revoked: of the policy.
    """

    passed: str
    root: int
    keys: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, int] = field(default_factory=dict)
    floor: str = ""
    revoked: tuple[str, ...] = ()


def read_seen(place: Place) -> Seen | None:
    """What was seen before; None where that was lost, or nothing was."""
    try:
        found = from_json(Seen, place.seen.read_text(encoding="utf-8"))
        moment_of(found.passed)
    except (OSError, UnicodeDecodeError, InputError):
        return None
    return found


def passed(place: Place) -> datetime | None:
    """A moment that has passed for certain, as far as the device has seen."""
    seen = read_seen(place)
    return None if seen is None else moment_of(seen.passed)


def remember(place: Place, seen: Seen) -> None:
    """Keep what was seen; written only where it is new, for the sake of flash memory."""
    before = read_seen(place)
    if before is not None and before.passed > seen.passed:  # a later timestamp may expire earlier
        seen = replace(seen, passed=before.passed)
    if seen != before:
        durable.write(place.seen, to_json(seen).encode())


def not_before(seen: Seen | None, found: Seen) -> None:
    """Raise UpdateRefused where a repository is older than what the device has seen of it.

    TUF refuses that while its local metadata are there; this holds without them. Who rotates the keys of timestamp or
    snapshot begins anew (section 5.3.11).
    """
    if seen is None:
        return
    if found.root < seen.root:
        raise _older("root", found.root, seen.root)
    if not same_signers(seen.keys, found.keys):
        return
    for name, version in seen.versions.items():
        if found.versions.get(name, 0) < version:
            raise _older(name, found.versions.get(name, 0), version)


def same_signers(before: Mapping[str, str], now: Mapping[str, str]) -> bool:
    """Whether the keys of timestamp and snapshot are those of before."""
    return all(before.get(role) == now.get(role) for role in _RENEWING)


def _older(name: str, found: int, seen: int) -> UpdateRefused:
    return UpdateRefused(
        f"the repository's {name} is version {found}, and {seen} was seen already",
        remedy="It was set back, or somebody replays an old one. Nothing was changed.",
    )
