"""What is kept of a session: who measured what, and enough of each result to compare with it later.

Of a measurement the median of each round is kept instead of its samples: rounds are what verdicts rest on, and a
history of raw samples would grow by megabytes a day. What the samples said is kept beside them, as it was summed up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from edgeship.types import CHANGING_FACTS, Artifact, DeviceInfo, Measurement, Result
from edgeship_benchmarks.intervals import rounds_of, samples_of
from edgeship_benchmarks.stats import Summary, summary

#: Facts that say nothing about whether two results may be compared: by chance another, or chosen for one file.
_INCIDENTAL = ("memory_mib", "inferences_per_time", "clock_step_ms")


@dataclass(frozen=True)
class Session:
    """One call of `edgeship benchmark`, or one build.

    Attributes:
        created: ISO 8601, UTC.
        label: that the user gave it; empty without one.
        revision: commit of the repository that it was called in, with `-dirty` where files differed; empty outside.
        edgeship: version.
    """

    created: str
    source: Literal["benchmark", "build"]
    label: str
    revision: str
    edgeship: str


@dataclass(frozen=True)
class Record:
    """One result of a session.

    Attributes:
        name: of the build folder or the file, which tells models apart (see `name_of`).
        result: its `artifact` is `format/variant`; of a measurement, `latency_ms` are the medians of its rounds.
        summary: of a measurement, as its samples said.
    """

    session: Session
    name: str
    result: Result
    summary: Summary | None


def name_of(artifact: Artifact) -> str:
    """What an artifact is a form of: its build folder, else its own folder or file."""
    place = artifact.path.absolute()
    if place.parent.parent.name == "artifacts":
        return place.parent.parent.parent.name
    return artifact.entry.stem if artifact.variant == "foreign" else place.name


def record(session: Session, artifact: Artifact, result: Result) -> Record:
    """A result as it is kept; `artifact` is what it is of, under its own id."""
    named = replace(result, artifact=artifact.id)
    if not isinstance(named, Measurement):
        return Record(session, name_of(artifact), named, None)
    return Record(session, name_of(artifact), condensed(named), summary(named))


def condensed(measurement: Measurement) -> Measurement:
    """With the median of each round in place of its samples, and without its operators."""
    parts = rounds_of(samples_of(measurement.latency_ms), measurement.round_lengths)
    medians = tuple(float(np.median(part)) for part in parts)
    return replace(measurement, latency_ms=medians, round_lengths=(1,) * len(medians), profile=None)


def settings(result: Result) -> dict[str, str]:
    """How a result was taken; what is a part of `runtime` and `target` (delegates, boards) is not repeated."""
    return {"threads": str(result.threads)} if isinstance(result, Measurement) else {}


def conditions(device: DeviceInfo) -> Mapping[str, str]:
    """What a device and its runtime are; times of two results are comparable where it is the same."""
    left_out = {*CHANGING_FACTS, *(f"{key}_after" for key in CHANGING_FACTS), *_INCIDENTAL}
    return {key: value for key, value in sorted(device.facts.items()) if key not in left_out}
