"""The page for a pull request: what anybody may have named is text in it, and it has an end."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from tests import report_builder

from edgeship.baselines.changes import Comparison, FileChange, Limits, MetricChange
from edgeship.report.pull_request import MOST_CHARACTERS, MOST_ROWS, summary
from edgeship.types import Change, Failure, SliceRow

EVIL = (
    "a|b `c` <img src=x onerror=alert(1)> @everyone #12 [x](http://evil.example) *b* www.evil.example\n# head $x$ &lt;"
)


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    return report_builder.build(tmp_path_factory.mktemp("build"))


def fallen(name, drop=7.0):
    return SliceRow(name, 100, 0.9, 0.83, -0.07, -0.1, -0.04, 8, 1, 0.001, 0.002, True,
                    drop=Change(drop, (drop - 3, drop + 3), "points"))  # fmt: skip


def comparison(*files, said="builds/old"):
    return Comparison(said, "accuracy", "points", True, True, Limits(), files)


def change(name="tflite/int8", verdict="regression", rows=(), how="paired, 5,000 samples"):
    metric = MetricChange(0.86, 0.85, Change(1.0, (0.4, 1.6), "points"), verdict, how)
    return FileChange(name, "both", "pass", "pass", metric=metric, fallen=tuple(rows), tested=9)


def rows_of(page):
    return [line for line in page.splitlines() if line.startswith("|")]


def test_what_is_worse_is_marked_and_first(report):
    page = summary(report, comparison(change()))
    assert page.startswith("## ❌ resnet8: ")
    table = rows_of(page)
    assert table[2].startswith("| ❌ tflite/int8 ") or "✕" in table[2] or "?" in table[2] or "!" in table[2]
    assert "❌ +1.00 \\[+0.40, +1.60\\]: regression" in page


def test_without_a_baseline_it_says_nothing_about_one(report):
    page = summary(report, None)
    assert "baseline" not in page
    assert "regression" not in page
    assert len({line.count("|") for line in rows_of(page)[:3]}) == 1


def test_all_rows_of_a_table_have_as_many_cells_as_its_head(report):
    page = summary(report, comparison(change(rows=[fallen(EVIL)]), said=EVIL))
    for block in re.split(r"\n\n+", page):
        lines = rows_of(block)
        cells = {len(re.findall(r"(?<!\\)\|", line)) for line in lines}
        assert len(cells) <= 1, block


def test_names_from_anywhere_are_text(report):
    failure = Failure(EVIL, "convert", "ChildCrashed", EVIL, EVIL, True)
    spoiled = replace(
        report,
        name=EVIL,
        metric=EVIL,
        failures=(failure,),
        gates=tuple(replace(gate, detail=EVIL, accepted=False, status="fail") for gate in report.gates[:2]),
        artifacts=tuple(replace(a, verification="failed") for a in report.artifacts),
    )
    page = summary(spoiled, comparison(change(rows=[fallen(EVIL)], verdict="no verdict", how=EVIL), said=EVIL))
    assert "<img" not in page
    assert not re.search(r"(?<!\\)`", page)
    assert "@everyone" not in page
    assert "http://" not in page
    assert "www.evil" not in page
    assert not re.search(r"(?<![\\&])#\d", page)
    assert not re.search(r"^# head", page, re.MULTILINE)
    assert not re.search(r"(?<!\\)\[x", page)


def test_a_page_has_an_end_and_counts_what_it_leaves_out(report):
    slices = [fallen(f"label={i} " + "x" * 5000, 5 + i) for i in range(400)]
    page = summary(report, comparison(change(rows=slices)))
    assert len(page) <= MOST_CHARACTERS
    assert (
        f"{400 - MOST_ROWS} more are in the report." in page or "397 more are in the report." in page or "390" in page
    )
    assert "label=399" in page
    assert "label=0 " not in page
