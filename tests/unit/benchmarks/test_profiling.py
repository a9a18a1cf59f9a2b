"""Operator profiles: files cut after each operator, traces of runtimes, and what is made of their times."""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from tests import tiny_tflite

from edgeship.artifact import read_artifact
from edgeship.errors import ArtifactError, ChildCrashed, UnsupportedModelError
from edgeship.inspection.description import Op
from edgeship.types import Measurement, Plan
from edgeship_benchmarks.agent.profiles import alternating, read_trace
from edgeship_benchmarks.profiling import cutting
from edgeship_benchmarks.profiling.cutting import Part
from edgeship_benchmarks.profiling.operators import ENDS, of_prefixes
from edgeship_benchmarks.session import AgentSession
from edgeship_benchmarks.targets.local import LocalTarget

#: Multiplications of the layers of the file that is measured: one makes nearly all.
_SIZES = (64, 1024, 2048, 32, 32)
_MACS = [a * b for a, b in itertools.pairwise(_SIZES)]
_QUICK = Plan(min_runs=50, min_seconds=0.05, rounds=3, warmup_max_runs=30, profile=True)


def _written(folder: Path, content: bytes) -> Path:
    (folder / "model.tflite").write_bytes(content)
    return folder / "model.tflite"


def _outputs(file: Path, x: np.ndarray) -> list[np.ndarray]:
    from ai_edge_litert.interpreter import Interpreter

    lite = Interpreter(str(file))
    lite.allocate_tensors()
    lite.set_tensor(lite.get_input_details()[0]["index"], x)
    lite.invoke()
    return [lite.get_tensor(detail["index"]) for detail in lite.get_output_details()]


def test_prefixes_compute_what_the_file_does_up_to_their_cut(tmp_path: Path) -> None:
    sizes = (8, 16, 4, 16)
    file = _written(tmp_path, tiny_tflite.chain_bytes(sizes, residual=True))
    parts = cutting.cut(file, tmp_path)
    assert [(part.name, part.type, part.macs, part.operators) for part in parts] == [
        *((f"dense {k}", "FULLY_CONNECTED", a * b, 1) for k, (a, b) in enumerate(itertools.pairwise(sizes))),
        ("sum", "ADD", 0, 1),
    ]
    x = np.random.default_rng(1).normal(size=(1, 8)).astype(np.float32)
    np.testing.assert_array_equal(_outputs(tmp_path / "0.tflite", x)[0], x)
    (whole,) = _outputs(file, x)
    np.testing.assert_array_equal(_outputs(tmp_path / "4.tflite", x)[0], whole)
    first, last = _outputs(tmp_path / "3.tflite", x)  # what the sum reads, the early one kept
    np.testing.assert_allclose(first + last, whole, rtol=1e-6)
    assert [len(_outputs(tmp_path / f"{k}.tflite", x)) for k in (1, 2)] == [1, 2]
    sizes_of_files = [(tmp_path / f"{k}.tflite").stat().st_size for k in range(5)]
    assert sizes_of_files == sorted(sizes_of_files)  # without the weights of what is cut off
    assert sizes_of_files[0] < 2000


def test_weights_in_half_precision_are_part_of_what_reads_them(tmp_path: Path) -> None:
    (part,) = cutting.cut(_written(tmp_path, tiny_tflite.half_convolution_bytes()), tmp_path)
    assert (part.name, part.type, part.macs, part.operators) == ("y", "DEQUANTIZE + CONV_2D", 216, 2)


def _op(kind: str, inputs: tuple[str, ...], output: str, macs: int = 0) -> Op:
    return Op(output, kind, "", inputs, (output,), macs=macs)


def test_what_is_computed_as_one_is_not_cut_apart() -> None:
    ops = [
        _op("DEQUANTIZE", ("half",), "weights"),
        _op("PAD", ("x", "sizes"), "padded"),
        _op("CONV_2D", ("padded", "weights"), "a", 100),
        _op("RELU6", ("a",), "b"),
        _op("RELU", ("x",), "other"),
        _op("ADD", ("b", "other"), "c"),
    ]
    assert cutting._ends(ops) == [1, 4, 5, 6]
    assert cutting._ends([ops[0], ops[2]]) == [2]
    assert cutting._part(ops[1:4], 1) == Part("a", "PAD + CONV_2D + RELU6", 100, 3)
    nameless = [_op("ADD", ("x",), "tensor"), _op("CONV_2D", ("tensor",), "tensor__2", 5)]
    assert cutting._part(nameless, 7).name == "CONV_2D 8"


