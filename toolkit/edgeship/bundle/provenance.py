"""How a bundle came to be: an in-toto Statement v1 with the predicate SLSA provenance v1.

https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md, https://slsa.dev/spec/v1.0/provenance. It is not
signed; tools that sign statements (DSSE envelopes) take it as it is. The same bundle gives the same statement.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from edgeship.bundle.bom import package_url
from edgeship.codec import to_data
from edgeship.manifest import NAME
from edgeship.types import Manifest

#: What `buildDefinition` means: docs/updates/manifest.md.
BUILD_TYPE = "urn:edgeship:build:1"
#: Whoever ran edgeship, on a machine that nobody vouches for.
_BUILDER = "urn:edgeship:builder:unattested"


def statement(manifest: Manifest, manifest_sha256: str) -> dict[str, Any]:
    """The statement as plain data: subjects are all files of the bundle, plain and as they are stored.

    `edgeshipContent` is the SHA-256 that edgeship knows a model or a data set by, whatever file it came in: no digest
    of a file.
    """
    line = manifest.lineage
    finished = datetime.fromisoformat(manifest.created).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": list(_subjects(manifest, manifest_sha256)),
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {
                    "recipe": dict(line.recipe),
                    "artifact": manifest.artifact,
                    "budget": to_data(manifest.budget),
                    "card": to_data(manifest.card),
                },
                "internalParameters": {"environment": dict(line.environment)},
                "resolvedDependencies": list(_dependencies(manifest)),
            },
            "runDetails": {
                "builder": {"id": _BUILDER, "version": {"edgeship": line.made_by.get("edgeship", "unknown")}},
                "metadata": {"finishedOn": finished},
                "byproducts": [{"name": "report.json", "digest": {"sha256": line.report_sha256}}],
            },
        },
    }


def _subjects(manifest: Manifest, manifest_sha256: str) -> Iterator[dict[str, Any]]:
    yield {"name": NAME, "digest": {"sha256": manifest_sha256}}
    for file in manifest.files:
        for entry in (file, file.stored):
            if entry is not None:
                yield {"name": entry.name, "digest": {"sha256": entry.sha256}}


def _dependencies(manifest: Manifest) -> Iterator[dict[str, Any]]:
    source, data = manifest.lineage.source, manifest.lineage.dataset
    yield {"name": source.name, "digest": {"edgeshipContent": source.sha256}, "annotations": {"role": "source model"}}
    if data is not None:
        yield {"name": data.name, "digest": {"edgeshipContent": data.sha256}, "annotations": {"role": "dataset"}}
    if manifest.lineage.parent is not None:
        parent = {"sha256": manifest.lineage.parent}
        yield {"name": NAME, "digest": parent, "annotations": {"role": "manifest of the release before"}}
    for name, version in manifest.lineage.made_by.items():
        yield {"uri": package_url(name, version), "annotations": {"role": "package"}}
