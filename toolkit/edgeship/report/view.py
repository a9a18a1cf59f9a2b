"""What the pages show: the figures of a Report as rows of text, the same for Markdown and HTML. Draws nothing."""

from __future__ import annotations

import json
import math
import shlex
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from edgeship.errors import EdgeshipError
from edgeship.report.layers import layer_bytes
from edgeship.types import Artifact, Change, Emulation, Gate, Measurement, Report, Result

if TYPE_CHECKING:
    from edgeship_benchmarks.stats import Summary

Status = Literal["pass", "fail", "inconclusive", "UNVERIFIED"]

#: Gates of one status look alike everywhere; the sign carries the meaning where colour is not seen.
SIGNS = {"pass": "✓", "fail": "✕", "inconclusive": "?", "UNVERIFIED": "!"}

DASH = "–"  # noqa: RUF001 - the typographer's dash for "no value"


@dataclass(frozen=True)
class Timing:
    """A measurement with its statistics."""

    measurement: Measurement
    summary: Summary

    @property
    def text(self) -> str:
        """`0.31 ms [0.30, 0.32]`: the median and its 95 % interval."""
        interval = self.summary.interval_ms
        tail = f" [{digits(interval[0])}, {digits(interval[1])}]" if interval else ""
        return f"{digits(self.summary.median_ms)} ms{tail}"

    @property
    def interval(self) -> tuple[float, float]:
        """The median's interval; the median alone where there are too few samples for one."""
        return self.summary.interval_ms or (self.summary.median_ms, self.summary.median_ms)

    @property
    def runtime(self) -> str:
        """The runtime, and more threads than one.

        That its GPU is none belongs to its name, because such a time says nothing about any GPU.
        """
        return self._marked(self.measurement.engine)

    @property
    def where(self) -> str:
        """Runtime, target, threads and provenance, without which a latency means nothing."""
        m = self.measurement
        threads = "1 thread" if m.threads == 1 else f"{m.threads} threads"
        return f"{self._marked(m.runtime)} on {m.target}, {threads}, {m.provenance}"

    def _marked(self, runtime: str) -> str:
        return f"{runtime} (software GPU)" if self.measurement.on_software_gpu else runtime


@dataclass(frozen=True)
class Row:
    """One artifact with all that was found about it."""

    artifact: Artifact
    status: Status
    metric: float | None
    drop: Gate | None
    gates: tuple[Gate, ...]
    timings: tuple[Timing, ...]
    sized: Measurement | Emulation | None
    best: bool

    @property
    def label(self) -> str:
        """The name under which the artifact is shown everywhere; a file that was not verified says so."""
        return self.artifact.id + (" UNVERIFIED" if self.status == "UNVERIFIED" else "")

    @property
    def compressed(self) -> tuple[int, int, int] | None:
        """Bytes after gzip, brotli and zstd, where they were measured."""
        found = self.sized
        return (found.gzip_bytes, found.brotli_bytes, found.zstd_bytes) if found else None

    @property
    def wire_bytes(self) -> int | None:
        """Bytes as delivered, where they were measured; see `Measurement.wire_bytes`."""
        return self.sized.wire_bytes if self.sized else None

    @property
    def size_text(self) -> str:
        """`98,464 B (77,786 B compressed)`: as it is, and as it is delivered where that was measured."""
        wire = f" ({self.wire_bytes:,} B compressed)" if self.wire_bytes is not None else ""
        return f"{self.artifact.size_bytes:,} B{wire}"


@dataclass(frozen=True)
class Verdict:
    """The first thing a reader sees."""

    status: Literal["pass", "fail", "mixed"]
    headline: str
    sentences: tuple[str, ...]


@dataclass(frozen=True)
class Layers:
    """Sizes by layer of one artifact, or the reason why there are none."""

    row: Row
    sizes: tuple[tuple[str, int], ...]
    problem: str = ""


def rows(report: Report) -> tuple[Row, ...]:
    """All artifacts in the report's order."""
    found = []
    for row in measured_rows(report.artifacts, report.measurements, report.emulations):
        artifact = row.artifact
        gates = tuple(g for g in report.gates if g.artifact == artifact.id)
        drops = [g for g in gates if g.name == "metric"]
        predicted = [p for key, p in report.predictions.items() if artifact_of(key) == artifact.id]
        metrics = [p for p in predicted if p.metric is not None]
        # Several runtimes: the one that saw most samples speaks for the file, the worst drop is the one that counts.
        metric = max(metrics, key=lambda p: p.n).metric if metrics else None
        drop = max(drops, key=lambda g: (not g.accepted, g.value)) if drops else None
        best = report.best is not None and report.best.id == artifact.id
        word = status(artifact, gates)
        found.append(replace(row, status=word, metric=metric, drop=drop, gates=gates, best=best))
    return tuple(found)


