"""Records of earlier sessions, as `edgeship benchmark` would have kept them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from edgeship.history.records import Record, Session, record
from edgeship.types import Artifact, DeviceInfo, FileEntry, Measurement, Result
from tests.latencies import measured

CPU = {"cpu": "AMD EPYC", "ai-edge-litert": "2.1.6"}


def session(number: int = 1, label: str = "", revision: str = "") -> Session:
    """The session of that day of the month."""
    return Session(f"2026-11-{number:02}T12:00:00.000000+00:00", "benchmark", label, revision, "0.1.0")


def artifact(sha256: str = "a" * 64, variant: str = "int8", name: str = "demo") -> Artifact:
    """A file of the build `name`."""
    place = Path("builds") / name / "artifacts" / "tflite" / variant
    return Artifact(place, "tflite", variant, (FileEntry("model.tflite", sha256, 1000),), (), (), "b" * 64)


def timed(median_ms: float, of: Artifact, starts: int = 6, **facts: str) -> Measurement:
    """A stable measurement with a median that is known."""
    row = measured([np.full(20, median_ms)] * (2 * starts), starts)
    device = DeviceInfo("local", "measured", {**CPU, **facts})
    return replace(row, artifact=of.id, artifact_sha256=of.sha256, device=device)


def kept(row: Result, of: Artifact, when: Session) -> Record:
    """As the history keeps it."""
    return record(when, of, row)
