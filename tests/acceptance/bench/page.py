"""Records -> docs/benchmarks.md."""

from __future__ import annotations

from tests.acceptance.bench import records
from tests.acceptance.bench.records import Part, Timed

_INTRO = """# Benchmarks of edgeship itself

Made by `make bench` from its records in `tests/acceptance/bench/records/`; do not edit. It takes what is missing, in
about ten minutes on a quiet machine; `python -m tests.acceptance.bench --again` takes all.

Within a part the candidates took turns in one run, in an order that was drawn, so that their ratio is free of what the
machine did meanwhile; milliseconds of different parts are not comparable. A ratio is the other's time over ours, with
its 95 % interval: above 1, edgeship is faster.
"""
#: Part -> its heading, and what was measured, in words.
HEADINGS = {
    "startup": """## Start of the command line

Whole processes, against a Python that only imports click and rich, which any such command line does. NumPy and
TensorFlow are not imported before a command needs them.
""",
    "cache": """## What the cache saves

The same command twice, into two folders: with an empty cache, and with what the first run left there. `convert`
verifies the files; `demo` trains a small network, makes, verifies and measures ten files, and writes the report. No
cache saves the measuring.
""",
    "conversions": """## TFLite and ONNX beside the official converters

Conversion: from the Keras file to the written model, each side in a process that has imported everything and has
converted the model once before. int8: both with 100 calibration samples, integer inputs and outputs. Inference: both
files interleaved in one runtime, one thread, six starts of each.
""",
    "tfjs": """## TF.js beside the official converter

`tensorflowjs` 4.22 lives in an environment of its own. It reads no Keras 3 file: its way is to load the model, export a
SavedModel and convert that. The rest as above; inference in TF.js's WebAssembly in Node.
""",
}


def page() -> str:
    """The text of docs/benchmarks.md."""
    parts = [_INTRO]
    for name, heading in HEADINGS.items():
        part = records.read(name)
        parts.append(heading)
        parts.append("Not measured yet.\n" if part is None else _part(part))
    return "\n".join(parts)


def _part(part: Part) -> str:
    facts = part.machine
    versions = ", ".join(f"{name} {part.versions[name]}" for name in _named(part) if name in part.versions)
    where = f"{facts.get('cpu', 'unknown processor')}, {facts.get('cores', '?')} cores, {facts.get('os', '')}"
    load = "load average {:.2f} before and {:.2f} after".format(*part.load)
    lines = [f"{part.date[:10]}, {where}; {versions}; {load}; {part.rounds} rounds.", ""]
    if part.rows:
        lines += ["| What | edgeship, ms | other, ms | the other | ratio [95 %] | bytes, ours / other |"]
        lines += ["|---|--:|--:|---|--:|--:|", *map(_row, part.rows), ""]
    lines += [f"Not measured: {reason}." for reason in part.left_out]
    return "\n".join(lines).rstrip() + "\n"


def _named(part: Part) -> tuple[str, ...]:
    more = {"conversions": ("tf2onnx", "ai-edge-litert", "onnxruntime"), "tfjs": ()}
    return ("python", *(("tensorflow",) if part.name != "startup" else ()), *more.get(part.name, ()))


def _row(row: Timed) -> str:
    found = row.ratio
    interval = "" if found.low is None or found.high is None else f" [{found.low:.2f}, {found.high:.2f}]"
    sizes = f"{row.ours_bytes:,} / {row.other_bytes:,}" if row.ours_bytes is not None else ""
    what = row.subject if row.ours in ("edgeship", row.subject) else f"{row.subject}: {row.ours}"
    cells = (what, _ms(row.ours_ms), _ms(row.other_ms), row.other, f"{found.value:.2f}{interval}", sizes)
    return f"| {' | '.join(cells)} |"


def _ms(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
