"""The values that flow through edgeship.

Every stage is a function from some of these values to others; values are frozen and describe things on disk.
Importing this module imports no ML framework and no NumPy.

Conventions: units are in field names (`_bytes`, `_ms`, `_mib`). Shapes include the batch axis, which comes first;
images are NHWC; `None` marks a dynamic axis. Dtypes are NumPy names (`"float32"`, `"int8"`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]
    #: Tensor name -> array with a leading batch axis, in the model's own order.
    Tensors = Mapping[str, Array]
else:  # importable where NumPy is not loaded
    Array = Any
    Tensors = Mapping[str, Any]

#: The variant names, everywhere: `--quantize`, folder names, reports. A converter offers a part of them.
#: Precision of weights, and of arithmetic where the runtime has it; `-floatio` keeps float inputs and outputs.
VARIANTS: Mapping[str, str] = {
    "float32": "as trained",
    "float16": "weights in half precision",
    "dynamic": "int8 weights, activations quantized while running",
    "int8": "int8 weights and activations, int8 inputs and outputs",
    "int8-floatio": "int8 inside, float inputs and outputs",
    "int16x8": "int8 weights, int16 activations, inputs and outputs",
    "int16x8-floatio": "int16x8 inside, float inputs and outputs",
    "mixed": "int8, some layers in int16x8 or float32, float inputs and outputs",
    "int4": "weights stored in 4 bits, float arithmetic",
    "int4-mixed": "weights stored in 2, 4 or 8 bits by layer, float arithmetic",
    "uint8": "weights stored in 8 bits, float arithmetic",
    "uint16": "weights stored in 16 bits, float arithmetic",
}

#: What a layer of a file of variant `mixed` may be.
LAYER_PRECISIONS = ("int8", "int16x8", "float32")


@dataclass(frozen=True)
class Quantization:
    """Affine quantization of one tensor: real = scale * (stored - zero_point) (arXiv 1712.05877, eq. 1)."""

    scale: float
    zero_point: int


@dataclass(frozen=True)
class TensorSpec:
    """One input or output of a model."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str
    quantization: Quantization | None = None


@dataclass(frozen=True)
class Source:
    """A trained model on disk that edgeship has looked at (made by `edgeship.source.inspect`).

    Attributes:
        path: the file, or the folder of a SavedModel.
        kind: `keras`, `h5`, `savedmodel` or `tflite`.
        loader: the framework that reads it: `keras`, `tf_keras`, `savedmodel` or `litert`.
        sha256: of the canonical content (architecture and weights), not of the archive's bytes.
        trainable: False for sources that allow post-training work only (SavedModel, .tflite, some models of Keras 2).
        fake_quantized: True after quantization-aware training: the graph carries its own ranges.
        custom_objects: `module:name` references needed to read it.
        code_sha256: of the user's own code that it runs, found when the pipeline opened it; empty without any, None
            where it cannot be known: then no result is remembered.
    """

    path: Path
    kind: str
    loader: str
    sha256: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    parameters: int
    trainable: bool
    fake_quantized: bool = False
    custom_objects: tuple[str, ...] = ()
    allow_unsafe: bool = False
    code_sha256: str | None = ""


@dataclass(frozen=True)
class Preprocessing:
    """What was done to raw samples (pixels 0..255 for images) before a model saw them; None where nobody said.

    Attributes:
        scale: what raw values were multiplied by.
        resize: how images were brought to the model's size; Pillow's `bilinear`, which averages when it shrinks.
        channels: of images, in their order.
    """

    scale: float | None = None
    resize: Literal["bilinear"] | None = None
    channels: Literal["grey", "RGB", "RGBA"] | None = None


