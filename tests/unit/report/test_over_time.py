"""Drawings of the history in a report: of this build's files only, and of measurements only."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from tests import report_builder, result_rows
from tests.history_rows import artifact, session, timed

from edgeship import report
from edgeship.history.records import Record, record
from edgeship.report import over_time, page
from edgeship.types import Report


@pytest.fixture
def made(tmp_path: Path) -> Report:
    return report_builder.build(tmp_path / "demo")


def past(*medians: float, **facts: str) -> list[Record]:
    """Sessions of `tflite/int8`, the newest first; every other one is of another file."""
    found = []
    for number, median in enumerate(medians, start=1):
        of = artifact(f"{number // 2:064x}")
        found.append(record(session(number, f"v{number}"), of, timed(median, of, **facts)))
    return found[::-1]


def test_two_sessions_are_drawn_one_is_not(made: Report) -> None:
    assert over_time.charts(made, past(1.0)) == []
    ((caption, charts),) = over_time.charts(made, past(1.0, 1.2, 0.9))
    assert caption == "tflite/int8 in litert, 1 thread on local"
    assert [chart.kind for chart in charts] == ["wide", "narrow"]
    wide = charts[0]
    marks = [shape for shape in wide.shapes if shape.attributes["class"].startswith("mark")]
    assert [shape.title.partition(":")[0] for shape in marks] == ["2026-11-01 12", "2026-11-02 12", "2026-11-03 12"]
    heights = [float(shape.attributes["cy"]) for shape in marks]
    assert heights[1] < heights[0] < heights[2]  # slower is higher
    places = [float(shape.attributes["cx"]) for shape in marks]
    assert places == sorted(places)
    assert "1.20 ms, 1.20 to 1.20" in marks[1].title
    assert sum(shape.attributes["class"] == "changed" for shape in wide.shapes) == 1
    assert sum(shape.attributes["class"] == "step" for shape in wide.shapes) == 2


def test_a_gap_where_the_device_is_another_one(made: Report) -> None:
    mixed = [*past(1.0, 1.0, cpu="Other")[:1], *past(1.0)]
    ((_, charts),) = over_time.charts(made, mixed)
    assert not any(shape.attributes["class"] == "step" for shape in charts[0].shapes)


def test_unstable_sessions_are_hollow(made: Report) -> None:
    given = past(1.0, 1.2)
    assert given[0].summary is not None
    shaken = replace(given[0], summary=replace(given[0].summary, unstable=True))
    ((_, charts),) = over_time.charts(made, [shaken, given[1]])
    styles = [shape.attributes["class"] for shape in charts[0].shapes if "mark" in shape.attributes["class"]]
    assert styles == ["mark f0", "mark f0 hollow"]


def test_what_is_not_of_this_build_or_no_time_is_not_drawn(made: Report) -> None:
    other = artifact(variant="int4")
    emulated = [record(session(n), artifact(), result_rows.emulation()) for n in (1, 2)]
    bounds = [record(session(n), artifact(), result_rows.bound()) for n in (1, 2)]
    strangers = [record(session(n), other, timed(1.0, other)) for n in (1, 2)]
    assert over_time.charts(made, [*emulated, *bounds, *strangers]) == []


def test_settings_and_places_have_drawings_of_their_own(made: Report) -> None:
    given = past(1.0, 1.2)
    threads = [replace(item, result=replace(item.result, threads=2)) for item in given]  # type: ignore[call-arg] # a measurement
    boards = [replace(item, result=replace(item.result, target="ssh://pi@board")) for item in given]
    captions = [caption for caption, _ in over_time.charts(made, [*given, *threads, *boards])]
    assert captions == [
        "tflite/int8 in litert, 1 thread on local",
        "tflite/int8 in litert, 2 threads on local",
        "tflite/int8 in litert, 1 thread on ssh://pi@board",
    ]


def test_the_page_has_a_section_of_its_own_and_escapes_it(made: Report, tmp_path: Path) -> None:
    assert "Over time" not in page.pages(made)[0]
    given = [replace(item, session=replace(item.session, label="<b>x")) for item in past(1.0, 1.2)]
    report.write(made, tmp_path / "demo", given)
    html = (tmp_path / "demo" / "report.html").read_text()
    section = html[html.index('id="time"') :]
    section = section[: section.index("</section>")]
    assert "tflite/int8 in litert, 1 thread on local" in section
    assert "<b>" not in section
    assert "&lt;b&gt;x" in section
    assert len(re.findall(r"<svg", section)) == 2
    assert "Over time" not in (tmp_path / "demo" / "report.md").read_text()
    assert "over_time" not in (tmp_path / "demo" / "report.json").read_text()
