"""What is measured about an exported file: accuracy on all test samples, bytes, latency beside the yardstick."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgeship import data, metrics, plugins
from edgeship.types import Array, Artifact, Dataset, FileEntry, Plan
from edgeship_benchmarks import comparison, stats
from edgeship_benchmarks.sizes import sizes as measure_sizes
from edgeship_benchmarks.targets.local import LocalTarget
from tests.acceptance.compression.records import Latency

if TYPE_CHECKING:
    from collections.abc import Mapping

PLAN = Plan(min_runs=600, min_seconds=3.0, rounds=20)
#: Samples that latency is measured with.
_SAMPLES = 32


def artifact(file: Path, variant: str = "file") -> Artifact:
    """An exported file of whoever, as our runtimes and targets take it."""
    content = file.read_bytes()
    entry = FileEntry(file.name, hashlib.sha256(content).hexdigest(), len(content))
    return Artifact(file.parent, file.suffix[1:], variant, (entry,), (), (), "")


def right(found: Artifact, dataset: Dataset) -> Array:
    """(N,) of 0 and 1: the test samples that the file, in its own runtime, is right about."""
    samples = data.load(dataset, "test")
    (outputs,) = plugins.runtimes_for(found.format)[0].run(found, samples.inputs).values()
    assert samples.labels is not None
    return metrics.Accuracy().per_sample(np.asarray(outputs), samples.labels)


def sizes(found: Artifact) -> Mapping[str, int]:
    """Bytes as they are and as they would be sent."""
    size = measure_sizes(found)
    ways = ("raw", "gzip", "brotli", "zstd")
    return {way: getattr(size, f"{way}_bytes") for way in ways}


def latency(found: Artifact, yardstick: Artifact, dataset: Dataset) -> Latency:
    """Both in one run, taking turns."""
    inputs = {name: array[:_SAMPLES] for name, array in data.load(dataset, "test").inputs.items()}
    ours, theirs = LocalTarget().measure([found, yardstick], inputs, PLAN)
    ratio, summary = comparison.ratio(ours, theirs), stats.summary(ours)
    return Latency(
        median_ms=summary.median_ms,
        interval_ms=summary.interval_ms,
        yardstick_ms=stats.summary(theirs).median_ms,
        ratio=ratio.value,
        ratio_interval=ratio.interval,
        runtime=ours.runtime,
        rounds=ratio.rounds,
        load_average=ours.device.facts.get("load_average", ""),
        notes=ours.notes,
    )
