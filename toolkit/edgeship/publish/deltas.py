"""Patches between files of releases, for devices that have the older one; decoded once before they are published."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from edgeship.bundle import read_file
from edgeship.encodings import decode
from edgeship.errors import ArtifactError, RepositoryError
from edgeship.publish import versions
from edgeship.publish.draft import Draft
from edgeship.releases.names import Line, Version, patch_path, release_folder
from edgeship.types import Bundle, BundleFile, Progress, ProgressCallback

#: Releases of a line before a new one that devices may still have, besides those that its rollout names.
_LAST = 3


@dataclass(frozen=True)
class Delta:
    """A patch that was published.

    Attributes:
        from_version: release that has the older file.
        variant, file: which file it is.
        patch_bytes: of the patch.
        full_bytes: of what a device downloads without it.
    """

    from_version: str
    variant: str
    file: str
    patch_bytes: int
    full_bytes: int


class Deltas:
    """Makes patches; remembers them, so that a change that is repeated does not make them twice."""

    def __init__(self, progress: ProgressCallback) -> None:
        self._progress = progress
        self._made: dict[tuple[str, str], bytes | None] = {}

    def put(
        self, draft: Draft, line: Line, release: Version, variant: tuple[str, Bundle], named: Iterable[Version]
    ) -> Iterator[Delta]:
        """Put patches to the files of a variant from those of older releases, where they are smaller than the file.

        Args:
            draft: gets them.
            line: of the release.
            release: that is new.
            variant: its name, and the bundle with its files.
            named: releases that a rollout names.
        """
        name, bundle = variant
        wanted = _in_use(draft, line, release, name, named)
        for number, before in enumerate(wanted):
            self._progress(Progress("make patches", number, len(wanted), f"{before} to {release} {name}"))
            older = {entry.name: entry for entry in versions.read_manifest(draft, line.model, before, name).files}
            for entry in bundle.files:
                found = older.get(entry.name)
                if found is None or found.sha256 == entry.sha256:
                    continue
                patch = self._patch(draft, release_folder(line.model, before, name), found, bundle, entry)
                if patch is not None:
                    draft.put(patch_path(line, found.sha256, entry.sha256), patch)
                    yield Delta(str(before), name, entry.name, len(patch), entry.wire.size_bytes)

    def _patch(self, draft: Draft, folder: str, old: BundleFile, bundle: Bundle, new: BundleFile) -> bytes | None:
        """The patch; None where the stored file is the shorter way."""
        key = old.sha256, new.sha256
        if key not in self._made:
            try:
                made = _encode(_plain(draft, folder, old), read_file(bundle, new.name))
            except RepositoryError:  # the store has lost the old file, which must not keep the new one back
                made = None
            self._made[key] = made if made is not None and len(made) < new.wire.size_bytes else None
        return self._made[key]


def drop_stale(draft: Draft, line: Line, named: Iterable[Version]) -> None:
    """Forget patches to releases that no device is sent any more: every device downloads the list of all targets.

    Args:
        draft: loses them; the files stay where they are.
        line: whose patches.
        named: releases that its rollout names.
    """
    there = versions.releases(draft, line.model)
    newest = sorted(found for found in there if found.major == line.major)[-_LAST - 1 :]
    wanted = {
        patch_path(line, "", entry.sha256).rpartition("-")[2]
        for release in {*named, *newest}
        for variant in there.get(release, ())
        for entry in versions.read_manifest(draft, line.model, release, variant).files
    }
    folder = patch_path(line, "", "").rpartition("/")[0]
    for path in [path for path in draft.offline if path.startswith(f"{folder}/")]:
        if path.rpartition("-")[2] not in wanted:
            draft.drop(path)


def _in_use(draft: Draft, line: Line, release: Version, variant: str, named: Iterable[Version]) -> Sequence[Version]:
    """Releases that devices may have, and that there are in this variant."""
    there = versions.releases(draft, line.model)
    before = sorted(found for found in there if found.major == line.major and found < release)[-_LAST:]
    wanted = dict.fromkeys((*named, *reversed(before)))
    return [found for found in wanted if found != release and variant in there.get(found, ())]


def _plain(draft: Draft, folder: str, entry: BundleFile) -> bytes:
    """A file of a release, as a device uses it."""
    path = f"{folder}/{entry.wire.name}"
    content = draft.read(path)
    if content is None:
        raise RepositoryError(f"{path} is not published, though its manifest names it")
    return content if entry.stored is None else b"".join(decode(content, entry.stored.encoding, entry.size_bytes))


def _encode(old: bytes, new: bytes) -> bytes | None:
    """A patch that was seen to work; None where none could be made."""
    from edgeship import delta

    try:
        patch = delta.encode(old, new)
        return patch if delta.decode(old, patch) == new else None
    except ArtifactError:
        return None  # devices take the stored file
