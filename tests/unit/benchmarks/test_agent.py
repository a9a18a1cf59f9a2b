"""The measuring agent, driven over its real protocol in its own process."""

from __future__ import annotations

import ast
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.tools import flatbuffer_utils
from tests import tiny_tflite

from edgeship.child import Limits
from edgeship.errors import ArtifactError, ChildCrashed, ChildTimeout, DataError, EdgeshipError, InputError
from edgeship.types import Progress
from edgeship_benchmarks import agent
from edgeship_benchmarks.packing import packed_agent
from edgeship_benchmarks.session import AgentSession

AGENT = Path(agent.__file__).parent


@pytest.fixture(scope="module")
def session() -> Iterator[AgentSession]:
    """One agent for all tests that do not break it; each loads what it needs."""
    with AgentSession(limits=Limits(seconds=60)) as running:
        yield running


def affine(models: Path) -> tuple[np.ndarray, np.ndarray]:
    return np.load(models / "affine.x.npy"), np.load(models / "affine.y.npy")


_RUNTIMES = [("litert", "affine.tflite"), ("onnxruntime", "affine.onnx"), ("onnxruntime", "affine1.onnx")]


@pytest.mark.parametrize(("runtime", "file"), _RUNTIMES)
def test_load_describes_the_file(session: AgentSession, models: Path, runtime: str, file: str) -> None:
    loaded = session.load(runtime, models / file)
    batch = 1 if file == "affine1.onnx" else None
    assert [(t.name, t.shape, t.dtype, t.quantization) for t in loaded.inputs] == [("x", (batch, 3), "float32", None)]
    assert [(t.name, t.shape, t.dtype, t.quantization) for t in loaded.outputs] == [("y", (batch, 2), "float32", None)]
    assert loaded.batch == batch
    assert loaded.import_ms > 0
    assert loaded.load_ms > 0
    assert loaded.warnings == ()
    assert {"litert": "ai-edge-litert", "onnxruntime": "onnxruntime"}[runtime] in loaded.versions


@pytest.mark.parametrize(("runtime", "file"), _RUNTIMES)
@pytest.mark.parametrize("batch", [None, 1, 3, 64])
def test_outputs_are_right_for_every_batch(
    session: AgentSession, models: Path, runtime: str, file: str, batch: int | None
) -> None:
    x, y = affine(models)
    session.load(runtime, models / file)
    outputs = session.run({"x": x}, batch=batch)
    assert list(outputs) == ["y"]
    np.testing.assert_allclose(outputs["y"], y, atol=1e-5)


def test_fixed_batch_is_padded_and_cut(session: AgentSession, models: Path) -> None:
    x, y = affine(models)
    assert session.load("litert", models / "fixed4.tflite").batch == 4
    np.testing.assert_allclose(session.run({"x": x})["y"], y, atol=1e-5)
    assert len(session.measure({"x": x}, min_runs=3, min_seconds=0)) == 3


def test_quantized_tensors_take_and_give_real_values(session: AgentSession, models: Path) -> None:
    x, y = affine(models)
    loaded = session.load("litert", models / "int8.tflite")
    assert (loaded.inputs[0].dtype, loaded.outputs[0].dtype) == ("int8", "int8")
    scale = loaded.outputs[0].quantization
    assert scale is not None
    found = session.run({"x": x})["y"]
    assert found.dtype == np.float32
    low, high = ((code - scale.zero_point) * scale.scale for code in (-128, 127))
    np.testing.assert_allclose(found, np.clip(y, low, high), atol=2 * scale.scale)
    codes = found / np.float32(scale.scale) + scale.zero_point
    np.testing.assert_allclose(codes, np.round(codes), atol=1e-3)
    # real values again, whatever their type: the integers 0 and 1 are not codes
    ones = np.array([[1, 0, 1], [0, 1, 0]])
    np.testing.assert_array_equal(session.run({"x": ones})["y"], session.run({"x": ones.astype(np.float32)})["y"])


def test_quantized_input_out_of_range_saturates(session: AgentSession, models: Path) -> None:
    session.load("litert", models / "int8.tflite")
    far, edge = (session.run({"x": np.full((1, 3), v, np.float32)})["y"] for v in (1e6, 2.0))
    np.testing.assert_array_equal(far, edge)


