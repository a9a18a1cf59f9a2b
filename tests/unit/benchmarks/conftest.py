"""Small models for the agent: .tflite written once by TensorFlow in a process of its own, .onnx written here."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.sharing import Shared

from edgeship.errors import UnavailableError
from edgeship.types import Artifact, FileEntry
from edgeship_benchmarks import node


@pytest.fixture(scope="session")
def models(shared: Shared) -> Path:
    """Folder of small models; `tflite_models.py` says what they compute."""

    def make(folder: Path) -> None:
        script = Path(__file__).with_name("tflite_models.py")
        done = subprocess.run(
            [sys.executable, str(script), str(folder)], capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, done.stderr
        write_onnx(folder)

    return shared("models-of-the-agent", make)


def write_onnx(folder: Path) -> None:
    """`affine.onnx` computes what `affine.tflite` does; `affine1.onnx` fixes the batch; `dynamic.onnx` quantizes x."""
    from onnx import TensorProto, checker, helper, numpy_helper, save

    x, y = np.load(folder / "affine.x.npy"), np.load(folder / "affine.y.npy")
    weights = np.linalg.lstsq(np.c_[x, np.ones(len(x))], y, rcond=None)[0].astype(np.float32)
    constants = [numpy_helper.from_array(weights[:3], "w"), numpy_helper.from_array(weights[3], "b")]
    gemm = helper.make_node("Gemm", ["x", "w", "b"], ["y"])
    dynamic = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"]),
    ]
    for name, batch, nodes, width in (
        ("affine", "batch", [gemm], 2),
        ("affine1", 1, [gemm], 2),
        ("dynamic", "batch", dynamic, 3),
    ):
        graph = helper.make_graph(
            nodes,
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 3])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, width])],
            constants if nodes == [gemm] else [],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
        checker.check_model(model)
        save(model, folder / f"{name}.onnx")


@pytest.fixture(scope="session")
def artifact_of(models: Path) -> Callable[..., Artifact]:
    """Describe one of the models as an artifact without specs, like a foreign file."""

    def make(file: str, variant: str = "float32") -> Artifact:
        content = (models / file).read_bytes()
        entry = FileEntry(file, hashlib.sha256(content).hexdigest(), len(content))
        return Artifact(models, file.rpartition(".")[2], variant, (entry,), (), (), "0" * 64)

    return make


@pytest.fixture(scope="session")
def packages() -> None:
    """The npm packages: those of this machine's cache, installed where they are not there."""
    if node.executable() is None or shutil.which("npm") is None:
        pytest.skip("needs Node 18 or newer, with npm")
    try:
        node.install(lambda _: None)
    except UnavailableError as error:
        pytest.skip(f"the npm packages cannot be installed here: {error.message}")
