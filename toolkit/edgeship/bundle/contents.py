"""What a manifest says of a build's file."""

from __future__ import annotations

import hashlib

from edgeship.golden import Golden
from edgeship.inspection.needs import runtime_needs
from edgeship.manifest import RUNTIMES
from edgeship.report.view import rows
from edgeship.types import (
    NO_BUDGET,
    SNAPPED,
    Artifact,
    GoldenFiles,
    InputPreprocessing,
    Lineage,
    Manifest,
    ManifestInput,
    ManifestLatency,
    ManifestMetric,
    ManifestOutput,
    Measurement,
    MetricDrop,
    Report,
    SourceData,
    SourceModel,
    TensorSpec,
    Tolerance,
)


def describe(
    report_text: str, report: Report, artifact: Artifact, golden: Golden, tolerances: tuple[Tolerance, ...]
) -> Manifest:
    """The manifest of an artifact, without what is known once its files are written, and without wishes."""
    names = golden_names(golden)
    kind, runtime = next((kind, name) for (kind, taken), name in RUNTIMES.items() if taken == artifact.format)
    return Manifest(
        schema="edgeship.manifest/1",
        kind=kind,
        name=report.name,
        version=None,
        created=report.created,
        artifact=artifact.id,
        format=artifact.format,
        variant=artifact.variant if artifact.variant != SNAPPED else "float32",  # which is what it replaces
        entry=artifact.files[0].name,
        files=(),
        runtime=runtime_needs(artifact, runtime),
        budget=NO_BUDGET,
        inputs=tuple(_input(spec, artifact, report, golden) for spec in artifact.inputs),
        outputs=tuple(
            ManifestOutput(s.name, s.shape, s.dtype, s.quantization, golden.output_ranges.get(s.name))
            for s in artifact.outputs
        ),
        labels=artifact.labels,
        golden=GoldenFiles(golden.n, names["inputs"], names["outputs"], tolerances),
        metric=_metric(report, artifact),
        latency=tuple(_latency(m) for m in report.measurements if m.artifact == artifact.id),
        card=None,
        lineage=_lineage(report_text, report, artifact),
    )


def golden_names(golden: Golden) -> dict[str, dict[str, str]]:
    """Names of the files of golden samples in a bundle, by side and name of the input or output."""
    return {
        "inputs": {name: f"golden/input_{i}.npy" for i, name in enumerate(golden.inputs)},
        "outputs": {name: f"golden/output_{i}.npy" for i, name in enumerate(golden.outputs)},
    }


def _input(spec: TensorSpec, artifact: Artifact, report: Report, golden: Golden) -> ManifestInput:
    given = next((s.dtype for s in report.source.inputs if s.name == spec.name), str(golden.inputs[spec.name].dtype))
    done = artifact.preprocessing
    preprocessing = InputPreprocessing(
        done.scale,
        done.resize,
        done.channels,
        done.mean,
        done.std,
        done.value_range,
        given_dtype=given,
        steps=("quantize",) if spec.quantization is not None else (),
    )
    seen = golden.input_ranges.get(spec.name)
    return ManifestInput(spec.name, spec.shape, spec.dtype, spec.quantization, seen, preprocessing)


def _metric(report: Report, artifact: Artifact) -> ManifestMetric | None:
    if report.metric is None:
        return None
    row = next(row for row in rows(report) if row.artifact.id == artifact.id)
    gate = row.drop
    return ManifestMetric(
        report.metric,
        report.metric_direction,
        row.metric,
        report.baseline.metric if report.baseline else None,
        MetricDrop(gate.value, gate.interval, gate.unit, gate.limit, gate.n) if gate else None,
    )


def _latency(measurement: Measurement) -> ManifestLatency:
    from edgeship_benchmarks import stats

    summary = stats.summary(measurement)
    return ManifestLatency(
        target=measurement.target,
        provenance=measurement.provenance,
        runtime=measurement.runtime,
        threads=measurement.threads,
        median_ms=summary.median_ms,
        interval_ms=summary.interval_ms,
        p90_ms=summary.p90_ms,
        n=summary.n,
        device=dict(measurement.device.facts),
    )


def _lineage(report_text: str, report: Report, artifact: Artifact) -> Lineage:
    source, data = report.source, report.dataset
    return Lineage(
        parent=None,
        source=SourceModel(source.path.name, source.kind, source.sha256, source.parameters),
        dataset=SourceData(data.name, data.task, data.sha256, dict(data.counts)) if data else None,
        recipe=dict(report.recipe),
        report_sha256=hashlib.sha256(report_text.encode()).hexdigest(),
        made_by=dict(artifact.made_by),
        environment=dict(report.environment),
    )
