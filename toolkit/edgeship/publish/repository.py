"""The metadata of a repository: read and verified as a client would, changed, signed, and put there in the right order.

Nothing is built on what was not verified. The one moment at which a change becomes visible is the replacing of
`timestamp.json`; what was written before and lost the race, or was interrupted, is never referred to.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tuf.api.metadata import DelegatedRole, Delegations, Metadata, MetaFile, Root, Snapshot, Targets, Timestamp

from edgeship.errors import RepositoryError
from edgeship.publish import memory, trust
from edgeship.publish.draft import Draft
from edgeship.publish.keys import OFFLINE, KeySet
from edgeship.publish.signing import LIFE, Signing
from edgeship.publish.stores import TIMESTAMP, Store, check_conditions, put_target
from edgeship.publish.trust import ROLLOUT, S, State
from edgeship.types import Progress, ProgressCallback

ROLLOUT_PATHS = ["rollout/*/*.json"]
#: How often a change is repeated on what another publisher wrote meanwhile.
_ATTEMPTS = 10
#: Names of metadata that were taken by publishers that did not come to the end.
_MOST_LEFTOVERS = 1000


@dataclass(frozen=True)
class Change:
    """What came of a change.

    Attributes:
        signed: roles whose metadata is new; none: nothing was to be done.
        attempts: 1, or more where others published at the same time; 0: it was only tried, and nothing written.
        expires: role -> until when its metadata is believed.
    """

    signed: tuple[str, ...]
    attempts: int
    expires: Mapping[str, datetime]


class Repository:
    """A repository and the keys it is changed with.

    Args:
        store: where it lies.
        keys: those at hand, and the root that is trusted.
        clock: of the moments that metadata expire at; with a time zone.
        progress: called for each file that is written.
    """

    def __init__(
        self,
        store: Store,
        keys: KeySet,
        clock: Callable[[], datetime] | None = None,
        progress: ProgressCallback = lambda _: None,
    ) -> None:
        self.store = store
        self.keys = keys
        self.clock = clock or (lambda: datetime.now(UTC))
        self.progress = progress

    def read(self, *, after_rotation: bool = False) -> State:
        """All metadata, verified; where nothing was published yet, those of an empty repository.

        Args:
            after_rotation: believe the root before the newest too, for metadata that its rotation left behind.

        Raises:
            RepositoryError: they are not signed as the root of the keys says.
            RepositoryUnavailable: the store does not answer.
        """
        seen = memory.recall(self.keys.folders, self.store.identity)
        roots = trust.walk_roots(self.store, self.keys.root)
        found = trust.read(self.store, roots[-2:] if after_rotation else roots[-1:])
        state = found if found is not None else self._empty(roots[-1])
        memory.check(seen, self.store.identity, state)
        return state

    def published(self, *, after_rotation: bool = False) -> State:
        """As `read`; RepositoryError where nothing was published yet."""
        state = self.read(after_rotation=after_rotation)
        if state.new:
            raise RepositoryError(
                f"{self.store.address} is no repository yet", remedy="Publish a bundle there first, or mend --repo."
            )
        return state

    def change(self, edit: Callable[[Draft], None], *, after_rotation: bool = False) -> Change:
        """Change and publish; an `edit` that changes nothing publishes nothing.

        Args:
            edit: called again, on what is there then, when another publisher was faster.
            after_rotation: as in `read`.

        Raises:
            RepositoryError: a key is lacking, what is there is not what was signed, or others publish without pause.
            RepositoryUnavailable: the store does not answer.
        """
        self.keys.failures.clear()  # a token may be there by now
        for attempt in range(1, _ATTEMPTS + 1):
            draft = Draft(self.store, self.read(after_rotation=after_rotation), self.clock())
            edit(draft)
            roles = draft.roles
            if self._publish(draft, roles):
                memory.remember(self.keys.folders, self.store.identity, draft.state)
                return Change(roles, attempt, expiries(draft.state))
        raise RepositoryError(
            f"others published to {self.store.address} {_ATTEMPTS} times while this was tried",
            remedy="Nothing was lost; try again when they are done.",
        )

    def preview(self, edit: Callable[[Draft], None]) -> Change:
        """What `change` would sign, by the dates of today; nothing is signed or written. Raises as `read`."""
        draft = Draft(self.store, self.read(), self.clock())
        edit(draft)
        return Change(draft.roles, 0, expiries(draft.state))

    def refresh(self) -> Change:
        """Sign the online metadata anew, and of the offline metadata what is past half its life and has keys here.

        Raises as `change`; RepositoryError where nothing was published yet.
        """
        self.published()

        def edit(draft: Draft) -> None:
            draft.resigned |= {ROLLOUT, "snapshot", "timestamp"}
            state, signing = draft.state, Signing(self.keys, draft)
            if state.targets.signed.expires - draft.now < LIFE["targets"] / 2 and signing.can("targets"):
                draft.resigned.add("targets")
            if state.root.signed.expires - draft.now < LIFE["root"] / 2 and signing.can("root"):
                draft.next_root = following(state.root.signed, draft.now)

        return self.change(edit)

    def _empty(self, root: Metadata[Root]) -> State:
        public = [entry.public for _, entry in self.keys.entries(ROLLOUT)]
        if not public:
            raise RepositoryError(
                f"{self.store.address} is no repository yet, and the first publishing needs the key of {ROLLOUT}",
                remedy="Give the folder of the online keys too: --keys OFFLINE --keys ONLINE.",
            )
        role = DelegatedRole(ROLLOUT, [key.keyid for key in public], 1, terminating=True, paths=ROLLOUT_PATHS)
        delegations = Delegations({key.keyid: key for key in public}, {ROLLOUT: role})
        return State(
            root, Metadata(Timestamp()), Metadata(Snapshot()), Metadata(Targets(delegations=delegations)),
            Metadata(Targets()), None,
        )  # fmt: skip

    def _publish(self, draft: Draft, roles: Sequence[str]) -> bool:
        """Write everything, timestamp last; False: another publisher was faster, and what was written counts not."""
        state, signing = draft.state, Signing(self.keys, draft)
        for role in roles:
            signing.check(role)  # before anything is written
        root = f"metadata/{state.root.signed.version}.root.json"
        if state.new:
            self.store.create(root, self.keys.root)
        if roles or draft.new or draft.next_root is not None:
            check_conditions(self.store, root)  # before the first write that another publisher could lose by
        next_root = signing.root() if draft.next_root is not None else None
        # Clients with either root can go on where the old keys sign once more; else the new keys must be known first.
        root_first = not all(signing.bridges(role) for role in roles)
        if next_root is not None and root_first and not self._create_root(next_root):
            return False
        for number, (path, content) in enumerate(draft.new.items()):
            self.progress(Progress("write files", number, len(draft.new), path))
            put_target(self.store, draft.offline.get(path) or draft.online[path], content)
        if roles and not self._write_metadata(draft, roles, signing):
            return False
        if next_root is not None:
            if not root_first and not self._create_root(next_root):
                return False
            state.root = next_root
        return True

    def _write_metadata(self, draft: Draft, roles: Sequence[str], signing: Signing) -> bool:
        state = draft.state
        state.rollout.signed.targets, state.targets.signed.targets = draft.online, draft.offline
        meta = state.snapshot.signed.meta
        if ROLLOUT in roles:
            meta["rollout.json"] = self._write(draft, signing, ROLLOUT, state.rollout)
        if "targets" in roles:
            meta["targets.json"] = self._write(draft, signing, "targets", state.targets)
        state.timestamp.signed.snapshot_meta = self._write(draft, signing, "snapshot", state.snapshot)
        if state.timestamp_tag is None:
            return self.store.create(TIMESTAMP, signing.sign("timestamp", state.timestamp))
        state.timestamp.signed.version += 1
        content = signing.sign("timestamp", state.timestamp)
        return self.store.replace(TIMESTAMP, content, state.timestamp_tag) or self._is_ours(content)

    def _is_ours(self, timestamp: bytes) -> bool:
        """Whether it was written after all: an answer that is lost makes the store's client ask again, in vain."""
        found = self.store.read(TIMESTAMP, trust.LIMITS["timestamp"])
        return found is not None and found.content == timestamp

    def _write(self, draft: Draft, signing: Signing, role: str, metadata: Metadata[S]) -> MetaFile:
        """Sign and write numbered metadata, under the next number that nobody took."""
        first = 1 if draft.state.new else metadata.signed.version + 1
        for version in range(first, first + _MOST_LEFTOVERS):
            metadata.signed.version = version
            content = signing.sign(role, metadata)
            if self.store.create(f"metadata/{version}.{role}.json", content):
                return MetaFile.from_data(version, content, ["sha256"])
        raise RepositoryError(f"{_MOST_LEFTOVERS:,} versions of {role} were begun and not finished")

    def _create_root(self, root: Metadata[Root]) -> bool:
        return self.store.create(f"metadata/{root.signed.version}.root.json", root.to_bytes())


def following(root: Root, now: datetime) -> Root:
    """The root after this one, with the same keys."""
    made = copy.deepcopy(root)
    made.version, made.expires = root.version + 1, now + LIFE["root"]
    return made


def expiries(state: State) -> dict[str, datetime]:
    """Role -> until when its metadata is believed."""
    return {
        "root": state.root.signed.expires,
        "targets": state.targets.signed.expires,
        "snapshot": state.snapshot.signed.expires,
        "timestamp": state.timestamp.signed.expires,
        ROLLOUT: state.rollout.signed.expires,
    }


def overdue(expires: Mapping[str, datetime], now: datetime) -> dict[str, timedelta]:
    """Roles that should have been signed anew, and how long they have left: too late is when devices say so.

    A timer signs the online ones several times within half their life; people have the last tenth for the offline ones.
    """
    left = {role: moment - now for role, moment in expires.items()}
    return {role: time for role, time in left.items() if time < LIFE[role] / (10 if role in OFFLINE else 2)}
