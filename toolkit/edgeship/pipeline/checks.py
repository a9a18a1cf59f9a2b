"""Exported files against the original: run them, gate them, keep per-sample results and golden samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from edgeship import artifact as sidecar
from edgeship import codec, golden, plugins, verify
from edgeship.contracts import Metric, Runtime
from edgeship.data import load as load_split
from edgeship.errors import EdgeshipError, OutputError, StorageFullError, UnavailableError
from edgeship.files import whole_folder
from edgeship.metrics import get_metric
from edgeship.names import artifact_slug
from edgeship.pipeline import slicing
from edgeship.pipeline.exports import Export
from edgeship.pipeline.steps import run_artifact, sample_rows
from edgeship.types import (
    Array,
    Artifact,
    Dataset,
    Failure,
    Gate,
    Prediction,
    ProgressCallback,
    SliceStudy,
    Verification,
)

#: How many test samples travel with a build as golden samples.
GOLDEN = 8


@dataclass(frozen=True)
class Baseline:
    """What exported files are held against.

    Attributes:
        original: outputs of the model as the user gave it, for the metric gate.
        converted: by artifact id, outputs of the model that it was converted from (after compression), for parity; of
            others it is the original's.
        metric: None where there are no labels; then parity alone decides.
        slicing: the slices of the test split; None where nothing is to be compared by slice.
    """

    dataset: Dataset
    original: verify.Outputs
    converted: Mapping[str, verify.Outputs]
    metric: Metric | None
    policy: verify.GatePolicy
    slicing: slicing.Slicing | None = None

    def expected(self, artifact_id: str) -> verify.Outputs:
        """What a file of this id is held against in parity."""
        return self.converted.get(artifact_id, self.original)

    def per_sample(self, outputs: verify.Outputs) -> Array:
        """Per-sample rows of the metric for the first output."""
        assert self.metric is not None
        return self.metric.per_sample(next(iter(outputs.arrays.values())), self.labels)

    @property
    def labels(self) -> Array:
        """Labels of the test split, which has them wherever there is a metric."""
        labels = load_split(self.dataset, "test").labels
        assert labels is not None
        return labels


def finite(output: Array) -> bool:
    """Whether all values are numbers."""
    step = max(1, (1 << 22) // max(1, output[0].size))
    return all(bool(np.isfinite(output[i : i + step]).all()) for i in range(0, len(output), step))


def make_metric(name: str | None, dataset: Dataset, original: verify.Outputs) -> Metric | None:
    """The task metric, or None for a dataset without labels; the original's outputs say how single scores are read."""
    if load_split(dataset, "test").labels is None:
        return None
    return get_metric(name, dataset, scores=next(iter(original.arrays.values())))


@dataclass(frozen=True)
class Checked:
    """An artifact after verification: gates, predictions by `artifact runtime`, what could not be run, and slices."""

    artifact: Artifact
    gates: tuple[Gate, ...]
    predictions: Mapping[str, Prediction]
    failures: tuple[Failure, ...]
    slices: tuple[SliceStudy, ...] = ()


def check_artifact(
    artifact: Artifact, export: Export, base: Baseline, out: Path, progress: ProgressCallback
) -> Checked:
    """Judge an artifact and write the verdict into its sidecar."""
    checked = judge(artifact, export, base, out, progress)
    sidecar.write_sidecar(checked.artifact)
    return checked


def judge(artifact: Artifact, export: Export, base: Baseline, out: Path, progress: ProgressCallback) -> Checked:
    """Run an artifact in every runtime that opens it; per-sample results go into `out`."""
    gates: list[Gate] = []
    predictions: dict[str, Prediction] = {}
    failures: list[Failure] = []
    studies: list[SliceStudy] = []
    complete = broken = False
    runtimes = plugins.runtimes_for(artifact.format)
    if not runtimes:
        absent = UnavailableError(f"no installed runtime opens {artifact.format}", remedy="See: edgeship plugins")
        failures.append(failure(export, "verify", absent))
    for runtime in runtimes:
        try:
            require(runtime)
            found = run_artifact(artifact, runtime, base.dataset, progress)
            gates += _parity(artifact, runtime, base, found)
            if runtime.sample_limit is not None:
                continue
            if base.metric is not None:
                prediction, judged = _metric(artifact, runtime, base, found, out)
                predictions[f"{artifact.id} {runtime.name}"] = prediction
                gates += judged
                if base.slicing is not None:
                    study, judged_by_slice = _slices(artifact, runtime, base, found)
                    studies.append(study)
                    gates += judged_by_slice
            complete = True
        except (StorageFullError, OutputError):
            raise
        except UnavailableError as error:
            failures.append(failure(export, "verify", error))
        except EdgeshipError as error:
            broken = True
            failures.append(failure(export, "verify", error))
    if base.dataset.classes and artifact.source_sha256:  # a file from elsewhere promises no labels
        gates.append(verify.labels_gate(artifact, base.dataset.classes))
    # Passed only where a runtime that takes all samples has answered every question.
    verdict: Verification = "passed" if complete else "UNVERIFIED"
    refused = {gate.status for gate in gates if not gate.accepted}
    if broken or refused:
        verdict = "inconclusive" if not broken and refused == {"inconclusive"} else "failed"
    return Checked(replace(artifact, verification=verdict), tuple(gates), predictions, tuple(failures), tuple(studies))


