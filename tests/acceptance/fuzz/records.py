"""Results, one line of JSON for each model, in a file for each block of seeds."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edgeship.codec import from_json, to_data
from edgeship.files import write_text
from tests.acceptance.compression.code import ROOT, digest
from tests.acceptance.fuzz.runner import Outcome, Result

FOLDER = Path(__file__).parent / "records"
#: Seeds in a file; a shard takes whole blocks, so that no two write the same file.
BLOCK = 50
_TOOLKIT = ROOT / "toolkit" / "edgeship"
#: What a result depends on.
_CODE = (
    ROOT / "converters",
    ROOT / "benchmarks" / "edgeship_benchmarks" / "agent",
    Path(__file__).parent,
    *(_TOOLKIT / name for name in ("verify.py", "source", "compress/quantize/bias.py", "compress/graph/folded.py")),
)


@dataclass(frozen=True)
class Record:
    """One model, as it is kept.

    Attributes:
        key: hash of the code that made it; another one now means that it is stale.
        good: ids of files that agree.
        bad: what became of the others.
    """

    seed: int
    key: str
    layers: tuple[str, ...] = ()
    good: tuple[str, ...] = ()
    bad: dict[str, Outcome] = field(default_factory=dict)
    invalid: str = ""
    seconds: float = 0.0


def key() -> str:
    """Hash of the code that determines results, but not of the records beside it."""
    files = [path for place in _CODE for path in ([place] if place.is_file() else place.rglob("*.py"))]
    return digest(files)[:16]


def of(result: Result, made_by: str) -> Record:
    """A result as it is kept."""
    good = tuple(name for name, outcome in result.outcomes.items() if outcome.status == "agrees")
    bad = {name: outcome for name, outcome in result.outcomes.items() if outcome.status != "agrees"}
    return Record(result.seed, made_by, result.layers, good, bad, result.invalid, result.seconds)


def read(folder: Path = FOLDER) -> list[Record]:
    """All records, by seed."""
    lines = [line for file in sorted(folder.glob("*.jsonl")) for line in file.read_text().splitlines()]
    return sorted((from_json(Record, line) for line in lines), key=lambda record: record.seed)


def write(record: Record, folder: Path = FOLDER) -> None:
    """Keep a record; an older one of the same seed goes."""
    file = folder / f"{record.seed // BLOCK * BLOCK:05}.jsonl"
    kept = [from_json(Record, line) for line in file.read_text().splitlines()] if file.is_file() else []
    kept = [other for other in kept if other.seed != record.seed] + [record]
    lines = [json.dumps(to_data(one), separators=(",", ":")) for one in sorted(kept, key=lambda r: r.seed)]
    write_text(file, "\n".join(lines) + "\n")


def due(models: int, shard: tuple[int, int], made_by: str, kept: Iterable[Record]) -> Sequence[int]:
    """Seeds below `models` of a shard (index, count) that have no record of today's code."""
    index, count = shard
    done = {record.seed for record in kept if record.key == made_by}
    return [seed for seed in range(models) if seed // BLOCK % count == index and seed not in done]
