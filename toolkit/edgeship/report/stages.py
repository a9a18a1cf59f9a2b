"""What each stage of a recipe did: the rows of its table, and the steps in bytes and in the metric as drawings."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from edgeship.report.plots import NARROW, WIDE, shortened
from edgeship.report.svg import Chart, Scale, padded
from edgeship.report.view import DASH, Timing, change_text, kilobytes, signed
from edgeship.types import Report, Stage, StageFile

#: Height of a row, of what stands under the rows, and where a drawing begins under the text of its row.
_ROW, _FOOT, _LANE = 44.0, 36.0, 29.0


@dataclass(frozen=True)
class StageRow:
    """The model after one stage, as one exported file; without a file where none could be made.

    Attributes:
        first: whether this is the first row of its stage.
        timing: latency of the file; None where it was not measured.
    """

    stage: Stage
    file: StageFile | None
    first: bool
    timing: Timing | None

    @property
    def label(self) -> str:
        """`prune, tflite/int8`."""
        return f"{self.stage.name}, {self.file.artifact}" if self.file else self.stage.name

    @property
    def latency(self) -> str:
        """Median, its interval and provenance; a dash where it was not measured."""
        if self.timing is None:
            return DASH
        mark = " unstable" if self.timing.summary.unstable else ""
        return f"{self.timing.text}{mark} ({self.timing.measurement.provenance})"


def stage_rows(report: Report) -> tuple[StageRow, ...]:
    """All files after all stages, in order; a stage without files has one row."""
    from edgeship_benchmarks import stats

    rows = []
    for stage in report.stages:
        for number, file in enumerate(stage.files or (None,)):
            measured = file.measurement if file else None
            timing = Timing(measured, stats.summary(measured)) if measured else None
            rows.append(StageRow(stage, file, number == 0, timing))
    return tuple(rows)


def charts(rows: Sequence[StageRow], metric: str) -> list[tuple[str, list[Chart]]]:
    """Two drawings with the same rows: (caption, wide and narrow chart); none with fewer than two files."""
    files = [(row, row.file) for row in rows if row.file is not None]
    if len(files) < 2 or not all(math.isfinite(v) for _, f in files for v in (f.drop.value, *f.drop.interval)):
        return []
    unit = files[0][1].drop.unit
    bytes_caption = "Bytes on the wire (brotli) after each stage, and what the stage saved"
    drop_caption = f"Drop of {metric} on the validation samples, in {unit}, with its 95 % interval"
    kinds: tuple[Literal["wide", "narrow"], ...] = ("wide", "narrow")
    return [
        (bytes_caption, [_bytes(files, kind) for kind in kinds]),
        (drop_caption, [_drops(files, kind) for kind in kinds]),
    ]


_Files = Sequence[tuple[StageRow, StageFile]]


def _empty(files: _Files, label: str, kind: Literal["wide", "narrow"]) -> Chart:
    return Chart(WIDE if kind == "wide" else NARROW, _ROW * len(files) + _FOOT, label, kind)


def _write(chart: Chart, files: _Files, values: Sequence[str]) -> Chart:
    """Write the name and the value of each row above its drawing, on top of all lines."""
    for number, ((row, _), value) in enumerate(zip(files, values, strict=True)):
        chart.text((4, _ROW * number + 14), shortened(row.label, 40), "label")
        chart.text((chart.width - 4, _ROW * number + 14), value, "label", "end")
    return chart


def _bytes(files: _Files, kind: Literal["wide", "narrow"]) -> Chart:
    """Bars from nothing to the size; what the stage took away stands hatched beside it."""
    sizes = [f.brotli_bytes for _, f in files]
    values = [f"{sizes[0]:,} B"]
    for before, size in itertools.pairwise(sizes):
        values.append(f"{size:,} B  {_sign(size - before)}{abs(size - before):,}")
    chart = _empty(files, "Bytes after each stage", kind)
    x = Scale(0.0, float(max(*sizes, 1)), 4, chart.width - 4)
    for number, ((row, _), size) in enumerate(zip(files, sizes, strict=True)):
        top = _ROW * number + _LANE - 8
        before = sizes[number - 1] if number else size
        chart.rect((x(0), top), (x(min(size, before)) - x(0), 14), "bar f0", f"{row.label}: {size:,} B")
        if before != size:
            low, high = sorted((x(before), x(size)))
            style = "bar f0 hollow" if size < before else "bar worse"
            word = "saved" if size < before else "added"
            chart.rect((low, top), (high - low, 14), style, f"{word} by {row.stage.name}: {abs(size - before):,} B")
    _axis(chart, x, [(value, kilobytes(value)) for value in x.ticks(5 if kind == "wide" else 4)])
    return _write(chart, files, values)


def _drops(files: _Files, kind: Literal["wide", "narrow"]) -> Chart:
    """Dots with intervals at the drop against the original; a thin line leads from each to the next."""
    changes = [f.drop for _, f in files]
    values = [f"{signed(f.drop.value)}  (this step {signed(f.step.value)})" for _, f in files]
    chart = _empty(files, "Drop of the metric after each stage", kind)
    ends = [v for change in changes for v in (*change.interval, change.value, 0.0)]
    x = Scale(*padded(ends, share=0.06), 10, chart.width - 10)
    _axis(chart, x, [(v, f"{v:+.3g}" if v else "0") for v in x.ticks(5 if kind == "wide" else 4)])
    chart.line((x(0), 0), (x(0), chart.height - _FOOT), "zero")
    places = [(x(change.value), _ROW * number + _LANE) for number, change in enumerate(changes)]
    for (x1, y1), (x2, y2) in itertools.pairwise(places):
        chart.path([(x1, y1), (x2, y1), (x2, y2)], "step")
    for (row, _), change, place in zip(files, changes, places, strict=True):
        low, high = map(x, change.interval)
        chart.line((low, place[1]), (high, place[1]), "interval f0")
        chart.mark(place, "circle", "mark f0", f"{row.label}: {change_text(change)}")
    return _write(chart, files, values)


def _axis(chart: Chart, x: Scale, ticks: Sequence[tuple[float, str]]) -> None:
    bottom = chart.height - _FOOT
    for value, text in ticks:
        chart.line((x(value), bottom), (x(value), bottom + 4), "axis")
        anchor = "start" if x(value) < 20 else "end" if x(value) > chart.width - 20 else "middle"
        chart.text((x(value), bottom + 18), text, "tick", anchor)
    chart.line((x.start, bottom), (x.end, bottom), "axis")


def _sign(value: int) -> str:
    return "−" if value < 0 else "+"  # noqa: RUF001 - U+2212 is as wide as the plus
