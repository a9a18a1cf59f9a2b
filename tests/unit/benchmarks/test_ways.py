"""In what ways a plan wants files measured: threads and kernels, side by side."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgeship.errors import InputError
from edgeship.report import results
from edgeship.types import Artifact, Measurement, Plan
from edgeship_benchmarks.targets.browser import runtimes
from edgeship_benchmarks.targets.local import LocalTarget
from edgeship_benchmarks.ways import Way, ways

_PLAN = Plan(min_runs=20, min_seconds=0.02, rounds=2, warmup_max_runs=40)
_BOTH = replace(_PLAN, threads=(1, 2), xnnpack=(True, False))


def test_what_a_runtime_cannot_do_makes_no_way() -> None:
    assert ways(_BOTH, "tflite") == [Way(1), Way(2), Way(1, xnnpack=False), Way(2, xnnpack=False)]
    assert ways(_BOTH, "onnx") == [Way(1), Way(2)]
    (one,) = ways(_BOTH, "tfjs")
    assert one.threads == 1
    assert "one thread in Node" in one.notes[0]
    assert ways(_PLAN, "tfjs") == [Way()]


@pytest.mark.parametrize("threads", [(), (0,), (1, 1), (2, -1)])
def test_a_plan_that_names_no_way(threads: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="cannot measure"):
        ways(replace(_PLAN, threads=threads), "tflite")


def test_threads_in_browsers() -> None:
    assert runtimes.counts("tfjs-wasm-simd", (1, 4)) == [1]
    assert runtimes.counts("tfjs-wasm-threads", (1, 2, 4)) == [2, 4]
    assert [runtimes.threads(count, 8) for count in runtimes.counts("ort-web-wasm-threads", (1,))] == [4]


def test_each_way_has_a_row_and_all_are_interleaved(models: Path, artifact_of: Callable[..., Artifact]) -> None:
    artifacts = [artifact_of("affine.tflite"), artifact_of("affine.onnx")]
    rows = LocalTarget().measure(artifacts, {"x": np.load(models / "affine.x.npy")}, _BOTH)
    measured = [row for row in rows if isinstance(row, Measurement)]
    assert len(measured) == len(rows)
    lite = ["litert", "litert, 2 threads", "litert without XNNPACK", "litert without XNNPACK, 2 threads"]
    assert [row.engine for row in measured] == [*lite, "onnxruntime", "onnxruntime, 2 threads"]
    assert {(row.group, len(row.round_lengths)) for row in measured} == {("", 2)}
    said = " ".join(results.verdicts([replace(row, repeats=1) for row in measured]))
    assert "litert, 2 threads" in said


def test_a_file_that_cannot_be_opened_has_one_row(tmp_path: Path, artifact_of: Callable[..., Artifact]) -> None:
    whole = artifact_of("affine.tflite")
    broken = replace(whole, path=tmp_path)
    (tmp_path / whole.files[0].name).write_bytes(b"no model")
    (row,) = LocalTarget().measure([broken], {"x": np.zeros((1, 2), np.float32)}, _BOTH)
    assert not isinstance(row, Measurement)
