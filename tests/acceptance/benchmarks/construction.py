"""Shows that one layer in twenty more is 5 % more time: the time of 10 to 40 layers is a line through zero."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from edgeship.types import Measurement
from edgeship_benchmarks.targets.local import LocalTarget
from tests.acceptance.benchmarks.trials import PLAN, artifact, samples

#: Layers of the files on the line; none of those that trials compare.
COUNTS = (10, 16, 25, 30, 40)


@dataclass(frozen=True)
class Line:
    """Least squares over the medians: `start_ms + layers * layer_ms`, from files that no trial compares."""

    start_ms: float
    layer_ms: float

    def ratio(self, first: int, second: int) -> float:
        """Of the times of two files with so many layers."""
        return (self.start_ms + second * self.layer_ms) / (self.start_ms + first * self.layer_ms)


def line(models: Path, seconds: float = 2.0) -> Line:
    """Measures all interleaved; of each the median over rounds of its time relative to the round's middle file."""
    files = [artifact(models / f"{count}.tflite", str(count)) for count in COUNTS]
    rows = LocalTarget().measure(files, samples(), replace(PLAN, repeats=4, min_seconds=seconds))
    medians = []
    for row in rows:
        assert isinstance(row, Measurement), row
        parts = np.split(np.array(row.latency_ms), np.cumsum(row.round_lengths)[:-1])
        medians.append([float(np.median(part)) for part in parts])
    times = np.array(medians)
    middle = times[COUNTS.index(25)]
    relative = np.median(times / middle, axis=1) * float(np.median(middle))
    layer, start = np.polyfit(COUNTS, relative, 1)
    return Line(float(start), float(layer))
