"""Share of the fleet that runs each release, hour by hour, as a self-contained SVG file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgeship.report.svg import CHARACTER, Chart, Scale
from tests.acceptance.charts import render

_STYLE = """
text { font: 12px system-ui, sans-serif; fill: #24292f } .small, .tick { fill: #57606a }
.grid { stroke: #d8dee4 } .axis { stroke: #8c959f } .act { stroke: #8c959f; stroke-dasharray: 2 3 }
.share { fill: none; stroke-width: 2 }
.r0 { stroke: #57606a } .r1 { stroke: #0969da } .r2 { stroke: #cf222e } .r3 { stroke: #1a7f37 }
text.n0 { fill: #57606a } text.n1 { fill: #0969da } text.n2 { fill: #cf222e } text.n3 { fill: #1a7f37 }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 } .small, .tick { fill: #9198a1 } .grid { stroke: #30363d }
.r0 { stroke: #9198a1 } .r1 { stroke: #4493f8 } .r2 { stroke: #f85149 } .r3 { stroke: #3fb950 }
text.n0 { fill: #9198a1 } text.n1 { fill: #4493f8 } text.n2 { fill: #f85149 } text.n3 { fill: #3fb950 } }
"""
_WIDTH, _HEIGHT = 900.0, 380.0
_ROW = 15.0


def shares(record: Mapping[str, Any]) -> str:
    """The file: a line for each release, and what the publisher did above it."""
    devices, end = record["devices"], record["days"] * 24
    left, right = 46.0, _WIDTH - 60
    acts = _placed(record["acts"], Scale(0.0, end, left, right))
    top = 32.0 + _ROW * (1 + max(row for _, _, row in acts))
    chart = Chart(
        _WIDTH, _HEIGHT + top, f"Share of {devices:,} devices that runs each release, over {record['days']} days"
    )
    bottom = chart.height - 44
    x, y = Scale(0.0, end, left, right), Scale(0.0, 100.0, bottom, top)
    _frame(chart, x, y, record["days"])
    for hour, text, row in acts:
        baseline = top - 24 - _ROW * row
        chart.line((x(hour), baseline), (x(hour), bottom), "act")
        chart.text((x(hour) + 3, baseline), text, "small")
    versions = sorted(record["files"])
    for number, version in enumerate(versions):
        points = [(0.0, 0.0), *((hour, 100 * found.get(version, 0) / devices) for hour, found in record["samples"])]
        title = f"{version}: at most {max(share for _, share in points):g} %"
        chart.path([(x(hour), y(share)) for hour, share in points], f"share r{number}", title=title)
        at, share = _name_at(points)
        chart.text((x(at) + 4, y(share) - 6), version, f"n{number}")
    return render(chart, _STYLE)


def _frame(chart: Chart, x: Scale, y: Scale, days: int) -> None:
    for value in y.ticks(5):
        chart.line((x.start, y(value)), (x.end, y(value)), "grid")
        chart.text((x.start - 7, y(value) + 4), f"{value:g} %", "tick", "end")
    for day in range(days + 1):
        chart.line((x(24 * day), y.start), (x(24 * day), y.start + 4), "axis")
        chart.text((x(24 * day), y.start + 18), f"{day}", "tick", "middle")
    chart.line((x.start, y.start), (x.end, y.start), "axis")
    chart.text(((x.start + x.end) / 2, chart.height - 6), "virtual days", "small", "middle")


def _placed(acts: Sequence[Mapping[str, Any]], x: Scale) -> list[tuple[float, str, int]]:
    """Hour, words and row above the chart of each moment: over all later ones that begin under its words."""
    found: list[tuple[float, str, int]] = []
    for hour in sorted({act["hour"] for act in acts}, reverse=True):
        text = ", ".join(filter(None, (_words(act) for act in acts if act["hour"] == hour)))
        end = x(hour) + 8 + CHARACTER * len(text)
        found.append((hour, text, 1 + max((row for later, _, row in found if x(later) < end), default=-1)))
    return found


def _words(act: Mapping[str, Any]) -> str:
    if act["kind"] == "publish":
        return "" if act["hour"] else f"{act['version']} for all"
    if act["kind"] == "recall":
        return f"{act['version']} revoked"
    percent = f"{act['percent']:g} %" if act["percent"] else ""
    words = {"start": f"{act['version']} {percent}", "set": percent}
    return words.get(act["kind"]) or str(act["kind"])


def _name_at(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Where the name of a line stands: where it is highest for the first time; at the end for one that nobody runs."""
    highest = max(share for _, share in points)
    if not highest:
        return points[-1]
    return next(point for point in points if point[1] >= 0.97 * highest)
