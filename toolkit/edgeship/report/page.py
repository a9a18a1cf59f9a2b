"""Report -> one HTML page, or one Markdown page. Everything from outside is escaped here and nowhere else."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from edgeship.errors import MissingPackageError
from edgeship.report import plots, view
from edgeship.report.svg import Chart
from edgeship.report.view import Row, Timing, clean
from edgeship.types import Report

if TYPE_CHECKING:
    from jinja2 import Environment

#: How far beyond the limit a file's drop may lie and still be drawn to scale, in limits.
_SCALE_LIMITS = 8.0


def html(report: Report) -> str:
    """A self-contained page: no script, no network, its own light and dark scheme. Equal reports give equal pages."""
    template = _environment(markup=True).get_template("report.html.j2")
    return template.render(**_content(report), **_charts(report))


def markdown(report: Report) -> str:
    """The verdict and the tables in GitHub-flavoured Markdown."""
    text = _environment(markup=False).get_template("report.md.j2").render(**_content(report))
    return re.sub(r"\n{3,}", "\n\n", text)


def _content(report: Report) -> dict[str, Any]:
    table = view.rows(report)
    return {
        "report": report,
        "rows": table,
        "verdict": view.verdict(report, table),
        "best": next((r for r in table if r.best), None),
        "best_text": view.best_text(table),
        "ratio": view.ratio_text(report, table),
        "percent": view.in_percent(report),
        "devices": {m.device.name: m.device for m in report.measurements},
    }


def _charts(report: Report) -> dict[str, Any]:
    table = view.rows(report)
    drops = [(row, gate) for row in table for gate in row.gates if gate.name == "metric"]
    units = sorted({gate.unit for _, gate in drops})
    return {
        "size_charts": _size_charts(report, table),
        "latency_charts": {place: _latency_chart(report, timed) for place, timed in _by_place(table).items()},
        "distributions": {
            place: plots.latencies(timed, f"on {clean(place)}") for place, timed in _by_place(table).items()
        },
        "drop_charts": [plots.drops([d for d in drops if d[1].unit == u], clean(report.metric)) for u in units],
        "layers": [(found, plots.bars(found) if found.sizes else []) for found in map(view.layers, table)],
    }


def _by_place(table: tuple[Row, ...]) -> dict[str, list[tuple[Row, Timing]]]:
    """Timings by target, threads and provenance: only these may stand in one picture."""
    places: dict[str, list[tuple[Row, Timing]]] = {}
    for row in table:
        for timing in row.timings:
            m = timing.measurement
            threads = "1 thread" if m.threads == 1 else f"{m.threads} threads"
            places.setdefault(f"{m.target} ({m.provenance}, {threads})", []).append((row, timing))
    return places


def _size_charts(report: Report, table: tuple[Row, ...]) -> list[Chart]:
    points = [plots.Point(r, float(r.artifact.size_bytes), r.metric) for r in table if _drawable(r)]
    return plots.trade_off(points, _axes(report, "bytes of all files (logarithmic)", view.kilobytes)) if points else []


def _latency_chart(report: Report, timed: list[tuple[Row, Timing]]) -> list[Chart]:
    fastest: dict[str, plots.Point] = {}
    for row, timing in timed:
        median = timing.summary.median_ms
        if _drawable(row) and median > 0:
            before = fastest.get(row.artifact.id)
            fastest[row.artifact.id] = (
                before if before and before.x <= median else plots.Point(row, median, row.metric or 0.0)
            )
    axes = _axes(report, "median latency in ms (logarithmic)", plots.digits_short)
    return plots.trade_off(list(fastest.values()), axes) if fastest else []
