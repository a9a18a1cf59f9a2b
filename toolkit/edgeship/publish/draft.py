"""What a repository shall become: targets of the offline and the online role, and roots."""

from __future__ import annotations

from datetime import datetime

from tuf.api.metadata import Root, TargetFile

from edgeship.publish import trust
from edgeship.publish.stores import LARGEST, Store
from edgeship.publish.trust import ROLLOUT, State

#: What is kept once it was read: documents, not models.
_SMALL_BYTES = 64 << 10


class Draft:
    """A change to the state that was read; who signs what follows from it.

    Attributes:
        state: what is there now, verified.
        now: moment of the change.
        offline, online: target path -> what the offline role, and the role `rollout`, shall sign.
        new: content of targets that are not there yet.
        resigned: roles that sign anew though no target of theirs changes.
        next_root: root that shall follow; None: the present one stays.
    """

    def __init__(self, store: Store, state: State, now: datetime) -> None:
        self._store = store
        self.state = state
        self.now = now
        self.offline: dict[str, TargetFile] = dict(state.targets.signed.targets)
        self.online: dict[str, TargetFile] = dict(state.rollout.signed.targets)
        self.new: dict[str, bytes] = {}
        self._read: dict[str, bytes] = {}
        self.resigned: set[str] = set()
        self.next_root: Root | None = None

    def read(self, path: str, limit_bytes: int = LARGEST) -> bytes | None:
        """A target's content, verified; None: there is none. Raises RepositoryError if it is damaged."""
        if path in self.new:
            return self.new[path]
        target = self.offline.get(path) or self.online.get(path)
        if target is None or path in self._read:
            return self._read.get(path)
        content = trust.read_target(self._store, target, limit_bytes)
        if len(content) <= _SMALL_BYTES:
            self._read[path] = content
        return content

    def put(self, path: str, content: bytes) -> None:
        """Have a target signed by the offline role."""
        self._put(self.offline, path, content)

    def put_online(self, path: str, content: bytes) -> None:
        """Have a target signed by the role `rollout`."""
        self._put(self.online, path, content)

    def restore(self, path: str, content: bytes) -> None:
        """Have a target written again that is signed already: the store may have lost it."""
        self.new[path] = content

    def drop(self, path: str) -> None:
        """Have a target of the offline role signed no more; a file that was written stays where it is."""
        del self.offline[path]
        self.new.pop(path, None)

    def _put(self, targets: dict[str, TargetFile], path: str, content: bytes) -> None:
        made = TargetFile.from_data(path, content, ["sha256"])
        if targets.get(path) != made:
            targets[path] = made
            self.new[path] = content

    @property
    def roles(self) -> tuple[str, ...]:
        """Roles that must sign, in the order in which their metadata are written."""
        state = self.state
        changed = {
            ROLLOUT: self.online != state.rollout.signed.targets,
            "targets": self.offline != state.targets.signed.targets,
        }
        below = [role for role, differs in changed.items() if differs or state.new or role in self.resigned]
        above = [role for role in ("snapshot", "timestamp") if below or self.resigned]
        return (*below, *above)