@dataclass(frozen=True)
class Dataset:
    """Materialized samples on disk (made by `edgeship.data.open_dataset`).

    Layout: `<path>/<split>/x/<input>.npy`, `<path>/<split>/y.npy`, `<path>/<split>/slices/<name>.npy`, where split is
    `train`, `validation`, `test` or `calibration`. Calibration samples are part of train, never of test.

    Attributes:
        task: `classification` (integer labels), `binary` (0/1 labels, one score), `regression`, `segmentation`
            (integer label per pixel), `reconstruction` (target = input) or `unlabelled` (inputs for parity only).
        classes: label names by index; empty where labels are not classes.
        counts: split -> number of samples; a split that was not given has no entry.
        slices: names of per-sample attributes.
        preprocessing: how the samples came to be what they are.
        augment: random variations of training batches: `flip`, `crop`, `module:function`; no part of `sha256`.
    """

    path: Path
    name: str
    sha256: str
    task: str
    inputs: tuple[TensorSpec, ...]
    counts: Mapping[str, int]
    classes: tuple[str, ...] = ()
    slices: tuple[str, ...] = ()
    preprocessing: Preprocessing = Preprocessing()
    augment: tuple[str, ...] = ()


@dataclass(frozen=True)
class FileEntry:
    """One delivered file; `name` is relative to the artifact's folder and never leaves it."""

    name: str
    sha256: str
    size_bytes: int


Verification = Literal["UNVERIFIED", "passed", "inconclusive", "failed"]


@dataclass(frozen=True)
class Artifact:
    """An exported model in its folder `artifacts/<format>/<variant>/`, described by `artifact.json` there.

    Attributes:
        files: the entry file first (`model.tflite`, `model.json`, `model.onnx`).
        labels: class names by output index; empty where outputs are not classes.
        made_by: package -> version of what determined the bytes.
        verification: UNVERIFIED until `verify` has run the file in its own runtime.
        preprocessing: of the data that it was made and verified with; what it expects of others.
        layers: bytes of constants by layer, in the order of the graph, for a file that does not name its layers.
        notes: what a person should know about the file.
    """

    path: Path
    format: str
    variant: str
    files: tuple[FileEntry, ...]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    source_sha256: str
    labels: tuple[str, ...] = ()
    made_by: Mapping[str, str] = field(default_factory=dict)
    verification: Verification = "UNVERIFIED"
    preprocessing: Preprocessing = Preprocessing()
    layers: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """`format/variant`, unique within a build."""
        return f"{self.format}/{self.variant}"

    @property
    def entry(self) -> Path:
        """The file that a runtime opens."""
        return self.path / self.files[0].name

    @property
    def sha256(self) -> str:
        """Of a single file its own; of several that of the lines `<sha256>  <name>`, as sha256sum prints them."""
        if len(self.files) == 1:
            return self.files[0].sha256
        return hashlib.sha256("".join(f"{f.sha256}  {f.name}\n" for f in self.files).encode()).hexdigest()

    @property
    def size_bytes(self) -> int:
        """Sum over all delivered files, uncompressed."""
        return sum(f.size_bytes for f in self.files)


Provenance = Literal["measured", "emulated", "estimated"]


#: Facts of a target that differ from one moment to the next.
CHANGING_FACTS = ("frequency_mhz", "temperature_c", "throttled", "load_average")


@dataclass(frozen=True)
class DeviceInfo:
    """What a target says about itself: `system`, `machine`, `cpu`, `cores`, runtime versions, governor and so on."""

    name: str
    provenance: Provenance
    facts: Mapping[str, str]


@dataclass(frozen=True)
class Plan:
    """How to measure: warm up until stable, then `min_runs` and `min_seconds` or more, in interleaved `rounds`."""

    threads: int = 1
    warmup_max_runs: int = 200
    min_runs: int = 100
    min_seconds: float = 1.0
    rounds: int = 5
    seed: int = 0


