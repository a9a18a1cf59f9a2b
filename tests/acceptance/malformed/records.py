"""What became of blocks of damaged files: one line of JSON for each block, and the page made of them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edgeship.codec import from_json, to_data
from edgeship.files import write_text
from tests.acceptance.compression.code import ROOT, digest
from tests.acceptance.malformed.trial import LIMITS, PARENT_LIMITS, Outcome

FILE = Path(__file__).parent / "records.jsonl"
PAGE = ROOT / "docs" / "malformed-files.md"
#: Seeds in a block.
BLOCK = 250
#: What outcomes depend on, beside versions of libraries.
_CODE = (
    Path(__file__).parent,
    *(ROOT / "toolkit" / "edgeship" / name for name in ("source", "inspection", "edgetpu", "usage")),
    *(ROOT / "toolkit" / "edgeship" / name for name in ("artifact.py", "child.py", "pipeline/snapshot.py")),
    *(ROOT / "benchmarks" / "edgeship_benchmarks" / name for name in ("agent", "runtimes", "session.py", "node.py")),
)
_CHILD = ("ChildCrashed", "ChildTimeout", "ChildOutOfMemory")


@dataclass(frozen=True)
class Record:
    """One block of seeds.

    Attributes:
        key: hash of the code that was run.
        counts: `suffix question status` -> files.
        telling: messages of faults and of children that died, with the seed.
    """

    block: int
    key: str
    counts: dict[str, int] = field(default_factory=dict)
    telling: tuple[str, ...] = ()
    seconds: float = 0.0


def key() -> str:
    """Hash of the code that determines outcomes."""
    files = [path for place in _CODE for path in ([place] if place.is_file() else place.rglob("*.py"))]
    return digest(files)[:16]


def of(block: int, made_by: str, found: Iterable[tuple[int, str, Sequence[Outcome]]], seconds: float) -> Record:
    """The record of a block from what became of its seeds: (seed, file, outcomes)."""
    counts: Counter[str] = Counter()
    telling = []
    for seed, name, outcomes in found:
        for outcome in outcomes:
            counts[f"{Path(name).suffix} {outcome.question} {outcome.status}"] += 1
            if outcome.status == "FAULT" or outcome.status in _CHILD:
                first = outcome.message.partition("\n")[0][:200]
                telling.append(f"{seed} {name} {outcome.question} {outcome.status}: {first}")
    return Record(block, made_by, dict(sorted(counts.items())), tuple(telling), round(seconds, 1))


def read() -> list[Record]:
    """All records, by block."""
    lines = FILE.read_text().splitlines() if FILE.is_file() else []
    return sorted((from_json(Record, line) for line in lines), key=lambda record: record.block)


def write(record: Record) -> None:
    """Keep a record; an older one of the same block goes."""
    kept = [other for other in read() if other.block != record.block] + [record]
    lines = [json.dumps(to_data(one), separators=(",", ":")) for one in sorted(kept, key=lambda r: r.block)]
    write_text(FILE, "\n".join(lines) + "\n")


def page() -> None:
    """Write docs/malformed-files.md."""
    found = read()
    total: Counter[str] = Counter()
    for record in found:
        total.update(record.counts)
    rows = sorted({tuple(name.split(" ")[:2]) for name in total})
    statuses = sorted(
        {name.split(" ")[2] for name in total}, key=lambda s: (s == "FAULT", s in _CHILD, s != "answered")
    )
    table = [f"| file | asked | {' | '.join(statuses)} |", "|---|---|" + "--:|" * len(statuses)]
    for suffix, question in rows:
        cells = [str(total.get(f"{suffix} {question} {status}", "")) for status in statuses]
        table.append(f"| `{suffix}` | {question} | {' | '.join(cells)} |")
    stale = sum(record.key != key() for record in found)
    if any(question == "parent" for _, question in rows):
        table[:0] = [_PARENT.format(seconds=PARENT_LIMITS.seconds, gib=(PARENT_LIMITS.memory_mib or 0) / 1024)]
    text = _INTRO.format(files=BLOCK * len(found), seconds=LIMITS.seconds, gib=(LIMITS.memory_mib or 0) / 1024)
    note = f"\n{stale} of {len(found)} blocks were run with older code.\n" if stale else ""
    write_text(PAGE, text + "\n".join(table) + "\n" + note)


_PARENT = """`parent` is what `verify`, `predict`, `benchmark`, `build` and `convert` read of a file before any child
has it. It was bounded here too, to {seconds:g} s and {gib:g} GiB, and its death would be a `FAULT`.
"""

_INTRO = """# Malformed files

Made from `tests/acceptance/malformed/records.jsonl` by `python -m tests.acceptance.malformed --table`; do not edit.

Sound models of every kind were damaged in {files:,} ways, each from a seed: bytes flipped, cut, moved, repeated and
taken from other files; fields of the flatbuffer, the protocol buffer, the JSON and the HDF5 file removed, repeated or
set to extremes: sizes that no machine has, paths that lead out of the folder, code, nesting without end. Each file was
then taken apart (`describe`: `edgeship inspect`), read as the model of a build (`read`), and opened and run in its
runtime. A child has {seconds:g} s and {gib:g} GiB for each; it is kept until it dies.

`answered`: the damage did no harm, or none that can be told from another model. The others are the errors that a user
gets (see [exit codes](cli.md)). Where a child died, the parent went on with a fresh one. `FAULT` would be an error that
says nothing of use, or a crash of edgeship itself.

"""
