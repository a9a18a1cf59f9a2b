"""Which file of a build is the smallest: by the bytes that are delivered, where these are known of all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests import report_builder

from edgeship.types import Artifact, Report, on_the_wire


def passed(report: Report) -> list[Artifact]:
    return [a for a in report.artifacts if a.verification == "passed"]


def compressing(report: Report, name: str, brotli_bytes: int) -> Report:
    """As if one file compressed to that many bytes."""
    measured = [replace(m, brotli_bytes=brotli_bytes) if m.artifact == name else m for m in report.measurements]
    return replace(report, measurements=tuple(measured))


def test_the_best_is_the_smallest_as_it_is_delivered(tmp_path: Path) -> None:
    made = report_builder.build(tmp_path)
    assert made.best is not None
    assert made.best.id == "tflite/int8"
    zeros = compressing(made, "tflite/float16", 40_000)  # 164,404 bytes, most of them zeros
    assert zeros.best is not None
    assert zeros.best.id == "tflite/float16"
    failed = compressing(made, "onnx/int8", 40_000)
    assert failed.best == made.best, "what did not pass is never the best"


def test_files_that_were_not_all_measured_are_compared_as_they_are(tmp_path: Path) -> None:
    made = compressing(report_builder.build(tmp_path), "tflite/float16", 40_000)
    unmeasured = [m for m in made.measurements if m.artifact != "tflite/int16x8"]
    plain = replace(made, measurements=tuple(unmeasured))
    assert plain.best is not None
    assert plain.best.id == "tflite/int8"
    assert plain.compared_bytes(passed(plain)) == {a.id: a.size_bytes for a in passed(plain)}
    assert plain.compared_bytes(a for a in passed(plain) if a.id == "tflite/float16") == {"tflite/float16": 40_000}


def test_nothing_that_passed_is_no_best(tmp_path: Path) -> None:
    made = report_builder.build(tmp_path)
    failed = replace(made, artifacts=tuple(replace(a, verification="failed") for a in made.artifacts))
    assert failed.best is None


@pytest.mark.parametrize(
    ("encoded", "expected"), [((80, 90), 80), ((90, 80), 80), ((97, 99), 97), ((98, 99), 100), ((101, 120), 100)]
)
def test_a_file_is_sent_plain_where_compression_takes_less_than_three_percent(
    encoded: tuple[int, int], expected: int
) -> None:
    assert on_the_wire(100, *encoded) == expected
