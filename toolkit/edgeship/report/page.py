"""Report -> one HTML page, or one Markdown page. Everything from outside is escaped here and nowhere else."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from edgeship.errors import MissingPackageError
from edgeship.report import benchmark, over_time, plots, results, slices, stages, view
from edgeship.report.svg import Chart
from edgeship.report.view import Row, Timing, clean
from edgeship.types import Report

if TYPE_CHECKING:
    from jinja2 import Environment

    from edgeship.history.records import Record

#: How far beyond the limit a file's drop may lie and still be drawn to scale, in limits.
_SCALE_LIMITS = 8.0


def pages(report: Report, past: Sequence[Record] = ()) -> tuple[str, str]:
    """The HTML page and the Markdown page; equal reports (and files, and `past`) give equal pages.

    `past`: results of the history for drawings over time (`edgeship.report.over_time`); only HTML has them.

    HTML is self-contained: no script, no network, a light and a dark scheme. Markdown, in GitHub's flavour, has the
    verdict and the tables.
    """
    table = view.rows(report)
    content = {**_content(report, table), **benchmark.shared(table, report.measurements)}
    charts = {**_charts(report, table), "over_time": over_time.charts(report, past)}
    html = _environment(markup=True).get_template("report.html.j2").render(**content, **charts)
    return html, render_markdown("report.md.j2", content)


def render(template: str, content: Mapping[str, Any]) -> str:
    """An HTML page of another template of ours; every value in it is escaped."""
    return _environment(markup=True).get_template(template).render(**content)


def render_markdown(template: str, content: Mapping[str, Any]) -> str:
    """A Markdown page of another template of ours, in GitHub's flavour; every value in it is escaped."""
    return re.sub(r"\n{3,}", "\n\n", _environment(markup=False).get_template(template).render(**content))


def _content(report: Report, table: tuple[Row, ...]) -> dict[str, Any]:
    return {
        "report": report,
        "rows": table,
        "verdict": view.verdict(report, table),
        "best": next((r for r in table if r.best), None),
        "best_text": view.best_text(table),
        "ratio": view.ratio_text(report, table),
        "percent": view.in_percent(report),
        "metric": view.metric_title(report),
        "drop_units": " or ".join(sorted({r.drop.unit for r in table if r.drop})),
        "devices": view.devices((*report.measurements, *report.emulations, *report.estimates)),
        "stages": stages.stage_rows(report),
        "slice_worst": slices.worst(report.slices),
    }


def _charts(report: Report, table: tuple[Row, ...]) -> dict[str, Any]:
    drops = [(row, gate) for row in table for gate in row.gates if gate.name == "metric"]
    units = sorted({gate.unit for _, gate in drops})
    return {
        "size_charts": _size_charts(report, table),
        "latency_charts": {place: _latency_chart(report, timed) for place, timed in benchmark.by_place(table).items()},
        "drop_charts": [plots.drops([d for d in drops if d[1].unit == u], clean(report.metric)) for u in units],
        "stage_charts": stages.charts(stages.stage_rows(report), clean(report.metric or "the metric")),
        "slice_parts": slices.parts(report),
        "layers": [(found, plots.bars(found) if found.sizes else []) for found in map(view.layers, table)],
    }


def _size_charts(report: Report, table: tuple[Row, ...]) -> list[Chart]:
    rows = [row for row in table if row.metric is not None]
    sizes = report.compared_bytes(row.artifact for row in rows)
    points = [p for p in (_point(row, float(sizes[row.artifact.id]), row.label) for row in rows) if p]
    return plots.trade_off(points, _axes(report, _size_title(rows), view.kilobytes)) if points else []


def _size_title(rows: Sequence[Row]) -> str:
    return "bytes, compressed" if all(row.sized for row in rows) else "bytes of all files"


def _latency_chart(report: Report, timed: list[tuple[Row, Timing]]) -> list[Chart]:
    """Each file in the runtime in which it is fastest there."""
    names = plots.named([(row, timing.runtime) for row, timing in timed])
    fastest: dict[str, plots.Point] = {}
    for (row, timing), name in sorted(zip(timed, names, strict=True), key=lambda item: -item[0][1].summary.median_ms):
        point = _point(row, timing.summary.median_ms, name)
        if point:
            fastest[row.artifact.id] = point
    axes = _axes(report, "median latency in ms", plots.short)
    return plots.trade_off(list(fastest.values()), axes) if fastest else []


