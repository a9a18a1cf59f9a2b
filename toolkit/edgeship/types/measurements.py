"""What was measured, where and how: three types with different fields, so that none can be taken for another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from edgeship.errors import InputError
from edgeship.types.profiles import OperatorProfile

Provenance = Literal["measured", "emulated", "estimated"]

#: A file is delivered compressed where that takes away at least this share: decoding costs a device time and code.
WORTH = 0.03


def on_the_wire(size_bytes: int, *encoded_bytes: int) -> int:
    """Bytes that are delivered: the smallest encoded form, or the plain file where encoding does not pay (`WORTH`)."""
    least = min(encoded_bytes)
    return least if least <= (1 - WORTH) * size_bytes else size_bytes


#: Why there is no verdict on a measurement and no fit on it.
NO_GPU = "software stood for the GPU, whose times say nothing about any GPU"

#: Facts of a target that differ from one moment to the next.
CHANGING_FACTS = (
    "frequency_mhz",
    "temperature_c",
    "throttled",
    "load_average",
    "disk_free_mib",
    # of phones
    "thermal_status",
    "cpu_temperature_c",
    "gpu_temperature_c",
    "skin_temperature_c",
    "battery_temperature_c",
    "battery_percent",
    "battery_status",
    "powered_by",
    "screen",
    "clocks_mhz",
    "clock_limits_mhz",
)


@dataclass(frozen=True)
class DeviceInfo:
    """What a target says about itself: `system`, `machine`, `cpu`, `cores`, runtime versions, governor and so on."""

    name: str
    provenance: Provenance
    facts: Mapping[str, str]


@dataclass(frozen=True)
class Plan:
    """How to measure: warm up until stable, then `min_runs` and `min_seconds` or more, in interleaved rounds.

    Attributes:
        threads: of the runtime; each number is a way of its own to run a file, interleaved with the others.
        warmup_max_runs: warm-up ends here at the latest.
        min_runs, min_seconds: of every file, over all rounds of all repeats.
        rounds: of each repeat; in a round every file takes its turn, in an order that is drawn.
        seed: of these orders.
        repeats: how often every file is started anew. Two processes of one file differ: with one start of each, an
            interval speaks of these processes only.
        cool_down_seconds: rest before each repeat but the first.
        xnnpack: whether LiteRT uses XNNPACK, which is its default; both: two ways.
        batch: samples in an inference when throughput in batches is measured; 0: it is not.
        streaming: whether throughput one sample after another is measured.
        profile: whether operators are timed too, after all that is measured.
    """

    threads: tuple[int, ...] = (1,)
    warmup_max_runs: int = 200
    min_runs: int = 100
    min_seconds: float = 1.0
    rounds: int = 5
    seed: int = 0
    repeats: int = 1
    cool_down_seconds: float = 0.0
    xnnpack: tuple[bool, ...] = (True,)
    batch: int = 0
    streaming: bool = False
    profile: bool = False


@dataclass(frozen=True)
class Throughput:
    """How many samples a second when nobody waits between them.

    Attributes:
        batch: samples in one inference.
        per_second: samples, with quantizing and dequantizing of inputs and outputs.
    """

    batch: int
    per_second: float


@dataclass(frozen=True)
class Energy:
    """What a meter counted while inferences ran.

    Attributes:
        millijoules: for one inference of one sample, the power of the idle machine included.
        meter: which one, and of what.
    """

    millijoules: float
    meter: str


@dataclass(frozen=True)
class PageStart:
    """What a web page pays before its first answer.

    A start is a new worker of an open page: it loads the runtime and the model and ends with the first inference.

    Attributes:
        runtime_bytes, model_bytes: as they were sent, in `encoding`.
        download_ms: of the model on a first start; the runtime's is part of `import_ms`.
        cold_ms: nothing of it is in any cache.
        warm_ms: everything is in the browser's cache of HTTP; None where it could not be had.
        offline_ms: without a network, from what a service worker has kept; the same.
    """

    runtime_bytes: int
    model_bytes: int
    encoding: str
    download_ms: float
    cold_ms: float
    warm_ms: float | None
    offline_ms: float | None


@dataclass(frozen=True)
class _Of:
    """What a result is of, and where.

    Attributes:
        artifact: `Artifact.id`.
        artifact_sha256: `Artifact.sha256`.
    """

    artifact: str
    artifact_sha256: str
    target: str
    runtime: str

    @property
    def engine(self) -> str:
        """What tells results of one file on one target apart."""
        return self.runtime


class _Weighed:
    """A result that says what its artifact weighs, in bytes over all files."""

    size_bytes: int
    gzip_bytes: int
    brotli_bytes: int
    zstd_bytes: int

    @property
    def wire_bytes(self) -> int:
        """As the artifact is delivered: the smaller of brotli and zstd where that pays; see `on_the_wire`."""
        return on_the_wire(self.size_bytes, self.brotli_bytes, self.zstd_bytes)


@dataclass(frozen=True)
class Measurement(_Of, _Weighed):
    """One artifact in one runtime on one target, timed on the thing itself. Statistics are derived from the samples.

    Attributes:
        latency_ms: every sample of the steady state, in order, milliseconds per inference of one sample.
        round_lengths: how many samples each interleaved round gave, in order.
        first_inference_ms: the whole first call; with a fixed batch, of all its samples.
        peak_memory_mib: resident peak of the whole measuring process; None where the target cannot tell.
        size_bytes, gzip_bytes, brotli_bytes, zstd_bytes: of all files of the artifact.
        notes: warnings with their remedy (unstable, too few runs for p99, outliers).
        key: hash of what it was measured with: files, samples, plan, machine, versions; empty outside a build.
        preprocessing_ms: median time to turn one sample into what the file takes (quantizing); no part of a latency.
        postprocessing_ms: the same for its outputs (dequantizing).
        batch: samples a second in batches; None where it was not asked for, or the file takes one sample at a time.
        streaming: samples a second one after another, inputs and outputs included; None where it was not asked for.
        energy: None where there is no meter.
        repeats: starts of the file; the rounds are theirs in equal parts, one start after another.
        group: rows of one target and one group were interleaved; ratios are made of such rows only.
        parity: how its outputs compare with those of the same file elsewhere; None where nobody looked.
        page: of a browser only.
        profile: where the time goes, from a run of its own; None where it was not asked for, or cannot be had.
    """

    provenance: ClassVar[Literal["measured"]] = "measured"

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
    preprocessing_ms: float | None = None
    postprocessing_ms: float | None = None
    batch: Throughput | None = None
    streaming: Throughput | None = None
    energy: Energy | None = None
    repeats: int = 1
    group: str = ""
    parity: Parity | None = None
    page: PageStart | None = None
    profile: OperatorProfile | None = None

    @property
    def engine(self) -> str:
        """`litert`, or `litert, 4 threads`."""
        return self.runtime if self.threads == 1 else f"{self.runtime}, {self.threads} threads"

    @property
    def on_software_gpu(self) -> bool:
        """Whether software stood for the GPU; nothing is made of such times (`NO_GPU`)."""
        return self.device.facts.get("software_gpu") == "yes"


@dataclass(frozen=True)
class Parity:
    """How outputs compare with those of the same file elsewhere.

    Attributes:
        reference: what they are held against, in words.
        samples: how many were run.
        identical: whether every bit of every output is the same.
        largest_difference: of any output value, in its own unit; None where one has a number and the other has not.
    """

    reference: str
    samples: int
    identical: bool
    largest_difference: float | None


@dataclass(frozen=True)
class Instructions:
    """Instructions of one inference, as the emulated processor executed them.

    Attributes:
        total: median over the repeats.
        by_class: kind of instruction -> how many of them; empty where they were not told apart.
        repeats: how often one inference was counted.
        spread: largest over smallest count, minus one.
    """

    total: int
    by_class: Mapping[str, int]
    repeats: int
    spread: float


@dataclass(frozen=True)
class Emulation(_Of, _Weighed):
    """One artifact in one runtime on an emulated processor: what it computes and takes, never how long it takes.

    Attributes:
        instructions: None where they cannot be counted.
        arena_bytes: the smallest working memory that it ran in; None where the runtime has no arena.
        size_bytes, gzip_bytes, brotli_bytes, zstd_bytes: of all files of the artifact.
        notes: warnings with their remedy.
        key: as that of a `Measurement`.
    """

    provenance: ClassVar[Literal["emulated"]] = "emulated"

    device: DeviceInfo
    parity: Parity
    instructions: Instructions | None
    arena_bytes: int | None
    size_bytes: int
    gzip_bytes: int
    brotli_bytes: int
    zstd_bytes: int
    notes: tuple[str, ...] = ()
    key: str = ""


@dataclass(frozen=True)
class Estimate(_Of):
    """What a latency would be on a target that was not there: a lower bound, or a fit on measurements of the user's.

    Exactly one of the two is given; anything else raises InputError.

    Attributes:
        basis: what it rests on, in words.
        at_least_ms: no inference can be faster.
        fitted_ms: by a model that was fitted on other measurements.
        leave_one_out_error: of that model: median relative error for measurements that it was not fitted on.
        notes: warnings with their remedy.
        key: as that of a `Measurement`.
    """

    provenance: ClassVar[Literal["estimated"]] = "estimated"

    device: DeviceInfo
    basis: str
    at_least_ms: float | None = None
    fitted_ms: float | None = None
    leave_one_out_error: float | None = None
    notes: tuple[str, ...] = ()
    key: str = ""

    def __post_init__(self) -> None:
        bound, fit = self.at_least_ms is not None, self.fitted_ms is not None
        if bound == fit or fit != (self.leave_one_out_error is not None):
            raise InputError(
                f"the estimate of {self.artifact} on {self.target} is neither a lower bound nor a fit with its error"
            )


@dataclass(frozen=True)
class NotMeasured:
    """Why there is no result of an artifact on a target, or in one of its runtimes.

    Attributes:
        runtime: empty where it was not even chosen.
        reason: one sentence.
        remedy: what to try; empty where there is nothing.
        type: class in `edgeship.errors`; one that is no UnavailableError means that something broke.
    """

    artifact: str
    target: str
    runtime: str
    reason: str
    remedy: str
    type: str = "TargetUnavailable"

    def is_where(self, result: Result) -> bool:
        """Whether it stands for what `result` is of: the same target, and the same runtime if one was chosen."""
        return self.target == result.target and self.runtime in ("", result.runtime)


#: What a target found out about an artifact.
Result = Measurement | Emulation | Estimate
