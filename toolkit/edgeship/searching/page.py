"""front.html: what a search has found so far, for a browser without a network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from edgeship.metrics import drop_of
from edgeship.report.page import render as render_template
from edgeship.report.svg import Chart, Scale, padded
from edgeship.searching.choice import Choice, figures, front
from edgeship.searching.limits import Limits, value_of
from edgeship.searching.trials import Trial
from edgeship.types import Report
from edgeship.verify import signed

#: Colours, from fast to slow; what has no latency gets the first.
_COLOURS = 4
_WIDE, _NARROW = 860.0, 360.0
#: Trials so far below the limit are drawn at the edge: they would squeeze all others.
_SCALE_LIMITS, _LEAST_SCALE = 8.0, 4.0
#: Seconds after which a page of a search that runs loads itself again.
REFRESH_SECONDS = 10


@dataclass(frozen=True)
class Shown:
    """What a page is of."""

    model: str
    trials: tuple[Trial, ...]
    objectives: tuple[str, ...]
    limits: Limits
    choice: Choice
    ended: str
    report: Report | None
    broken: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def render(shown: Shown, *, running: bool) -> str:
    """The page; every text in it is escaped, and no script runs."""
    found = front(shown.trials, shown.objectives)
    chosen = shown.choice.trial
    content = {
        "shown": shown,
        "running": running,
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "refresh": REFRESH_SECONDS,
        "front": [_row(trial, shown) for trial in found],
        "others": [_row(trial, shown) for trial in shown.trials if trial not in found],
        "charts": [_chart(shown, found, width, kind) for width, kind in ((_WIDE, "wide"), (_NARROW, "narrow"))],
        "stages": chosen.stages if chosen is not None else (),
        "costs": _costs(chosen) if chosen is not None else [],
        "limits": shown.limits.text(),
        "targets": list(dict.fromkeys(t.target for trial in shown.trials for t in trial.timings)),
        "gates": _gates(shown),
        "drawn": any(trial.file is not None for trial in shown.trials),
    }
    return render_template("search.html.j2", content)


@dataclass(frozen=True)
class Row:
    """One trial in a table."""

    name: str
    outcome: str
    figures: str
    recipe: str
    reason: str
    seconds: float
    reused: int
    status: str


def _row(trial: Trial, shown: Shown) -> Row:
    choice = shown.choice
    role = "chosen" if trial == choice.trial else "runner-up" if trial == choice.runner_up else ""
    beyond = [f"{name}" for name, excess in shown.limits.excess(trial).items() if excess > 0]
    reason = trial.reason or (f"beyond {', '.join(beyond)}" if beyond else "")
    told = figures(trial) if trial.file is not None else ""
    return Row(trial.name, trial.outcome, told, recipe_text(trial), reason, trial.seconds, trial.reused, role)


def recipe_text(trial: Trial) -> str:
    """The stages and settings of a trial's recipe that are not the usual ones, in one line."""
    from edgeship.recipe import STAGES

    words = []
    for stage in trial.recipe.get("stages", ()):
        ((word, settings),) = stage.items()
        usual = STAGES[word]()
        told = [f"{k} {v}" for k, v in (settings or {}).items() if v != getattr(usual, k, None)]
        words.append(f"{word} ({', '.join(told)})" if told else word)
    return " > ".join([*words, *trial.recipe.get("variants", ())])


def _costs(trial: Trial) -> list[tuple[str, str, str, str]]:
    """What each stage of the chosen recipe cost: its metric, the drop from the stage before, its seconds."""
    rows = []
    for before, stage in zip((*trial.stages[:1], *trial.stages), trial.stages, strict=False):
        lost = drop_of(trial.direction, trial.unit, before.metric, stage.metric)
        step = signed(lost) if stage is not before else ""
        rows.append((stage.name, f"{stage.metric:.4f}", step, f"{stage.seconds:.1f}"))
    return rows


def _gates(shown: Shown) -> list[tuple[str, str, str]]:
    if shown.report is None:
        return []
    gates = [g for g in shown.report.gates if g.name in ("metric", "slices")]
    return [
        *((g.artifact, g.detail or g.name, g.status) for g in gates),
        *(("", text, "fail") for text in shown.broken),
    ]


def _chart(shown: Shown, found: Sequence[Trial], width: float, kind: str) -> Chart:
    """Accuracy lost over bytes; the colour and size of a mark are its latency on the first target."""
    trials = [t for t in shown.trials if t.file is not None and math.isfinite(value_of(t, "drop"))]
    height = 420.0 if kind == "wide" else 400.0
    chart = Chart(width, height, f"drop against bytes of {len(trials)} trials; {len(found)} are on the front", kind)
    if not trials:
        return chart
    left, right, top, bottom = 58.0, width - 14, 14.0, height - 44
    worst = max(_SCALE_LIMITS * shown.limits.max_drop, _LEAST_SCALE)
    drops = [min(value_of(t, "drop"), worst) for t in trials]
    x = Scale(*padded([float(t.wire_bytes) for t in trials], log=True), left, right, log=True)
    y = Scale(*padded([*drops, shown.limits.max_drop]), top, bottom)  # least lost on top
    _frame(chart, x, y)
    chart.line((left, y(shown.limits.max_drop)), (right, y(shown.limits.max_drop)), "limit")
    if shown.limits.max_bytes is not None and x.low < shown.limits.max_bytes < x.high:
        chart.line((x(shown.limits.max_bytes), top), (x(shown.limits.max_bytes), bottom), "limit")
    edge = sorted((float(t.wire_bytes), value_of(t, "drop")) for t in found)
    if len(edge) > 1:
        chart.path([(x(a), y(min(b, worst))) for a, b in edge], "front")
    shades = _shades(trials)
    for trial in trials:
        keeps = all(excess <= 0 for excess in shown.limits.excess(trial).values())
        style = f"mark f{shades.get(trial.number, 0)}" + ("" if keeps else " hollow")
        form = "diamond" if trial == shown.choice.trial else "square" if trial == shown.choice.runner_up else "circle"
        place = (x(float(trial.wire_bytes)), y(min(value_of(trial, "drop"), worst)))
        chart.mark(place, form, style, f"{trial.name}: {figures(trial)}; {recipe_text(trial)}")
    return chart


def _shades(trials: Sequence[Trial]) -> dict[int, int]:
    """Number of a trial -> its colour, by rank of its latency on the first target."""
    timed = [(t.timings[0].ms, t.number) for t in trials if t.timings and t.timings[0].ms is not None]
    return {number: rank * _COLOURS // len(timed) for rank, (_, number) in enumerate(sorted(timed))}


def _frame(chart: Chart, x: Scale, y: Scale) -> None:
    for value in y.ticks(5):
        chart.line((x.start, y(value)), (x.end, y(value)), "grid")
        chart.text((x.start - 7, y(value) + 4), f"{value:g}", "tick", "end")
    for value in x.ticks(6 if chart.kind == "wide" else 4):
        chart.line((x(value), y.end), (x(value), y.end + 4), "axis")
        chart.text((x(value), y.end + 18), f"{value:,.0f}", "tick", "middle")
    chart.line((x.start, y.end), (x.end, y.end), "axis")
    chart.text(((x.start + x.end) / 2, chart.height - 6), "bytes to send", "small", "middle")
