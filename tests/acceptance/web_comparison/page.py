"""docs/web-comparison.md from the records."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from statistics import median
from typing import Any

from tests.acceptance.web_comparison.measuring import SUBJECTS
from tests.acceptance.web_comparison.models import SETUPS

Record = dict[str, Any]
_SLOW = "10 Mbit/s, 40 ms"
_COLUMNS = (
    "wire, bytes",
    "cold, slow link",
    "warm, slow link",
    "cold",
    "warm",
    "offline",
    "steady, ms",
    "against best",
    "task, start",
    "task, predict",
    "same class",
    "accuracy",
)
#: The goals, as the project's plan has them.
_WIRE, _COLD, _STEADY, _TASK_MS = 0.5, 2.0, 1.03, 50
_OURS = tuple(subject for subject in SUBJECTS if subject.startswith("edgeship"))

_HEAD = """# Web packages beside the other ways

Made by `python -m tests.acceptance.web_comparison`; do not edit.

The same models in the same page, one after another in turns. Each is used as its own guide says, bundled by esbuild:
TF.js with the graph model of its official converter and its WebAssembly backend, ONNX Runtime Web and LiteRT.js with
files in float32, in the page's main thread; edgeship's packages with quantized weights, in their worker and, to tell
what a message to a worker and back costs, once without.

- **Wire**: bytes of content that a first visit was sent, with brotli (quality 11): scripts, WebAssembly, model.
- **Cold, warm**: milliseconds from navigation to the first prediction; nothing stored, and a second visit. The slow
  link is made by the server: 10 Mbit/s for all connections together, 40 ms before each answer and for each connection.
- **Offline**: the same with the server down, with the package's service worker for all of them; `-`: does not start.
- **Steady**: a prediction with its output read, mean of a round, all subjects loaded in one page and taking turns;
  against the best of the others in the same round, median over rounds (below 1: edgeship is faster).
- **Task**: longest task of the main thread until the first prediction, and while it predicts (Chromium only; 0: none
  over 50 ms).
- **Same class**: share of the samples with the class that TFLite in float32 gives; `accuracy`: share that is right.
"""


_REASONS = """
## Where a goal is missed, and why

The small path is for few bytes and early answers, the fast one for many predictions of larger models.

- The fast path brings 2 MB of LiteRT.js, whatever the model: beside the digits' 12 kB of weights that is all there is.
- The digits' first prediction on the small path: page, script, runtime and weights follow one another, and each waits
  40 ms for the link; 202 kB take 160 ms of it.
- The digits in a worker: a message there and back costs 0.2 ms, more than the model. `load({ worker: false })` computes
  in the page, as the others do.
