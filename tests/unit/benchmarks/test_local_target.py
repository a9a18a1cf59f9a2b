"""This machine as a target, with real sessions."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgeship import plugins
from edgeship.errors import InputError
from edgeship.types import Artifact, Measurement, NotMeasured, Plan, Progress
from edgeship_benchmarks import comparison, stats
from edgeship_benchmarks.session import AgentSession
from edgeship_benchmarks.targets.local import LocalTarget

_PLAN = Plan(min_runs=20, min_seconds=0.02, rounds=2, warmup_max_runs=40)


def test_measures_artifacts_of_several_formats_side_by_side(models: Path, artifact_of: Callable[..., Artifact]) -> None:
    artifacts = [artifact_of("affine.tflite"), artifact_of("int8.tflite", "int8"), artifact_of("affine.onnx")]
    events: list[Progress] = []
    found = LocalTarget().measure(artifacts, {"x": np.load(models / "affine.x.npy")}, _PLAN, events.append)
    assert [(m.artifact, m.runtime) for m in found] == [
        ("tflite/float32", "litert"),
        ("tflite/int8", "litert"),
        ("onnx/float32", "onnxruntime"),
    ]
    assert events[-1].done == events[-1].total
    for artifact, m in zip(artifacts, found, strict=True):
        assert (m.target, m.provenance, m.device.provenance) == ("local", "measured", "measured")
        assert (m.artifact_sha256, m.size_bytes, m.threads) == (artifact.files[0].sha256, artifact.size_bytes, 1)
        assert 0 < m.brotli_bytes <= m.size_bytes
        assert m.gzip_bytes > 0
        assert len(m.round_lengths) == 2
        assert len(m.latency_ms) >= 20
        assert min(m.import_ms, m.load_ms, m.first_inference_ms, *m.latency_ms) > 0
        assert m.warmup_runs >= 20
        assert m.peak_memory_mib is not None
        assert m.device.facts["tensorflow_loaded"] == "no"
        assert {"cores", "load_average", "load_average_after", "numpy"} <= set(m.device.facts)
        assert stats.summary(m).n == len(m.latency_ms)
    assert "onnxruntime" in found[2].device.facts
    assert comparison.ratio(found[0], found[1]).rounds == 2


def test_threads_reach_the_runtime(models: Path, artifact_of: Callable[..., Artifact]) -> None:
    (found,) = LocalTarget().measure(
        [artifact_of("affine.onnx")], {"x": np.load(models / "affine.x.npy")}, replace(_PLAN, threads=(2,))
    )
    assert found.threads == 2


def test_fixed_batch_is_noted(models: Path, artifact_of: Callable[..., Artifact]) -> None:
    x = {"x": np.load(models / "affine.x.npy")}
    (found,) = LocalTarget().measure([artifact_of("fixed4.tflite")], x, _PLAN)
    assert any("fixes a batch of 4" in note for note in found.notes)


def test_check_runs_the_artifact(models: Path, artifact_of: Callable[..., Artifact]) -> None:
    x, y = np.load(models / "affine.x.npy"), np.load(models / "affine.y.npy")
    np.testing.assert_allclose(LocalTarget().check(artifact_of("affine.onnx"), {"x": x})["y"], y, atol=1e-5)


def test_a_broken_artifact_costs_only_its_own_row(
    models: Path, tmp_path: Path, artifact_of: Callable[..., Artifact]
) -> None:
    good = artifact_of("affine.tflite")
    (tmp_path / "affine.tflite").write_bytes(b"nonsense")
    x = {"x": np.load(models / "affine.x.npy")}
    broken, measured = LocalTarget().measure([replace(good, path=tmp_path, variant="int8"), good], x, _PLAN)
    assert isinstance(broken, NotMeasured)
    assert isinstance(measured, Measurement)
    assert (broken.artifact, broken.target, broken.type) == ("tflite/int8", "local", "ArtifactError")
    assert str(tmp_path) in broken.reason
    assert "convert it again" in broken.remedy


def test_inputs_that_fit_one_of_two(models: Path, artifact_of: Callable[..., Artifact]) -> None:
    found = LocalTarget().measure([artifact_of("affine.tflite")], {"x": np.zeros((2, 9, 9), np.float32)}, _PLAN)
    assert [type(row) for row in found] == [NotMeasured]
    assert (found[0].runtime, found[0].type) == ("litert", "DataError")  # type: ignore[union-attr] # as asserted


def test_an_agent_that_dies_midway_costs_only_its_own_row(
    models: Path, artifact_of: Callable[..., Artifact], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between two rounds by its pid, as the system kills it where memory is short."""
    doomed: list[int] = []
    original = AgentSession.measure

    def measure(self, *args, **kwargs):  # type: ignore[no-untyped-def] # as in the original
        if not doomed:
            doomed.append(self.pid)
        elif self.pid == doomed[0] and len(doomed) == 1:
            doomed.append(self.pid)
            os.kill(self.pid, signal.SIGKILL)
        return original(self, *args, **kwargs)

    monkeypatch.setattr(AgentSession, "measure", measure)
    x = {"x": np.load(models / "affine.x.npy")}
    found = LocalTarget().measure([artifact_of("affine.tflite"), artifact_of("affine.onnx")], x, _PLAN)
    assert sorted(type(row).__name__ for row in found) == ["Measurement", "NotMeasured"]
    (lost,) = [row for row in found if isinstance(row, NotMeasured)]
    assert lost.type == "ChildOutOfMemory"
    assert lost.runtime in ("litert", "onnxruntime")


def test_nothing_to_measure() -> None:
    assert list(LocalTarget().measure([], {}, _PLAN)) == []


def test_this_machine_has_no_other_address() -> None:
    assert plugins.target("local").name == "local"
    with pytest.raises(InputError, match="no target is called 'local:3'"):
        plugins.target("local:3")


def test_a_format_that_nothing_opens_or_times(
    artifact_of: Callable[..., Artifact], monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = replace(artifact_of("affine.tflite"), format="papyrus")

    def reason() -> str:
        (row,) = LocalTarget().measure([odd], {}, _PLAN)
        assert isinstance(row, NotMeasured)
        return row.reason

    assert "no runtime opens papyrus" in reason()

    class Untimed:
        name = "untimed"

    monkeypatch.setattr(plugins, "runtimes_for", lambda _: (Untimed(),))
    assert "untimed cannot be timed here" in reason()
