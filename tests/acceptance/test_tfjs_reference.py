"""Our TF.js writer against the official converter, in an environment of its own (issue: TF.js export)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgeship.errors import UnavailableError
from edgeship_benchmarks.runtimes.tfjs import TFJSWasmRuntime
from tests.acceptance import environments, tfjs_reference
from tests.acceptance.tfjs_reference import Comparison

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def comparisons(tmp_path_factory: pytest.TempPathFactory) -> list[Comparison]:
    runtime = TFJSWasmRuntime()
    if runtime.missing():
        pytest.skip(f"needs {', '.join(runtime.missing())}: {runtime.remedy}")
    try:
        environments.interpreter(tfjs_reference.ENVIRONMENT)
    except UnavailableError as error:
        pytest.skip(f"the reference environment cannot be built: {error.message}")
    found = list(tfjs_reference.comparisons(tmp_path_factory.mktemp("tfjs")))
    tfjs_reference.RECORD.parent.mkdir(exist_ok=True)
    tfjs_reference.RECORD.write_text("".join(json.dumps(c.__dict__) + "\n" for c in found))
    return found


def test_outputs_are_equal(comparisons: list[Comparison]) -> None:
    assert {c.model: c.difference for c in comparisons if c.difference > 1e-5} == {}


def test_ours_are_not_larger(comparisons: list[Comparison]) -> None:
    assert [c.model for c in comparisons if c.sizes[0] > c.sizes[1] or c.gzip_sizes[0] > c.gzip_sizes[1]] == []


def test_ours_are_faster_in_webassembly(comparisons: list[Comparison]) -> None:
    assert {c.model: c.latency for c in comparisons if c.latency < 1.1} == {}


def test_the_export_is_faster(comparisons: list[Comparison]) -> None:
    assert {c.model: c.export for c in comparisons if c.export < 3} == {}


def test_the_models_are_those_of_the_issue(comparisons: list[Comparison], shared_data: Path) -> None:
    assert [c.model for c in comparisons] == ["mobilenet_v2", "small_cnn", "mnist_cnn", "resnet8"]
