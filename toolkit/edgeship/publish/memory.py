"""What a publisher saw of a repository last: who can write to the store must not bring back a state from before.

Without it, a publisher would build on an old state that was once rightly signed, and undo a revocation by that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from edgeship.codec import from_json, to_json
from edgeship.errors import EdgeshipError, InputError, RepositoryError
from edgeship.files import write_text
from edgeship.publish.trust import ROLLOUT, State

SEEN = "seen.json"
SCHEMA = "edgeship.seen/1"
_LIMIT_BYTES = 1 << 20


@dataclass(frozen=True)
class Remembered:
    """What `seen.json` in a key folder says: repository -> role -> the newest version."""

    repositories: Mapping[str, Mapping[str, int]]
    schema: str = SCHEMA


def recall(folders: Iterable[Path], address: str) -> dict[Path, Mapping[str, int]]:
    """What each folder remembers of a repository: to be read before the repository is, or others move it meanwhile."""
    return {folder: _read(folder).repositories.get(address, {}) for folder in folders}


def check(seen: Mapping[Path, Mapping[str, int]], address: str, state: State) -> None:
    """Raise RepositoryError for a state from before one that was seen."""
    found = {} if state.new else _versions(state)
    for folder, versions in seen.items():
        for role, version in versions.items():
            if found.get(role, 0) < version:
                raise RepositoryError(
                    f"{address} has version {found.get(role, 0)} of {role}, and {version} was seen there before",
                    remedy="Someone brought back an old state: restore the newest one before publishing. "
                    f"If the old one is wanted, remove {folder / SEEN}.",
                )


def remember(folders: Iterable[Path], address: str, state: State) -> None:
    """Keep the newest that was seen, in folders that can be written."""
    for folder in folders:
        seen = _read(folder)
        before = seen.repositories.get(address, {})
        found = {role: max(version, before.get(role, 0)) for role, version in _versions(state).items()}
        if before != found:
            try:
                write_text(folder / SEEN, to_json(Remembered({**seen.repositories, address: found})))
            except EdgeshipError:
                continue  # a folder on a stick that is write-protected, or in a container


def _versions(state: State) -> dict[str, int]:
    return {
        "root": state.root.signed.version,
        "targets": state.targets.signed.version,
        "snapshot": state.snapshot.signed.version,
        "timestamp": state.timestamp.signed.version,
        ROLLOUT: state.rollout.signed.version,
    }


def _read(folder: Path) -> Remembered:
    try:
        with (folder / SEEN).open("rb") as file:
            found = from_json(Remembered, file.read(_LIMIT_BYTES).decode())
    except FileNotFoundError:
        return Remembered({})
    except (OSError, UnicodeDecodeError, InputError) as error:
        raise RepositoryError(
            f"{folder / SEEN} is damaged: {error}", remedy="Remove it, if you trust what the repository holds now."
        ) from error
    if found.schema != SCHEMA:
        raise RepositoryError(
            f"{folder / SEEN} is of {found.schema!r}", remedy=f"This edgeship reads {SCHEMA!r}: use the newer one."
        )
    return found