def require(runtime: Runtime) -> None:
    """Raise UnavailableError with the remedy if a runtime cannot run here."""
    missing = runtime.missing()
    if missing:
        raise UnavailableError(f"{runtime.name} needs {', '.join(missing)}", remedy=runtime.remedy)


def _parity(artifact: Artifact, runtime: Runtime, base: Baseline, found: verify.Outputs) -> tuple[Gate, ...]:
    rows = sample_rows(base.dataset, runtime)
    expected = base.expected(artifact.id)
    if rows is not None:
        expected = verify.Outputs({name: array[rows] for name, array in expected.arrays.items()})
    classes = base.dataset.task == "classification"
    return verify.parity(artifact, runtime.name, expected, found, classes=classes)


def _metric(
    artifact: Artifact, runtime: Runtime, base: Baseline, found: verify.Outputs, out: Path
) -> tuple[Prediction, list[Gate]]:
    assert base.metric is not None
    rows, original = base.per_sample(found), base.per_sample(base.original)
    untouched = base.expected(artifact.id) is base.original
    drop = verify.file_drop(base.metric, original, rows, artifact.variant, of_the_original=untouched)
    gates = [verify.metric_gate(artifact, runtime.name, drop, base.metric, base.policy)]
    if base.dataset.task == "classification":
        scores = next(iter(base.original.arrays.values()))
        gates.append(verify.baseline_gate(artifact, runtime.name, scores, base.labels))
    return keep_prediction(out, (artifact.id, runtime.name), runtime.name, base.metric, rows), gates


def _slices(
    artifact: Artifact, runtime: Runtime, base: Baseline, found: verify.Outputs
) -> tuple[SliceStudy, tuple[Gate, ...]]:
    scores = next(iter(found.arrays.values()))
    untouched = base.expected(artifact.id) is base.original
    return slicing.study(base, slicing.Found(artifact, runtime.name, base.per_sample(found), scores, untouched))


def keep_prediction(out: Path, parts: tuple[str, ...], runtime: str, metric: Metric, rows: Array) -> Prediction:
    """Write per-sample rows into the build folder."""
    place = out / "predictions" / artifact_slug(*parts)
    with whole_folder(place) as temporary:
        np.save(temporary / "per_sample.npy", rows)
    return Prediction(place, runtime, len(rows), metric.value(rows))


def failure(export: Export, stage: Literal["convert", "verify", "benchmark"], error: EdgeshipError) -> Failure:
    """The record of something that could not be made, verified or measured."""
    return Failure(export.id, stage, type(error).__name__, error.message, error.remedy, export.by_name)


def write_golden(out: Path, artifacts: Sequence[Artifact], base: Baseline, progress: ProgressCallback) -> None:
    """Put a few test inputs, the outputs of each verified artifact for them, and observed ranges into the build."""
    inputs = load_split(base.dataset, "test").inputs
    passed = [artifact for artifact in artifacts if artifact.verification == "passed"]
    found = [run_artifact(a, plugins.runtimes_for(a.format)[0], base.dataset, progress) for a in passed]
    rows = _golden_rows(base, found)
    with whole_folder(out / "golden") as place:
        ranges = {"inputs": _ranges(inputs), "outputs": _ranges(base.original.arrays)}
        (place / "ranges.json").write_text(codec.to_json(ranges))
        (place / "inputs").mkdir()
        for name, array in inputs.items():
            np.save(place / "inputs" / f"{name}.npy", array[rows])
        for artifact, outputs in zip(passed, found, strict=True):
            target = place / "outputs" / artifact_slug(artifact.id)
            target.mkdir(parents=True)
            for name, array in outputs.arrays.items():
                np.save(target / f"{name}.npy", array[rows])


def _golden_rows(base: Baseline, found: Sequence[verify.Outputs]) -> Array:
    scores = [next(iter(outputs.arrays.values())) for outputs in (base.original, *found)]
    if base.dataset.task == "classification" and all(array.shape == scores[0].shape for array in scores):
        return golden.telling_rows(scores, GOLDEN)
    return np.linspace(0, base.dataset.counts["test"] - 1, GOLDEN).round().astype(np.int64)


def _ranges(arrays: Mapping[str, Array]) -> dict[str, list[float]]:
    return {name: [float(array.min()), float(array.max())] for name, array in arrays.items()}
