"""TF.js models in Node, with the real packages: agent.mjs, its runtimes and the installation."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeship.errors import ArtifactError, DataError, MissingPackageError
from edgeship.types import Array, Artifact, FileEntry, Progress
from edgeship_benchmarks import node
from edgeship_benchmarks.runtimes.tfjs import TFJSCpuRuntime, TFJSWasmRuntime
from edgeship_benchmarks.session import AgentSession

pytestmark = pytest.mark.usefixtures("packages")

RUNTIMES = [TFJSWasmRuntime, TFJSCpuRuntime]


def numbers(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


class Graph:
    """A graph model written by hand: what the agent reads is the format, not our writer's habits."""

    def __init__(self) -> None:
        self.nodes: list[dict[str, Any]] = []
        self.weights: list[dict[str, Any]] = []
        self.data = b""

    def input(self, name: str, shape: list[int], dtype: str = "DT_FLOAT") -> None:
        dims = {"dim": [{"size": str(size)} for size in shape]}
        self.nodes.append(
            {"name": name, "op": "Placeholder", "attr": {"dtype": {"type": dtype}, "shape": {"shape": dims}}}
        )

    def constant(self, name: str, array: Array, **quantization: Any) -> None:
        entry: dict[str, Any] = {
            "name": name,
            "shape": list(array.shape),
            "dtype": quantization.get("original_dtype", array.dtype.name),
        }
        self.weights.append({**entry, "quantization": quantization} if quantization else entry)
        self.nodes.append({"name": name, "op": "Const"})
        self.data += array.tobytes()

    def op(self, name: str, op: str, *inputs: str, **attrs: Any) -> None:
        self.nodes.append({"name": name, "op": op, "input": list(inputs), "attr": attrs})

    def write(self, folder: Path, inputs: Mapping[str, str], outputs: Mapping[str, str]) -> Artifact:
        """Signature names map to nodes."""
        placeholders = {n["name"]: n["attr"] for n in self.nodes if n["op"] == "Placeholder"}
        signature = {
            "inputs": {
                name: {
                    "name": f"{tensor}:0",
                    "dtype": placeholders[tensor]["dtype"]["type"],
                    "tensorShape": placeholders[tensor]["shape"]["shape"],
                }
                for name, tensor in inputs.items()
            },
            "outputs": {name: {"name": f"{tensor}:0", "dtype": "DT_FLOAT"} for name, tensor in outputs.items()},
        }
        manifest = [{"paths": ["weights.bin"], "weights": self.weights}]
        model = {
            "format": "graph-model",
            "signature": signature,
            "modelTopology": {"node": self.nodes, "versions": {"producer": 1}},
            "weightsManifest": manifest,
        }
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "weights.bin").write_bytes(self.data)
        (folder / "model.json").write_text(json.dumps(model))
        return described(folder)


def described(folder: Path) -> Artifact:
    """An artifact without specs, like a foreign file."""
    files = []
    for name in ("model.json", "weights.bin"):
        content = (folder / name).read_bytes()
        files.append(FileEntry(name, hashlib.sha256(content).hexdigest(), len(content)))
    return Artifact(folder, "tfjs", "float32", tuple(files), (), (), "0" * 64)


WEIGHTS = numbers(3, 2, seed=1)


def affine(folder: Path, batch: int = -1, **quantization: Any) -> Artifact:
    """`y` = `x` @ WEIGHTS; `z` = relu of it."""
    graph = Graph()
    graph.input("node_x", [batch, 3])
    graph.constant("w", WEIGHTS, **quantization)
    graph.op("product", "MatMul", "node_x", "w")
    graph.op("positive", "Relu", "product")
    return graph.write(folder, {"x": "node_x"}, {"z": "positive", "y": "product"})


@pytest.fixture(params=RUNTIMES, ids=lambda r: r.name)
def runtime(request: pytest.FixtureRequest) -> TFJSWasmRuntime:
    found: TFJSWasmRuntime = request.param()
    return found


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentSession]:
    """One agent with `affine` loaded, for tests that do not change it."""
    artifact = affine(tmp_path_factory.mktemp("affine"))
    with TFJSWasmRuntime().open_session(artifact) as found:
        yield found


