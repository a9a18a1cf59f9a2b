"""Attacks by who controls the network or the host, and holds no key: old, expired, mixed and damaged metadata."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta

from securesystemslib.signer import Signer

from tests.device_repository import NOW

from .attack import attack
from .world import Thief, World, stranger

_SIGNED = ("python-tuf: hashes of metadata", "python-tuf: signatures")
_UPDATED = r"updated 1\.1\.0"


@attack(
    "replay of an old repository",
    r"UpdateRefused: .*New timestamp version \d+ must be >=",
    guards=("python-tuf: rollback", "versions that were seen"),
    without=r"updated 1\.0\.0",
    runs="1.1.0",
)
def replay(world: World) -> None:
    world.restore("repo-1.0.0")


@attack(
    "replay after local metadata were lost",
    r"UpdateRefused: .*was seen already",
    guards=("versions that were seen",),
    without=r"updated 1\.0\.0",
    runs="1.1.0",
)
def replay_after_loss(world: World) -> None:
    for file in world.device.place.tuf.rglob("*.json"):
        file.unlink()
    world.restore("repo-1.0.0")


#: Role -> after how long it has expired, and what is signed anew until then.
_FREEZES = {
    "timestamp": (timedelta(days=2), ()),
    "snapshot": (timedelta(days=8), ("timestamp",)),
    "rollout": (timedelta(days=8), ("snapshot",)),
    "targets": (timedelta(days=190), ("rollout", "snapshot")),
    "root": (timedelta(days=400), ("rollout", "targets", "snapshot")),
}


def _freeze(role: str) -> Callable[[World], None]:
    def do(world: World) -> None:
        after, renewed = _FREEZES[role]
        world.device.now = NOW + after
        if renewed:
            Thief(world).renew(world.device.now + timedelta(hours=12), *renewed, "timestamp")

    return do


for _role in _FREEZES:
    attack(
        f"freeze: expired {_role}",
        rf"UpdateRefused: .*{_role}.*expired",
        guards=("python-tuf: expiry",),
        without=_UPDATED,
        heals="",
    )(_freeze(_role))


@attack(
    "mix and match: new timestamp, old snapshot",
    r"UpdateRefused: .*does not match",
    guards=("python-tuf: hashes of metadata",),
    without=r"UpdateRefused: .*Expected snapshot version 3, got 1",
)
def old_snapshot(world: World) -> None:
    world.newest("snapshot").write_bytes(world.metadata("1.snapshot.json").read_bytes())


@attack(
    "mix and match: new snapshot, old targets",
    r"UpdateRefused: .*does not match",
    guards=("python-tuf: hashes of metadata",),
    without=r"UpdateRefused: .*Expected targets v\d, got v1",
)
def old_targets(world: World) -> None:
    world.newest("targets").write_bytes(world.metadata("1.targets.json").read_bytes())


def _another_moment(content: bytes) -> bytes:
    """One field of signed metadata changed, the length kept."""
    document = json.loads(content)
    expires = document["signed"]["expires"]
    changed = content.replace(expires.encode(), expires.replace("2026", "2027").encode())
    assert changed != content
    return changed


@attack(
    "tampered timestamp",
    r"UpdateRefused: .*timestamp was signed by 0/1 keys",
    guards=("python-tuf: signatures",),
    without=_UPDATED,
)
def tampered_timestamp(world: World) -> None:
    path = world.metadata("timestamp.json")
    path.write_bytes(_another_moment(path.read_bytes()))


@attack(
    "timestamp that is cut off",
    r"UpdateRefused: .*Failed to deserialize JSON",
    guards=("python-tuf: parser",),
    without=_UPDATED,
)
def truncated_timestamp(world: World) -> None:
    path = world.metadata("timestamp.json")
    path.write_bytes(path.read_bytes()[:-1])


@attack(
    "timestamp with bytes behind it",
    r"UpdateRefused: .*Failed to deserialize JSON",
    guards=("python-tuf: parser",),
    without=_UPDATED,
)
def long_timestamp(world: World) -> None:
    path = world.metadata("timestamp.json")
    path.write_bytes(path.read_bytes() + b"\n{}")


def _tampered(content: bytes) -> bytes:
    return content.replace(b"1.1.0", b"1.0.0", 1) if b"1.1.0" in content else _another_moment(content)


#: Kind of damage -> what it makes of a file, and what the metadata say of that.
_DAMAGES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "tampered": (_tampered, "does not match"),
    "with bytes behind it": (lambda content: content + b"\n", "exceeding the maximum allowed length"),
    "cut off": (lambda content: content[:-1], "does not match"),
}


def _damage(role: str, change: Callable[[bytes], bytes]) -> Callable[[World], None]:
    def do(world: World) -> None:
        path = world.newest(role)
        path.write_bytes(change(path.read_bytes()))

    return do


for _role in ("snapshot", "targets", "rollout"):
    for _kind, (_change, _said) in _DAMAGES.items():
        attack(
            f"{_role} {_kind}",
            rf"UpdateRefused: .*({_said})",
            guards=(*_SIGNED, "python-tuf: size of metadata", "python-tuf: parser"),
            without=r"updated 1\.1\.0|no rollout|is not the file|kept|current",
        )(_damage(_role, _change))


def _signed_by(world: World, role: str, signers: list[Signer]) -> None:
    thief = Thief(world)
    thief.write(role, signers=signers)


@attack(
    "timestamp by a wrong key",
    r"UpdateRefused: .*timestamp was signed by 0/1 keys",
    guards=("python-tuf: signatures",),
    without=_UPDATED,
)
def wrong_key(world: World) -> None:
    _signed_by(world, "timestamp", [stranger()])


@attack(
    "timestamp by nobody",
    r"UpdateRefused: .*timestamp was signed by 0/1 keys",
    guards=("python-tuf: signatures",),
    without=_UPDATED,
)
def no_key(world: World) -> None:
    _signed_by(world, "timestamp", [])


@attack(
    "metadata of another role under a name",
    r"UpdateRefused: .*Expected 'timestamp', got 'snapshot'",
    guards=("python-tuf: type of metadata",),
    without=r"^(?!updated)",
)
def another_role(world: World) -> None:
    world.metadata("timestamp.json").write_bytes(world.newest("snapshot").read_bytes())
