"""The pictures of the report. Each function returns the same picture for a wide page and for a phone."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from edgeship.report.svg import CHARACTER, LINE, Box, Chart, Scale, padded, place_labels
from edgeship.report.view import Layers, Row, Timing, clean, digits, drop_text
from edgeship.types import Gate

#: Forms by format; a format of a plug-in gets what is left.
FORMS = {"tflite": "circle", "onnx": "square", "tfjs": "diamond", "micro": "triangle"}
WIDE, NARROW = 540.0, 340.0
#: Share of the runs whose density is drawn; the slowest would stretch the axis and stand in the table as p99.
_DRAWN = 0.98
#: How many layers have a bar of their own.
MAX_LAYERS = 14


@dataclass(frozen=True)
class Point:
    """A file in a trade-off: cost (bytes or milliseconds) against the metric; `name` is what stands beside it."""

    row: Row
    x: float
    y: float
    name: str


@dataclass(frozen=True)
class Axes:
    """What a trade-off shows.

    Attributes:
        x, y: names with units.
        x_text, y_text: a value of the axis as text.
        direction: of the metric; None draws no front.
        baseline: the original's metric.
        floor: the worst metric that is still drawn to scale; worse files stand at the edge with their value.
    """

    x: str
    y: str
    x_text: Callable[[float], str]
    y_text: Callable[[float], str]
    direction: Literal["maximize", "minimize"] | None
    baseline: float | None
    floor: float | None


def style_of(row: Row) -> str:
    """CSS classes of a file's mark: colour by format, hollow unless it passed."""
    number = list(FORMS).index(row.artifact.format) if row.artifact.format in FORMS else len(FORMS)
    return f"mark f{number}" + ("" if row.status == "pass" else " hollow")


def trade_off(points: Sequence[Point], axes: Axes) -> list[Chart]:
    """Scatter of cost against the metric with the Pareto front."""
    return [_trade_off(points, axes, width, kind) for width, kind in ((WIDE, "wide"), (NARROW, "narrow"))]


def _trade_off(points: Sequence[Point], axes: Axes, width: float, kind: str) -> Chart:
    chart = Chart(width, 370.0 if kind == "wide" else 400.0, f"{axes.y} against {axes.x}, {len(points)} files", kind)
    left, right, top, bottom = 58.0, width - 12, 14.0, chart.height - 44
    costs = [p.x for p in points]
    x = Scale(*padded(costs, log=True, share=0.12), left, right, log=True)
    drawn = [p.y for p in points if not _beyond(p.y, axes)]
    reference = [v for v in (axes.baseline,) if v is not None]
    y = Scale(*padded([*drawn, *reference] or [p.y for p in points], share=0.15), bottom, top)
    _frame(chart, x, y, axes)
    places = [(x(p.x), y(p.y)) for p in points]
    occupied = []
    if axes.baseline is not None:
        chart.line((left, y(axes.baseline)), (right, y(axes.baseline)), "base")
        name = f"original {axes.y_text(axes.baseline)}"
        occupied.append(_name_original(chart, x, y(axes.baseline), name, places))
    front = pareto(points, axes.direction)
    if len(front) > 1:
        chart.path(_steps([(x(p.x), y(p.y)) for p in front]), "front")
    texts = [_point_text(p, axes) for p in points]
    labels = place_labels(places, texts, (left + 2, top, right + 8, bottom - 2), occupied)
    for place, label in zip(places, labels, strict=True):
        if label is not None and label.leader:
            near = min(max(place[0], label.box[0]), label.box[2])
            chart.line(place, (near, label.at[1] - 4), "leader")
    for point, place, label, text in zip(points, places, labels, texts, strict=True):
        title = f"{point.name}: {axes.x_text(point.x)}, {axes.y_text(point.y)}"
        chart.mark(place, FORMS.get(point.row.artifact.format, "triangle"), style_of(point.row), title)
        if label is not None:
            chart.text(label.at, text, "label", label.anchor)
        else:
            chart.unlabelled.append(title)
    return chart


