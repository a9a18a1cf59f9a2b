"""Slices -> words, rows of tables and drawings: what compression did, to whom."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from edgeship.report.plots import Line, axis, lined, shortened
from edgeship.report.svg import Chart, Scale, padded
from edgeship.report.view import DASH, change_text
from edgeship.types import Change, Exhibit, Flip, Occlusion, OcclusionCase, Report, SliceRow, SliceStudy

#: Slices with lines of their own in a drawing; all are in the table.
MAX_LINES = 20
#: Flips of a file on the page.
MAX_FLIPS = 24
_WIDTH, _HEIGHT = 96.0, 48.0


@dataclass(frozen=True)
class Worst:
    """A slice that certainly lost something, or is beyond its limit."""

    study: SliceStudy
    row: SliceRow

    @property
    def cells(self) -> tuple[str, ...]:
        """Slice, file, samples, broken, fixed, drop, p, verdict."""
        r = self.row
        file = f"{self.study.artifact} {self.study.runtime}"
        return (r.slice, file, f"{r.n:,}", number(r.broken), number(r.fixed), drop_text(r), p_text(r), r.status or "")


def worst(studies: Iterable[SliceStudy]) -> list[Worst]:
    """Of all files: slices that lost significantly, or fail their limit, the largest drop first."""
    found = [Worst(study, row) for study in studies for row in study.rows if row.status == "fail" or row.lost]
    return sorted(found, key=lambda w: (-w.row.drop.value if w.row.drop else -math.inf, w.row.slice))


def number(value: int | None) -> str:
    """A count, or a dash."""
    return DASH if value is None else f"{value:,}"


def drop_text(row: SliceRow) -> str:
    """`+4.20 [+1.10, +7.30]`; positive is worse."""
    return change_text(row.drop) if row.drop is not None else "not a number" if row.no_number else DASH


def p_text(row: SliceRow) -> str:
    """The adjusted p."""
    p = row.p_adjusted
    return DASH if p is None else "<0.0001" if p < 0.0001 else f"{p:.4f}"


def excess_text(row: SliceRow, study: SliceStudy) -> str:
    """How much more was lost here than on all samples: points, or the metric's own unit; positive is worse."""
    if row.excess is None:
        return DASH
    scale = (-1 if study.direction == "maximize" else 1) * (100 if study.unit == "points" else 1)
    if row.excess_low is None or row.excess_high is None:
        return f"{_number(scale * row.excess)}"
    low, high = sorted((scale * row.excess_low, scale * row.excess_high))
    return f"{_number(scale * row.excess)} [{_number(low)}, {_number(high)}]"


def _number(value: float) -> str:
    text = f"{round(value, 2) + 0.0:+.2f}" if abs(value) >= 0.005 or value == 0 else f"{value:+.2g}"
    return text.replace("-", "−")  # noqa: RUF001 - U+2212 is as wide as the plus


def share_text(change: Change) -> str:
    """A change of shares with four digits: `+0.0120 [+0.0080, +0.0160]`."""
    values = (change.value, *change.interval)
    return "{} [{}, {}]".format(*(f"{round(v, 4) + 0.0:+.4f}".replace("-", "−") for v in values))  # noqa: RUF001 - as above


def headline(study: SliceStudy) -> str:
    """One sentence about a file."""
    total = len(study.rows)
    if study.overall.drop is not None and study.overall.drop.interval == (0.0, 0.0) and not study.flips:
        return "each sample has the result that it had before."
    lost = [row for row in study.rows if row.lost]
    tested = f"{total} {'slice' if total == 1 else 'slices'} tested"
    if study.small:
        tested += f", {len(study.small)} not"
    if not total:
        return f"no slice was tested ({len(study.small)} with fewer than {study.min_n} samples)."
    if not lost:
        return f"{tested}: none lost significantly."
    first = lost[0]
    drop = drop_text(first) if first.no_number else f"{drop_text(first)} {study.unit}"
    return f"{tested}: {len(lost)} lost significantly, {first.slice} most ({drop})."


def forest(study: SliceStudy) -> list[Chart]:
    """Drop with its interval by slice, worst first, on a wide page and on a phone; none without slices."""
    drawn = [row for row in study.rows if row.drop is not None][:MAX_LINES]
    return [_forest(study, drawn, kind) for kind in ("wide", "narrow")] if drawn else []