def test_inputs_are_matched_by_name_not_by_position(session: AgentSession, models: Path) -> None:
    a, b = np.full((2, 2), 5, np.float32), np.full((2, 2), 3, np.float32)
    session.load("litert", models / "twins.tflite")
    for inputs in ({"a": a, "b": b}, {"b": b, "a": a}):
        np.testing.assert_array_equal(session.run(inputs)["y"], a - b)


def test_outputs_are_named_by_the_signature(session: AgentSession, models: Path) -> None:
    b, a = np.arange(6, dtype=np.float32).reshape(2, 3), np.ones((2, 2), np.float32)
    session.load("litert", models / "two.tflite")
    outputs = session.run({"b": b, "a": a})
    np.testing.assert_array_equal(outputs["wide"], 2 * b)
    np.testing.assert_array_equal(outputs["narrow"], [[2], [2]])


def test_one_tensor_that_is_two_outputs_has_both_names(session: AgentSession, tmp_path: Path) -> None:
    model = flatbuffer_utils.read_model_from_bytearray(bytearray(tiny_tflite.model_bytes()))
    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = b"serving_default", 0
    entries = []
    for name, index in ((b"x", 0), (b"a", 4), (b"b", 4)):
        entries.append(schema.TensorMapT())
        entries[-1].name, entries[-1].tensorIndex = name, index
    signature.inputs, signature.outputs = entries[:1], entries[1:]
    model.signatureDefs, model.subgraphs[0].outputs = [signature], [4, 4]
    (tmp_path / "two.tflite").write_bytes(flatbuffer_utils.convert_object_to_bytearray(model))
    session.load("litert", tmp_path / "two.tflite")
    x = np.ones((2, 4), np.float32)
    found = session.run({"x": x})
    assert sorted(found) == ["a", "b"]
    for values in found.values():
        np.testing.assert_allclose(values, tiny_tflite.expected(x), atol=1e-6)


def test_unknown_names_are_matched_by_order_only_where_one_order_fits(session: AgentSession, models: Path) -> None:
    x, y = affine(models)
    session.load("litert", models / "affine.tflite")
    np.testing.assert_allclose(session.run({"anything": x})["y"], y, atol=1e-5)
    session.load("litert", models / "twins.tflite")
    with pytest.raises(DataError, match="inputs are called p, q") as caught:
        session.run({"p": x[:, :2], "q": x[:, :2]})
    assert "a [None, 2] float32" in caught.value.remedy


def test_state_does_not_leak_from_sample_to_sample(session: AgentSession, models: Path) -> None:
    x, y = np.load(models / "lstm.x.npy"), np.load(models / "lstm.y.npy")
    session.load("litert", models / "lstm.tflite")
    (forward,) = session.run({"x": x}).values()
    (backward,) = session.run({"x": x[::-1]}).values()
    np.testing.assert_allclose(forward, y, atol=1e-5)
    np.testing.assert_array_equal(forward, backward[::-1])


def test_dynamic_axes_follow_the_samples(session: AgentSession, models: Path) -> None:
    session.load("litert", models / "sequence.tflite")
    for length in (3, 7, 3):
        x = np.random.default_rng(length).normal(size=(4, length, 2)).astype(np.float32)
        np.testing.assert_allclose(session.run({"x": x})["y"], x.mean(axis=1), atol=1e-6)


def test_dynamic_quantization_is_run_one_by_one(session: AgentSession, models: Path) -> None:
    x = np.array([[0.1, 0.2, 0.3], [100, 200, 300]], np.float32)
    session.load("onnxruntime", models / "dynamic.onnx")
    both = session.run({"x": x}, batch=2)["y"]
    np.testing.assert_array_equal(both[:1], session.run({"x": x[:1]})["y"])
    np.testing.assert_allclose(both[0], x[0], atol=0.01)