def artifact_of(prediction_key: str) -> str:
    """`tflite/int8` of `tflite/int8 litert`."""
    return prediction_key.partition(" ")[0]


def status(artifact: Artifact, gates: Sequence[Gate]) -> Status:
    """One word for an artifact; the worst of its gates."""
    if artifact.verification == "UNVERIFIED":
        return "UNVERIFIED"
    if artifact.verification == "passed":
        return "pass"
    found = {g.status for g in gates if not g.accepted}
    return "inconclusive" if found == {"inconclusive"} else "fail"


def verdict(report: Report, table: Sequence[Row]) -> Verdict:
    """Did it work, and what should be used."""
    total = len(table)
    count = {s: sum(r.status == s for r in table) for s in SIGNS}
    passed = count["pass"]
    asked = [f for f in report.failures if f.asked_by_name]
    files = "file" if total == 1 else "files"
    if total == 0:
        headline = "Nothing was exported"
    elif passed == total:
        headline = f"The {files} passed" if total == 1 else f"All {total} {files} passed"
    else:
        headline = f"{passed if passed else 'None'} of {total} {files} passed"
    good: Literal["pass", "mixed"] = "pass" if passed == total and not asked else "mixed"
    sentences = []
    others = {
        "fail": "failed a gate",
        "inconclusive": "could not be told from failing with this many samples",
        "UNVERIFIED": "could not be verified and should not be used",
    }
    sentences += [f"{count[s]} {text}." for s, text in others.items() if count[s]]
    if report.failures:
        n = len(report.failures)
        sentences.append(f"{n} {'step' if n == 1 else 'steps'} did not finish; see the failures below.")
    if report.dataset is None:
        sentences.append("No data was given, so accuracy was not measured.")
    return Verdict(good if passed else "fail", headline, tuple(sentences))


def measured_rows(
    artifacts: Iterable[Artifact], measurements: Sequence[Measurement], emulations: Sequence[Emulation]
) -> tuple[Row, ...]:
    """Artifacts of which nothing but what targets gave is looked at."""
    from edgeship_benchmarks import stats

    found = []
    for artifact in artifacts:
        timings = tuple(Timing(m, stats.summary(m)) for m in measurements if m.artifact == artifact.id)
        targets: tuple[Measurement | Emulation, ...] = (*measurements, *emulations)
        sized = next((row for row in targets if row.artifact == artifact.id), None)
        found.append(Row(artifact, status(artifact, ()), None, None, (), timings, sized, best=False))
    return tuple(found)


def devices(targets: Sequence[Result]) -> dict[str, dict[str, str]]:
    """What each target said about itself, by `name (provenance)`; facts that differ between measurements are listed."""
    found: dict[str, dict[str, list[str]]] = {}
    for device in (row.device for row in targets):
        facts = found.setdefault(f"{device.name} ({device.provenance})", {})
        for key, value in device.facts.items():
            if value not in facts.setdefault(key, []):
                facts[key].append(value)
    return {name: {key: _listed(values) for key, values in facts.items()} for name, facts in found.items()}


def _listed(values: Sequence[str]) -> str:
    return ", ".join(values) if len(values) <= 3 else f"{values[0]} … {values[-1]} ({len(values)} values)"


def layers(row: Row) -> Layers:
    """Sizes by layer of an artifact; a file that cannot be read gives the reason instead."""
    try:
        return Layers(row, tuple((clean(name), size) for name, size in layer_bytes(row.artifact)))
    except EdgeshipError as error:
        return Layers(row, (), clean(error.message))


def in_percent(report: Report) -> bool:
    """Whether the metric is a share, shown in percent: its drops are then in points."""
    return any(g.name == "metric" and g.unit == "points" for g in report.gates)


def metric_text(value: float | None, *, percent: bool) -> str:
    """A metric for a table: `85.04 %` or four digits."""
    if value is None or not math.isfinite(value):
        return DASH if value is None else "NaN"
    return f"{100 * value:.2f} %" if percent else f"{value:.4g}"


