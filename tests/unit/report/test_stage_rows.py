"""What the pages say about each stage: in text, and in the two drawings."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from tests import report_builder

from edgeship.report import page, stages
from edgeship.report.svg import Chart
from edgeship.types import Change, Report, Stage


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return report_builder.build(tmp_path_factory.mktemp("build"))


def texts(chart: Chart) -> list[str]:
    return [shape.text for shape in chart.shapes if shape.tag == "text"]


def test_one_row_for_each_file_after_each_stage(made: Report) -> None:
    rows = stages.stage_rows(made)
    assert [(row.label, row.first) for row in rows] == [
        ("base, tflite/float32", True),
        ("base, tflite/int8", False),
        ("prune, tflite/int8", True),
        ("quantize-aware, tflite/int8", True),
    ]
    assert all("ms [" in row.latency and row.latency.endswith("(measured)") for row in rows)


def test_the_tables_say_which_samples_and_what_each_step_cost(made: Report) -> None:
    html, markdown = page.pages(made)
    section = html[html.index('<h2 id="stages">') : html.index('<h2 id="layers">')]
    assert "5,000 <strong>validation</strong> samples" in section
    assert "those above are of the <strong>test</strong> samples" in section
    assert "+0.48 [+0.08, +0.88]" in section  # of pruning alone
    assert "+0.58 [+0.18, +0.98]" in section  # against the original
    assert section.count("12,501,632") == 3
    (line,) = [line for line in markdown.splitlines() if line.startswith("| prune ")]
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[:4] == ["prune", "84.90 %", "tflite/int8", "84.74 %"]
    assert cells[8] == "51,020"
    assert "On the 5,000 **validation** samples" in markdown


def test_bars_show_what_is_left_and_what_was_saved(made: Report) -> None:
    (_, (wide, narrow)), _ = stages.charts(stages.stage_rows(made), "accuracy")
    assert wide.width > narrow.width
    bars = [s for s in wide.shapes if s.tag == "rect"]
    scale = float(bars[0].attributes["width"]) / 288_120
    left = [float(b.attributes["width"]) for b in bars if b.attributes["class"] == "bar f0"]
    assert left == pytest.approx([scale * size for size in (288_120, 77_509, 51_020, 50_874)], abs=0.06)
    saved = [b for b in bars if b.attributes["class"] == "bar f0 hollow"]
    assert [b.title for b in saved] == [
        "saved by base: 210,611 B", "saved by prune: 26,489 B", "saved by quantize-aware: 146 B"
    ]  # fmt: skip
    assert float(saved[1].attributes["width"]) == pytest.approx(scale * 26_489, abs=0.06)
    assert "51,020 B  −26,489" in texts(wide)  # noqa: RUF001 - a proper minus


def test_a_stage_that_adds_bytes_is_drawn_as_worse(made: Report) -> None:
    last = made.stages[-1]
    grown = replace(last, files=(replace(last.files[0], brotli_bytes=60_000),))
    rows = stages.stage_rows(replace(made, stages=(*made.stages[:-1], grown)))
    (_, (wide, _)), _ = stages.charts(rows, "accuracy")
    (worse,) = [s for s in wide.shapes if s.attributes["class"] == "bar worse"]
    assert worse.title == "added by quantize-aware: 8,980 B"
    assert "60,000 B  +8,980" in texts(wide)


def test_dots_stand_at_the_drop_against_the_original(made: Report) -> None:
    _, (caption, (wide, _)) = stages.charts(stages.stage_rows(made), "accuracy")
    assert caption == "Drop of accuracy on the validation samples, in points, with its 95 % interval"
    dots = [float(s.attributes["cx"]) for s in wide.shapes if s.tag == "circle"]
    drops = [0.0, 0.10, 0.58, 0.18]
    assert dots == pytest.approx([dots[0] + (dots[2] - dots[0]) * drop / 0.58 for drop in drops], abs=0.1)
    assert dots[0] < dots[1] < dots[3] < dots[2]  # right is worse


def test_what_was_not_compared_has_a_row_and_no_drawing(made: Report) -> None:
    bare = replace(made, stages=tuple(replace(s, files=(), macs=None) for s in made.stages))
    assert [row.file for row in stages.stage_rows(bare)] == [None] * 3
    assert stages.charts(stages.stage_rows(bare), "accuracy") == []
    html, markdown = page.pages(bare)
    assert "weights 171,204" in html
    assert "weights 171,204" in markdown


def test_numbers_that_are_none_are_written_and_not_drawn(made: Report) -> None:
    nothing = Change(math.nan, (math.nan, math.nan), "%")
    stage: Stage = made.stages[1]
    broken = replace(stage, files=(replace(stage.files[0], metric=math.nan, drop=nothing, step=nothing),))
    found = replace(made, stages=(made.stages[0], broken))
    assert stages.charts(stages.stage_rows(found), "accuracy") == []
    assert "NaN" in page.pages(found)[1]


def test_what_was_tried_stands_with_its_reason(made: Report) -> None:
    html, markdown = page.pages(made)
    section = html[html.index('<h2 id="attempts">') : html.index('<h2 id="stages">')]
    assert "on the <strong>validation</strong> samples" in section
    assert section.count('<tr class="best">') == 1
    assert "layer top has no simulation" in section
    assert "503 s" in section
    taken = "| small | good, taken | tflite/int8 | 85.14 % | 50,874 | 503 s | "
    (line,) = [line for line in markdown.splitlines() if line.startswith(taken)]
    assert "within 0.6" in line
    plain = replace(made, attempts=())
    assert 'id="attempts"' not in page.pages(plain)[0]
    assert "What was tried" not in page.pages(plain)[1]
