"""Bundles become releases: files, manifests and deltas as targets, under a version that says what changed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgeship import manifest as manifests
from edgeship.bundle import verify_bundle
from edgeship.bundle.web.release import bundles as web_bundles
from edgeship.errors import InputError
from edgeship.publish import cautions, rollout, versions
from edgeship.publish.cautions import Caution
from edgeship.publish.deltas import Delta, Deltas, drop_stale
from edgeship.publish.draft import Draft
from edgeship.publish.examining import examine as run_golden_samples
from edgeship.publish.repository import Change, Repository
from edgeship.releases.documents import Rollout
from edgeship.releases.names import (
    Line,
    Version,
    check_model,
    check_variant,
    manifest_path,
    release_folder,
    rollout_path,
)
from edgeship.releases.names import version as parse
from edgeship.types import Bundle, Manifest


@dataclass(frozen=True)
class Variant:
    """A bundle that was checked, as one variant of a release."""

    bundle: Bundle
    manifest: Manifest

    @property
    def name(self) -> str:
        """`tflite-int8`."""
        return check_variant(f"{self.manifest.format}-{self.manifest.variant}")

    def published(self, model: str, release: Version, parent: str | None) -> Manifest:
        """Its manifest as a part of a release; `parent`: SHA-256 of the manifest of the one before."""
        lineage = replace(self.manifest.lineage, parent=parent)
        return replace(self.manifest, name=model, version=str(release), lineage=lineage)


@dataclass(frozen=True)
class Published:
    """What came of publishing bundles.

    Attributes:
        variants: of the release, that were given.
        new: whether anything of the release was not there before.
        first: whether it is the first of its line, and so what all devices get.
        deltas: patches to it.
        change: of the repository.
        warnings: what was probably not meant.
    """

    model: str
    version: str
    variants: tuple[str, ...]
    new: bool
    first: bool
    deltas: tuple[Delta, ...]
    change: Change
    warnings: tuple[Caution, ...] = ()


def publish(
    repository: Repository,
    bundles: Sequence[Path],
    *,
    model: str | None = None,
    version: Version | None = None,
    examine: Callable[[Bundle, Manifest], Caution | None] = run_golden_samples,
    dry_run: bool = False,
) -> Published:
    """Publish bundles as the variants of one release.

    Args:
        repository: where to.
        bundles: folders, each of another variant; a web package holds one for each of its files.
        model: name; None: that of the bundles.
        version: None: the next one by the rule (`edgeship.publish.versions`).
        examine: tries each bundle before it is signed; what it returns is warned of.
        dry_run: do everything else, but sign and write nothing; no private key is needed.

    Raises:
        ArtifactError: a bundle is damaged, or fails its own golden samples.
        InputError: the bundles are no variants of one release, or the version is against the rule.
        RepositoryError: see `Repository.change`.
    """
    variants = [_read_variant(folder) for path in bundles for folder in web_bundles(path)]
    name = check_model(model or variants[0].manifest.name)
    versions.check_together([variant.manifest for variant in variants])
    if len({variant.name for variant in variants}) != len(variants):
        raise InputError(
            "two bundles are of the same variant",
            remedy="Publish one of them; a .tflite file of a web package is for devices, too.",
        )
    tried = tuple(why for v in variants if (why := examine(v.bundle, v.manifest)) is not None)
    made: list[_Added] = []
    deltas = Deltas(repository.progress)

    def edit(draft: Draft) -> None:
        release = version or _next_version(draft, name, variants)
        made.append(_add(draft, name, release, variants, deltas))

    change = repository.preview(edit) if dry_run else repository.change(edit)
    names = tuple(variant.name for variant in variants)
    last, told = made[-1], (*tried, *made[-1].warnings)
    return Published(name, str(last.release), names, last.new, last.first, last.deltas, change, told)


@dataclass(frozen=True)
class _Added:
    release: Version
    new: bool
    first: bool
    deltas: tuple[Delta, ...]
    warnings: tuple[Caution, ...] = ()


def _read_variant(path: Path) -> Variant:
    bundle = verify_bundle(path)
    return Variant(bundle, manifests.read_file(path / manifests.NAME)[0])


def _next_version(draft: Draft, model: str, variants: Sequence[Variant]) -> Version:
    releases = versions.releases(draft, model)
    for release in sorted(releases, reverse=True):
        if all(_is_there(draft, model, release, variant) for variant in variants):
            return release
    if not releases:
        return Version(1, 0, 0)
    latest = max(releases)
    before = versions.read_manifest(draft, model, latest, releases[latest][0])
    return versions.following(latest, before, variants[0].manifest)


def _is_there(draft: Draft, model: str, release: Version, variant: Variant) -> bool:
    folder = release_folder(model, release, variant.name)
    for entry in variant.bundle.files:  # before its manifest is fetched
        target = draft.offline.get(f"{folder}/{entry.wire.name}")
        if target is None or target.hashes["sha256"] != entry.wire.sha256:
            return False
    if _is_signed(draft, f"{folder}/{manifests.NAME}", _manifest(draft, model, release, variant)):
        return True
    found = versions.read_manifest(draft, model, release, variant.name)
    return found == variant.published(model, release, found.lineage.parent)


def _add(draft: Draft, model: str, release: Version, variants: Sequence[Variant], deltas: Deltas) -> _Added:
    releases = versions.releases(draft, model)
    missing = [variant for variant in variants if not _is_there(draft, model, release, variant)]
    for variant in missing:
        if variant.name in releases.get(release, ()):
            raise InputError(
                f"{model} {release} {variant.name} is published already, with other files",
                remedy=f"What was published never changes. {versions.RULE}",
            )
    for variant in variants:
        if variant not in missing:
            _restore_variant(draft, model, release, variant)
    versions.check(draft, model, release, variants[0].manifest)
    line = Line(model, release.major)
    floor = rollout.read_policy(draft, line).floor
    if missing and release < parse(floor):
        raise InputError(f"{model} {release} is below the floor {floor}: no device would take it", remedy=versions.RULE)
    first = rollout_path(line) not in draft.online
    names = [variant.name for variant in missing]
    told = cautions.of(draft, model, release, names, variants[0].manifest) if missing else ()
    for variant in missing:
        _put_variant(draft, model, release, variant)
    if first:
        rollout.put(draft, Rollout(model, release.major, rollout.name(release, draft.now), str(release)))
    named = [parse(text) for text in rollout.read(draft, line).versions()]
    made = [
        delta
        for variant in missing
        for delta in deltas.put(draft, line, release, (variant.name, variant.bundle), named)
    ]
    if missing:
        drop_stale(draft, line, named)
    return _Added(release, bool(missing), first, tuple(made), told)


def _put_variant(draft: Draft, model: str, release: Version, variant: Variant) -> None:
    folder = release_folder(model, release, variant.name)
    for entry in variant.bundle.files:
        draft.put(f"{folder}/{entry.wire.name}", (variant.bundle.path / entry.wire.name).read_bytes())
    draft.put(f"{folder}/{manifests.NAME}", _manifest(draft, model, release, variant))


def _restore_variant(draft: Draft, model: str, release: Version, variant: Variant) -> None:
    """Have the files of a variant that is published written again: the store may have lost one."""
    folder = release_folder(model, release, variant.name)
    for entry in variant.bundle.files:
        draft.restore(f"{folder}/{entry.wire.name}", (variant.bundle.path / entry.wire.name).read_bytes())
    path, content = f"{folder}/{manifests.NAME}", _manifest(draft, model, release, variant)
    if _is_signed(draft, path, content):
        draft.restore(path, content)


def _is_signed(draft: Draft, path: str, content: bytes) -> bool:
    """Whether the offline role signed this content."""
    return path in draft.offline and draft.offline[path].hashes["sha256"] == hashlib.sha256(content).hexdigest()


def _manifest(draft: Draft, model: str, release: Version, variant: Variant) -> bytes:
    """The manifest as it is published."""
    return manifests.written(variant.published(model, release, _parent(draft, model, release, variant.name)))


def _parent(draft: Draft, model: str, release: Version, variant: str) -> str | None:
    """SHA-256 of the manifest of the release before, in the same variant."""
    before = [found for found, names in versions.releases(draft, model).items() if found < release and variant in names]
    if not before:
        return None
    return draft.offline[manifest_path(model, max(before), variant)].hashes["sha256"]
