"""Reading a repository: every byte is verified against the root that the publisher holds, as a client does.

Only dates are not looked at: a publisher is who renews what expired.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from tuf.api.exceptions import RepositoryError as TufError
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp
from tuf.api.serialization import DeserializationError

from edgeship.errors import RepositoryError
from edgeship.publish.stores import TIMESTAMP, Store, target_path

#: Role -> bytes of its metadata at most.
LIMITS = {"root": 512_000, "timestamp": 16_384, "snapshot": 2_000_000, "targets": 5_000_000, "rollout": 5_000_000}
MOST_ROOTS = 256
ROLLOUT = "rollout"

_OTHER_KEYS = "Give the keys that this repository was made with, or choose another place."

S = TypeVar("S", Root, Timestamp, Snapshot, Targets)


@dataclass
class State:
    """Metadata of a repository, verified.

    Attributes:
        timestamp_tag: of the timestamp in the store, to replace it by; None: nothing was published yet.
    """

    root: Metadata[Root]
    timestamp: Metadata[Timestamp]
    snapshot: Metadata[Snapshot]
    targets: Metadata[Targets]
    rollout: Metadata[Targets]
    timestamp_tag: str | None

    @property
    def new(self) -> bool:
        """Whether nothing was published yet."""
        return self.timestamp_tag is None


def walk_roots(store: Store, trusted: bytes) -> list[Metadata[Root]]:
    """From the trusted root to the newest, each signed by the one before it.

    Raises RepositoryError if one is not, or if the store's root is another one than the trusted one.
    """
    root = _parse("root", trusted, Root)
    _verify([root.signed], "root", root)
    number = root.signed.version
    own = store.read(f"metadata/{number}.root.json", LIMITS["root"])
    if own is None and store.read(TIMESTAMP, LIMITS["timestamp"]) is not None:
        raise RepositoryError(
            f"{store.address} belongs to other keys: it has no root {number}, which the key folder trusts",
            remedy=f"{_OTHER_KEYS} If it is this one, somebody brought back an old state: restore the newest.",
        )
    if own is not None and _parse("root", own.content, Root).signed != root.signed:
        raise RepositoryError(
            f"{store.address} belongs to other keys: its root {number} is not the one in the key folder",
            remedy=_OTHER_KEYS,
        )
    roots = [root]
    while len(roots) <= MOST_ROOTS:
        version = roots[-1].signed.version + 1
        found = store.read(f"metadata/{version}.root.json", LIMITS["root"])
        if found is None:
            return roots
        following = _parse("root", found.content, Root)
        if following.signed.version != version:
            raise _damaged("root", f"it says version {following.signed.version}, its name {version}")
        _verify([roots[-1].signed], "root", following)
        _verify([following.signed], "root", following)
        roots.append(following)
    raise RepositoryError(
        f"{store.address} has more than {MOST_ROOTS} roots after the one in the key folder",
        remedy="Devices cannot follow that either; make a new repository.",
    )


def read(store: Store, roots: Sequence[Metadata[Root]]) -> State | None:
    """The metadata below the last of the roots; what one of the others vouches for is taken too.

    None: nothing was published yet. Raises RepositoryError for anything that is not verified.
    """
    found = store.read(TIMESTAMP, LIMITS["timestamp"])
    if found is None:
        return None
    judges = [root.signed for root in roots]
    timestamp = _parse("timestamp", found.content, Timestamp)
    _verify(judges, "timestamp", timestamp)
    snapshot = _numbered(store, judges, "snapshot", timestamp.signed.snapshot_meta, Snapshot)
    meta = snapshot.signed.meta
    if set(meta) != {"targets.json", "rollout.json"}:
        raise _damaged("snapshot", f"it names {', '.join(sorted(meta))}")
    targets = _numbered(store, judges, "targets", meta["targets.json"], Targets)
    rollout = _numbered(store, [targets.signed], ROLLOUT, meta["rollout.json"], Targets)
    return State(roots[-1], timestamp, snapshot, targets, rollout, found.tag)


def read_target(store: Store, target: TargetFile, limit_bytes: int) -> bytes:
    """A target's content. Raises RepositoryError if it is missing or not what was signed."""
    path = target_path(target)
    if target.length > limit_bytes:
        raise RepositoryError(f"{target.path} has {target.length:,} bytes, {limit_bytes:,} are allowed")
    found = store.read(path, target.length)
    if found is None:
        raise RepositoryError(f"{store.address} lacks {path}", remedy="Publish that release again from its bundle.")
    try:
        target.verify_length_and_hashes(found.content)
    except TufError as error:
        raise RepositoryError(f"{path} of {store.address} is not what was signed: {error}") from error
    return found.content


def _numbered(store: Store, judges: Sequence[Root | Targets], role: str, meta: MetaFile, kind: type[S]) -> Metadata[S]:
    path = f"metadata/{meta.version}.{role}.json"
    found = store.read(path, LIMITS[role])
    if found is None:
        raise RepositoryError(f"{store.address} lacks {path}")
    try:
        meta.verify_length_and_hashes(found.content)
    except TufError as error:
        raise _damaged(role, str(error)) from error
    metadata = _parse(role, found.content, kind)
    _verify(judges, role, metadata)
    if metadata.signed.version != meta.version:
        raise _damaged(role, f"it says version {metadata.signed.version}, {meta.version} was expected")
    return metadata


def _parse(role: str, content: bytes, kind: type[S]) -> Metadata[S]:
    try:
        found: Metadata[S] = Metadata.from_bytes(content)
    except DeserializationError as error:
        raise _damaged(role, "it is no TUF metadata") from error
    if not isinstance(found.signed, kind):
        raise _damaged(role, f"it is of the type {found.signed.type}")
    return found


def _verify(judges: Sequence[Root | Targets], role: str, metadata: Metadata[S]) -> None:
    """Raise RepositoryError unless one of the judges believes it."""
    why = ""
    for judge in judges:
        try:
            judge.verify_delegate(role, metadata.signed_bytes, metadata.signatures)
        except (TufError, ValueError) as error:
            why = str(error)
        else:
            return
    raise _damaged(role, why)


def _damaged(role: str, why: str) -> RepositoryError:
    return RepositoryError(
        f"the metadata of {role} is not what was signed: {why}",
        remedy="Someone or something changed the repository; restore it before publishing, nothing was signed.",
    )