def test_long_graphs_and_large_files_are_cut_in_fewer_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ops = [_op("CONV_2D", (f"{k}",), f"{k + 1}", macs) for k, macs in enumerate([9, 1, 1, 50, 50, 2])]
    assert cutting._ends(ops, 4) == [3, 4, 5, 6]
    file = _written(tmp_path, tiny_tflite.chain_bytes((8,) * 13))
    assert len(cutting.cut(file, tmp_path)) == 12
    monkeypatch.setattr(cutting, "MOST_BYTES", 1000)
    assert len(cutting.cut(file, tmp_path)) == cutting.LEAST_PARTS


def test_files_that_cannot_be_cut(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModelError, match="has no operators"):
        cutting.cut(_written(tmp_path, tiny_tflite.chain_bytes((4,))), tmp_path)
    whole = tiny_tflite.chain_bytes((4, 4))
    with pytest.raises(ArtifactError):
        cutting.cut(_written(tmp_path, whole[: len(whole) // 2]), tmp_path)


def test_operators_are_known_by_what_a_runtime_makes_of_them(models: Path) -> None:
    (kinds,) = cutting.works(models / "affine.onnx").values()
    assert kinds == {"dense": 6}
    found = cutting.works(models / "affine.tflite")
    assert max(macs for kinds in found.values() for macs in kinds.values()) == 6


def test_times_from_prefixes_beside_other_work() -> None:
    """Disturbances only make times longer; the costs that are there are found, and lie in their intervals."""
    rng, costs = np.random.default_rng(0), np.array([0.5, 0.02, 0.0, 2.0, 0.1])
    inside, errors = [], []
    for _ in range(40):
        true = 0.01 + np.concatenate([[0.0], np.cumsum(costs)])
        times = true[:, None] + 0.01 * np.abs(rng.normal(size=(6, 21)))
        times += np.where(rng.random((6, 21)) < 0.3, rng.exponential(1.0, (6, 21)), 0.0)
        whole = true[-1] + 0.05 + 0.01 * np.abs(rng.normal(size=21))
        parts = [Part(f"{k}", "CONV_2D", 1000, 1) for k in range(5)]
        found = of_prefixes(parts, times.tolist(), whole.tolist())
        assert found.method == "split"
        assert found.operators[-1].name == ENDS
        for operator, cost in zip(found.operators[:-1], costs, strict=True):
            assert operator.interval_ms is not None
            inside.append(operator.interval_ms[0] <= cost <= operator.interval_ms[1])
            errors.append(abs(operator.ms - cost))
        assert found.total_ms == pytest.approx(float(np.quantile(whole, 0.25)), abs=1e-9)
        assert found.error_ms >= max(-operator.ms for operator in found.operators)
    assert np.mean(inside) > 0.85
    assert np.median(errors) < 0.02


def test_a_batch_shares_its_multiplications() -> None:
    found = of_prefixes([Part("a", "CONV_2D", 800, 1)], [[0.0, 0.0], [1.0, 1.0]], [1.0, 1.0], batch=8)
    assert found.operators[0].macs == 100


def test_rounds_go_forth_and_back_and_are_fewer_for_slow_steps() -> None:
    seen: list[int] = []
    told: list[tuple[int, int]] = []
    steps = [lambda k=k: seen.append(k) for k in range(3)]
    found = alternating(steps, 4, 0.0, lambda done, total: told.append((done, total)))
    assert [len(times) for times in found] == [4, 4, 4]
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    visits = [key for key, _ in itertools.groupby(seen[3:])]
    assert visits == [0, 1, 2, 1, 0, 1, 2, 1, 0]
    assert len(alternating(steps, 50, 0.0, lambda *_: None)[0]) >= 9


def _event(name: str, at: int, lasts: int, kind: str = "Node", **more: str) -> dict[str, object]:
    return {"cat": kind, "name": name, "ts": at, "dur": lasts, "args": more}


def test_a_trace_of_onnx_runtime(tmp_path: Path) -> None:
    events = [_event("session_initialization", 0, 50, "Session")]
    for start in (100, 200):
        events += [
            _event("conv_kernel_time", start + 1, 20, op_name="Conv"),
            _event("softmax_kernel_time", start + 25, 3, op_name="Softmax"),
            _event("SequentialExecutor::Execute", start, 40, "Session"),
            _event("model_run", start, 41, "Session"),
        ]
    (tmp_path / "trace.json").write_text(json.dumps(events))
    run = [("conv", "Conv", 0.02), ("softmax", "Softmax", 0.003)]
    assert read_trace(str(tmp_path / "trace.json")) == [run, run]


@pytest.mark.parametrize(
    ("operation", "answer"),
    [
        ("prefixes", {"prefix_ms": [[1.0], [1.0]], "whole_ms": [1.0, 2.0]}),
        ("prefixes", {"prefix_ms": [[1.0]], "whole_ms": [1.0]}),
        ("prefixes", {"prefix_ms": [[1.0], [-1.0]], "whole_ms": [1.0]}),
        ("prefixes", {"prefix_ms": "many", "whole_ms": [1.0]}),
        ("prefixes", [1]),
        ("trace", {"operators": [], "traced_ms": [1.0], "whole_ms": [1.0]}),
        ("trace", {"operators": [{"name": "a", "type": "b", "ms": []}], "traced_ms": [1.0], "whole_ms": [1.0]}),
        ("trace", {"operators": [3], "traced_ms": [1.0], "whole_ms": [1.0]}),
        (
            "trace",
            {"operators": [{"name": "a", "ms": [1], "macs": "many"}], "traced_ms": [1.0], "whole_ms": [1.0]},
        ),
        ("trace", {"operators": [{"name": "a", "ms": [1]}], "whole_ms": [1.0]}),
    ],
)
def test_answers_of_an_agent_are_checked(tmp_path: Path, operation: str, answer: object) -> None:
    said = json.dumps({"result": answer})
    (tmp_path / "agent.py").write_text(f"import sys\nfor line in sys.stdin:\n    print({said!r}, flush=True)\n")
    inputs = {"x": np.zeros((1, 2), np.float32)}
    more = ([tmp_path / "a", tmp_path / "b"],) if operation == "prefixes" else ()
    with AgentSession([sys.executable, str(tmp_path / "agent.py")]) as session, pytest.raises(ChildCrashed):
        getattr(session, operation)(inputs, *more)


@pytest.mark.parametrize("xnnpack", [True, False])
def test_the_split_finds_the_layer_that_takes_nearly_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, xnnpack: bool
) -> None:
    """Layers whose costs are known to differ by two orders of magnitude, on this machine whatever else it does."""
    artifact = read_artifact(_written(tmp_path, tiny_tflite.chain_bytes(_SIZES)))
    inputs = {"x": np.ones((4, _SIZES[0]), np.float32)}
    plan = Plan(**{**vars(_QUICK), "xnnpack": (xnnpack,)})
    (row,) = LocalTarget().measure([artifact], inputs, plan)
    assert isinstance(row, Measurement), row
    profile = row.profile
    assert profile is not None, row.notes
    assert profile.method == "split"
    *layers, ends = profile.operators
    assert [layer.macs for layer in layers] == _MACS
    assert ends.name == ENDS
    heavy = layers[1]
    assert heavy.ms == max(layer.ms for layer in layers)
    assert heavy.ms > 0.5 * profile.total_ms


def test_onnx_runtime_says_it_itself(models: Path, tmp_path: Path) -> None:
    model = onnx.load(models / "affine.onnx")
    model.graph.node[0].name = "affine/dense"
    onnx.save(model, tmp_path / "affine.onnx")
    artifact = read_artifact(tmp_path / "affine.onnx")
    (row,) = LocalTarget().measure([artifact], {"x": np.load(models / "affine.x.npy")}, _QUICK)
    assert isinstance(row, Measurement), row
    profile = row.profile
    assert profile is not None, row.notes
    assert profile.method == "runtime"
    assert [(operator.name, operator.type) for operator in profile.operators] == [("affine/dense", "Gemm")]
    assert profile.operators[0].macs == 6
    assert any("whole microseconds" in note for note in profile.notes)


def test_without_the_word_there_is_no_profile(models: Path) -> None:
    artifact = read_artifact(models / "affine.tflite")
    plan = Plan(min_runs=5, min_seconds=0.0, rounds=1, warmup_max_runs=5)
    (row,) = LocalTarget().measure([artifact], {"x": np.load(models / "affine.x.npy")}, plan)
    assert isinstance(row, Measurement)
    assert row.profile is None
