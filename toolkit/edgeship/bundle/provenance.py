"""How a bundle came to be, as an in-toto statement. The same bundle gives the same statement."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from edgeship import statements
from edgeship.codec import to_data
from edgeship.manifest import NAME
from edgeship.statements import Making, Resource
from edgeship.types import Manifest


def statement(manifest: Manifest, manifest_sha256: str) -> dict[str, Any]:
    """The statement as plain data: subjects are all files of the bundle, plain and as they are stored."""
    line = manifest.lineage
    making = Making(
        external={
            "recipe": dict(line.recipe),
            "artifact": manifest.artifact,
            "budget": to_data(manifest.budget),
            "card": to_data(manifest.card),
        },
        internal={"environment": dict(line.environment)},
        dependencies=_dependencies(manifest),
        byproducts=[statements.file("report.json", line.report_sha256)],
        edgeship=line.made_by.get("edgeship", "unknown"),
        finished=manifest.created,
    )
    return statements.statement(_subjects(manifest, manifest_sha256), making)


def _subjects(manifest: Manifest, manifest_sha256: str) -> Iterator[Resource]:
    yield statements.file(NAME, manifest_sha256)
    for item in manifest.files:
        for entry in (item, item.stored):
            if entry is not None:
                yield statements.file(entry.name, entry.sha256)


def _dependencies(manifest: Manifest) -> Iterator[Resource]:
    source, data = manifest.lineage.source, manifest.lineage.dataset
    yield statements.content(source.name, source.sha256, "source model")
    if data is not None:
        yield statements.content(data.name, data.sha256, "dataset")
    if manifest.lineage.parent is not None:
        yield statements.file(NAME, manifest.lineage.parent, "manifest of the release before")
    yield from statements.packages(manifest.lineage.made_by)
