"""Measurements with latencies that tests choose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from edgeship.types import DeviceInfo, Measurement

_PLAIN = Measurement(
    artifact="tflite/int8",
    artifact_sha256="0" * 64,
    target="local",
    runtime="litert",
    latency_ms=(1.0,),
    round_lengths=(1,),
    warmup_runs=20,
    import_ms=1.0,
    load_ms=1.0,
    first_inference_ms=1.0,
    peak_memory_mib=None,
    size_bytes=1000,
    gzip_bytes=900,
    brotli_bytes=800,
    zstd_bytes=850,
    threads=1,
    device=DeviceInfo("local", "measured", {}),
)


def measured(rounds: Sequence[np.ndarray], repeats: int = 1, **facts: str) -> Measurement:
    """A file on this machine with the samples of these rounds, and these facts about the machine."""
    return replace(
        _PLAIN,
        latency_ms=tuple(float(v) for part in rounds for v in part),
        round_lengths=tuple(len(part) for part in rounds),
        repeats=repeats,
        device=DeviceInfo("local", "measured", facts),
    )


def gamma(seed: int, count: int = 200, scale: float = 1.0) -> np.ndarray:
    """Latencies as they come: a sharp left edge at `scale`, and a tail."""
    return scale * (1 + 0.02 * np.random.default_rng(seed).gamma(2.0, size=count))
