"""What became of it: stages, attempts, gates, predictions, and the report of a build."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from edgeship.types.artifacts import Artifact
from edgeship.types.changes import Change, GateStatus
from edgeship.types.measurements import Emulation, Estimate, Measurement, NotMeasured
from edgeship.types.models import Dataset, Source
from edgeship.types.slices import Exhibit, SliceStudy


@dataclass(frozen=True)
class StageFile:
    """The model after one stage as an exported file: what that stage did to what would be delivered.

    The metric is that of the validation split, which recipes choose by; gates are held on the test split, never here.

    Attributes:
        artifact: `format/variant`.
        sha256: `Artifact.sha256`.
        runtime: what ran the file.
        n: number of validation samples.
        metric: of the file, in the metric's own unit.
        drop: against the original model in its own framework.
        step: against the file before, in the order of stages and files; for the first the same as `drop`.
        size_bytes, gzip_bytes, brotli_bytes, zstd_bytes: of all files of the artifact.
        measurement: latency, taken side by side with that of the other stages; None where none was wanted.
    """

    artifact: str
    sha256: str
    runtime: str
    n: int
    metric: float
    drop: Change
    step: Change
    size_bytes: int
    gzip_bytes: int
    brotli_bytes: int
    zstd_bytes: int
    measurement: Measurement | None = None


@dataclass(frozen=True)
class Stage:
    """What one stage of a recipe did to the model, measured after it.

    Attributes:
        name: its word in the recipe (`prune`, `quantize-aware`); `base` is the model as given.
        metric: the task metric on the validation split, of the model in its framework, in the metric's own unit
            (accuracy 0..1).
        size_bytes: gzip bytes of the weights as stored at that point (float32, or int8 after quantize-aware).
        sparsity: share of exact zeros among prunable weights, 0..1.
        seconds: wall time.
        notes: what a person should know (for instance that a schedule ended early).
        macs: multiply-accumulate operations of one inference; None where it was not counted.
        files: the model at that point as exported files; none where nothing could be exported.
    """

    name: str
    metric: float
    size_bytes: int
    parameters: int
    sparsity: float
    epochs: int
    seconds: float
    notes: tuple[str, ...] = ()
    macs: int | None = None
    files: tuple[StageFile, ...] = ()


@dataclass(frozen=True)
class Attempt:
    """One of the recipes that a recipe tries in order, and what became of it.

    Attributes:
        recipe: its name.
        outcome: `good` (within the limit), `undecided` (the interval spans it), `bad`, `failed` (nothing came of it),
            or `skipped`.
        chosen: whether the files of the build are made by it.
        reason: one sentence for a person.
        seconds: wall time of this run; what was remembered from an earlier one takes none.
        file: what it gives on the validation split; None where nothing came of it.
    """

    recipe: str
    outcome: Literal["good", "undecided", "bad", "failed", "skipped"]
    chosen: bool
    reason: str
    seconds: float
    file: StageFile | None = None


@dataclass(frozen=True)
class Gate:
    """One limit, checked on one artifact.

    Attributes:
        name: `max-abs`, `cosine`, `top1`, `sensitivity`, `metric`, `slices` or `labels`.
        accepted: what counts: status is `pass`, or is `inconclusive` and the recipe lets that pass.
        artifact: `format/variant`.
        runtime: the runtime that ran the file.
        value: what was found, in `unit`; for `metric` the paired drop (positive = worse than the original).
        limit: what is allowed, in `unit`.
        n: number of samples.
        interval: 95 % interval of `value`, where one applies.
        detail: one sentence for a person.
    """

    name: str
    artifact: str
    runtime: str
    status: GateStatus
    accepted: bool
    value: float
    limit: float
    unit: str
    n: int
    interval: tuple[float, float] | None = None
    detail: str = ""


@dataclass(frozen=True)
class Prediction:
    """What the original, or one artifact in one runtime, gives for the test split: outputs on disk, metric by sample.

    Attributes:
        path: folder with `<output>.npy` for each output, and `per_sample.npy`.
        metric: value on the test split, in the metric's own unit.
    """

    path: Path
    runtime: str
    n: int
    metric: float | None


@dataclass(frozen=True)
class Failure:
    """A format or variant that could not be made, verified or measured, and why."""

    artifact: str
    stage: Literal["convert", "verify", "benchmark"]
    type: str
    message: str
    remedy: str
    asked_by_name: bool


@dataclass(frozen=True)
class Report:
    """Everything a build found; `report.json` is this value (schema `edgeship.report/1`).

    Attributes:
        metric_direction: of `metric`; None (unknown) keeps the report from drawing what is best.
        command: how to make it again: the words of a command line, or a single Python expression.
        data_options: how the data was divided and scaled: the fields of `edgeship.data.DataOptions`.
        attempts: what a recipe that tries several others tried, in order; empty for any other recipe.
        measurements, emulations, estimates: what targets gave, by provenance; never in one table.
        unmeasured: what they could not give, and why.
        slices: what compression did to parts of the test samples, by file and runtime.
        exhibits: the samples that `slices` names, in a form for a page.
    """

    name: str
    created: str
    source: Source
    dataset: Dataset | None
    recipe: Mapping[str, Any]
    metric: str | None
    baseline: Prediction | None
    stages: tuple[Stage, ...]
    artifacts: tuple[Artifact, ...]
    predictions: Mapping[str, Prediction]
    gates: tuple[Gate, ...]
    measurements: tuple[Measurement, ...]
    failures: tuple[Failure, ...]
    environment: Mapping[str, str]
    command: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    metric_direction: Literal["maximize", "minimize"] | None = None
    data_options: Mapping[str, Any] = field(default_factory=dict)
    attempts: tuple[Attempt, ...] = ()
    emulations: tuple[Emulation, ...] = ()
    estimates: tuple[Estimate, ...] = ()
    unmeasured: tuple[NotMeasured, ...] = ()
    slices: tuple[SliceStudy, ...] = ()
    exhibits: tuple[Exhibit, ...] = ()

    @property
    def best(self) -> Artifact | None:
        """The artifact with the fewest bytes (`compared_bytes`) that passed all its gates; None if there is none."""
        passing = [a for a in self.artifacts if a.verification == "passed"]
        sizes = self.compared_bytes(passing)
        return min(passing, key=lambda a: (sizes[a.id], a.id), default=None)

    def wire_bytes(self, artifact: Artifact) -> int | None:
        """`Measurement.wire_bytes` of an artifact; None where no target had it."""
        found: tuple[Measurement | Emulation, ...] = (*self.measurements, *self.emulations)
        return next((m.wire_bytes for m in found if m.artifact == artifact.id), None)

    def compared_bytes(self, artifacts: Iterable[Artifact]) -> dict[str, int]:
        """Bytes by which artifacts are told smaller from larger, by id.

        As they are delivered where all of them were measured, else uncompressed: never one against the other.
        """
        sizes = {a.id: (self.wire_bytes(a), a.size_bytes) for a in artifacts}
        sent = {name: wire for name, (wire, _) in sizes.items() if wire is not None}
        return sent if len(sent) == len(sizes) else {name: plain for name, (_, plain) in sizes.items()}

    def raise_for_gates(self) -> None:
        """Raise GateFailed, naming each gate that was not accepted and each failure that counts; else return quietly.

        A failure counts if its format was asked for by name, if the file is broken, or if no file passed at all.
        """
        from edgeship.errors import GateFailed

        rows = [
            f"{g.artifact} {g.name} ({g.status}): {g.detail or f'{g.value:g} {g.unit}'}"
            for g in self.gates
            if not g.accepted
        ]
        broken = {a.id for a in self.artifacts if a.verification == "failed"}
        rows += [
            f"{f.artifact} ({f.stage}): {f.message}"
            for f in self.failures
            if f.asked_by_name or f.artifact in broken or self.best is None
        ]
        if rows or self.best is None:
            raise GateFailed("\n".join(["not every file passed:", *(rows or ["no file was made"])]))