def test_outputs_come_by_signature_name_in_its_order(runtime: TFJSWasmRuntime, tmp_path: Path) -> None:
    x = numbers(130, 3)
    found = runtime.run(affine(tmp_path), {"x": x})
    assert list(found) == ["z", "y"]
    np.testing.assert_allclose(found["y"], x @ WEIGHTS, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found["z"], np.maximum(x @ WEIGHTS, 0), rtol=1e-5, atol=1e-6)


def test_says_what_it_loaded(session: AgentSession) -> None:
    loaded = session.loaded
    assert [(s.name, s.shape, s.dtype) for s in loaded.inputs] == [("x", (None, 3), "float32")]
    assert [s.name for s in loaded.outputs] == ["z", "y"]
    assert loaded.batch is None
    assert loaded.import_ms > 0 < loaded.load_ms
    assert loaded.versions["@tensorflow/tfjs-core"] == "4.22.0"


def test_webassembly_runs_with_simd(session: AgentSession) -> None:
    facts = session.describe()
    assert facts["simd"] == "yes"
    assert facts["node"].partition(".")[0].isdigit()
    assert facts["@tensorflow/tfjs-backend-wasm"] == "4.22.0"
    assert facts["machine"] == platform.machine()
    assert {"system", "cores", "load_average"} <= facts.keys()
    assert not {"python", "numpy"} & facts.keys()  # which run no part of it


def test_a_fixed_batch_is_filled_up_and_cut_off(runtime: TFJSWasmRuntime, tmp_path: Path) -> None:
    x = numbers(7, 3)
    with runtime.open_session(affine(tmp_path, batch=4)) as found:
        assert found.loaded.batch == 4
        np.testing.assert_allclose(found.run({"x": x})["y"], x @ WEIGHTS, rtol=1e-5, atol=1e-6)
        assert len(found.measure({"x": x[:4]}, min_runs=3, min_seconds=0)) == 3


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int8", "uint8", "int16", "int32", "int64"])
def test_reads_arrays_of_every_kind(session: AgentSession, dtype: str, order: Any) -> None:
    x = np.asarray(np.arange(15).reshape(5, 3), dtype=dtype, order=order)
    np.testing.assert_allclose(session.run({"x": x})["y"], x.astype(np.float32) @ WEIGHTS, rtol=1e-5, atol=1e-5)


def test_progress_is_reported_and_complete(session: AgentSession) -> None:
    events: list[Progress] = []
    session.run({"x": numbers(40_000, 3)}, batch=1, progress=events.append)
    assert events
    assert all(e.stage == "run" and e.total == 40_000 for e in events)


def test_nothing_stays_allocated(session: AgentSession) -> None:
    session.run({"x": numbers(2000, 3)}, batch=1)
    before = session.memory()
    session.run({"x": numbers(60_000, 3)}, batch=1)
    after = session.memory()
    assert before is not None
    assert after is not None
    assert after - before < 64  # 60,000 runs that leaked a tensor record each would take several times that


def test_timings(session: AgentSession) -> None:
    warm = session.warm_up({"x": numbers(2, 3)}, max_runs=50)
    assert 0 < warm.runs <= 50
    assert warm.first_inference_ms > 0
    samples = session.measure({"x": numbers(2, 3)}, min_runs=30, min_seconds=0.01)
    assert len(samples) >= 30
    assert min(samples) > 0


@pytest.mark.parametrize(("fixed", "count", "wanted", "made"), [(None, 3, 32, 32), (None, 40, 8, 8), (4, 7, 32, 4)])
def test_throughput(
    runtime: TFJSWasmRuntime, tmp_path: Path, fixed: int | None, count: int, wanted: int, made: int
) -> None:
    """With fewer samples than the batch has, with more, and where the file has a batch of its own."""
    with runtime.open_session(affine(tmp_path, batch=fixed or -1)) as found:
        assert found.loaded.operations == ("throughput", "trace")
        given = {"x": numbers(count, 3)}
        batch, one = (found.throughput(given, size, 0.05) for size in (wanted, 1))
    assert (batch.batch, one.batch) == (made, fixed or 1)
    assert min(batch.per_second, one.per_second) > 0


def test_kernels_are_timed_by_tfjs_itself(session: AgentSession) -> None:
    """Each once: operations that TF.js puts together from others are not counted beside those."""
    found = session.trace({"x": numbers(4, 3)}, seconds=0.2)
    assert [(name, kind, macs) for name, kind, _, macs in found.operators] == [
        ("BatchMatMul 0", "BatchMatMul", 6),
        ("Relu 1", "Relu", 0),
    ]
    rounds = {len(found.whole_ms), len(found.traced_ms), *(len(ms) for _, _, ms, _ in found.operators)}
    assert len(rounds) == 1
    for _, _, ms, _ in found.operators:
        assert 0 < np.median(ms) < np.median(found.traced_ms)


