"""What was measured, where and how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Provenance = Literal["measured", "emulated", "estimated"]

#: A file is delivered compressed where that takes away at least this share: decoding costs a device time and code.
WORTH = 0.03


def on_the_wire(size_bytes: int, *encoded_bytes: int) -> int:
    """Bytes that are delivered: the smallest encoded form, or the plain file where encoding does not pay (`WORTH`)."""
    least = min(encoded_bytes)
    return least if least <= (1 - WORTH) * size_bytes else size_bytes


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

    @property
    def wire_bytes(self) -> int:
        """As the artifact is delivered: the smaller of brotli and zstd where that pays; see `on_the_wire`."""
        return on_the_wire(self.size_bytes, self.brotli_bytes, self.zstd_bytes)