def _point(row: Row, cost: float, name: str) -> plots.Point | None:
    if row.metric is None or not math.isfinite(row.metric) or cost <= 0:
        return None
    return plots.Point(row, cost, row.metric, name)


def _axes(report: Report, x: str, x_text: Callable[[float], str]) -> plots.Axes:
    percent = view.in_percent(report)
    baseline = report.baseline.metric if report.baseline else None
    if baseline is not None and not math.isfinite(baseline):
        baseline = None
    limits = [gate.limit for gate in report.gates if gate.name == "metric" and math.isfinite(gate.limit)]
    floor = None
    if baseline is not None and limits:
        # A drop is in points (hundredths of the metric) or in percent of the baseline.
        reach = _SCALE_LIMITS * max(*limits, 0.5) / 100 * (1.0 if percent else abs(baseline))
        floor = baseline - reach if report.metric_direction == "maximize" else baseline + reach
    better = {"maximize": ", higher is better", "minimize": ", lower is better", None: ""}[report.metric_direction]
    name = clean(view.metric_title(report)) + (" in %" if percent else "")
    y_text = (lambda v: f"{100 * v:.4g}") if percent else (lambda v: f"{v:.4g}")
    return plots.Axes(x, name + better, x_text, y_text, report.metric_direction, baseline, floor)


class _Ready(str):
    """Markdown that is already safe."""

    __slots__ = ()


def escape_markdown(text: str) -> str:
    """Text from outside for a Markdown table or sentence: no markup, no link, no mention, one line."""
    text = re.sub(r"([\\`*_\[\]|~#$])", r"\\\1", clean(text))
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("@", "&#64;")
    # Bare addresses would become links on their own.
    return re.sub(r"(?i)\bwww\.", lambda m: m.group()[:-1] + "&#46;", text.replace("://", "&#58;//"))


def fence(text: str) -> _Ready:
    """A Markdown code block that its content cannot close."""
    content = view.clean_lines(text)
    longest = max((len(run) for run in re.findall(r"`+", content)), default=0)
    bar = "`" * max(3, longest + 1)
    return _Ready(f"{bar}\n{content}\n{bar}")


@functools.cache
def _environment(*, markup: bool) -> Environment:
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
    except ImportError as error:
        raise MissingPackageError("a report needs jinja2", remedy="Get it: pip install 'edgeship[report]'") from error
    from markupsafe import Markup

    def shown(value: object) -> object:
        """Runs on every value of a template, before jinja escapes it for HTML."""
        if not isinstance(value, str) or isinstance(value, Markup | _Ready):
            return value
        return clean(value) if markup else escape_markdown(value)

    environment = Environment(
        loader=PackageLoader("edgeship.report"),
        autoescape=markup,  # noqa: S701 - False only for Markdown, where `shown` escapes
        undefined=StrictUndefined,
        finalize=shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    helpers = {name: getattr(view, name) for name in _HELPERS}
    helpers |= {name: getattr(results, name) for name in _RESULT_HELPERS}
    helpers |= {word: getattr(slices, name) for word, name in _SLICE_HELPERS.items()}
    environment.globals.update(helpers, SIGNS=view.SIGNS, DASH=view.DASH)
    environment.filters.update(lines=lambda text: Markup.escape(view.clean_lines(text)), fence=fence)
    return environment


#: Functions of `view` that the templates call.
_HELPERS = (
    "change_text",
    "command_text",
    "digits",
    "drop_text",
    "gate_value",
    "kilobytes",
    "metric_text",
    "recipe_text",
    "share",
)
#: The same of `results`.
_RESULT_HELPERS = (
    "arena_text",
    "classes_text",
    "energy_text",
    "figure_text",
    "estimate_text",
    "instructions_text",
    "judged_ratio_text",
    "parity_text",
    "throughput_text",
)
#: The same of `slices`, with what the templates call them.
_SLICE_HELPERS = {
    "slice_drop": "drop_text",
    "slice_excess": "excess_text",
    "slice_number": "number",
    "slice_p": "p_text",
    "slice_share": "share_text",
    "slice_values": "values_text",
}
