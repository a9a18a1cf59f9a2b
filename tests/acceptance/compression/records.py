"""The result of a cell, as one JSON file in `records/<task>/`."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgeship import metrics
from edgeship.codec import from_json, to_json
from edgeship.files import write_text
from edgeship.types import Array
from edgeship.verify import Drop, paired_drop

FOLDER = Path(__file__).with_name("records")
SCHEMA = "edgeship.compression-record/1"
#: How failures begin that another run on another day may not have.
_NOT_THE_METHODS = ("ChildTimeout", "ChildCrashed", "ChildOutOfMemory", "bug")


@dataclass(frozen=True)
class Latency:
    """Milliseconds per inference, one thread, taking turns with the yardstick; `ratio` below 1 is faster than it."""

    median_ms: float
    interval_ms: tuple[float, float] | None
    yardstick_ms: float
    ratio: float
    ratio_interval: tuple[float, float] | None
    runtime: str
    rounds: int
    load_average: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Record:
    """One method with one seed on one task.

    Attributes:
        key: hash of what determines the cell; another one now means that it is stale.
        commit: of this repository, `+` where files that matter differed from it.
        versions: of the packages that made the file.
        machine: what it was made and measured on.
        epochs: of the training of the file that is shown here.
        settings: those that were used, the chosen ones included.
        sweep: what was tried, each with its metric on the validation part, on which the choice was made.
        gate: what the recipe's own gate said; empty for peers.
        format, sha256: of the file.
        sizes: bytes, as `raw`, `gzip`, `brotli` and `zstd`.
        n: test samples, all of them.
        right: which of them it was right about: bits in the order of the test split, base64.
        drop, interval: paired with the base, points, positive is worse, 95 %.
        failure: why there is no file; all measures are empty then.
        stale: what determines it has changed since.
    """

    task: str
    method: str
    seed: int
    key: str
    commit: str
    created: str
    versions: Mapping[str, str]
    machine: Mapping[str, str]
    seconds: float
    epochs: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict)
    sweep: Sequence[Mapping[str, Any]] = ()
    stages: Sequence[Mapping[str, Any]] = ()
    gate: str = ""
    format: str = ""
    sha256: str = ""
    sizes: Mapping[str, int] = field(default_factory=dict)
    n: int = 0
    base_accuracy: float = 0.0
    accuracy: float = 0.0
    drop: float = 0.0
    interval: tuple[float, float] = (0.0, 0.0)
    right: str = ""
    latency: Latency | None = None
    failure: str = ""
    stale: bool = False
    schema: str = SCHEMA

    @property
    def unsettled(self) -> bool:
        """Whether it failed in a way that says nothing about the method: the machine's, or a bug of the harness."""
        return self.failure.split(":")[0] in _NOT_THE_METHODS

    @property
    def path(self) -> Path:
        """Where it lies below a folder of records."""
        return Path(self.task) / f"{self.method}-s{self.seed}.json"


def pack(right: Array) -> str:
    """(N,) of 0 and 1 as text."""
    return base64.b64encode(np.packbits(np.asarray(right, bool)).tobytes()).decode()


def unpack(record: Record) -> Array:
    """(n,) float64 of 0 and 1: which test samples the file of a record was right about."""
    bits = np.unpackbits(np.frombuffer(base64.b64decode(record.right), np.uint8))
    found: Array = bits[: record.n].astype(np.float64)
    return found


def drop_between(base: Array, found: Array) -> Drop:
    """Paired drop of accuracy in points with its 95 % interval."""
    return paired_drop(metrics.Accuracy(), base, found)


def write(record: Record, folder: Path = FOLDER) -> None:
    """Keep a record; an older one of the same cell goes."""
    write_text(folder / record.path, to_json(record) + "\n")


def read(folder: Path = FOLDER) -> list[Record]:
    """All records, by task, method and seed."""
    found = [from_json(Record, path.read_text()) for path in sorted(folder.glob("*/*.json"))]
    return sorted(found, key=lambda r: (r.task, r.method, r.seed))


def find(task: str, method: str, seed: int, folder: Path = FOLDER) -> Record | None:
    """One record, or None."""
    path = folder / task / f"{method}-s{seed}.json"
    return from_json(Record, path.read_text()) if path.is_file() else None


def mark(record: Record, key: str, folder: Path = FOLDER) -> Record:
    """The record with its `stale` flag as it is now, on disk too."""
    now = replace(record, stale=record.key != key)
    if now != record:
        write(now, folder)
    return now
