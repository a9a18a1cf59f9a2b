"""docs/fuzzing.md, from the records."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from edgeship.files import write_text
from tests.acceptance.compression.code import ROOT
from tests.acceptance.fuzz import records
from tests.acceptance.fuzz.catalogue import EXCLUDED, RULES
from tests.acceptance.fuzz.records import Record
from tests.acceptance.fuzz.runner import Outcome

PAGE = ROOT / "docs" / "fuzzing.md"
#: Share of models that have to be exported, by file.
GOALS = {
    "tflite/float32": 0.99,
    "onnx/float32": 0.99,
    "tfjs/float32": 0.97,
    "tflite/int8": 0.97,
}
#: Models with a layer that have to be accepted.
LEAST = 20
_STATUSES = ("silent", "mismatch", "broken", "unnamed", "refused")
_INTRO = """# Differential fuzzing

Made from the records in `tests/acceptance/fuzz/records/` by `python -m tests.acceptance.fuzz --table`; do not edit.

Each seed gives a random Keras model: branches, several inputs and outputs, shared layers, models within models, ids,
images, sequences and volumes, odd sizes, awkward paddings, strides, dilations and groups. Weights come from the seed;
they are scaled, and statistics set, on samples, so that what flows stays in range and differs from sample to sample.
A model whose outputs hang on what rounding does to its inputs, or hardly change, is not used. The structure is the same
on every machine; weights are too, but for the last digits of sums.

Every model goes through every format and variant of the pipeline. *Agrees*: the pipeline's own verification passed, and
so did a second comparison, on other samples, that shares no code with it. *Silent*: verified, yet wrong there, or the
loaded model differs from the one that was saved. *Mismatch*: verification found the file wrong, or that its runtime
does not run it, and said so. *Broken*: a crash, a hang, an untyped error. *Unnamed*: a typed error that names neither a
layer of the model nor its class. *Refused*: one that does. Whatever does not agree counts against the rate."""


def write(folder: Path = records.FOLDER, page_file: Path = PAGE) -> None:
    """Write the page."""
    write_text(page_file, page(records.read(folder), records.key()))


def page(kept: Sequence[Record], made_by: str) -> str:
    """Markdown."""
    models = [record for record in kept if not record.invalid]
    stale = sum(record.key != made_by for record in kept)
    about = f"{len(models):,} models; {len(kept) - len(models)} seeds gave none; {stale} records are of older code."
    parts = [_INTRO, "", about, "", *_rates(models), *_reasons(models), *_layers(models), *_excluded()]
    return "\n".join(parts).rstrip() + "\n"


def missed(kept: Sequence[Record]) -> list[str]:
    """The goals that these records do not reach, in words."""
    models = [record for record in kept if not record.invalid]
    found = []
    for name, goal in GOALS.items():
        good = sum(name in record.good for record in models)
        if good < goal * len(models):
            found.append(f"{name}: {good} of {len(models)} models agree, the goal is {goal:.0%}")
    having = {layer: sum(layer in record.layers for record in models) for layer in RULES}
    few = [f"{layer} ({count})" for layer, count in having.items() if count < LEAST]
    if few:
        found.append(f"fewer than {LEAST} models have {', '.join(few)}")
    statuses = Counter(outcome.status for record in models for outcome in record.bad.values())
    never = {name: statuses[name] for name in ("silent", "broken", "unnamed") if statuses[name]}
    return found + [f"{count} files are {name}" for name, count in never.items()]


def _rates(models: Sequence[Record]) -> list[str]:
    names = sorted({name for record in models for name in (*record.good, *record.bad)})
    parts = ["## Files", "", f"| file | models | agree | goal | {' | '.join(_STATUSES)} |"]
    parts.append("|---|--:|--:|--:|" + "--:|" * len(_STATUSES))
    for name in names:
        good = sum(name in record.good for record in models)
        counts = Counter(record.bad[name].status for record in models if name in record.bad)
        total = good + sum(counts.values())
        goal = f"{GOALS[name]:.0%}" if name in GOALS else ""
        cells = [name, str(total), f"{good / total:.1%}", goal, *(str(counts[s] or "") for s in _STATUSES)]
        parts.append(f"| {' | '.join(cells)} |")
    return [*parts, ""]


def reason(outcome: Outcome) -> str:
    """What failures of one cause have in common."""
    text = re.sub(r"\b[a-z0-9]+_\d+\b", "LAYER", outcome.message)
    text = re.sub(r"(?<![\w.])/\S+", "FILE", text)
    text = re.sub(r"-?\d+(\.\d+)?(e[+-]?\d+)?", "#", text)
    text = re.sub(r"\btflite/[a-z0-9#-]+|\bonnx/[a-z0-9#-]+|\btfjs/[a-z0-9#-]+", "FILE", text)
    return " ".join(text.split())[:160].replace("|", "/")


def _reasons(models: Sequence[Record]) -> list[str]:
    found: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    for record in models:
        for name, outcome in record.bad.items():
            found[name, outcome.status, reason(outcome)].append(record.seed)
    parts = ["## What did not agree, and why", "", "| file | status | models | such as seed | reason |"]
    parts.append("|---|---|--:|--:|---|")
    order = sorted(found.items(), key=lambda item: (item[0][0], _STATUSES.index(item[0][1]), -len(item[1])))
    parts += [f"| {name} | {s} | {len(seeds)} | {seeds[0]} | {why} |" for (name, s, why), seeds in order]
    return [*parts, ""]


def _layers(models: Sequence[Record]) -> list[str]:
    """For each layer how many models have it, and in how many the files with a goal agree."""
    parts = ["## Layers", "", f"| layer | models | {' | '.join(GOALS)} |", "|---|--:|" + "--:|" * len(GOALS)]
    for layer in sorted(RULES):
        having = [record for record in models if layer in record.layers]
        few = "" if len(having) >= LEAST else f" (fewer than {LEAST})"
        rates = [f"{sum(name in r.good for r in having) / len(having):.0%}" if having else "" for name in GOALS]
        parts.append(f"| {layer} | {len(having)}{few} | {' | '.join(rates)} |")
    return [*parts, ""]


def _excluded() -> list[str]:
    rows = [f"| {name} | {why} |" for name, why in EXCLUDED.items()]
    return ["## Layers that are left out", "", "| layer | why |", "|---|---|", *rows]
