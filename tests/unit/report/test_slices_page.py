"""Slices on the page: shown, escaped, in bounds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests import report_builder
from tests.unit.report.test_page import HOSTILE, parsed

from edgeship.errors import InputError
from edgeship.report import page, slices, store
from edgeship.slices import compare, occlusion
from edgeship.slices.exhibits import data_uri
from edgeship.types import Calibration, Change, Exhibit, Flip, Report, SliceStudy


def study(artifact: str, limit: float | None = 3.0) -> SliceStudy:
    rng = np.random.default_rng(0)
    base, group = np.ones(600), np.arange(600) % 3
    found = np.where((group == 1) & (rng.random(600) < 0.2), 0.0, base)
    *rows, small = compare(base, found, {"class": group, "few": np.arange(600) < 5})
    (overall,) = compare(base, found, {"x": np.ones(600, bool)})
    change = Change(0.02, (0.01, 0.03), "share")
    flips = tuple(Flip(k, "broken", "cat", "cat", "dog", 0.9, 0.6) for k in range(3))
    given = occlusion.plan(rng.random((5, 8, 8, 3)), (0, 1, 2))
    maps = [rng.random((3, 64)) for _ in range(2)]
    return SliceStudy(
        artifact, "litert", "accuracy", "maximize", "points", 0.05, 30, limit, replace(overall, slice="all"),
        tuple(replace(row, status="fail" if row.significant else "pass") for row in rows), (small,), 7,
        Calibration(15, 600, 0.02, 0.04, change, 0.02, 0.04, 0.1, 0.12, change, change), flips,
        occlusion.compare(maps[0], maps[1], given),
    )  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Report:
    report = report_builder.build(tmp_path_factory.mktemp("build"))
    picture = data_uri(np.zeros((8, 8, 3), np.uint8))
    shown = (
        Exhibit(0, "image", picture, facts={"time": "night"}),
        Exhibit(1, "signal", values=(0.0, 1.0, 0.5), input="sound"),
        Exhibit(2, "row", values=(1.0, 2.5), names=("age", "person[7]"), total=40),
    )
    return replace(report, slices=tuple(study(a.id) for a in report.artifacts[:3]), exhibits=shown)


@pytest.fixture(scope="module")
def shown(made: Report) -> tuple[str, str]:
    return page.pages(made)


def test_the_page_shows_slices_flips_and_maps(shown: tuple[str, str]) -> None:
    html, markdown = shown
    found = parsed(html)
    text = "".join(found.text)
    assert "What compression did, to whom" in text
    assert "1 lost significantly, class=1 most" in text
    assert "few (5)" in text
    assert "night" in text
    assert "Where it looks" in text
    assert "shown: sound" in text
    assert "person[7] 2.5 2 of 40 values" in text
    sources = [value for tag, name, value in found.attributes if (tag, name) == ("img", "src")]
    assert sources
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert "://" not in html
    assert "## Slices that lost most" in markdown
    assert "class=1" in markdown


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_shown_and_never_obeyed(made: Report, shown: tuple[str, str], text: str) -> None:
    known = parsed(shown[0])
    bad = tuple(
        replace(
            s,
            artifact=text,
            runtime=text,
            metric=text,
            unit=text,
            rows=tuple(replace(row, slice=text, note=text) for row in s.rows),
            small=tuple(replace(row, slice=text, note=text) for row in s.small),
            flips=tuple(replace(f, label=text, before=text, after=text) for f in s.flips),
        )
        for s in made.slices
    )
    inputs = tuple(replace(e, picture=text, facts={text: text}, names=(text,), input=text) for e in made.exhibits)
    html, markdown = page.pages(replace(made, slices=bad, exhibits=inputs))
    found = parsed(html)
    assert set(found.tags) <= set(known.tags) | {"br"}
    assert "img" not in found.tags  # a picture that is none is not shown
    assert not any(name.startswith("on") for _, name, _ in found.attributes)
    assert "<script" not in markdown
    rows = [line for line in markdown.splitlines() if line.startswith("| ")]
    assert rows


def test_report_json_keeps_slices_and_refuses_a_picture_that_is_none(made: Report) -> None:
    folder = made.artifacts[0].path.parents[2]
    document = store.to_document(made, folder)
    again = store.loads(store.dumps(document), folder)
    assert again.slices == made.slices
    assert again.exhibits == made.exhibits
    for picture in ("javascript:alert(1)", 'data:image/png;base64,AAA" onload="x', "data:image/svg+xml;base64,AAAA"):
        bad = replace(made, exhibits=(replace(made.exhibits[0], picture=picture),))
        with pytest.raises(InputError, match="picture"):
            store.to_document(bad, folder)


def test_words() -> None:
    made = study("tflite/int8")
    lost, same = made.rows[0], made.rows[-1]
    assert slices.p_text(lost) == "<0.0001"
    assert slices.drop_text(lost).startswith("+")
    assert slices.excess_text(lost, made).startswith("+")
    assert slices.drop_text(same).startswith("+0.00 [−")  # noqa: RUF001 - a proper minus
    assert slices.values_text(Exhibit(0, "row", values=(1.0, 2.5))) == [("", "1"), ("", "2.5")]
    assert slices.drop_text(made.small[0]) == "–"  # noqa: RUF001 - a dash for no value
    assert [w.row.slice for w in slices.worst((made,))] == ["class=1"]
    assert slices.headline(replace(made, rows=())).startswith("no slice was tested")


def test_drawings_are_bounded_and_fit_their_width() -> None:
    made = study("tflite/int8")
    many = replace(made, rows=made.rows * 30)
    for chart in slices.forest(many):
        lines = [s for s in chart.shapes if s.attributes.get("class", "").startswith("dot")]
        assert len(lines) == slices.MAX_LINES
        assert all(float(s.attributes.get("cx", 0)) <= chart.width for s in lines)
