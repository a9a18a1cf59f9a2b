"""The accuracy-bytes front as a self-contained SVG file."""

from __future__ import annotations

from collections.abc import Sequence

from edgeship.report.svg import Chart, Scale, padded, place_labels
from tests.acceptance.charts import render
from tests.acceptance.compression import goals
from tests.acceptance.compression.records import Record

_STYLE = """
text { font: 12px system-ui, sans-serif; fill: #24292f } .small, .tick { fill: #57606a }
.grid { stroke: #d8dee4 } .axis, .leader { stroke: #8c959f } .base { stroke: #57606a; stroke-dasharray: 4 3 }
.ours { fill: #0969da } .peer { fill: #bc4c00 }
.front-ours, .front-peer { fill: none; stroke-width: 1.5 }
.front-ours { stroke: #0969da } .front-peer { stroke: #bc4c00 }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 } .small, .tick { fill: #9198a1 } .grid { stroke: #30363d }
.ours { fill: #4493f8 } .peer { fill: #db6d28 } .front-ours { stroke: #4493f8 } .front-peer { stroke: #db6d28 } }
"""
#: Files that lose more than this many points stand at the lower edge.
_FLOOR_POINTS = 8.0
_WIDTH, _HEIGHT = 860.0, 520.0


def front(ours: Sequence[Record], peers: Sequence[Record], base: Record) -> str:
    """Accuracy against brotli bytes: circles are ours, squares the peers', each side with its front of methods."""
    every = [*ours, *peers]
    chart = Chart(_WIDTH, _HEIGHT, f"Accuracy against bytes on the wire of {len(every)} files")
    left, right, top, bottom = 58.0, _WIDTH - 12, 30.0, _HEIGHT - 44
    floor = base.accuracy - _FLOOR_POINTS / 100
    x = Scale(*padded([float(r.sizes["brotli"]) for r in every], log=True), left, right, log=True)
    y = Scale(*padded([max(floor, r.accuracy) for r in [*every, base]]), bottom, top)
    _frame(chart, x, y, base)
    for style, side in (("peer", peers), ("ours", ours)):
        steps: list[tuple[float, float]] = []
        for point in goals.front(goals.points(side)):
            at = x(point.size), y(point.accuracy)
            steps += [(at[0], steps[-1][1]), at] if steps else [at]
        if len(steps) > 1:
            chart.path(steps, f"front-{style}")
    _points(chart, x, y, (ours, peers))
    return render(chart, _STYLE)


def _frame(chart: Chart, x: Scale, y: Scale, base: Record) -> None:
    for value in y.ticks(6):
        chart.line((x.start, y(value)), (x.end, y(value)), "grid")
        chart.text((x.start - 7, y(value) + 4), f"{value:.1%}", "tick", "end")
    for value in x.ticks(6):
        chart.line((x(value), y.start), (x(value), y.start + 4), "axis")
        chart.text((x(value), y.start + 18), f"{value / 1000:,.3g} kB", "tick", "middle")
    chart.line((x.start, y.start), (x.end, y.start), "axis")
    chart.line((x.start, y(base.accuracy)), (x.end, y(base.accuracy)), "base")
    chart.text(((x.start + x.end) / 2, _HEIGHT - 6), "brotli bytes of the file", "small", "middle")
    chart.mark((x.start + 6, 12), "circle", "ours", "ours")
    chart.text((x.start + 16, 16), "edgeship's recipes", "small")
    chart.mark((x.start + 166, 12), "square", "peer", "peers")
    chart.text((x.start + 176, 16), f"peers; the dashed line is the base, {base.accuracy:.2%}", "small")


def _points(chart: Chart, x: Scale, y: Scale, sides: tuple[Sequence[Record], Sequence[Record]]) -> None:
    styles = (("circle", "ours"), ("square", "peer"))
    drawn = [(record, *style) for side, style in zip(sides, styles, strict=True) for record in side]
    places = [(x(r.sizes["brotli"]), y(r.accuracy)) for r, _, _ in drawn]
    texts, named = [], set()
    for record, _, _ in drawn:  # of several seeds one is named
        beyond = f" ({record.accuracy:.1%}, off scale)" if record.accuracy < y.low else ""
        texts.append("" if record.method in named else record.method + beyond)
        named.add(record.method)
    labels = place_labels(places, texts, (x.start + 2, 24.0, x.end + 8, y.start - 2))
    for (record, form, style), place, text, label in zip(drawn, places, texts, labels, strict=True):
        chart.mark(place, form, style, f"{record.method}: {record.sizes['brotli']:,} B, {record.accuracy:.2%}")
        if label is not None and text:
            if label.leader:
                chart.line(place, (min(max(place[0], label.box[0]), label.box[2]), label.at[1] - 4), "leader")
            chart.text(label.at, text, "label", label.anchor)
