"""Whether a repository, or a copy of it, is whole: every file is read, and compared with what was signed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tuf.api.exceptions import LengthOrHashMismatchError
from tuf.api.metadata import TargetFile

from edgeship.errors import RepositoryError
from edgeship.publish import trust
from edgeship.publish.repository import Repository
from edgeship.publish.stores import Store, target_path
from edgeship.types import Progress


@dataclass(frozen=True)
class Verified:
    """What was found.

    Attributes:
        files: targets that were signed.
        size_bytes: of them.
        missing, damaged: paths of those that are not as they were signed; roots that devices may have to pass, too.
    """

    address: str
    files: int
    size_bytes: int
    missing: tuple[str, ...]
    damaged: tuple[str, ...]

    @property
    def whole(self) -> bool:
        """Whether every device gets what was signed."""
        return not self.missing and not self.damaged


def verify(repository: Repository) -> Verified:
    """Read every file of a repository; no private key is needed.

    Raises as `Repository.read`: what the metadata do not say cannot be compared.
    """
    state, store = repository.published(), repository.store
    targets = [*state.targets.signed.targets.values(), *state.rollout.signed.targets.values()]
    faults: dict[str, list[str]] = {"missing": [], "damaged": []}
    for number in range(1, state.root.signed.version):  # a device enrolled long ago begins there
        path = f"metadata/{number}.root.json"
        if store.read(path, trust.LIMITS["root"]) is None:
            faults["missing"].append(path)
    for done, target in enumerate(targets):
        path = target_path(target)
        repository.progress(Progress("read files", done, len(targets), path))
        if (fault := _fault(store, target, path)) is not None:
            faults[fault].append(path)
    size = sum(target.length for target in targets)
    return Verified(store.address, len(targets), size, tuple(faults["missing"]), tuple(faults["damaged"]))


def _fault(store: Store, target: TargetFile, path: str) -> Literal["missing", "damaged"] | None:
    try:
        found = store.read(path, target.length)
        if found is None:
            return "missing"
        target.verify_length_and_hashes(found.content)
    except (RepositoryError, LengthOrHashMismatchError):
        return "damaged"
    return None