@pytest.mark.parametrize(
    ("file", "x", "message"),
    [
        ("affine.tflite", np.full((1, 3), 1e300), "float64 values do not fit float32"),
        ("affine.tflite", np.full((1, 3), 2**60 + 1), "int64 values do not fit float32"),
        ("ids.tflite", np.full((1, 4), 0.5), "float64 values do not fit int32"),
        ("ids.tflite", np.full((1, 4), np.nan), "float64 values do not fit int32"),
        ("ids.tflite", np.full((1, 4), 2**40), "int64 values do not fit int32"),
        ("int8.tflite", np.full((1, 3), np.nan), "NaN or infinite"),
        ("affine.tflite", np.zeros((2, 4)), r"input 'x' has shape \(2, 4\)"),
        ("affine.tflite", np.zeros(3), r"input 'x' has shape \(3,\)"),
        ("affine.tflite", np.zeros((0, 3)), r"inputs have \[0\] samples"),
        ("affine.tflite", np.zeros(()), "float64 of shape"),
        ("affine.tflite", np.array([["a", "b", "c"]]), "holds <U1"),
    ],
)
def test_inputs_that_would_change_silently_are_refused(
    session: AgentSession, models: Path, file: str, x: np.ndarray, message: str
) -> None:
    session.load("litert", models / file)
    with pytest.raises(DataError, match=message):
        session.run({"x": x})


def test_exact_conversions_are_made(session: AgentSession, models: Path) -> None:
    session.load("litert", models / "ids.tflite")
    ids = np.array([[0, 1, 2, 3], [8, 7, 6, 5]])
    expected = session.run({"x": ids.astype(np.int32)})["y"]
    for dtype in (np.int64, np.uint8, np.float32):
        np.testing.assert_array_equal(session.run({"x": ids.astype(dtype)})["y"], expected)


def test_unequal_sample_counts(session: AgentSession, models: Path) -> None:
    session.load("litert", models / "two.tflite")
    with pytest.raises(DataError, match=r"inputs have \[1, 2\] samples"):
        session.run({"a": np.zeros((1, 2)), "b": np.zeros((2, 3))})


def test_output_without_a_batch_axis_is_refused(session: AgentSession, models: Path) -> None:
    session.load("litert", models / "scalar.tflite")
    with pytest.raises(ArtifactError, match=r"output 'y' has shape \(\) for 1 samples"):
        session.run({"x": np.zeros((2, 3))})


