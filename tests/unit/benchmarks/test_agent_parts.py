"""What the agent measures beside latency: processing, throughput, energy, and LiteRT without its delegate."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from edgeship.errors import InputError
from edgeship.types import Artifact, Measurement, Plan
from edgeship_benchmarks.agent import energy, operations
from edgeship_benchmarks.agent.tensors import Tensor
from edgeship_benchmarks.session import AgentSession
from edgeship_benchmarks.targets.local import LocalTarget

#: The agent beside a processor that counts 7000 microjoules for each inference.
_COUNTED = """
from pathlib import Path

from edgeship_benchmarks.agent import energy, operations, protocol

class Agent(operations.Agent):
    def _timed(self, feeds):
        counter = Path({counter!r})
        counter.write_text(str(int(counter.read_text()) + 7000))
        return super()._timed(feeds)

energy.POWERCAP = {powercap!r}
protocol.Agent = Agent
protocol.main()
"""
_PLAN = Plan(min_runs=20, min_seconds=0.02, rounds=2, warmup_max_runs=40)


def samples(models: Path, count: int = 3) -> dict[str, np.ndarray]:
    return {"x": np.load(models / "affine.x.npy")[:count]}


def test_quantizing_is_timed_for_itself(models: Path) -> None:
    with AgentSession() as session:
        session.load("litert", models / "int8.tflite")
        assert set(session.loaded.operations) == {"processing", "throughput", "prefixes"}
        int8 = session.processing(samples(models))
        session.load("litert", models / "affine.tflite")
        real = session.processing(samples(models))
    assert 0 < int8.preprocessing_ms < 50
    assert 0 < int8.postprocessing_ms < 50
    assert int8.preprocessing_ms + int8.postprocessing_ms > real.preprocessing_ms + real.postprocessing_ms


@pytest.mark.parametrize(
    ("runtime", "file", "batch", "made"),
    [
        ("onnxruntime", "affine.onnx", 32, 32),
        ("onnxruntime", "affine1.onnx", 32, 1),
        ("onnxruntime", "dynamic.onnx", 32, 1),
        ("litert", "affine.tflite", 32, 32),
        ("litert", "fixed4.tflite", 32, 4),
    ],
)
def test_throughput_in_batches(models: Path, runtime: str, file: str, batch: int, made: int) -> None:
    """With fewer samples than the batch has."""
    with AgentSession() as session:
        session.load(runtime, models / file)
        found = session.throughput(samples(models), batch, 0.05)
        one = session.throughput(samples(models), 1, 0.05)
    assert found.batch == made
    assert one.batch == (made if made == 4 else 1)
    assert min(found.per_second, one.per_second) > 0


def test_throughput_counts_samples(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that goes on whenever it is looked at: as many inferences of either size in the same time."""
    agent = operations.Agent(lambda _: None)
    agent.load("litert", str(models / "affine.tflite"))
    clock = itertools.count()
    monkeypatch.setattr(operations, "time", SimpleNamespace(perf_counter=lambda: next(clock) / 1024))
    given = {"x": str(models / "affine.x.npy")}
    one, many = (agent.throughput(given, size, 50 / 1024)["per_second"] for size in (1, 32))
    assert one == 49 * 1024 / 51
    assert many == 32 * one


