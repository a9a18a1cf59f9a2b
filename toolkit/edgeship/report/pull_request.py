"""A build, and what it changed against a baseline, as one Markdown page for a pull request.

Names, labels and messages may come from anybody who opens one: they are escaped as in `report.md`. Pages have an
end: GitHub refuses comments of more than 65,536 characters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgeship.baselines.changes import Comparison, FileChange
from edgeship.report import page, results, view
from edgeship.report.slices import drop_text, number, p_text
from edgeship.report.view import DASH, Row
from edgeship.types import Gate, Report, SliceRow

#: Rows of each table; what is left out is counted.
MOST_ROWS = 30
#: Characters of a page: what GitHub takes as a comment, and some for what is put around it.
MOST_CHARACTERS = 60_000
_LONGEST_CELL = 300
MARKS = {"regression": "❌", "improvement": "🟢", "allowed": "⚠️"}


@dataclass(frozen=True)
class Line:
    """One file: cells of the table, and whether something of it is worse."""

    cells: tuple[str, ...]
    worse: bool


@dataclass(frozen=True)
class Table:
    """Rows that are shown, and how many are not."""

    rows: tuple[tuple[str, ...], ...]
    more: int


def summary(report: Report, comparison: Comparison | None) -> str:
    """The page.

    Args:
        report: of the new build.
        comparison: with the baseline; None: without one.
    """
    for most in (MOST_ROWS, 10, 3):
        text = _page(report, comparison, most)
        if len(text) <= MOST_CHARACTERS:
            return text
    return text[:MOST_CHARACTERS] + "\n\n"


def _page(report: Report, comparison: Comparison | None, most: int) -> str:
    table = view.rows(report)
    changes = {change.artifact: change for change in comparison.files} if comparison is not None else {}
    lines = [_line(row, changes.get(row.artifact.id), percent=view.in_percent(report)) for row in table]
    gone = [_gone(change) for change in changes.values() if change.there == "gone"]
    ranked = sorted((*lines, *gone), key=lambda line: not line.worse)
    content = {
        "report": report,
        "verdict": view.verdict(report, table),
        "best_text": view.best_text(table),
        "comparison": comparison,
        "headline": headline(report, comparison),
        "files": _table([line.cells for line in ranked], most),
        "gates": _table([_gate(gate) for gate in report.gates if not gate.accepted], most),
        "fallen": _table(_fallen(comparison), most),
        "failures": _table([(f.artifact, f.stage, f.message) for f in report.failures if f.asked_by_name], most),
        "percent": view.in_percent(report),
    }
    return page.render_markdown("pull_request.md.j2", content)


def headline(report: Report, comparison: Comparison | None) -> str:
    """The first line: does it pass, and what is worse."""
    refused = sum(not gate.accepted for gate in report.gates)
    worse = comparison.regressions if comparison is not None else 0
    failed = sum(failure.asked_by_name for failure in report.failures)
    broken = refused or failed or report.best is None or (comparison is not None and not comparison.passed)
    said = [f"{refused} {'gate' if refused == 1 else 'gates'} not passed"] if refused else ["all gates passed"]
    if failed:
        said.append(f"{failed} {'step' if failed == 1 else 'steps'} failed")
    if comparison is not None:
        said.append(f"{worse} {'regression' if worse == 1 else 'regressions'}" if worse else "no regression")
        if comparison.untold:
            said.append(f"metric not compared: {comparison.untold} of {len(comparison.files)} files")
    return f"{'❌' if broken else '✅'} {report.name}: {', '.join(said)}"


def _line(row: Row, change: FileChange | None, *, percent: bool) -> Line:
    """File, gates, metric, drop from the original, change against the baseline, bytes, time."""
    metric = view.metric_text(row.metric, percent=percent)
    size = f"{(row.wire_bytes if row.wire_bytes is not None else row.artifact.size_bytes):,}"
    time = "; ".join(f"{timing.text} ({timing.where})" for timing in row.timings) or DASH
    against = DASH
    if change is not None and change.there == "both":
        against = _metric_change(change)
        size += _exact(change, row)
        time += "".join(_time(change))
    elif change is not None:
        against = "new"
    worse = (change is not None and change.regressions > 0) or row.status != "pass"
    mark = "❌ " if worse else ""
    gates = f"{view.SIGNS[row.status]} {row.status}"
    return Line((mark + row.label, gates, metric, view.drop_text(row.drop), against, size, time), worse)


def _gone(change: FileChange) -> Line:
    said = "cannot be made any more" if change.worse else "not made this time"
    return Line((("❌ " if change.worse else "") + change.artifact, said, *(DASH,) * 5), change.worse)


def _metric_change(change: FileChange) -> str:
    found = change.metric
    if found is None:
        return DASH
    if found.change is None:
        return f"{found.verdict}: {found.how}"
    mark = MARKS.get(found.verdict, "")
    return f"{mark} {view.change_text(found.change)}: {found.verdict}".strip()


def _exact(change: FileChange, row: Row) -> str:
    """How the bytes that are shown changed."""
    wanted = "compressed size" if row.wire_bytes is not None else "size"
    known = {item.figure: item for item in change.figures}
    found = known.get(wanted) or known.get("size")
    if found is None or found.ratio is None:
        return " (=)" if "file" in known else ""
    mark = MARKS.get(found.verdict, "")
    return f" ({mark} {100 * (found.ratio - 1):+.1f} %)".replace("( ", "(")


def _time(change: FileChange) -> list[str]:
    said = []
    for found in change.figures:
        if found.figure in ("latency", "instructions", "arena", "run"):
            ratio = results.judged_ratio_text(found)
            why = f" ({found.how})" if found.verdict == "no verdict" else ""
            words = f"{MARKS.get(found.verdict, '')} {found.figure} {ratio} {found.verdict}{why}"
            said.append("; " + " ".join(words.split()))
    return said


def _gate(gate: Gate) -> tuple[str, ...]:
    limit = f"{gate.limit:.4g}"
    return (gate.artifact, gate.name, gate.runtime, gate.status, view.gate_value(gate), limit, gate.detail)


def _fallen(comparison: Comparison | None) -> list[tuple[str, ...]]:
    if comparison is None:
        return []
    found = [(change.artifact, row) for change in comparison.files for row in change.fallen]
    return [_slice(artifact, row) for artifact, row in sorted(found, key=lambda item: -_loss(item[1]))]


def _loss(row: SliceRow) -> float:
    return row.drop.value if row.drop is not None else 0.0


def _slice(artifact: str, row: SliceRow) -> tuple[str, ...]:
    counts = (f"{row.n:,}", number(row.broken), number(row.fixed))
    return (row.slice, artifact, *counts, drop_text(row), p_text(row))


def _table(rows: Sequence[tuple[str, ...]], most: int) -> Table:
    cut = tuple(tuple(_short(cell) for cell in row) for row in rows[:most])
    return Table(cut, max(0, len(rows) - most))


def _short(cell: str) -> str:
    return cell if len(cell) <= _LONGEST_CELL else cell[:_LONGEST_CELL] + "…"
