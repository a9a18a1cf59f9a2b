"""Samples as benchmark_model reads them: what LiteRT computes from these bytes is what the agent computes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from tests.quantized_tflite import one
from tests.tiny_tflite import model_bytes

from edgeship import artifact as sidecar
from edgeship import plugins
from edgeship.errors import ArtifactError, DataError
from edgeship.types import Artifact
from edgeship_benchmarks.android.samples import Edges, sizes_of


def _artifact(folder: Path, content: bytes) -> Artifact:
    (folder / "model.tflite").write_bytes(content)
    return sidecar.read_artifact(folder / "model.tflite")


def _run(artifact: Artifact, stored: list[np.ndarray]) -> bytes:
    """The raw outputs of a file for raw inputs, as the tool writes them."""
    lite = Interpreter(model_path=str(artifact.entry))
    for details, array in zip(lite.get_input_details(), stored, strict=True):
        lite.resize_tensor_input(details["index"], array.shape)
    lite.allocate_tensors()
    for details, array in zip(lite.get_input_details(), stored, strict=True):
        lite.set_tensor(details["index"], array)
    lite.invoke()
    return b"".join(lite.get_tensor(details["index"]).tobytes() for details in lite.get_output_details())


@pytest.mark.parametrize("batch", [1, 2])
def test_a_quantized_file(tmp_path: Path, batch: int) -> None:
    shape = [batch, 3, 4]
    artifact = _artifact(tmp_path, one("RELU", [shape], [shape]))
    edges, runtime = Edges(artifact), plugins.runtime("litert")
    assert edges.batch == batch
    ((spec,), _) = runtime.specs(artifact)
    inputs = {spec.name: np.random.default_rng(0).normal(size=[3, 3, 4]).astype(np.float32)}
    expected = runtime.run(artifact, inputs)
    for first in range(0, 3, batch):
        stored = edges.stored(inputs, first)
        assert [array.dtype for array in stored] == [np.int8]
        assert sizes_of(stored) == [tuple(shape)]
        for name, array in edges.real(_run(artifact, stored)).items():
            assert array.dtype == np.float32
            np.testing.assert_array_equal(array[: 3 - first], expected[name][first : first + batch])


def test_what_does_not_fit(tmp_path: Path) -> None:
    edges = Edges(_artifact(tmp_path, model_bytes()))
    with pytest.raises(DataError, match="has shape"):
        edges.stored({"x": np.zeros((1, 5), np.float32)}, 0)
    with pytest.raises(DataError, match="has shape"):
        edges.stored({"x": np.zeros((0, 4), np.float32)}, 0)
    with pytest.raises(DataError, match="inputs are called"):
        edges.stored({"a": np.zeros((1, 4), np.float32), "b": np.zeros((1, 4), np.float32)}, 0)
    with pytest.raises(DataError, match="do not fit float32"):
        edges.stored({"x": np.full((1, 4), 2**53 + 1)}, 0)
    for size in (0, 4, 8, 16, 1000):
        with pytest.raises(ArtifactError, match=f"wrote {size} bytes"):
            edges.real(bytes(size))
    assert edges.real(bytes(12)).keys() == {"probabilities"}


def test_a_sample_after_the_last_is_the_last(tmp_path: Path) -> None:
    edges = Edges(_artifact(tmp_path, model_bytes()))
    inputs = {"whatever": np.arange(8, dtype=np.float32).reshape(2, 4)}
    np.testing.assert_array_equal(edges.stored(inputs, 5)[0], [[4, 5, 6, 7]])