def _name_original(chart: Chart, x: Scale, at: float, text: str, places: Sequence[tuple[float, float]]) -> Box:
    """Write the name of the original's line at that end of it, above or under, where no point is; returns its box."""
    width = len(text) * CHARACTER
    boxes = [
        (left, top, left + width, top + LINE)
        for left in (x.end - width, x.start + 4)
        for top in (at - LINE - 2, at + 2)
    ]
    crowd = [sum(b[0] - 8 < px < b[2] + 8 and b[1] - 8 < py < b[3] + 8 for px, py in places) for b in boxes]
    box = boxes[crowd.index(min(crowd))]
    chart.text((box[0], box[3] - 4), text, "small")
    return box


def _beyond(value: float, axes: Axes) -> bool:
    """Whether a file is so bad that drawing it to scale would squeeze all others."""
    if axes.floor is None or axes.direction is None:
        return False
    return value < axes.floor if axes.direction == "maximize" else value > axes.floor


def _point_text(point: Point, axes: Axes) -> str:
    name = shortened(point.name, 32)
    return f"{name} ({axes.y_text(point.y)}, off scale)" if _beyond(point.y, axes) else name


def _frame(chart: Chart, x: Scale, y: Scale, axes: Axes) -> None:
    for value in y.ticks(5):
        chart.line((x.start, y(value)), (x.end, y(value)), "grid")
        chart.text((x.start - 7, y(value) + 4), axes.y_text(value), "tick", "end")
    for value in x.ticks(5 if chart.kind == "wide" else 4):
        chart.line((x(value), y.start), (x(value), y.start + 4), "axis")
        chart.text((x(value), y.start + 18), axes.x_text(value), "tick", "middle")
    chart.line((x.start, y.start), (x.end, y.start), "axis")
    chart.text(((x.start + x.end) / 2, chart.height - 6), axes.x, "small", "middle")


def pareto(points: Sequence[Point], direction: Literal["maximize", "minimize"] | None) -> list[Point]:
    """The verified files that no other verified file beats in both cost and metric, cheapest first."""
    if direction is None:
        return []
    sign = 1.0 if direction == "maximize" else -1.0
    front: list[Point] = []
    for point in sorted((p for p in points if p.row.status != "UNVERIFIED"), key=lambda p: (p.x, -sign * p.y)):
        if not front or sign * point.y > sign * front[-1].y:
            front.append(point)
    return front


