"""The manifest of a bundle, schema `edgeship.manifest/1`: `manifest.json`, read on devices by `edgeship.manifest`.

No field has a default: a manifest says all of it, so that no client has to guess what an absent key means.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from edgeship.types.artifacts import BundleFile
from edgeship.types.measurements import Provenance
from edgeship.types.models import Quantization


@dataclass(frozen=True)
class Operator:
    """An operator that a file uses; `version` is its own (TFLite) or its operator set's (ONNX), None where unknown."""

    name: str
    version: int | None


@dataclass(frozen=True)
class RuntimeNeeds:
    """What must be there to run the file.

    Attributes:
        name: `litert`, `onnxruntime` or `tfjs`, by the format.
        minimum: no earlier release has all operators. Of `litert` in the numbers of TensorFlow Lite, which the file's
            converter counts in (LiteRT 1.0 came after TensorFlow Lite 2.17); of `onnxruntime` its own releases.
        ops: each operator and version once, sorted.
    """

    name: str
    minimum: str
    ops: tuple[Operator, ...]


@dataclass(frozen=True)
class Budget:
    """What a device's self-test holds the model to; None: nothing.

    Attributes:
        latency_ms: no more may the 95th percentile of one inference take, on the device itself.
        memory_bytes: no more may the process that runs it take beyond what it took before the file was loaded.
    """

    latency_ms: float | None
    memory_bytes: int | None


NO_BUDGET = Budget(None, None)


@dataclass(frozen=True)
class ModelCard:
    """What a person should know before using the model; an empty text: nobody said.

    Attributes:
        license: an SPDX expression where one fits (`Apache-2.0`), else a name.
    """

    description: str
    license: str
    intended_use: str
    limitations: str


@dataclass(frozen=True)
class InputPreprocessing:
    """From raw samples to what the file takes: fields of `Preprocessing`, then `steps` that the caller does.

    Attributes:
        given_dtype: of values in the original model's units.
        steps: `quantize`: stored = clip(round_half_even(value / scale) + zero_point, the dtype's range).
    """

    scale: float | None
    resize: Literal["bilinear"] | None
    channels: Literal["grey", "RGB", "RGBA", "BGR"] | None
    mean: tuple[float, ...]
    std: tuple[float, ...]
    value_range: tuple[float, float] | None
    given_dtype: str
    steps: tuple[Literal["quantize"], ...]


@dataclass(frozen=True)
class ManifestInput:
    """An input of the file; `range` is the smallest and largest value seen, in the original model's units."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str
    quantization: Quantization | None
    range: tuple[float, float] | None
    preprocessing: InputPreprocessing


@dataclass(frozen=True)
class ManifestOutput:
    """An output of the file; `range` is what the original gave over the test split."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str
    quantization: Quantization | None
    range: tuple[float, float] | None


@dataclass(frozen=True)
class Tolerance:
    """How far outputs may be from the golden ones, by output name.

    Attributes:
        runtime: its name, or `*` for any other.
        max_abs: largest difference of any value.
        agreement: least share of samples whose largest output (or integer value) is the same.
    """

    runtime: str
    max_abs: Mapping[str, float]
    agreement: Mapping[str, float]


@dataclass(frozen=True)
class GoldenFiles:
    """Golden samples: by name of an input or output the .npy file with `samples` rows, in the original's units."""

    samples: int
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    tolerances: tuple[Tolerance, ...]


@dataclass(frozen=True)
class MetricDrop:
    """The paired drop against the original on `n` samples, and the limit that it was held to."""

    value: float
    interval: tuple[float, float] | None
    unit: str
    limit: float
    n: int


@dataclass(frozen=True)
class ManifestMetric:
    """The metric of the file and of the original (`baseline`)."""

    name: str
    direction: Literal["maximize", "minimize"] | None
    value: float | None
    baseline: float | None
    drop: MetricDrop | None


@dataclass(frozen=True)
class ManifestLatency:
    """A summary of one measurement of the file."""

    target: str
    provenance: Provenance
    runtime: str
    threads: int
    median_ms: float
    interval_ms: tuple[float, float] | None
    p90_ms: float
    n: int
    device: Mapping[str, str]


@dataclass(frozen=True)
class SourceModel:
    """The trained model that the file was made of; `sha256` is of its canonical content."""

    name: str
    kind: str
    sha256: str
    parameters: int


@dataclass(frozen=True)
class SourceData:
    """The data that it was compressed and judged with."""

    name: str
    task: str
    sha256: str
    counts: Mapping[str, int]


@dataclass(frozen=True)
class Lineage:
    """Where the file comes from.

    Attributes:
        parent: SHA-256 of the manifest of the release before; None: there is none, or it was not published yet.
        recipe: as it was run.
        made_by: package -> version of what determined the bytes.
    """

    parent: str | None
    source: SourceModel
    dataset: SourceData | None
    recipe: Mapping[str, Any]
    report_sha256: str
    made_by: Mapping[str, str]
    environment: Mapping[str, str]


@dataclass(frozen=True)
class Manifest:
    """All that a device is told about a model that it was sent.

    Attributes:
        kind: whom it is for: `device` (format `tflite` or `onnx`) or `web` (`tfjs`).
        version: `1.4.0` once published; None in a bundle that was not.
        created: when the build was.
        artifact: `format/variant`.
        entry: the name among `files` that the runtime opens.
        files: everything but the manifest, the entry first.
        labels: class names by output index; empty where outputs are not classes.
    """

    schema: Literal["edgeship.manifest/1"]
    kind: str
    name: str
    version: str | None
    created: str
    artifact: str
    format: str
    variant: str
    entry: str
    files: tuple[BundleFile, ...]
    runtime: RuntimeNeeds
    budget: Budget
    inputs: tuple[ManifestInput, ...]
    outputs: tuple[ManifestOutput, ...]
    labels: tuple[str, ...]
    golden: GoldenFiles
    metric: ManifestMetric | None
    latency: tuple[ManifestLatency, ...]
    card: ModelCard | None
    lineage: Lineage
