"""Verdicts of `edgeship benchmark`, by the records of the trials, and what measuring adds to what it measures."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.benchmarks import construction, layers, overhead, trials
from tests.acceptance.benchmarks.__main__ import OVERHEAD_LAYERS

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("layers")
    counts = sorted({*construction.COUNTS, OVERHEAD_LAYERS})
    script = [sys.executable, str(layers.__file__), str(folder), *map(str, counts)]
    subprocess.run(script, check=True, capture_output=True, timeout=600)
    return folder


def test_a_file_against_itself_is_called_different_at_most_5_times_in_200() -> None:
    made_by, found = trials.read("aa")
    assert made_by == trials.method(), "made by another method: python -m tests.acceptance.benchmarks --aa 200"
    assert len(found) >= 200
    assert trials.called(found[:200]) <= 5


@pytest.mark.parametrize("kind", ["five", "three"])
def test_a_true_difference_is_found_in_9_of_10_trials(kind: str) -> None:
    made_by, found = trials.read(kind)
    assert made_by == trials.method(), f"made by another method: python -m tests.acceptance.benchmarks --{kind} 100"
    assert len(found) >= 100
    assert trials.right(found[:100]) >= 90


def test_the_difference_is_what_it_is_said_to_be(models: Path) -> None:
    line = construction.line(models)
    for kind in trials.KINDS:
        assert line.ratio(kind.first, kind.second) == pytest.approx(kind.true_ratio, abs=0.005)


def test_measuring_adds_less_than_3_percent(models: Path) -> None:
    bare, tool = overhead.ratios(overhead.rounds(models / f"{OVERHEAD_LAYERS}.tflite", 20))
    assert bare == pytest.approx(1, abs=0.03)
    assert tool == pytest.approx(1, abs=0.03)