def _steps(places: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    steps = [places[0]]
    for x, y in places[1:]:
        steps += [(x, steps[-1][1]), (x, y)]
    return steps


@dataclass(frozen=True)
class Line:
    """One line of a chart that has a name on the left, a drawing, and a value on the right."""

    name: str
    value: str


def lined(lines: Sequence[Line], kind: str, label: str, axis: float) -> tuple[Chart, float, float, list[float]]:
    """An empty chart for lines: the chart, left and right end of the drawing, and the middle of each line.

    On a phone name and value stand above the drawing instead of beside it.
    """
    wide = kind == "wide"
    width = 1120.0 if wide else NARROW
    step = 30.0 if wide else 46.0
    chart = Chart(width, 8 + step * len(lines) + axis, label, kind)
    name_width = min(230.0, 14 + 7 * max((len(line.name) for line in lines), default=0)) if wide else 4.0
    value_width = 14 + 7 * max((len(line.value) for line in lines), default=0) if wide else 4.0
    middles = [8 + step * i + (step / 2 if wide else 33.0) for i in range(len(lines))]
    for line, middle in zip(lines, middles, strict=True):
        if wide:
            chart.text((name_width - 12, middle + 4), line.name, "label", "end")
            chart.text((width, middle + 4), line.value, "value", "end")
        else:
            chart.text((4, middle - 16), line.name, "label")
            chart.text((width - 4, middle - 16), line.value, "value", "end")
    return chart, name_width, width - value_width, middles


def axis(chart: Chart, x: Scale, text: Callable[[float], str], name: str) -> None:
    """Grid, ticks and name of the horizontal axis, in the 36 pixels that `lined` left for it."""
    bottom = chart.height - 36
    for value in x.ticks(7 if chart.kind == "wide" else 4):
        chart.line((x(value), 4), (x(value), bottom), "grid")
        chart.text((x(value), bottom + 15), text(value), "tick", "middle")
    chart.text(((x.start + x.end) / 2, bottom + 31), name, "small", "middle")


def drops(gates: Sequence[tuple[Row, Gate]], metric: str) -> list[Chart]:
    """Drop of the metric of each file, with its interval and its limit (a forest plot)."""
    return [_drops(gates, metric, kind) for kind in ("wide", "narrow")]


def named(ran: Sequence[tuple[Row, str]]) -> list[str]:
    """What files are called that ran in these runtimes: with the runtime where one file ran in several."""
    several = len({row.artifact.id for row, _ in ran}) < len({(row.artifact.id, runtime) for row, runtime in ran})
    return [f"{row.label} {runtime}" if several else row.label for row, runtime in ran]


def _drops(gates: Sequence[tuple[Row, Gate]], metric: str, kind: str) -> Chart:
    names = named([(row, gate.runtime) for row, gate in gates])
    lines = [Line(shortened(n, 34), drop_text(g, unit=False)) for n, (_, g) in zip(names, gates, strict=True)]
    label = f"Drop of {metric} by file, with 95 % intervals and limits"
    chart, left, right, middles = lined(lines, kind, label, 36)
    # Files far beyond their limit would squeeze the rest: beyond four limits a bar ends in an arrow.
    limit = max((abs(g.limit) for _, g in gates), default=1.0) or 1.0
    ends = [v for _, g in gates for v in (*(g.interval or ()), g.value, g.limit, 0.0) if abs(v) <= 4 * limit]
    x = Scale(*padded(ends, share=0.06), left + 8, right - 8)
    unit = gates[0][1].unit
    axis(chart, x, lambda v: f"{v:+.3g}" if v else "0", f"drop in {unit} (right is worse than the original)")
    chart.line((x(0), 4), (x(0), chart.height - 36), "zero")
    for (row, gate), middle in zip(gates, middles, strict=True):
        chart.line((x(gate.limit), middle - 11), (x(gate.limit), middle + 11), "limit")
        low, high = gate.interval or (gate.value, gate.value)
        state = "s-unverified" if row.status == "UNVERIFIED" else f"s-{gate.status}"
        chart.line((x(low), middle), (x(high), middle), f"interval {state}")
        if high > x.high:
            tip = x(x.high) + 6
            chart.path([(tip - 6, middle - 5), (tip, middle), (tip - 6, middle + 5)], f"arrow {state}")
        if gate.value <= x.high:
            chart.mark((x(gate.value), middle), "circle", f"dot {state}", f"{row.label}: {drop_text(gate)}")
    return chart


def latencies(timings: Sequence[tuple[Row, Timing]], where: str) -> list[Chart]:
    """Distribution of the latencies of each file: density, median with its interval, p90."""
    return [_latencies(timings, where, kind) for kind in ("wide", "narrow")]


def _latencies(timings: Sequence[tuple[Row, Timing]], where: str, kind: str) -> Chart:
    names = named([(row, timing.runtime) for row, timing in timings])
    lines = [Line(shortened(n, 34), t.text) for n, (_, t) in zip(names, timings, strict=True)]
    chart, left, right, middles = lined(lines, kind, f"Latency distributions {where}", 36)
    lows = [min(t.measurement.latency_ms) for _, t in timings]
    highs = [sorted(t.measurement.latency_ms)[math.ceil(_DRAWN * t.summary.n) - 1] for _, t in timings]
    log = max(highs) > 6 * min(lows)
    x = Scale(*padded([*lows, *highs], log=log, share=0.03), left + 8, right - 8, log=log)
    axis(chart, x, short, "milliseconds per inference" + (" (logarithmic)" if log else ""))
    for (row, timing), name, middle in zip(timings, names, middles, strict=True):
        color = style_of(row).replace("mark", "density")
        outline = density(timing.measurement.latency_ms, x)
        upper = [(px, middle - 12 * share) for px, share in outline]
        lower = [(px, middle + 12 * share) for px, share in reversed(outline)]
        s = timing.summary
        title = f"{name}: median {timing.text}, p90 {digits(s.p90_ms)} ms, {s.n} runs"
        chart.path([*upper, *lower], color, closed=True, title=title)
        low, high = map(x, timing.interval)
        chart.rect((low, middle - 4), (high - low, 8), "ci")
        chart.line((x(s.median_ms), middle - 9), (x(s.median_ms), middle + 9), "median")
        chart.line((x(s.p90_ms), middle - 5), (x(s.p90_ms), middle + 5), "p90")
    return chart


def density(values: Sequence[float], x: Scale) -> list[tuple[float, float]]:
    """Gaussian kernel density along a scale as (pixel, share of its peak), at 96 pixels or fewer.

    Values are first counted in bins of half a pixel, so that the cost does not depend on their number. The bandwidth
    is Silverman's (Density Estimation, 1986, eq. 3.31), at least 1.5 pixels.
    """
    import numpy as np

    latencies = np.sort(np.asarray(values))[: max(1, math.ceil(_DRAWN * len(values)))]
    ends, places = np.array([x.low, x.high]), np.maximum(latencies, x.low)
    if x.log:
        ends, places = np.log(ends), np.log(places)
    pixels = np.interp(places, ends, [x.start, x.end])
    quartiles = np.quantile(pixels, [0.25, 0.75])
    spread = min(float(pixels.std()), float(quartiles[1] - quartiles[0]) / 1.34) or float(pixels.std())
    width = max(1.5, 0.9 * spread * len(pixels) ** -0.2)
    counts, edges = np.histogram(pixels, bins=max(1, 2 * math.ceil(float(np.ptp(pixels)))))
    centers = (edges[:-1] + edges[1:]) / 2
    first, last = float(pixels.min()) - 2.5 * width, float(pixels.max()) + 2.5 * width
    at = np.linspace(max(first, x.start), min(last, x.end), 96)
    heights = (counts * np.exp(-0.5 * ((at[:, None] - centers) / width) ** 2)).sum(axis=1)
    return [(float(p), float(h)) for p, h in zip(at, heights / heights.max(), strict=True)]


def bars(found: Layers) -> list[Chart]:
    """Bytes by layer of one file: the largest layers, then the rest together."""
    named = [(name, size) for name, size in found.sizes[:-1] if size]
    largest = sorted(named, key=lambda item: -item[1])[:MAX_LAYERS]
    kept = [item for item in named if item in largest]
    rest = sum(size for _, size in named) - sum(size for _, size in kept)
    if rest:
        kept.append((f"{len(named) - len(kept)} smaller layers", rest))
    return [_bars([*kept, found.sizes[-1]], found.row, kind) for kind in ("wide", "narrow")]


def _bars(sizes: Sequence[tuple[str, int]], row: Row, kind: str) -> Chart:
    total = sum(size for _, size in sizes) or 1
    lines = [Line(shortened(name, 34), f"{size:,} B  {100 * size / total:.1f} %") for name, size in sizes]
    chart, left, right, middles = lined(lines, kind, f"Bytes by layer of {row.label}", 0)
    x = Scale(0.0, float(max(size for _, size in sizes) or 1), left, right)
    for index, ((name, size), middle) in enumerate(zip(sizes, middles, strict=True)):
        style = "bar rest" if index == len(sizes) - 1 else style_of(row).replace("mark", "bar")
        chart.rect((left, middle - 8), (x(size) - left, 16), style, f"{name}: {size:,} B")
    return chart


def shortened(text: str, length: int) -> str:
    """Text that fits a chart; what is cut stands in the tables."""
    text = clean(text)
    return text if len(text) <= length else f"{text[: length - 1]}…"


def short(value: float) -> str:
    """A tick of a latency axis: `0.05`, `0.2`, `3`, `1,000`."""
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"
