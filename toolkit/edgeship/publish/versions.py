"""The releases of a model, and the rule of versions: what a number says about what changed, checked from manifests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from edgeship import manifest as manifests
from edgeship.errors import InputError, RepositoryError
from edgeship.publish.draft import Draft
from edgeship.releases.names import Version, manifest_path, release_of
from edgeship.types import Manifest, ManifestInput, ManifestOutput

RULE = (
    "The rule: major changes with inputs, outputs or labels; minor with the model that the files were made from; "
    "patch with the files alone."
)


def releases(draft: Draft, model: str) -> dict[Version, tuple[str, ...]]:
    """All releases of a model, each with its variants."""
    found: dict[Version, tuple[str, ...]] = {}
    for path in sorted(draft.offline):
        named = release_of(path, model)
        if named is not None:
            found[named[0]] = (*found.get(named[0], ()), named[1])
    return found


def read_manifest(draft: Draft, model: str, release: Version, variant: str) -> Manifest:
    """The manifest of a published release. Raises RepositoryError where there is none, ArtifactError if it is none."""
    path = manifest_path(model, release, variant)
    content = draft.read(path, manifests.LIMIT_BYTES)
    if content is None:
        raise RepositoryError(f"{model} {release} is not published as {variant}")
    return manifests.read(content, path)


def check_together(given: Sequence[Manifest]) -> None:
    """Raise InputError unless manifests are of variants of one release."""
    first = given[0]
    for other in given[1:]:
        if interface(other) != interface(first):
            raise InputError(f"the bundles have different {difference(first, other)}", remedy=RULE)
        if source(other) != source(first):
            raise InputError("the bundles were made from different models", remedy=RULE)


def following(latest: Version, before: Manifest, given: Manifest) -> Version:
    """The next version by the rule, after the latest release."""
    if interface(before) != interface(given):
        return Version(latest.major + 1, 0, 0)
    if source(before) != source(given):
        return Version(latest.major, latest.minor + 1, 0)
    return Version(latest.major, latest.minor, latest.patch + 1)


def check(draft: Draft, model: str, release: Version, given: Manifest) -> None:
    """Raise InputError for a version against the rule, held against the newest releases that it shares numbers with."""
    there = releases(draft, model)
    line = [found for found in there if found.major == release.major]
    minor = [found for found in line if found.minor == release.minor]
    if line:
        other = read_manifest(draft, model, max(line), there[max(line)][0])
        if interface(other) != interface(given):
            what = difference(other, given)
            raise InputError(f"it cannot be {release}: it has other {what} than {max(line)}", remedy=RULE)
    if minor:
        other = read_manifest(draft, model, max(minor), there[max(minor)][0])
        if source(other) != source(given):
            raise InputError(f"it cannot be {release}: it was made from another model than {max(minor)}", remedy=RULE)


def interface(manifest: Manifest) -> dict[str, Any]:
    """What an application is written for: the same for all variants, so without the files' own number formats.

    Tensors by name, with shapes behind the batch axis; inputs in the units of raw samples.
    """
    return {
        "inputs": [(*_tensor(spec), replace(spec.preprocessing, steps=())) for spec in manifest.inputs],
        "outputs": [_tensor(spec) for spec in manifest.outputs],
        "labels": manifest.labels,
    }


def source(manifest: Manifest) -> str:
    """SHA-256 of the model that the files were made from."""
    return manifest.lineage.source.sha256


def _tensor(spec: ManifestInput | ManifestOutput) -> tuple[str, tuple[int | None, ...]]:
    return spec.name, spec.shape[1:]


def difference(one: Manifest, other: Manifest) -> str:
    """What applications see that differs: `inputs and labels`; empty: nothing."""
    before, after = interface(one), interface(other)
    return " and ".join(name for name in before if before[name] != after[name])


def only_names_differ(one: Manifest, other: Manifest) -> bool:
    """Whether inputs and outputs differ, and in their names alone."""

    def unnamed(manifest: Manifest) -> dict[str, Any]:
        found = interface(manifest)
        return {**found, "inputs": [spec[1:] for spec in found["inputs"]], "outputs": [s[1:] for s in found["outputs"]]}

    return interface(one) != interface(other) and unnamed(one) == unnamed(other)