@dataclass(frozen=True)
class Measurement:
    """One artifact on one target. Statistics are derived from the samples, which are kept.

    Attributes:
        artifact_sha256: `Artifact.sha256`.
        latency_ms: every sample of the steady state, in order, milliseconds per inference of one sample.
        round_lengths: how many samples each interleaved round gave, in order.
        peak_memory_mib: resident peak of the whole measuring process; None where the target cannot tell.
        size_bytes, gzip_bytes, brotli_bytes, zstd_bytes: of all files of the artifact.
        notes: warnings with their remedy (unstable, too few runs for p99, outliers).
        key: hash of what it was measured with: files, samples, plan, machine, versions; empty outside a build.
    """

    artifact: str
    artifact_sha256: str
    target: str
    runtime: str
    provenance: Provenance
    latency_ms: tuple[float, ...]
    round_lengths: tuple[int, ...]
    warmup_runs: int
    import_ms: float
    load_ms: float
    first_inference_ms: float
    peak_memory_mib: float | None
    size_bytes: int
    gzip_bytes: int
    brotli_bytes: int
    zstd_bytes: int
    threads: int
    device: DeviceInfo
    notes: tuple[str, ...] = ()
    key: str = ""


@dataclass(frozen=True)
class Change:
    """A paired drop of the metric (positive = worse) on the same samples.

    Attributes:
        interval: 95 %, in `unit`.
        unit: as `Metric.unit`: `points` or `%`.
    """

    value: float
    interval: tuple[float, float]
    unit: str


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


GateStatus = Literal["pass", "fail", "inconclusive"]


@dataclass(frozen=True)
class Gate:
    """One limit, checked on one artifact.

    Attributes:
        name: `max-abs`, `cosine`, `top1`, `sensitivity`, `metric` or `labels`.
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

    @property
    def best(self) -> Artifact | None:
        """The smallest artifact (uncompressed bytes) that passed all its gates; None if there is none."""
        passing = [a for a in self.artifacts if a.verification == "passed"]
        return min(passing, key=lambda a: (a.size_bytes, a.id), default=None)

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


@dataclass(frozen=True)
class Stored:
    """How a file of a bundle lies there compressed.

    Attributes:
        name: of the compressed file.
        encoding: `br` or `zstd` (see `edgeship.encodings`).
        sha256, size_bytes: of the compressed file.
    """

    name: str
    encoding: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class BundleFile:
    """One file of a bundle.

    Attributes:
        name, sha256, size_bytes: of the file that a device uses.
        stored: what lies in the bundle instead; None: the file itself.
    """

    name: str
    sha256: str
    size_bytes: int
    stored: Stored | None = None

    @property
    def wire(self) -> Stored | BundleFile:
        """What lies in the bundle: its name, SHA-256 and size."""
        return self.stored or self


@dataclass(frozen=True)
class Bundle:
    """What is delivered: a folder whose `manifest.json` (schema `edgeship.manifest/1`) names and hashes all the rest.

    Attributes:
        kind: what it is for: `device`.
        artifact: `format/variant` of the model in it.
        entry: name of the file that a runtime opens, once decoded.
        sha256: of manifest.json, and through it of the whole bundle.
        files: everything but the manifest.
    """

    path: Path
    kind: str
    name: str
    artifact: str
    entry: str
    sha256: str
    files: tuple[BundleFile, ...]

    @property
    def size_bytes(self) -> int:
        """Sum over all files but the manifest, uncompressed."""
        return sum(f.size_bytes for f in self.files)

    @property
    def wire_bytes(self) -> int:
        """Sum over all files but the manifest, as they lie in the bundle."""
        return sum(f.wire.size_bytes for f in self.files)


@dataclass(frozen=True)
class Progress:
    """A sign of life from long work: `done` of `total` steps of `stage` (total None: unknown)."""

    stage: str
    done: float
    total: float | None = None
    message: str = ""


ProgressCallback = Callable[[Progress], None]


@dataclass(frozen=True)
class ConvertOptions:
    """What a converter needs beside the model.

    Attributes:
        calibration: the dataset whose `calibration` split sets activation ranges; None where none was given.
        precision: of variant `mixed`: layer -> `int16x8` or `float32`; layers that are not named are int8.
        labels: class names to deliver with the file.
        preprocessing: of the data, to deliver with the file.
    """

    calibration: Dataset | None = None
    labels: tuple[str, ...] = ()
    preprocessing: Preprocessing = Preprocessing()
    precision: Mapping[str, str] = field(default_factory=dict)
