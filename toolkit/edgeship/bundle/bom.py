"""A bundle as a machine learning bill of materials: CycloneDX 1.6, https://cyclonedx.org/docs/1.6/json/.

The same bundle gives the same document: its serial number is made of the manifest's SHA-256, its time is the build's.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from edgeship.statements import package_url
from edgeship.types import BundleFile, Manifest, ManifestInput, ManifestMetric, ManifestOutput, ModelCard

#: Version 5 UUIDs of bundles are made in this namespace.
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "urn:edgeship:bundle")
#: Licenses that are written with their SPDX identifiers; others are names. The full list changes with every release.
_SPDX = frozenset(
    [
        "0BSD",
        "AGPL-3.0-only",
        "AGPL-3.0-or-later",
        "Apache-2.0",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "BSL-1.0",
        "CC-BY-4.0",
        "CC-BY-NC-4.0",
        "CC-BY-NC-ND-4.0",
        "CC-BY-NC-SA-4.0",
        "CC-BY-ND-4.0",
        "CC-BY-SA-4.0",
        "CC0-1.0",
        "EPL-2.0",
        "EUPL-1.2",
        "GPL-2.0-only",
        "GPL-2.0-or-later",
        "GPL-3.0-only",
        "GPL-3.0-or-later",
        "ISC",
        "LGPL-2.1-only",
        "LGPL-2.1-or-later",
        "LGPL-3.0-only",
        "LGPL-3.0-or-later",
        "MIT",
        "MIT-0",
        "MPL-2.0",
        "Unlicense",
        "Zlib",
    ]
)


def bill_of_materials(manifest: Manifest, manifest_sha256: str) -> dict[str, Any]:
    """The document as plain data.

    Hashes are of files only. What edgeship knows a model or a data set by, a SHA-256 of its content whatever file it
    came in, stands in the property `edgeship:content-sha256`.
    """
    tool = {"type": "application", "name": "edgeship", "version": manifest.lineage.made_by.get("edgeship", "")}
    data = manifest.lineage.dataset
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(_NAMESPACE, manifest_sha256)}",
        "version": 1,
        "metadata": {
            "timestamp": manifest.created,
            "tools": {"components": [_filled(tool)]},
            "component": _model(manifest, manifest_sha256),
        },
        "components": [_runtime(manifest), *([_dataset(manifest)] if data else [])],
        "dependencies": [
            {"ref": "model", "dependsOn": ["runtime", *(["dataset"] if data else [])]},
        ],
        "formulation": [{"components": [_package(*pair) for pair in manifest.lineage.made_by.items()]}],
    }


def _model(manifest: Manifest, manifest_sha256: str) -> dict[str, Any]:
    source, card = manifest.lineage.source, manifest.card
    ancestor = {
        "type": "machine-learning-model",
        "name": source.name,
        "properties": _properties({"edgeship:content-sha256": source.sha256, "edgeship:kind": source.kind}),
    }
    known = {
        "edgeship:manifest-sha256": manifest_sha256,
        "edgeship:artifact": manifest.artifact,
        "edgeship:report-sha256": manifest.lineage.report_sha256,
        "edgeship:parent-manifest-sha256": manifest.lineage.parent,
        "edgeship:limit-latency-ms": manifest.budget.latency_ms,
        "edgeship:limit-memory-bytes": manifest.budget.memory_bytes,
    }
    return _filled(
        {
            "type": "machine-learning-model",
            "bom-ref": "model",
            "name": manifest.name,
            "version": manifest.version,
            "description": card.description if card else "",
            "licenses": _licenses(card),
            "pedigree": {"ancestors": [ancestor]},
            "components": [_file(file) for file in manifest.files],
            "modelCard": _card(manifest),
            "properties": _properties(known),
        }
    )


def _file(file: BundleFile) -> dict[str, Any]:
    stored = (
        {"edgeship:stored-as": file.stored.name, "edgeship:stored-sha256": file.stored.sha256} if file.stored else {}
    )
    found = {
        "type": "file",
        "bom-ref": f"file:{file.name}",
        "name": file.name,
        "hashes": [{"alg": "SHA-256", "content": file.sha256}],
        "properties": _properties({"edgeship:size-bytes": file.size_bytes, **stored}),
    }
    return _filled(found)


def _runtime(manifest: Manifest) -> dict[str, Any]:
    operators = (f"{op.name} {op.version}" if op.version is not None else op.name for op in manifest.runtime.ops)
    return {
        "type": "framework",
        "bom-ref": "runtime",
        "name": manifest.runtime.name,
        "properties": [
            {"name": "edgeship:minimum-version", "value": manifest.runtime.minimum},
            *({"name": "edgeship:operator", "value": operator} for operator in operators),
        ],
    }


def _dataset(manifest: Manifest) -> dict[str, Any]:
    data = manifest.lineage.dataset
    assert data is not None
    counts = {f"edgeship:samples-{split}": count for split, count in data.counts.items()}
    return {
        "type": "data",
        "bom-ref": "dataset",
        "name": data.name,
        "data": [{"type": "dataset", "name": data.name}],
        "properties": _properties({"edgeship:content-sha256": data.sha256, **counts}),
    }


def _package(name: str, version: str) -> dict[str, Any]:
    return {"type": "library", "name": name, "version": version, "purl": package_url(name, version)}


def _card(manifest: Manifest) -> dict[str, Any]:
    data, card = manifest.lineage.dataset, manifest.card
    considerations = {
        "useCases": _some(card.intended_use if card else ""),
        "technicalLimitations": _some(card.limitations if card else ""),
    }
    return _filled(
        {
            "modelParameters": _filled(
                {
                    "task": data.task if data else None,
                    "datasets": [{"ref": "dataset"}] if data else None,
                    "inputs": [{"format": _tensor(tensor)} for tensor in manifest.inputs],
                    "outputs": [{"format": _tensor(tensor)} for tensor in manifest.outputs],
                }
            ),
            "quantitativeAnalysis": _filled({"performanceMetrics": list(_metrics(manifest))}),
            "considerations": _filled(considerations),
        }
    )


def _tensor(tensor: ManifestInput | ManifestOutput) -> str:
    shape = ", ".join("?" if size is None else str(size) for size in tensor.shape)
    return f"{tensor.name}: {tensor.dtype} [{shape}]"


def _metrics(manifest: Manifest) -> Iterable[dict[str, Any]]:
    metric: ManifestMetric | None = manifest.metric
    if metric is not None and metric.value is not None:
        yield {"type": metric.name, "value": repr(metric.value)}
    if metric is not None and metric.drop is not None:
        drop = {"type": f"drop of {metric.name} in {metric.drop.unit}", "value": repr(metric.drop.value)}
        interval = metric.drop.interval
        bounds = {"lowerBound": repr(interval[0]), "upperBound": repr(interval[1])} if interval else None
        yield _filled({**drop, "confidenceInterval": bounds})
    for latency in manifest.latency:
        what = f"median latency in ms on {latency.target}, {latency.runtime}, threads: {latency.threads}"
        yield {"type": f"{what} ({latency.provenance})", "value": repr(latency.median_ms)}


def _licenses(card: ModelCard | None) -> list[dict[str, Any]] | None:
    if card is None or not card.license:
        return None
    return [{"license": {"id" if card.license in _SPDX else "name": card.license}}]


def _properties(values: Mapping[str, object]) -> list[dict[str, str]]:
    return [{"name": name, "value": str(value)} for name, value in values.items() if value is not None]


def _some(text: str) -> list[str]:
    return [text] if text else []


def _filled(values: Mapping[str, Any]) -> dict[str, Any]:
    """Without the keys that have nothing to say."""
    return {key: value for key, value in values.items() if value not in (None, "", [], {})}