"""


def text(records: Sequence[Record]) -> str:
    """The page. Medians over repeats."""
    parts = [_HEAD]
    for browser, model in dict.fromkeys((record["browser"], record["model"]) for record in records):
        found = [record for record in records if (record["browser"], record["model"]) == (browser, model)]
        parts += [f"\n## {model} in {browser.capitalize()}\n", *_noted(model), _about(found), "", *_table(found)]
        parts += ["", *_goals(found)]
    return "\n".join([*parts, _REASONS])


def _noted(model: str) -> list[str]:
    note = SETUPS[model].note
    return [*textwrap.wrap(note, 120), ""] if note else []


def _about(records: Sequence[Record]) -> str:
    loads = [record["load"] for record in records]
    repeats = len({record["repeat"] for record in records})
    last = records[-1]
    versions = ", ".join(f"{name} {version}" for name, version in last["versions"].items())
    return (
        f"{repeats} {'repeat' if repeats == 1 else 'repeats'} until {last['created'][:10]}; {last['browser_version']}; "
        f"{last['cpu']}; load average {min(loads):.1f} to {max(loads):.1f}; {versions}."
    )


def _table(records: Sequence[Record]) -> list[str]:
    steady = [record for record in records if record["kind"] == "steady"]
    lines = [
        f"| | {' | '.join(_COLUMNS)} |",
        f"|---|{'--:|' * len(_COLUMNS)}",
    ]
    for subject in SUBJECTS:
        starts = [record for record in records if record.get("subject") == subject]
        slow = [record for record in starts if record["link"] == _SLOW]
        near = [record for record in starts if record["link"] == "loopback"]
        observed = any(record["longest_task_ms"] is not None for record in starts)
        cells = [
            _number([record["wire_bytes"] for record in starts]),
            *(_number([record[name] for record in slow]) for name in ("cold_ms", "warm_ms")),
            *(_number([record[name] for record in near]) for name in ("cold_ms", "warm_ms", "offline_ms")),
            _number([rounds[subject] for record in steady for rounds in record["rounds_ms"]], ".2f"),
            _number(_against(steady, subject), ".2f"),
            _number([record["longest_task_ms"] for record in near]),
            _number([record["longest_task_ms"].get(subject) for record in steady] if observed else []),
            _number([record["agreement"][subject] for record in steady], ".2f"),
            _number([record["accuracy"][subject] for record in steady], ".2f"),
        ]
        lines.append(f"| {subject} | {' | '.join(cells)} |")
    return lines


def _goals(records: Sequence[Record]) -> list[str]:
    """The goals for each way of ours against the best of the others."""
    starts = [record for record in records if record["kind"] == "start"]
    steady = [record for record in records if record["kind"] == "steady"]
    others = [subject for subject in SUBJECTS if subject not in _OURS]

    def middle(subject: str, name: str, link: str) -> float:
        return float(median(r[name] for r in starts if (r["subject"], r["link"]) == (subject, link)))

    def best(name: str) -> float:
        return min(middle(subject, name, _SLOW) for subject in others)

    lines = [f"| goal | {' | '.join(_OURS)} |", f"|---|{'--:|' * len(_OURS)}"]
    wire = [middle(subject, "wire_bytes", _SLOW) / best("wire_bytes") for subject in _OURS]
    cold = [best("cold_ms") / middle(subject, "cold_ms", _SLOW) for subject in _OURS]
    ratio = [median(_against(steady, subject)) for subject in _OURS]
    task = [_longest(starts, steady, subject) for subject in _OURS]
    rows = (
        ("wire below half of the best other", [_said(f"{v:.0%}", v < _WIRE) for v in wire]),
        ("first prediction, cold, slow link: twice as early", [_said(f"{v:.1f}x", v >= _COLD) for v in cold]),
        ("steady within 3 % of the best other", [_said(f"{v:.2f}", v <= _STEADY) for v in ratio]),
        ("no task over 50 ms", ["-" if v is None else _said(f"{v:.0f} ms", v <= _TASK_MS) for v in task]),
    )
    return lines + [f"| {name} | {' | '.join(cells)} |" for name, cells in rows]


def _longest(starts: Sequence[Record], steady: Sequence[Record], subject: str) -> float | None:
    """The longest task, median over repeats, of starting or predicting; None where the browser does not tell."""
    beginning = [r["longest_task_ms"] for r in starts if (r["subject"], r["link"]) == (subject, "loopback")]
    if None in beginning:
        return None
    return max(median(beginning), median(record["longest_task_ms"][subject] for record in steady))


def _said(value: str, met: bool) -> str:
    return value if met else f"{value} (missed)"


def _against(steady: Sequence[Record], subject: str) -> list[float]:
    """The latency of a subject of ours by that of the best other one of the same round."""
    if subject not in _OURS:
        return []
    rounds = [rounds for record in steady for rounds in record["rounds_ms"]]
    return [found[subject] / min(ms for name, ms in found.items() if name not in _OURS) for found in rounds]


def _number(values: Sequence[float | None], form: str = ",.0f") -> str:
    known = [value for value in values if value is not None]
    return format(median(known), form) if known else "-"
