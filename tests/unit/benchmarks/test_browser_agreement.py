"""What a browser answers is held against what the same file computes here, in its real runtime."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgeship.errors import ArtifactError
from edgeship.types import Array, Artifact, FileEntry
from edgeship_benchmarks.agreement import Expected
from edgeship_benchmarks.targets.local import timed_runtime


class Answers:
    """A session that answers what a function makes of the right outputs."""

    def __init__(self, right: dict[str, Array], change: Callable[[Array], Array]) -> None:
        self._right, self._change = right, change

    def run(self, inputs: dict[str, Array]) -> dict[str, Array]:
        return {name: self._change(value) for name, value in self._right.items()}


@pytest.fixture(scope="module")
def affine(models: Path) -> Artifact:
    content = (models / "affine.onnx").read_bytes()
    entry = FileEntry("affine.onnx", hashlib.sha256(content).hexdigest(), len(content))
    return Artifact(models, "onnx", "float32", (entry,), (), (), "0" * 64)


@pytest.fixture(scope="module")
def expected(models: Path, affine: Artifact) -> Expected:
    return Expected(affine, {"x": np.load(models / "affine.x.npy")})


@pytest.fixture(scope="module")
def answers(expected: Expected, affine: Artifact) -> Callable[[Callable[[Array], Array]], Answers]:
    right = dict(timed_runtime(affine).run(affine, expected.inputs))
    return lambda change: Answers(right, change)


def test_the_same_numbers_agree(expected: Expected, answers: Callable[..., Answers]) -> None:
    parity, notes = expected.compare(answers(lambda y: y))
    assert parity is not None
    assert (parity.reference, parity.identical, parity.largest_difference) == ("onnxruntime on this machine", True, 0.0)
    assert parity.samples == len(expected.inputs["x"])
    assert notes == ()


def test_small_differences_are_said(expected: Expected, answers: Callable[..., Answers]) -> None:
    parity, notes = expected.compare(answers(lambda y: y + 0.01 * np.ptp(y, axis=0).max()))
    assert parity is not None
    assert not parity.identical
    assert parity.largest_difference
    assert "up to 1.0 % of what the inputs change" in notes[0]


def _forgetful(y: Array) -> Array:
    """The last sample is the first once more; here it is not."""
    return np.concatenate([y[:-1], y.max(axis=0, keepdims=True)])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (np.zeros_like, "something else"),
        (lambda y: np.broadcast_to(y[:1], y.shape), "something else"),
        (lambda y: -y, "something else"),
        (lambda y: np.full_like(y, np.nan), "NaN"),
        (lambda y: y * np.float32(np.inf), "NaN or infinite"),
        (lambda y: y[:, :1], "shape"),
        (lambda y: y[:0], "are not those of"),
        (lambda y: y[0, 0], "are not those of"),
        (_forgetful, "the second time"),
    ],
)
def test_nonsense_is_no_measurement(
    expected: Expected, answers: Callable[..., Answers], change: Callable[[Array], Array], message: str
) -> None:
    with np.errstate(invalid="ignore"), pytest.raises(ArtifactError, match=message):
        expected.compare(answers(change))


def test_one_sample_is_enough_to_see_that_the_input_is_ignored(
    models: Path, affine: Artifact, answers: Callable[..., Answers]
) -> None:
    expected = Expected(affine, {"x": np.load(models / "affine.x.npy")[:1]})
    assert len(expected.inputs["x"]) == 3
    with pytest.raises(ArtifactError, match="something else"):
        expected.compare(answers(lambda y: np.broadcast_to(y[:1], y[:3].shape)))


def test_without_a_runtime_here_it_is_said(
    models: Path, affine: Artifact, answers: Callable[..., Answers], monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgeship import plugins

    good = answers(lambda y: y)
    outputs = {"x": np.load(models / "affine.x.npy")}
    monkeypatch.setattr(plugins.runtime("onnxruntime"), "missing", lambda: ["onnxruntime"], raising=False)
    expected = Expected(affine, outputs)
    monkeypatch.undo()
    parity, notes = expected.compare(good)
    assert parity is None
    assert notes == ("outputs were not compared with those of another runtime: onnxruntime needs onnxruntime",)
    with pytest.raises(ArtifactError, match="do not depend on its inputs"):
        expected.compare(answers(np.zeros_like))