def _forest(study: SliceStudy, rows: Sequence[SliceRow], kind: str) -> Chart:
    wide = kind == "wide"
    names = [shortened(_short(row.slice), 24 if wide else 27) + (f" ({row.n:,})" if wide else "") for row in rows]
    lines = [Line(name, drop_text(row)) for name, row in zip(names, rows, strict=True)]
    chart, left, right, middles = lined(lines, kind, f"Drop of {study.metric} by slice, {study.artifact}", 36)
    overall = study.overall.drop
    ends = [v for row in rows if row.drop for v in (row.drop.value, *row.drop.interval)]
    fixed = [0.0, *([overall.value] if overall else []), *([study.limit] if study.limit is not None else [])]
    x = Scale(*padded([*ends, *fixed], share=0.05), left + 8, right - 8)
    axis(chart, x, lambda v: f"{v:+.3g}" if v else "0", f"drop in {study.unit} (right is worse than the original)")
    bottom = chart.height - 36
    chart.line((x(0), 4), (x(0), bottom), "zero")
    if overall is not None:
        chart.line((x(overall.value), 4), (x(overall.value), bottom), "base")
    if study.limit is not None:
        chart.line((x(study.limit), 4), (x(study.limit), bottom), "limit")
    for row, middle in zip(rows, middles, strict=True):
        assert row.drop is not None
        low, high = map(x, row.drop.interval)
        style = _style(row)
        chart.line((low, middle), (high, middle), f"interval {style}")
        title = f"{row.slice}: {drop_text(row)}, adjusted p {p_text(row)}"
        chart.mark((x(row.drop.value), middle), "diamond" if row.significant else "circle", f"dot {style}", title)
    chart.shapes.sort(key=lambda shape: shape.tag == "text")  # names stand above the long lines
    return chart


def _short(name: str) -> str:
    """A pair without the names of its columns, which its values mostly tell."""
    return " x ".join(part.partition("=")[2] or part for part in name.split(" x ")) if " x " in name else name


def _style(row: SliceRow) -> str:
    if not row.significant:
        return "s-plain"
    return "s-fail" if row.drop is not None and row.drop.value > 0 else "s-pass"


@dataclass(frozen=True)
class Card:
    """A flip with its input; `curve` is a drawing of a signal, `facts` what the data says about it."""

    flip: Flip
    exhibit: Exhibit | None
    curve: Chart | None
    facts: Mapping[str, str]


@dataclass(frozen=True)
class Look:
    """A case of occlusion with its input, and both maps as drawings."""

    case: OcclusionCase
    exhibit: Exhibit | None
    curve: Chart | None
    before: Chart
    after: Chart


@dataclass(frozen=True)
class Part:
    """One file's part of the page."""

    study: SliceStudy
    headline: str
    charts: list[Chart]
    cards: tuple[Card, ...]
    looks: tuple[Look, ...]

    @property
    def same(self) -> bool:
        """Whether each sample has the result that it had before, certainly: there is nothing to draw."""
        drop = self.study.overall.drop
        return drop is not None and drop.interval == (0.0, 0.0) and not self.cards


def parts(report: Report) -> tuple[Part, ...]:
    """What the page shows of each file: those first that lost something, then the smallest that passed."""
    shown = {exhibit.index: exhibit for exhibit in report.exhibits}
    best = report.best.id if report.best else None
    hurt = {id(w.study) for w in worst(report.slices)}
    ordered = sorted(report.slices, key=lambda study: (id(study) not in hurt, study.artifact != best))
    return tuple(
        Part(
            study,
            headline(study),
            forest(study),
            tuple(_card(flip, shown.get(flip.index)) for flip in study.flips[:MAX_FLIPS]),
            _looks(study.occlusion, shown),
        )
        for study in ordered
    )


def _card(flip: Flip, exhibit: Exhibit | None) -> Card:
    return Card(flip, exhibit, _curve(exhibit), exhibit.facts if exhibit else {})


def values_text(exhibit: Exhibit) -> list[tuple[str, str]]:
    """Name and value of what is shown of a row; reports of old have no names."""
    names = exhibit.names or ("",) * len(exhibit.values)
    return [(name, f"{value:.4g}") for name, value in zip(names, exhibit.values, strict=False)]


def _curve(exhibit: Exhibit | None) -> Chart | None:
    """A signal as a small line."""
    if exhibit is None or exhibit.kind != "signal" or len(exhibit.values) < 2:
        return None
    chart = Chart(_WIDTH, _HEIGHT, f"sample {exhibit.index}", "spark")
    y = Scale(*padded(exhibit.values, share=0.05), _HEIGHT - 2, 2)
    x = Scale(0, len(exhibit.values) - 1, 2, _WIDTH - 2)
    chart.path([(x(k), y(value)) for k, value in enumerate(exhibit.values)], "curve")
    return chart


def _looks(found: Occlusion | None, shown: Mapping[int, Exhibit]) -> tuple[Look, ...]:
    if found is None:
        return ()
    return tuple(
        Look(
            case,
            shown.get(case.index),
            _curve(shown.get(case.index)),
            _map(found, case.before, "original"),
            _map(found, case.after, "file"),
        )
        for case in found.cases
        if len(case.before) == len(case.after) == found.rows * found.columns
    )


def _map(found: Occlusion, values: Sequence[float], who: str) -> Chart:
    """Regions as boxes: the more covering one takes from the score, the stronger; red where it adds."""
    cell = _WIDTH / max(found.columns, found.rows)
    height = cell * found.rows if found.rows > 1 else _HEIGHT / 2
    chart = Chart(_WIDTH, height, f"what the {who} looks at", "map")
    largest = max(map(abs, values), default=0.0) or 1.0
    for k, value in enumerate(values):
        row, column = divmod(k, found.columns)
        level = min(9, int(10 * abs(value) / largest))
        corner = (column * cell, row * (height / found.rows))
        chart.rect(corner, (cell, height / found.rows), f"heat{' less' if value < 0 else ''} h{level}")
    return chart
