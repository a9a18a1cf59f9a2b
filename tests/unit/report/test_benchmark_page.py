"""The page of `edgeship benchmark --html`."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from tests import report_builder, result_rows

from edgeship.baselines import Judged
from edgeship.benchmarking import Found
from edgeship.report import benchmark
from edgeship.types import DeviceInfo, Report


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return report_builder.build(tmp_path_factory.mktemp("build"))


@pytest.fixture
def found(made: Report) -> Found:
    rows = (*made.measurements, result_rows.emulation(), result_rows.bound(), result_rows.refused())
    worse = Judged(
        "tflite/int8",
        "local",
        "litert",
        "latency",
        "ms",
        0.1,
        0.15,
        "regression",
        "side by side",
        1.5,
        (1.4, 1.6),
        0.99,
    )
    smaller = Judged("tflite/int8", "", "", "size", "B", 2000, 1000, "improvement", "exact")
    return Found(rows, made.artifacts, "builds/old", (worse, smaller), ("a note",), "2026-11-21T12:34:56+00:00")


def test_kinds_of_results_have_sections_of_their_own(found: Found) -> None:
    html = benchmark.page(found)
    headings = re.findall(r"<h2[^>]*>(.*?)</h2>", html)
    assert headings == [
        "Notes",
        "Files",
        "Against builds/old",
        "Latency",
        "Emulated",
        "Estimated",
        "Not measured",
        "Where it was measured",
    ]
    before, _, emulated = html.partition('id="emulated"')
    assert "emulated:" not in before
    assert "≥" not in before
    assert "3,234,011" in emulated
    assert "0.150 ms" in html
    assert "1.500 [1.400, 1.600]" in html
    assert "✕</span> regression" in html
    assert "✓</span> improvement" in html
    assert benchmark.page(found) == html


def test_an_empty_result_is_a_page_too(made: Report) -> None:
    html = benchmark.page(Found((result_rows.refused(),), made.artifacts[:1]))
    assert "Latency</h2>" not in html
    assert "this browser has no WebGPU adapter" in html
    assert "not measured" in html


def test_names_from_outside_are_escaped(found: Found) -> None:
    evil = "<script>alert(1)</script>"
    rows = [replace(row, target=evil, device=DeviceInfo(evil, "measured", {evil: evil})) for row in found.rows[:2]]
    html = benchmark.page(replace(found, rows=tuple(rows), baseline=evil, notes=(evil,)))
    assert "<script" not in html
    assert "&lt;script&gt;" in html


def test_a_software_gpu_is_part_of_the_name_of_a_runtime(found: Found) -> None:
    device = DeviceInfo("browser:chromium", "measured", {"software_gpu": "yes"})
    row = replace(found.rows[0], device=device, target="browser:chromium", runtime="tfjs-webgl")
    html = benchmark.page(replace(found, rows=(row,)))
    assert "tfjs-webgl (software GPU) on browser:chromium, 1 thread, measured" in html
