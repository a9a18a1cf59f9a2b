"""What the offline role says of a line, whatever a rollout wants: what is revoked, the floor, what it signs no more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from edgeship.errors import InputError
from edgeship.publish import rollout, versions
from edgeship.publish.deltas import drop_stale
from edgeship.publish.draft import Draft
from edgeship.publish.repository import Change, Repository
from edgeship.releases.documents import Policy, policy, written
from edgeship.releases.names import Line, Version, line_folder, policy_path, version


@dataclass(frozen=True)
class Ruled:
    """A policy as it is now.

    Attributes:
        still_named: versions that it forbids and the rollout names.
    """

    policy: Policy
    still_named: tuple[str, ...]
    change: Change


@dataclass(frozen=True)
class Retired:
    """Releases that are signed no more.

    Attributes:
        releases: their versions.
        paths: targets of theirs, and patches, that were signed before.
        left: targets that are still signed, of all lines.
    """

    line: Line
    releases: tuple[str, ...]
    paths: tuple[str, ...]
    left: int
    change: Change


def revoke(repository: Repository, line: Line, releases: Sequence[str], *, undo: bool = False) -> Ruled:
    """Forbid releases to all devices; with `undo` allow them again.

    Raises InputError for a release that is not published, or was not revoked.
    """

    def edit(draft: Draft, found: Policy) -> Policy:
        there = versions.releases(draft, line.model)
        for text in releases:
            if version(text) not in there:
                raise InputError(f"{line.model} {text} is not published")
            if undo and text not in found.revoked:
                raise InputError(f"{line.model} {text} is not revoked")
        kept = [text for text in found.revoked if text not in releases]
        return replace(found, revoked=tuple(sorted([*kept, *([] if undo else releases)], key=version)))

    return _change(repository, line, edit)


def set_floor(repository: Repository, line: Line, floor: str) -> Ruled:
    """Let no device go below a version.

    Raises InputError for a floor above the stable release, which would leave nothing to most devices.
    """

    def edit(draft: Draft, found: Policy) -> Policy:
        stable = rollout.read(draft, line).stable
        if version(floor) > version(stable):
            raise InputError(
                f"the floor {floor} is above the stable release {stable}",
                remedy="Finish the rollout of a later release first.",
            )
        return replace(found, floor=floor)

    return _change(repository, line, edit)


def retire(repository: Repository, line: Line) -> Retired:
    """Sign no more what is below the floor, and named by no rollout: every device downloads the list of all targets.

    The files stay where they are, for devices that know the list from before, which they believe for a day.
    """
    made: list[tuple[list[Version], list[str], int]] = []

    def edit(draft: Draft) -> None:
        named = [version(text) for text in rollout.read(draft, line).versions()]
        floor = version(rollout.read_policy(draft, line).floor)
        there = sorted(found for found in versions.releases(draft, line.model) if found.major == line.major)
        gone = [found for found in there if found < floor and found not in named]
        before = list(draft.offline)
        folders = tuple(f"{line_folder(line)}/{found}/" for found in gone)
        for path in before:
            if path.startswith(folders):
                draft.drop(path)
        if gone:
            drop_stale(draft, line, named)
        made.append((gone, [path for path in before if path not in draft.offline], len(draft.offline)))

    change = repository.change(edit)
    gone, paths, left = made[-1]
    return Retired(line, tuple(map(str, gone)), tuple(paths), left, change)


def set_policy(repository: Repository, document: Policy) -> Change:
    """Publish a policy as it is: signed offline. Raises InputError for one that no client would obey."""
    return repository.change(lambda draft: _put(draft, document))


def _put(draft: Draft, document: Policy) -> None:
    content = written(document)
    policy(content, document.line)
    draft.put(policy_path(document.line), content)


def _change(repository: Repository, line: Line, edit: Callable[[Draft, Policy], Policy]) -> Ruled:
    made: list[tuple[Policy, tuple[str, ...]]] = []

    def apply(draft: Draft) -> None:
        named = rollout.read(draft, line).versions()
        document = edit(draft, rollout.read_policy(draft, line))
        _put(draft, document)
        made.append((document, tuple(text for text in named if not document.allows(version(text)))))

    change = repository.change(apply)
    return Ruled(*made[-1], change)
