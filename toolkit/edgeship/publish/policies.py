"""What the offline role says of a line, whatever a rollout wants: revoked releases, and the floor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from edgeship.errors import InputError
from edgeship.publish import rollout, versions
from edgeship.publish.draft import Draft
from edgeship.publish.repository import Change, Repository
from edgeship.releases.documents import Policy, policy, written
from edgeship.releases.names import Line, policy_path, version


@dataclass(frozen=True)
class Ruled:
    """A policy as it is now.

    Attributes:
        still_named: versions that it forbids and the rollout names.
    """

    policy: Policy
    still_named: tuple[str, ...]
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
