"""What is published: for people, and for what watches a repository."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgeship.publish import rollout, versions
from edgeship.publish.draft import Draft
from edgeship.publish.repository import Repository, expiries, overdue
from edgeship.releases.documents import Policy, Rollout
from edgeship.releases.names import Line, Version, line, manifest_path, patch_path


@dataclass(frozen=True)
class ReleaseRow:
    """A release in one variant.

    Attributes:
        wire_bytes: of all that a device without any earlier release downloads, the manifest among it.
        says: what becomes of it: `stable`, `arm 10 %`, `channel canary`, `revoked`, `below the floor`.
        patches: older release -> bytes of the files that devices with that one download instead.
    """

    version: str
    variant: str
    wire_bytes: int
    says: tuple[str, ...]
    patches: Mapping[str, int]


@dataclass(frozen=True)
class LineStatus:
    """A line of releases."""

    line: str
    rollout: Rollout
    policy: Policy
    releases: tuple[ReleaseRow, ...]


@dataclass(frozen=True)
class Status:
    """A repository.

    Attributes:
        expires: role -> when its metadata expires, ISO 8601.
        expired: roles whose metadata no device believes any more.
        overdue: roles that should have been signed anew, those expired among them.
    """

    address: str
    lines: tuple[LineStatus, ...]
    expires: Mapping[str, str]
    expired: tuple[str, ...]
    overdue: tuple[str, ...]


def status(repository: Repository, only: Line | None = None) -> Status:
    """What is published in a repository, verified; no private key is needed.

    Raises as `Repository.read`; InputError for a line that is not there.
    """
    state = repository.published()
    draft = Draft(repository.store, state, repository.clock())
    lines = [line(path.removeprefix("rollout/").removesuffix(".json")) for path in sorted(draft.online)]
    found = tuple(_line(draft, each) for each in ([only] if only is not None else lines))
    ends = expiries(state)
    shown = {role: f"{moment:%Y-%m-%dT%H:%M:%SZ}" for role, moment in ends.items()}
    ended = tuple(role for role, moment in ends.items() if moment <= draft.now)
    return Status(repository.store.address, found, shown, ended, tuple(overdue(ends, draft.now)))


def _line(draft: Draft, of: Line) -> LineStatus:
    document, allowed = rollout.read(draft, of), rollout.read_policy(draft, of)
    there = {found: names for found, names in versions.releases(draft, of.model).items() if found.major == of.major}
    rows = [
        _row(draft, of, (found, variant), _says(found, document, allowed), there)
        for found in sorted(there, reverse=True)
        for variant in there[found]
    ]
    return LineStatus(str(of), document, allowed, tuple(rows))


def _says(release: Version, document: Rollout, allowed: Policy) -> tuple[str, ...]:
    text = str(release)
    said = ["stable"] if document.stable == text else []
    said += [f"arm {arm.percent:g} %" for arm in document.arms if arm.version == text]
    said += [f"channel {name}" for name, named in document.channels.items() if named == text]
    said += ["revoked"] if text in allowed.revoked else []
    return (*said, *([] if allowed.allows(release) or text in allowed.revoked else ["below the floor"]))


def _row(
    draft: Draft, of: Line, which: tuple[Version, str], says: tuple[str, ...], there: Mapping[Version, tuple[str, ...]]
) -> ReleaseRow:
    release, variant = which
    manifest = versions.read_manifest(draft, of.model, release, variant)
    head = draft.offline[manifest_path(of.model, release, variant)].length
    total = head + sum(entry.wire.size_bytes for entry in manifest.files)
    patches = {}
    for before in (found for found, names in there.items() if found != release and variant in names):
        old = {entry.name: entry.sha256 for entry in versions.read_manifest(draft, of.model, before, variant).files}
        size = head
        for entry in manifest.files:
            if old.get(entry.name) == entry.sha256:
                continue
            patch = draft.offline.get(patch_path(of, old.get(entry.name, ""), entry.sha256))
            size += entry.wire.size_bytes if patch is None else patch.length
        if size < total:
            patches[str(before)] = size
    return ReleaseRow(str(release), variant, total, says, patches)