def metric_title(report: Report) -> str:
    """The metric's name for a heading; those of the user stay as they are."""
    known = {"accuracy": "Accuracy", "auc": "AUC", "mse": "MSE", "miou": "mIoU", None: "Metric"}
    return known.get(report.metric, str(report.metric))


def drop_text(gate: Gate | None, *, unit: bool = True) -> str:
    """`+0.10 [-0.20, +0.40] points`; positive is worse than the original."""
    if gate is None:
        return DASH
    interval = f" [{signed(gate.interval[0])}, {signed(gate.interval[1])}]" if gate.interval else ""
    return f"{signed(gate.value)}{interval}" + (f" {gate.unit}" if unit else "")


def change_text(change: Change) -> str:
    """`+0.10 [-0.20, +0.40]`; positive is worse."""
    return f"{signed(change.value)} [{signed(change.interval[0])}, {signed(change.interval[1])}]"


def signed(value: float) -> str:
    """Two decimals with a sign; a proper minus, so that columns align."""
    return f"{round(value, 2) + 0.0:+.2f}".replace("-", "−")  # noqa: RUF001 - U+2212 is as wide as the plus


def digits(value: float, count: int = 3) -> str:
    """A positive number with so many significant digits, never in scientific notation."""
    if not math.isfinite(value) or value <= 0:
        return f"{value:g}"
    decimals = max(0, count - 1 - math.floor(math.log10(value)))
    return f"{value:.{decimals}f}"


def kilobytes(size: float) -> str:
    """Bytes for an axis or a headline: `98.5 kB` (kB = 1,000 bytes)."""
    for unit, scale in (("MB", 1e6), ("kB", 1e3)):
        if size >= scale:
            return f"{digits(size / scale) if size < 1000 * scale else f'{size / scale:,.0f}'} {unit}"
    return f"{size:,.0f} B"


def gate_value(gate: Gate) -> str:
    """The value of any gate, in its unit."""
    if gate.name == "metric":
        return drop_text(gate)
    interval = f" [{gate.interval[0]:.4g}, {gate.interval[1]:.4g}]" if gate.interval else ""
    return f"{gate.value:.4g}{interval} {gate.unit}"


def best_text(table: Sequence[Row]) -> str:
    """The file to use, in one line; empty if none passed."""
    row = next((r for r in table if r.best), None)
    if row is None:
        return ""
    parts = [row.size_text]
    parts += [f"{digits(t.summary.median_ms)} ms ({t.measurement.provenance})" for t in row.timings[:1]]
    if row.drop is not None:
        parts.append(f"drop {drop_text(row.drop)}")
    return f"Smallest passing file: {row.artifact.id}, {', '.join(parts)}"


def ratio_text(report: Report, table: Sequence[Row]) -> str:
    """How much smaller the best file is than the float32 file of its format, where there is one, as it was chosen."""
    best = report.best
    full = next((r.artifact for r in table if best and r.artifact.id == f"{best.format}/float32"), None)
    if best is None or full is None or full.id == best.id or not best.size_bytes:
        return ""
    sizes = report.compared_bytes((best, full))
    return f"{sizes[full.id] / sizes[best.id]:.1f}× smaller than {full.id}"  # noqa: RUF001 - the multiplication sign


def command_text(report: Report) -> str:
    """The command line, quoted for a POSIX shell, or the Python expression (see `Report.command`)."""
    return report.command[0] if len(report.command) == 1 else shlex.join(report.command)


def recipe_text(report: Report) -> str:
    """The recipe as JSON, which YAML also reads: saved to a file it can be given to --recipe."""
    return json.dumps(report.recipe, indent=2, allow_nan=False)


def share(value: float, values: Iterable[float]) -> str:
    """A value relative to the largest of `values`, as a CSS percentage for a bar in a table cell."""
    largest = max(values, default=0.0)
    return f"{100 * value / largest:.1f}%" if largest > 0 and math.isfinite(value) else "0%"


def clean(text: object) -> str:
    """Text from outside, fit to be shown: what is invisible or turns the writing direction is spelled out.

    Line breaks and tabs become spaces; other control, format, surrogate and unassigned characters become their code.
    """
    return "".join(_visible(c) for c in str(text))


def clean_lines(text: object) -> str:
    """As `clean`, but line breaks stay."""
    return "\n".join(clean(line) for line in str(text).splitlines())


def _visible(character: str) -> str:
    if character in "\n\r\t\v\f":
        return " "
    if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"):
        return f"\\u{ord(character):04x}"
    return character
