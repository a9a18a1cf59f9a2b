"""Records of parts: what was measured, where and when."""

from __future__ import annotations

import hashlib
import math
import os
import platform
import random
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from edgeship import cache
from edgeship.codec import from_json, to_json
from edgeship_benchmarks.agent.facts import facts
from edgeship_benchmarks.intervals import trimmed_mean_interval

FOLDER = Path(__file__).parent / "records"


@dataclass(frozen=True)
class Ratio:
    """How many times longer the other took, by the rounds of one run; 1 round has no interval."""

    value: float
    low: float | None
    high: float | None
    rounds: int


@dataclass(frozen=True)
class Timed:
    """Ours and another, taking turns.

    Attributes:
        subject: what was worked on.
        ours, other: what was run, in words.
        ours_ms, other_ms: medians.
        ratio: other / ours; above 1, ours is faster.
        ours_bytes, other_bytes: of what came out; None where nothing does.
    """

    subject: str
    ours: str
    other: str
    ours_ms: float
    other_ms: float
    ratio: Ratio
    ours_bytes: int | None = None
    other_bytes: int | None = None


@dataclass(frozen=True)
class Part:
    """One part of the page.

    Attributes:
        code: hash of what was measured and of how.
        load: average of the last minute, before and after.
        left_out: what could not be measured, and why.
    """

    name: str
    date: str
    machine: Mapping[str, str]
    versions: Mapping[str, str]
    code: str
    rounds: int
    load: tuple[float, float]
    rows: tuple[Timed, ...]
    left_out: tuple[str, ...]


#: Seconds of a turn of each candidate, by its name.
Turns = Mapping[str, Callable[[], float]]


def taking_turns(candidates: Turns, rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each candidate in each round; in a round each has its turn, in an order that is drawn."""
    draw = random.Random(0)
    found: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(rounds):
        for name in draw.sample(sorted(candidates), len(candidates)):
            found[name].append(1e3 * candidates[name]())
    return found


def ratio(ours: Sequence[float], other: Sequence[float]) -> Ratio:
    """Of the rounds: trimmed mean of the logarithm of other / ours, with its 95 % interval."""
    logs = np.log(np.array(other) / np.array(ours))
    if len(logs) == 1:
        return Ratio(math.exp(logs[0]), None, None, 1)
    value, low, high = map(math.exp, trimmed_mean_interval(logs, 0.95))
    return Ratio(value, low, high, len(logs))


def timed(subject: str, ours: tuple[str, Sequence[float]], other: tuple[str, Sequence[float]]) -> Timed:
    """A row from the milliseconds of both, round by round."""
    medians = (statistics.median(ours[1]), statistics.median(other[1]))
    return Timed(subject, ours[0], other[0], *medians, ratio(ours[1], other[1]))


def code() -> str:
    """Hash of edgeship's code and of this package's, as they lie there now."""
    cache.code_version.cache_clear()
    digest = hashlib.sha256(cache.code_version().encode())
    for file in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def machine() -> dict[str, str]:
    """What stays of a machine."""
    found = facts()
    return {key: found[key] for key in ("cpu", "cores", "memory_mib", "os", "system") if key in found}


def take(name: str, rounds: int, measure: Callable[[int], tuple[Sequence[Timed], Sequence[str]]]) -> Part:
    """Measure a part and keep its record, unless somebody changed the code meanwhile: nothing would be in the cache."""
    before, measured = os.getloadavg()[0], code()
    rows, left_out = measure(rounds)
    if code() != measured:
        raise RuntimeError(f"{name}: the code changed while it was measured; take it again")
    load = (round(before, 2), round(os.getloadavg()[0], 2))
    versions = {**cache.versions(), "python": platform.python_version()}
    date = datetime.now(UTC).isoformat(timespec="minutes")
    part = Part(name, date, machine(), versions, measured, rounds, load, tuple(rows), tuple(left_out))
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{name}.json").write_text(to_json(part))
    return part


def read(name: str) -> Part | None:
    """The record of a part; None where there is none."""
    file = FOLDER / f"{name}.json"
    return from_json(Part, file.read_text()) if file.is_file() else None


def stands(part: Part | None, rounds: int) -> bool:
    """Whether a record is of this machine, of today's code, and of rounds enough."""
    if part is None or part.rounds < rounds or part.code != code():
        return False
    here = machine()
    return part.machine.get("cpu") == here.get("cpu") and part.machine.get("cores") == here.get("cores")
