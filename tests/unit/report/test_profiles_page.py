"""Operator profiles in the report and on the terminal: lines, sentences, and a picture."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests import report_builder
from tests.latencies import measured
from tests.unit.report.test_provenance import sections

from edgeship.cli.profiles import print_profiles
from edgeship.report import page, profiles, read, write
from edgeship.report.view import DASH
from edgeship.types import Measurement, OperatorProfile, OperatorTime


def operator(name: str, ms: float, half: float = 0.001, macs: float | None = 0.0) -> OperatorTime:
    """A convolution with a symmetric interval."""
    return OperatorTime(name, "CONV_2D", ms, (ms - half, ms + half), macs)


SPLIT = OperatorProfile(
    "split",
    (
        operator("stem", 0.2, macs=4e6),
        operator("head <b>", 0.7, macs=7e6),
        operator("tail", -0.002),
        operator("x", 0.05),
    ),
    1.0,
    21,
)


def test_lines_are_the_largest_in_the_order_of_the_graph() -> None:
    many = tuple(operator(f"op {k}", 0.01 * (k % 7 + 1), macs=1e3) for k in range(50))
    shown = profiles.lines(OperatorProfile("runtime", many, 2.0, 3))
    assert len(shown) == profiles.MOST_LINES + 1
    numbers = [int(line.operator.name.split()[1]) for line in shown[:-1]]
    assert numbers == sorted(numbers)
    left = {operator.name for operator in many} - {line.operator.name for line in shown}
    assert min(line.operator.ms for line in shown[:-1]) >= max(o.ms for o in many if o.name in left)
    assert shown[-1].operator.name == "30 others"
    assert sum(line.operator.ms for line in shown) == pytest.approx(sum(o.ms for o in many))
    assert shown[-1].operator.macs == 30_000


def test_figures_of_a_line() -> None:
    stem, head, tail, _ = profiles.lines(SPLIT)
    assert (stem.ms, stem.share, stem.macs, stem.rate) == ("0.2000 ±0.0010", "21.1 %", "4,000,000", "20")
    assert head.rate == "10"
    assert (tail.ms, tail.macs, tail.rate) == ("-0.0020 ±0.0010", DASH, DASH)
    (unsure,) = profiles.lines(OperatorProfile("split", (operator("a", 0.01, half=0.02, macs=1e6),), 1.0, 5))
    assert unsure.rate == DASH  # it may as well take no time


def test_sentences_say_the_method_the_error_and_the_sum() -> None:
    calm = replace(measured([np.full(50, 1.0)]), profile=SPLIT)
    (said,) = profiles.sentences(calm, SPLIT)
    assert said.startswith(
        "the operators take 0.948 ms together (95 % of the median of 1.00 ms): differences of the times"
    )
    assert "21 rounds; a time may be off by up to 0.00200 ms" in said
    disturbed = measured([np.concatenate([np.full(20, 1.0), np.full(30, 2.0)])])
    assert (
        "(47 % of the median of 2.00 ms, 95 % of the 1.00 ms that the fastest quarter took)"
        in profiles.sentences(disturbed, SPLIT)[0]
    )
    traced = replace(SPLIT, method="runtime", notes=("whole microseconds",))
    said, note = profiles.sentences(calm, traced)
    assert "litert says so itself, in a run of its own, 21 rounds" in said
    assert note == "whole microseconds"


def test_the_report_has_a_section_with_a_picture(tmp_path: Path) -> None:
    made = report_builder.build(tmp_path)
    assert "Where the time goes" not in sections(page.pages(made)[0])
    first, *others = made.measurements
    with_profile = replace(made, measurements=(replace(first, profile=SPLIT), *others))
    html = page.pages(with_profile)[0]
    text = sections(html)["Where the time goes"]
    assert "95 % of the median" in text or "% of the median" in text
    assert "head &lt;b&gt;" in html
    assert "<b>" not in html.split('<h2 id="operators">')[1].split("</section>")[0]
    assert html.count("Time by operator of") == 2  # for a wide page and for a phone
    write(with_profile, tmp_path)
    again = read(tmp_path).measurements[0]
    assert again.profile == SPLIT


def test_the_terminal_shows_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    row: Measurement = replace(measured([np.full(50, 1.0)]), profile=SPLIT)
    print_profiles([row, replace(row, profile=None)])
    said = capsys.readouterr().out
    assert said.count("where the time of tflite/int8 goes") == 1
    assert "head <b>" in said
    assert "73.8 %" in said
    assert "the operators take 0.948 ms together" in said
