"""docs/compression-results.md and its plot, from the records."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgeship.files import write_text
from tests.acceptance.compression import goals, plot, records
from tests.acceptance.compression.catalogue import METHODS, YARDSTICK
from tests.acceptance.compression.code import ROOT
from tests.acceptance.compression.records import Record
from tests.acceptance.compression.tasks import FRONT_TASK, TASKS

DOCS = ROOT / "docs"
_INTRO = """# Compression, measured

Made from the records in `tests/acceptance/compression/records/` by `python -m tests.acceptance.compression --table`;
do not edit. `make acceptance` runs what is missing or stale.

How: every method starts from the same trained base and sees the same division of the training data; what it chooses, it
chooses on the validation part. The numbers in our recipes are the same for all tasks; some of them were set in view of
this page's results for cifar10. A file's own training takes at most 30 epochs; the short runs of a sweep, and of a
choice between branches, come on top and are in its record. Each file is run in its own runtime (LiteRT; ONNX Runtime
for .onnx) on all test samples. The drop is paired with the base on the same samples, in points, with its 95 % interval;
of several seeds (cifar10 only) the mean, with the widest ends. Milliseconds are as times of the yardstick's (plain int8
by TensorFlow's converter), one thread, both taking turns in one run. Goals, the front and what is compared with it take
each method at the mean of its seeds. Rows with a dagger (†), and goals so called, are stale: code that determines them
has changed since. Where only the converter has changed, what was trained is not trained again: its bytes are of the
commit that its record names."""


def write(folder: Path = records.FOLDER, docs: Path = DOCS) -> None:
    """Write the page and the plot."""
    kept = records.read(folder)
    write_text(docs / "compression-results.md", page(kept))
    ours, peers = goals.sides(kept)
    if ours and peers:
        write_text(docs / "compression-front.svg", plot.front(ours, peers, _base(kept, FRONT_TASK)))


def page(kept: Sequence[Record]) -> str:
    """Markdown."""
    parts = [_INTRO, "", *_goals(kept)]
    ours, peers = goals.sides(kept)
    if ours and peers:
        parts += ["## Accuracy and bytes on the wire", "", "![Accuracy against bytes](compression-front.svg)", ""]
        parts += [*_wins(ours, peers, goals.missing_peers(kept))]
    for task in TASKS:
        parts += _task(kept, task)
    parts += _failures(kept)
    return "\n".join(parts).rstrip() + "\n"


def _base(kept: Sequence[Record], task: str) -> Record:
    return next(r for r in kept if r.task == task and r.method == "base")


def _goals(kept: Sequence[Record]) -> list[str]:
    words = {True: "met", False: "**not met**", None: "open"}
    rows = [f"| {g.name} | {words[g.met]} | {g.found} |" for g in goals.check(kept, TASKS)]
    return ["## Goals", "", "| goal | | found |", "|---|---|---|", *rows, ""]


def _wins(ours: Sequence[Record], peers: Sequence[Record], lacking: Sequence[str]) -> list[str]:
    """Where a peer is ahead, and which peers nothing is known of yet."""
    open_ones = [f"Not in this comparison yet: {', '.join(lacking)}.", ""] if lacking else []
    return [*_ahead(ours, peers), *open_ones]


def _ahead(ours: Sequence[Record], peers: Sequence[Record]) -> list[str]:
    won = [p for p in goals.front(goals.points(peers)) if goals.unmatched(p, goals.points(ours))]
    if not won:
        each = "For each peer that keeps half of the base's accuracy"
        return [f"{each} one of our recipes is no larger in the mean, nor less accurate beyond the interval.", ""]
    named = ", ".join(f"{p.method} ({p.size:,.0f} B, {p.accuracy:.2%})" for p in won)
    return [f"Where a peer wins, because none of our files is as small and as accurate: {named}.", ""]


def _task(kept: Sequence[Record], task: str) -> list[str]:
    here = [r for r in kept if r.task == task]
    bases = [r for r in here if r.method == "base"]
    if not bases:
        return []
    base = bases[0]
    about = f"Base: {base.accuracy:.2%} on {base.n:,} test samples, {_parameters(base)} parameters."
    columns = "method | brotli | bytes | gzip | accuracy | drop [95 %] | ms / yardstick's [95 %] | epochs | seeds"
    parts = [f"## {task}", "", about, "", f"| {columns} |"]
    parts += ["|---|--:|--:|--:|--:|--:|--:|--:|--:|"]
    groups = {name: [r for r in here if r.method == name and not r.failure] for name in METHODS}
    shown = [group for group in groups.values() if group]
    parts += [_row(group) for group in sorted(shown, key=lambda g: -float(np.mean([r.sizes["brotli"] for r in g])))]
    return [*parts, ""]


def _parameters(base: Record) -> str:
    return f"{int(base.settings['parameters']):,}"


def _row(group: Sequence[Record]) -> str:
    first = group[0]
    name = f"**{first.method}**" if METHODS[first.method].ours else first.method
    name = "tf-int8 (yardstick)" if first.method == YARDSTICK else name
    name += _tried(first)
    name += " †" if any(r.stale for r in group) else ""
    name += " (its own gate fails)" if any(r.gate not in ("", "pass") for r in group) else ""
    sizes = [f"{np.mean([r.sizes[way] for r in group]):,.0f}" for way in ("brotli", "raw", "gzip")]
    low, high = min(r.interval[0] for r in group), max(r.interval[1] for r in group)
    drop = f"{goals.mean_drop(group):+.2f} [{low:+.2f}, {high:+.2f}]"
    cells = [name, *sizes, f"{np.mean([r.accuracy for r in group]):.2%}", drop, _speed(group)]
    return f"| {' | '.join([*cells, str(max(r.epochs for r in group)), str(len(group))])} |"


def _tried(record: Record) -> str:
    """What has to be known of a sweep to read the row."""
    failed = sum("failed" in row for row in record.sweep)
    said = f" ({failed} of {len(record.sweep)} candidates failed)" if failed else ""
    best = max((float(row.get("validation", 0)) for row in record.sweep), default=0.0)
    if record.accuracy == 0 < best:
        said += f" (outputs that are no numbers: none is right here, its own sweep counted {best:.2%})"
    return said


def _speed(group: Sequence[Record]) -> str:
    timed = [r.latency for r in group if r.latency]
    if not timed:
        return ""
    ratio = float(np.exp(np.mean(np.log([t.ratio for t in timed]))))
    intervals = [t.ratio_interval for t in timed if t.ratio_interval]
    ends = f" [{min(i[0] for i in intervals):.2f}, {max(i[1] for i in intervals):.2f}]" if intervals else ""
    return f"{ratio:.2f}{ends}" + ("" if timed[0].runtime == "litert" else f" {timed[0].runtime}")


def _failures(kept: Sequence[Record]) -> list[str]:
    failed = [r for r in kept if r.failure]
    if not failed:
        return []
    rows = [f"| {r.task} | {r.method} | {r.failure.splitlines()[0][:300].replace('|', '/')} |" for r in failed]
    return ["## What could not be made", "", "| task | method | why |", "|---|---|---|", *rows, ""]
