"""Median latencies of a build's files over the sessions of the history, one small drawing for each file and place."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgeship.history.records import Record, Session, conditions, settings
from edgeship.report.plots import FORMS, NARROW, WIDE, short, shortened
from edgeship.report.svg import Chart, Scale, padded
from edgeship.report.view import clean, digits
from edgeship.types import Measurement, Report

#: The axis of times reaches over this factor at least, so that noise does not look like a change.
_SPAN = 1.1
_HEIGHT, _LEFT, _TOP, _FOOT = 148.0, 58.0, 12.0, 34.0


@dataclass(frozen=True)
class _Point:
    """A file's session: `place` is its number among all sessions that are drawn, the oldest first."""

    place: int
    record: Record
    measurement: Measurement
    median_ms: float
    interval_ms: tuple[float, float]
    unstable: bool

    @property
    def title(self) -> str:
        session = self.record.session
        called = ", ".join(filter(None, (_day(session.created), session.label, session.revision[:12])))
        ends = " to ".join(digits(end) for end in self.interval_ms)
        return f"{called}: {digits(self.median_ms)} ms, {ends}{', unstable' if self.unstable else ''}"


def charts(report: Report, past: Sequence[Record]) -> list[tuple[str, list[Chart]]]:
    """Caption, wide and narrow drawing for each file, target, runtime and setting with two sessions or more.

    `past`: of the history, the newest session first, this build's own among them.
    """
    sessions = list(dict.fromkeys(item.session for item in reversed(past)))
    lines: dict[tuple[str, str, str], list[_Point]] = {}
    mine = {artifact.id: artifact for artifact in report.artifacts}
    for item in reversed(past):
        point = _point(item, sessions.index(item.session))
        if point is not None and item.result.artifact in mine:
            key = (item.result.target, item.result.artifact, _runtime(point.measurement))
            lines.setdefault(key, []).append(point)
    order = {name: number for number, name in enumerate(mine)}
    found = []
    for target, artifact, runtime in sorted(lines, key=lambda key: (key[0], order[key[1]], key[2])):
        points = lines[target, artifact, runtime]
        if len({point.place for point in points}) > 1:
            name = f"{artifact} in {runtime} on {target}"
            form = list(FORMS).index(mine[artifact].format) if mine[artifact].format in FORMS else len(FORMS)
            kinds = (("wide", WIDE), ("narrow", NARROW))
            found.append((clean(name), [_chart(points, sessions, form, name, kind) for kind in kinds]))
    return found


def _point(item: Record, place: int) -> _Point | None:
    if not isinstance(item.result, Measurement) or item.summary is None:
        return None
    median = item.summary.median_ms
    ends = item.summary.interval_ms or (median, median)
    return _Point(place, item, item.result, median, ends, item.summary.unstable)


def _runtime(measurement: Measurement) -> str:
    threads = settings(measurement)["threads"]
    return f"{measurement.runtime}, {threads} {'thread' if threads == '1' else 'threads'}"


def _chart(
    points: Sequence[_Point], sessions: Sequence[Session], form: int, name: str, kind: tuple[str, float]
) -> Chart:
    word, width = kind
    count = len({point.place for point in points})
    chart = Chart(width, _HEIGHT, f"Median latency of {clean(name)} over {count} sessions", word)
    bottom = _HEIGHT - _FOOT
    ends = [end for point in points for end in point.interval_ms]
    ends.append(max(min(ends) * _SPAN, *ends))
    y = Scale(*padded(ends, share=0.12), bottom, _TOP)
    x = Scale(-0.5, len(sessions) - 0.5, _LEFT, width - 10)
    for value in y.ticks(4):
        chart.line((x.start, y(value)), (x.end, y(value)), "grid")
        chart.text((x.start - 7, y(value) + 4), short(value), "tick", "end")
    chart.line((x.start, bottom), (x.end, bottom), "axis")
    for before, point in itertools.pairwise(points):
        _lead(chart, (x, y), before, point)
    for point in points:
        low, high = point.interval_ms
        at = (x(point.place), y(point.median_ms))
        chart.line((at[0], y(low)), (at[0], y(high)), f"interval f{form}")
        style = f"mark f{form}{' hollow' if point.unstable else ''}"
        chart.mark(at, [*FORMS.values(), "circle"][form], style, point.title)
    _days(chart, x, sessions)
    return chart


def _lead(chart: Chart, scales: tuple[Scale, Scale], before: _Point, point: _Point) -> None:
    """The line from a session to the next, and a tick under the axis where the file is another one."""
    x, y = scales
    at = x(point.place)
    if _conditions(before) == _conditions(point):
        chart.line((x(before.place), y(before.median_ms)), (at, y(point.median_ms)), "step")
    if before.measurement.artifact_sha256 != point.measurement.artifact_sha256:
        chart.path([(at, y.start), (at, y.start + 9)], "changed", title="the file changed")


def _conditions(point: _Point) -> Mapping[str, str]:
    return conditions(point.measurement.device)


def _days(chart: Chart, x: Scale, sessions: Sequence[Session]) -> None:
    """The first and the last session of the axis, which all drawings share."""
    for session, anchor, end in ((sessions[0], "start", x.start), (sessions[-1], "end", x.end)):
        text = shortened(f"{_day(session.created)} {session.label}".strip(), 24)
        chart.text((end, chart.height - 8), text, "tick", anchor)


def _day(created: str) -> str:
    return created[:16].replace("T", " ")