def test_integer_and_boolean_tensors(runtime: TFJSWasmRuntime, tmp_path: Path) -> None:
    graph = Graph()
    graph.input("i", [-1, 2], "DT_INT32")
    graph.input("b", [-1, 2], "DT_BOOL")
    graph.constant("zero", np.zeros(2, np.int32))
    graph.op("out", "SelectV2", "b", "i", "zero")
    graph.write(tmp_path, {"i": "i", "b": "b"}, {"out": "out"})
    model = json.loads((tmp_path / "model.json").read_text())
    model["signature"]["outputs"]["out"]["dtype"] = "DT_INT32"
    (tmp_path / "model.json").write_text(json.dumps(model))
    i, b = np.array([[1, 2], [3, 4]], np.int64), np.array([[True, False], [False, True]])
    found = runtime.run(described(tmp_path), {"b": b, "i": i})["out"]
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, np.where(b, i, 0))


def test_values_that_do_not_fit_are_refused(tmp_path: Path, session: AgentSession) -> None:
    with pytest.raises(DataError, match="do not fit"):
        session.run({"x": np.full((1, 3), 1e300)})
    with pytest.raises(DataError, match="do not fit"):
        session.run({"x": np.full((1, 3), 2**53 + 1, np.int64)})


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"x": numbers(2, 4)}, "shape"),
        ({"x": numbers(2, 3, 1)}, "shape"),
        ({"x": numbers(0, 3)}, "at least one"),
        ({"x": numbers(2, 3), "more": numbers(2, 3)}, "x, more"),
        ({"x": np.zeros((2, 3), np.float16)}, "<f2"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(session: AgentSession, inputs: Mapping[str, Array], message: str) -> None:
    with pytest.raises(DataError) as caught:
        session.run(inputs)
    assert message in str(caught.value)


def test_a_truncated_array_is_refused(session: AgentSession, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", numbers(4, 3))
    (tmp_path / "x.npy").write_bytes((tmp_path / "x.npy").read_bytes()[:-4])
    with pytest.raises(DataError, match="truncated"):
        session._child.request({"op": "run", "inputs": {"x": str(tmp_path / "x.npy")}, "outputs": str(tmp_path)})


def test_a_corrupted_weight_changes_the_outputs(runtime: TFJSWasmRuntime, tmp_path: Path) -> None:
    x = numbers(4, 3)
    before = runtime.run(affine(tmp_path), {"x": x})["y"]
    data = bytearray((tmp_path / "weights.bin").read_bytes())
    data[3] ^= 0x40  # the exponent of the first weight
    (tmp_path / "weights.bin").write_bytes(data)
    after = runtime.run(described(tmp_path), {"x": x})["y"]
    assert np.abs(after - before).max() > 1e-3


def test_quantized_weights_are_restored(runtime: TFJSWasmRuntime, tmp_path: Path) -> None:
    stored = np.array([[0, 128], [255, 7], [3, 200]], np.uint8)
    graph = Graph()
    graph.input("x", [-1, 3])
    graph.constant("w", stored, dtype="uint8", min=-1.28, scale=0.01, original_dtype="float32")
    graph.op("y", "MatMul", "x", "w")
    x = numbers(2, 3)
    found = runtime.run(graph.write(tmp_path, {"x": "x"}, {"y": "y"}), {"x": x})["y"]
    np.testing.assert_allclose(found, x @ (stored * 0.01 - 1.28), rtol=1e-5, atol=1e-5)


def test_an_op_without_kernel_is_an_error(tmp_path: Path) -> None:
    graph = Graph()
    graph.input("x", [-1, 4])
    graph.op("y", "Einsum", "x", equation={"s": "YWItPmE="})  # ab->a
    with pytest.raises(ArtifactError, match="Einsum"):
        TFJSWasmRuntime().run(graph.write(tmp_path, {"x": "x"}, {"y": "y"}), {"x": numbers(2, 4)})


def damage(folder: Path, **changes: Any) -> Artifact:
    model = json.loads((folder / "model.json").read_text())
    model.update(changes)
    (folder / "model.json").write_text(json.dumps(model))
    return described(folder)


def test_weights_outside_of_the_folder_are_refused(tmp_path: Path) -> None:
    affine(tmp_path / "model")
    shutil.copy(tmp_path / "model" / "weights.bin", tmp_path)
    model = json.loads((tmp_path / "model" / "model.json").read_text())
    model["weightsManifest"][0]["paths"] = ["../weights.bin"]
    with pytest.raises(ArtifactError, match="outside of its folder"):
        TFJSWasmRuntime().run(damage(tmp_path / "model", **model), {"x": numbers(2, 3)})


@pytest.mark.parametrize("change", [b"", b"\0\0\0\0"])
def test_weights_of_the_wrong_length_are_refused(tmp_path: Path, change: bytes) -> None:
    affine(tmp_path)
    data = (tmp_path / "weights.bin").read_bytes()
    (tmp_path / "weights.bin").write_bytes(data + change if change else data[:-4])
    with pytest.raises(ArtifactError, match="bytes"):
        TFJSWasmRuntime().run(described(tmp_path), {"x": numbers(2, 3)})


@pytest.mark.parametrize(
    "content", ["", "{}", "[1]", '{"modelTopology": {"node": 3}}', '{"modelTopology": {"model_config": {}}}']
)
def test_files_that_are_no_graph_model_are_refused(tmp_path: Path, content: str) -> None:
    affine(tmp_path)
    (tmp_path / "model.json").write_text(content)
    with pytest.raises(ArtifactError):
        TFJSWasmRuntime().run(described(tmp_path), {"x": numbers(2, 3)})


def test_the_agent_survives_errors(session: AgentSession, tmp_path: Path) -> None:
    with pytest.raises(DataError):
        session.run({"x": numbers(2, 5)})
    assert session.run({"x": numbers(2, 3)})["y"].shape == (2, 2)


def test_missing_packages_are_named_with_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EDGESHIP_CACHE", str(tmp_path))
    assert "@tensorflow/tfjs-core" in TFJSWasmRuntime().missing()
    with pytest.raises(MissingPackageError) as caught:
        TFJSWasmRuntime().run(affine(tmp_path / "model"), {"x": numbers(1, 3)})
    assert "edgeship doctor --install node" in caught.value.remedy


def test_our_list_of_ops_is_that_of_the_packages() -> None:
    """Every op that the writer may write is known to the executor, with the attributes that the writer keeps."""
    from edgeship_converters.tfjs.ops import OPS

    folder = (
        node.packages_folder() / "node_modules" / "@tensorflow" / "tfjs-converter" / "dist" / "operations" / "op_list"
    )
    script = """
        const fs = require('fs'), found = {};
        for (const file of fs.readdirSync(process.argv[1]).filter((f) => /^[a-z_]+\\.js$/.test(f))) {
          const text = fs.readFileSync(process.argv[1] + '/' + file, 'utf8');
          (0, eval)(text.replace('export const json', 'globalThis.json'));
          for (const op of json) found[op.tfOpName] = (op.attrs ?? []).flatMap((a) => [a.tfName, a.tfDeprecatedName]);
        }
        console.log(JSON.stringify(found));
    """
    command = [str(node.executable()), "-e", script, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60, env={**os.environ})
    known: dict[str, list[str | None]] = json.loads(done.stdout)
    for op, known_op in OPS.items():
        assert op in known
        assert set(known_op.attributes) <= set(known[op]), op


def test_a_trap_of_webassembly_is_a_crash_and_other_errors_are_of_the_file() -> None:
    """After a trap the agent's memory is no longer what the next file would need."""
    code = (
        "const { Fault, asFault } = await import(process.argv[1]);"
        "const trap = new WebAssembly.RuntimeError('out of bounds');"
        "const thrown = [trap, new Error('no kernel'), new Fault('DataError', 'x')];"
        "const kinds = thrown.map((error) => asFault(error, 'm.json cannot be run'));"
        "console.log(JSON.stringify(kinds.map((fault) => [fault.kind, fault.message])));"
    )
    command = [node.executable() or "node", "--input-type=module", "--eval", code, (node.WEB / "npy.mjs").as_uri()]
    said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    assert json.loads(said) == [
        ["ChildCrashed", "m.json cannot be run: out of bounds"],
        ["ArtifactError", "m.json cannot be run: no kernel"],
        ["DataError", "x"],
    ]
