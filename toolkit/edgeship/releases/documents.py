"""Policy and rollout of a line of releases: JSON that may come from anywhere, to values that were checked, and back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from edgeship.codec import from_json, to_json
from edgeship.errors import InputError
from edgeship.releases.moments import moment_of
from edgeship.releases.names import Line, Version, check_channel, check_model, check_variant, version

#: Bytes of a document.
LIMIT_BYTES = 64 << 10
#: Places in a draw: shares are given in hundredths of a percent.
PLACES = 10_000
_MOST_ARMS = 8
_MOST = 1000
_NAME = re.compile(r"[!-~]{1,64}")

T = TypeVar("T")


@dataclass(frozen=True)
class Policy:
    """What the offline role says of a line, schema `edgeship.policy/1`.

    Attributes:
        floor: no device goes below this version.
        revoked: versions that no device may take.
    """

    model: str
    major: int
    floor: str
    revoked: tuple[str, ...] = ()
    schema: str = "edgeship.policy/1"

    @property
    def line(self) -> Line:
        """What it is about."""
        return Line(self.model, self.major)

    def allows(self, release: Version) -> bool:
        """Whether a release is in the line, not below the floor and not revoked."""
        return (
            release.major == self.major
            and release >= version(self.floor)
            and release not in {version(text) for text in self.revoked}
        )


@dataclass(frozen=True)
class Arm:
    """A release and the share of all devices that get it, in percent with two decimals."""

    version: str
    percent: float

    @property
    def places(self) -> int:
        """Its share of the `PLACES` in a draw."""
        return round(self.percent * PLACES / 100)


@dataclass(frozen=True)
class Constraints:
    """Which devices arms are for.

    Attributes:
        variants: those of which the device must run one; empty: any.
        not_before: UTC, `YYYY-MM-DDThh:mm:ssZ`; None: at once.
    """

    variants: tuple[str, ...] = ()
    not_before: str | None = None

    def opens(self) -> datetime | None:
        """`not_before` as a moment."""
        return None if self.not_before is None else moment_of(self.not_before)


@dataclass(frozen=True)
class Rollout:
    """Who gets which release of a line, schema `edgeship.rollout/1`.

    Attributes:
        rollout: its name; another one draws other devices.
        state: `running` or `halted`.
        stable: what all get who get nothing else.
        channels: name of a channel -> the version that its devices get.
    """

    model: str
    major: int
    rollout: str
    stable: str
    state: str = "running"
    arms: tuple[Arm, ...] = ()
    channels: Mapping[str, str] = field(default_factory=dict)
    constraints: Constraints = field(default_factory=Constraints)
    schema: str = "edgeship.rollout/1"

    @property
    def line(self) -> Line:
        """What it is about."""
        return Line(self.model, self.major)

    def versions(self) -> tuple[str, ...]:
        """All that it names, `stable` first, each once."""
        return tuple(dict.fromkeys((self.stable, *(arm.version for arm in self.arms), *self.channels.values())))


def policy(content: bytes, of: Line) -> Policy:
    """Read a policy. Raises InputError for what is none, or is about another line."""
    found = _read(Policy, content, "edgeship.policy/1", of)
    if len(found.revoked) > _MOST:
        raise InputError(f"the policy of {of} revokes {len(found.revoked):,} versions, {_MOST:,} are allowed")
    for text in (found.floor, *found.revoked):
        _in_line(text, of)
    return found


def no_policy(of: Line) -> Policy:
    """What holds where a repository has none."""
    return Policy(of.model, of.major, str(Version(of.major, 0, 0)))


def rollout(content: bytes, of: Line) -> Rollout:
    """Read a rollout. Raises InputError for what is none, or is about another line."""
    found = _read(Rollout, content, "edgeship.rollout/1", of)
    check_rollout(found)
    return found


def check_rollout(found: Rollout) -> None:
    """Raise InputError for a rollout that no client would obey."""
    of = found.line
    check_model(of.model)
    if not _NAME.fullmatch(found.rollout):
        raise InputError(f"{found.rollout!r} cannot name a rollout", remedy="1 to 64 printable ASCII characters.")
    if found.state not in ("running", "halted"):
        raise InputError(f"a rollout is running or halted, not {found.state!r}")
    if len(found.arms) > _MOST_ARMS or len(found.channels) > _MOST or len(found.constraints.variants) > _MOST:
        raise InputError(f"the rollout of {of} has too many arms, channels or variants", remedy=f"{_MOST_ARMS} arms.")
    for text in found.versions():
        _in_line(text, of)
    for arm in found.arms:
        if not 0 <= arm.percent <= 100 / len(found.arms) or abs(arm.places - arm.percent * PLACES / 100) > 1e-6:
            raise InputError(
                f"an arm cannot have {arm.percent:g} % of all devices",
                remedy=f"Of {len(found.arms)} arms each may have 0 to {100 / len(found.arms):.4g} %, in steps of 0.01.",
            )
    for name in found.channels:
        check_channel(name)
    for name in found.constraints.variants:
        check_variant(name)
    found.constraints.opens()


def written(document: Policy | Rollout) -> bytes:
    """The document as it is published."""
    return to_json(document).encode()


def _read(kind: type[T], content: bytes, schema: str, of: Line) -> T:
    if len(content) > LIMIT_BYTES:
        raise InputError(f"the {kind.__name__.lower()} of {of} has {len(content):,} bytes, {LIMIT_BYTES:,} are allowed")
    try:
        found = from_json(kind, content.decode())
    except UnicodeDecodeError as error:
        raise InputError(f"the {kind.__name__.lower()} of {of} is not UTF-8") from error
    given = getattr(found, "schema", None), getattr(found, "line", None)
    if given != (schema, of):
        raise InputError(f"expected a document {schema} of {of}, not {given[0]} of {given[1]}")
    return found


def _in_line(text: str, of: Line) -> None:
    if version(text).major != of.major:
        raise InputError(f"{text} is not in the line {of}", remedy="A rollout stays within one major version.")
