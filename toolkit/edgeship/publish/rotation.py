"""New keys in the place of others: signed by the old ones where they are at hand, and always by enough root keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tuf.api.metadata import Key, Root, Targets

from edgeship.errors import InputError, RepositoryError
from edgeship.publish import trust
from edgeship.publish.draft import Draft
from edgeship.publish.keymaking import PLAIN, Making, check, make, write_root
from edgeship.publish.keys import KeyEntry, KeySet, write_folder
from edgeship.publish.repository import Repository, following
from edgeship.publish.signing import Signing
from edgeship.publish.trust import ROLLOUT, State

#: Role -> who else signs when its keys are others.
_ABOVE = {
    "root": ("root",),
    "targets": ("root", "snapshot", "timestamp"),
    "snapshot": ("root", "timestamp"),
    "timestamp": ("root", "snapshot"),
    ROLLOUT: ("targets", "snapshot", "timestamp"),
}


def rotate(
    repository: Repository, role: str, making: Making = PLAIN, *, replaced: Sequence[str] = ()
) -> tuple[Repository, tuple[str, ...]]:
    """Put new keys in the place of those of a role; devices follow by themselves.

    The new keys are written first, then the repository is changed, then old keys leave `keys.json`: whenever this is
    interrupted, one of both works, and the same command ends what was begun. PEM files of old keys are left.

    Args:
        repository: with the keys of the role as far as they are not lost, those that sign above it, and two of root.
        role: of `edgeship.publish.keys.ROLES`.
        making: how the new keys are made; they are encrypted as the folder's other keys are.
        replaced: key ids, or how they begin; none: all of the role.

    Returns:
        The repository with the keys after it, and the ids of the new keys; where an interrupted rotation was ended,
        of all keys of the role.

    Raises:
        InputError: `replaced` names no key of the role, a key of another role is given, or the passphrase of the
            folder is not.
        RepositoryError: see `Repository.change`.
    """
    repository.keys.failures.clear()
    state = repository.published(after_rotation=True)
    trusted = _judge(state, role).get_delegated_role(role).keyids
    former = [entry.keyid for _, entry in repository.keys.entries(role) if entry.keyid not in trusted]
    if replaced and all(_starts(former, start) and not _starts(trusted, start) for start in replaced):
        return _end(repository, role), tuple(trusted)  # they left the role already, and the rest was not done
    leaving = _named(trusted, replaced)
    signing = Signing(repository.keys, Draft(repository.store, state, repository.clock()))
    for above in _ABOVE[role]:
        signing.check(above)  # before any key is made
    place = next(iter(place for place, _ in repository.keys.entries(role)), next(iter(repository.keys.folders)))
    folder = repository.keys.folders[place]
    making = replace(making, passphrase=None if folder.dev else repository.keys.passphrases.get(place))
    check(making, {role: len(leaving)}, dev=folder.dev)
    new = [entry for entry, _ in make(place, role, len(leaving), making)]
    grown = _with(repository.keys, place, role, (*folder.roles.get(role, ()), *new))
    write_folder(place, grown.folders[place])
    changed = Repository(repository.store, grown, repository.clock, repository.progress)
    publics = [entry.public for entry in new]
    changed.change(lambda draft: _edit(draft, role, leaving, publics), after_rotation=True)
    return _end(changed, role), tuple(entry.keyid for entry in new)


def _end(repository: Repository, role: str) -> Repository:
    """What is left to do once the new keys are trusted."""
    try:
        repository.read()
    except RepositoryError:  # signed with the old key: somebody published meanwhile, or the rotation was interrupted
        repository.change(lambda draft: draft.resigned.update(_signs_anew(role)), after_rotation=True)
    return _tidy(repository, role)


def _edit(draft: Draft, role: str, leaving: Sequence[str], new: Sequence[Key]) -> None:
    state = draft.state
    if role != ROLLOUT:
        draft.next_root = following(state.root.signed, draft.now)
    judge = state.targets.signed if draft.next_root is None else draft.next_root
    trusted = judge.get_delegated_role(role).keyids
    for keyid in leaving:
        if keyid in trusted:
            judge.revoke_key(keyid, role)
    for key in new:
        judge.add_key(key, role)
    draft.resigned |= _signs_anew(role)


def _signs_anew(role: str) -> set[str]:
    return {ROLLOUT, "targets"} if role == ROLLOUT else {role} - {"root"}


def _judge(state: State, role: str) -> Root | Targets:
    return state.targets.signed if role == ROLLOUT else state.root.signed


def _named(keyids: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """The key ids that are meant."""
    if not wanted:
        return list(keyids)
    found = []
    for start in wanted:
        matches = _starts(keyids, start)
        if len(matches) != 1:
            known = ", ".join(keyid[:8] for keyid in keyids)
            raise InputError(f"{start!r} is {len(matches)} of the role's keys", remedy=f"They are {known}.")
        found += matches
    return list(dict.fromkeys(found))


def _starts(keyids: Sequence[str], start: str) -> list[str]:
    return [keyid for keyid in keyids if start and keyid.startswith(start)]


def _with(keys: KeySet, place: Path, role: str, entries: tuple[KeyEntry, ...]) -> KeySet:
    folder = keys.folders[place]
    changed = replace(folder, roles={**folder.roles, role: entries})
    return replace(keys, folders={**keys.folders, place: changed})


def _tidy(repository: Repository, role: str) -> Repository:
    """Keys that nobody trusts any more leave `keys.json`; every folder gets the newest root."""
    state = repository.read()
    trusted = set(_judge(state, role).get_delegated_role(role).keyids)
    root = repository.store.read(f"metadata/{state.root.signed.version}.root.json", trust.LIMITS["root"])
    assert root is not None  # it was just walked
    keys = replace(repository.keys, root=root.content)
    for place, folder in repository.keys.folders.items():
        if role in folder.roles:
            kept = tuple(entry for entry in folder.roles[role] if entry.keyid in trusted)
            keys = _with(keys, place, role, kept)
            write_folder(place, keys.folders[place])
        write_root(place, root.content)
    return Repository(repository.store, keys, repository.clock, repository.progress)