@pytest.mark.parametrize(("runtime", "file"), _RUNTIMES[:2])
@pytest.mark.parametrize("damage", ["text", "empty", "head", "half"])
def test_broken_files(
    session: AgentSession, models: Path, tmp_path: Path, runtime: str, file: str, damage: str
) -> None:
    content = (models / file).read_bytes()
    broken = {"text": b"hello\n" * 100, "empty": b"", "head": content[:24], "half": content[: len(content) // 2]}
    path = tmp_path / f"m{Path(file).suffix}"
    path.write_bytes(broken[damage])
    with pytest.raises(ArtifactError, match="cannot open") as caught:
        session.load(runtime, path)
    assert str(path) in caught.value.message
    assert caught.value.remedy
    with pytest.raises(EdgeshipError, match="has no model"):  # the one before is not silently kept
        session.run({"x": np.zeros((1, 3))})


def test_missing_file_unknown_runtime_and_operation(session: AgentSession, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="no such file"):
        session.load("litert", tmp_path / "none.tflite")
    with pytest.raises(InputError, match="unknown runtime 'abacus'") as caught:
        session.load("abacus", tmp_path)
    assert caught.value.remedy == "Allowed: litert, onnxruntime."
    with pytest.raises(EdgeshipError, match="KeyError: 'dance'"):
        session._child.request({"op": "dance"})
    with pytest.raises(EdgeshipError, match=r"AttributeError|TypeError"):
        session._child.request([])  # type: ignore[arg-type] # not a request at all


def test_progress_reports_samples(session: AgentSession, models: Path) -> None:
    x = np.zeros((150_000, 3), np.float32)
    events: list[Progress] = []
    session.load("litert", models / "affine.tflite")
    session.run({"x": x}, progress=events.append)
    assert events
    assert all(e.stage == "run" and e.total == 150_000 for e in events)
    assert [e.done for e in events] == sorted(e.done for e in events)


@pytest.mark.parametrize(("runtime", "file"), _RUNTIMES[:2])
def test_warm_up_and_measure(session: AgentSession, models: Path, runtime: str, file: str) -> None:
    x, _ = affine(models)
    session.load(runtime, models / file)
    warm = session.warm_up({"x": x}, max_runs=400)
    assert warm.first_inference_ms > 0
    assert 20 <= warm.runs <= 400
    assert warm.stable or warm.runs == 400
    times = session.measure({"x": x}, min_runs=30, min_seconds=0)
    assert len(times) == 30
    assert min(times) > 0
    started = time.perf_counter()
    times = session.measure({"x": x}, min_runs=1, min_seconds=0.1)
    took = time.perf_counter() - started
    assert took >= 0.1
    assert sum(times) < 1e3 * took


def test_warm_up_of_few_runs_is_not_called_stable(session: AgentSession, models: Path) -> None:
    session.load("litert", models / "affine.tflite")
    warm = session.warm_up({"x": affine(models)[0]}, max_runs=5)
    assert (warm.runs, warm.stable) == (5, False)


@pytest.mark.skipif(sys.platform != "linux", reason="reads VmHWM, which only Linux has")
def test_memory_is_the_agents_own_even_when_its_parent_is_large(models: Path) -> None:
    ballast = np.ones(300 << 17)  # 300 MiB
    with AgentSession() as session:
        before = session.memory()
        session.load("litert", models / "affine.tflite")
        after = session.memory()
    assert ballast[0] == 1
    assert before is not None
    assert after is not None
    assert 5 < before < after < 250


def test_describe_and_no_tensorflow(models: Path) -> None:
    x, _ = affine(models)
    with AgentSession() as session:
        for runtime, file in _RUNTIMES:
            session.load(runtime, models / file)
            session.run({"x": x})
        facts = session.describe()
    assert facts["tensorflow_loaded"] == "no"
    assert facts["system"].startswith(os.uname().sysname)
    assert facts["machine"] == os.uname().machine
    assert int(facts["cores"]) >= 1
    assert facts["onnxruntime"]


def test_killed_agent(models: Path) -> None:
    with AgentSession(name="onnx/float32 in onnxruntime") as session:
        session.load("onnxruntime", models / "affine.onnx")
        os.kill(session.pid, signal.SIGSEGV)
        with pytest.raises(ChildCrashed, match="onnx/float32 in onnxruntime died of SIGSEGV"):
            session.run({"x": np.zeros((1, 3))})


def test_time_limit(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with AgentSession() as session:
        session.load("litert", models / "affine.tflite")
        monkeypatch.setattr(session._child, "_limits", Limits(seconds=0.5))  # no limit for what is not tested
        with pytest.raises(ChildTimeout, match=r"for 0\.5 s"):
            session.measure({"x": np.zeros((1, 3))}, min_seconds=60)


def test_arrays_leave_nothing_behind(models: Path) -> None:
    with AgentSession() as session:
        session.load("litert", models / "affine.tflite")
        session.run({"../../escape": affine(models)[0]})
        folder = Path(session._folder.name)
        assert list(folder.iterdir()) == []
    assert not folder.exists()


def test_runs_on_python_3_9_alone() -> None:
    """The package is copied to devices: old syntax, and nothing of ours is imported but itself."""
    imported: set[str] = set()
    for module in AGENT.glob("*.py"):
        tree = ast.parse(module.read_text(), feature_version=(3, 9))
        imported |= {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
        imported |= {n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    outside = {name for name in imported if not name.startswith("edgeship_benchmarks.agent")}
    assert {name.partition(".")[0] for name in outside} - set(sys.stdlib_module_names) == {
        "numpy",
        "ai_edge_litert",
        "tflite_runtime",
        "onnxruntime",
    }


def test_a_copy_elsewhere_works_and_ignores_modules_beside_it(models: Path, tmp_path: Path) -> None:
    (tmp_path / "agent.pyz").write_bytes(packed_agent().read_bytes())
    (tmp_path / "numpy.py").write_text("raise RuntimeError('the wrong numpy')")
    requests = [
        {"op": "load", "runtime": "litert", "file": str(models / "affine.tflite")},
        {"op": "run", "inputs": {"x": str(models / "affine.x.npy")}, "outputs": str(tmp_path)},
    ]
    text = "".join(json.dumps(r) + "\n" for r in requests)
    done = subprocess.run(
        [sys.executable, str(tmp_path / "agent.pyz")],
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [list(a) for a in answers] == [["result"], ["result"]]
    np.testing.assert_allclose(np.load(answers[1]["result"]["outputs"]["y"]), affine(models)[1], atol=1e-5)