def test_the_first_inference_is_whole_and_a_latency_is_of_one_sample(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file with a batch of 4, of which each inference takes 8 ms by a clock that only inferences move."""
    now = [0.0]
    clock = SimpleNamespace(perf_counter=lambda: now[0] / 1e3, perf_counter_ns=lambda: int(now[0] * 1e6))
    engine = SimpleNamespace(
        inputs=[Tensor("x", [4, 3], "float32")],
        fixed_batch=4,
        batch=lambda _: 4,
        prepare=lambda _: None,
        infer=lambda _: now.append(now.pop() + 8.0),
    )
    monkeypatch.setattr(operations, "time", clock)
    agent = operations.Agent(lambda _: None)
    agent._loaded = engine
    np.save(tmp_path / "x.npy", np.zeros((4, 3), np.float32))
    given = {"x": str(tmp_path / "x.npy")}
    assert agent.warm_up(given, 2) == {"first_inference_ms": 8.0, "runs": 2, "stable": False}
    assert agent.measure(given, 3, 0.0)["latency_ms"] == [2.0, 2.0, 2.0]


def test_throughputs_are_part_of_a_measurement(models: Path, artifact_of: Callable[..., Artifact]) -> None:
    wanted = replace(_PLAN, batch=8, streaming=True)
    files = [artifact_of("affine.onnx"), artifact_of("fixed4.tflite")]
    dynamic, fixed = LocalTarget().measure(files, samples(models, 8), wanted)
    assert isinstance(dynamic, Measurement)
    assert isinstance(fixed, Measurement)
    assert dynamic.batch is not None
    assert dynamic.streaming is not None
    assert (dynamic.batch.batch, dynamic.streaming.batch) == (8, 1)
    assert dynamic.preprocessing_ms is not None
    assert fixed.batch is None
    assert "no throughput with 8 samples in an inference: the file fixes 4" in fixed.notes


def test_litert_without_xnnpack(models: Path, artifact_of: Callable[..., Artifact]) -> None:
    file = artifact_of("affine.tflite")
    (on,) = LocalTarget().measure([file], samples(models), _PLAN)
    (off,) = LocalTarget().measure([file], samples(models), replace(_PLAN, xnnpack=(False,)))
    assert [row.runtime for row in (on, off)] == ["litert", "litert without XNNPACK"]
    (other,) = LocalTarget().measure([artifact_of("affine.onnx")], samples(models), replace(_PLAN, xnnpack=(False,)))
    assert other.runtime == "onnxruntime"
    with AgentSession() as session:
        session.load("litert", models / "affine.tflite", delegate="none")
        off_outputs = session.run(samples(models))
        session.load("litert", models / "affine.tflite")
        on_outputs = session.run(samples(models))
    for name, values in on_outputs.items():
        np.testing.assert_allclose(off_outputs[name], values, atol=1e-5)


@pytest.fixture
def powercap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Counters as Linux shows them on a machine with one processor, its cores and memory."""
    monkeypatch.setattr(energy, "POWERCAP", str(tmp_path))
    for name, label, value in (("0", "package-0", 1000), ("0:0", "core", 400), ("0:1", "dram", 90)):
        folder = tmp_path / f"intel-rapl:{name}"
        folder.mkdir()
        (folder / "name").write_text(f"{label}\n")
        (folder / "energy_uj").write_text(f"{value}\n")
        (folder / "max_energy_range_uj").write_text("262143328850\n")
    return tmp_path


def test_energy_is_that_of_whole_processors(powercap: Path) -> None:
    meters = energy.meters()
    assert meters == {"package-0": str(powercap / "intel-rapl:0")}
    before = energy.microjoules(meters)
    assert before == {"package-0": 1000}
    assert energy.since(meters, before) is None  # nothing was counted
    (powercap / "intel-rapl:0" / "energy_uj").write_text("3500\n")
    assert energy.since(meters, before) == 2500
    (powercap / "intel-rapl:0" / "energy_uj").write_text("500\n")  # the counter began again
    assert energy.since(meters, before) == 262143328850 - 500
    psys = powercap / "intel-rapl:1"
    psys.mkdir()
    (psys / "name").write_text("psys")
    (psys / "energy_uj").write_text("7")
    assert list(energy.meters()) == ["psys"]  # the processor's is part of it


def test_without_a_meter_there_is_no_energy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(energy, "POWERCAP", str(tmp_path / "none"))
    assert energy.meters() == {}
    assert energy.since({}, {}) is None


def test_energy_reaches_a_measurement(
    powercap: Path, models: Path, artifact_of: Callable[..., Artifact], tmp_path: Path
) -> None:
    """The agent itself, in a process of its own, with a counter that runs while it measures."""
    counter = powercap / "intel-rapl:0" / "energy_uj"
    program = tmp_path / "counted_agent.py"
    program.write_text(_COUNTED.format(powercap=str(powercap), counter=str(counter)))
    with AgentSession((sys.executable, "-P", str(program))) as session:
        session.load("litert", models / "affine.tflite")
        counter.write_text("1000")
        session.measure(samples(models), 10, 0.0)
        assert session.energy is not None
        assert session.energy.millijoules == pytest.approx(7.0)
        assert session.energy.meter == "package-0"


def test_a_batch_of_nothing(models: Path) -> None:
    with AgentSession() as session:
        session.load("litert", models / "affine.tflite")
        with pytest.raises(InputError, match="no inference has 0 samples"):
            session.throughput(samples(models), 0, 0.01)
