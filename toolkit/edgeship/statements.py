"""in-toto statements of how files came to be: one form for builds and for bundles.

Statement v1 (https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md) with the predicate SLSA provenance
v1 (https://slsa.dev/spec/v1.0/provenance). They are not signed; tools that sign statements (DSSE envelopes) take them
as they are. A digest `edgeshipContent` is the SHA-256 that edgeship knows a model, a data set or code by, whatever file
it came in: no digest of a file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://slsa.dev/provenance/v1"
#: What `buildDefinition` means: docs/records.md.
BUILD_TYPE = "urn:edgeship:build:1"
#: Whoever ran edgeship, on a machine that nobody vouches for.
BUILDER = "urn:edgeship:builder:unattested"

#: A ResourceDescriptor of in-toto.
Resource = dict[str, Any]


@dataclass(frozen=True)
class Making:
    """How the subjects were made.

    Attributes:
        external: what whoever ran edgeship chose.
        internal: what edgeship and the machine added.
        dependencies: what went in (`model`, `packages` and others of this module).
        byproducts: what came out beside the subjects.
        edgeship: its version.
        finished: ISO 8601.
    """

    external: Mapping[str, Any]
    internal: Mapping[str, Any]
    dependencies: Iterable[Resource]
    byproducts: Iterable[Resource]
    edgeship: str
    finished: str


def statement(subjects: Iterable[Resource], making: Making) -> dict[str, Any]:
    """The statement as plain data."""
    finished = datetime.fromisoformat(making.finished).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "_type": TYPE,
        "subject": list(subjects),
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": dict(making.external),
                "internalParameters": dict(making.internal),
                "resolvedDependencies": list(making.dependencies),
            },
            "runDetails": {
                "builder": {"id": BUILDER, "version": {"edgeship": making.edgeship}},
                "metadata": {"finishedOn": finished},
                "byproducts": list(making.byproducts),
            },
        },
    }


def file(name: str, sha256: str, role: str = "") -> Resource:
    """A file by its SHA-256."""
    return _resource(name, {"sha256": sha256}, role)


def content(name: str, sha256: str, role: str) -> Resource:
    """What edgeship knows by its content, whatever file it came in."""
    return _resource(name, {"edgeshipContent": sha256}, role)


def commit(name: str, revision: str, role: str, *, dirty: bool) -> Resource:
    """A commit of a Git repository; `dirty`: files differed from it."""
    found = _resource(name, {"gitCommit": revision}, role)
    found["annotations"]["dirty"] = dirty
    return found


def packages(versions: Mapping[str, str]) -> Iterator[Resource]:
    """Python packages by their package URLs."""
    for name, version in versions.items():
        yield {"uri": package_url(name, version), "annotations": {"role": "package"}}


def package_url(name: str, version: str) -> str:
    """Of a Python package, https://github.com/package-url/purl-spec: `pkg:pypi/keras@3.15.1`."""
    return f"pkg:pypi/{quote(name.lower().replace('_', '-'), safe='.-')}@{quote(version, safe='.-')}"


def _resource(name: str, digest: dict[str, str], role: str) -> Resource:
    found: Resource = {"name": name, "digest": digest}
    return found | {"annotations": {"role": role}} if role else found
