"""Frozen GraphDefs: inputs and outputs are found or refused, and what is in them is checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from source_models import RNG, run

from edgeship import source
from edgeship.errors import SourceError, UnsafeModelError
from edgeship.types import TensorSpec

KERNEL = np.arange(8, dtype=np.float32).reshape(4, 2)


def write(path: Path, build: Any) -> Path:
    """The graph that `build(tf)` makes, as a file."""
    import tensorflow as tf

    with tf.Graph().as_default() as graph:
        build(tf)
    path.write_bytes(graph.as_graph_def().SerializeToString())
    return path


def one(tf: Any) -> None:
    x = tf.compat.v1.placeholder(tf.float32, (None, 4), "net/x")
    tf.compat.v1.placeholder(tf.float32, (None, 9), "unused")
    training = tf.compat.v1.placeholder_with_default(False, (), "is_training")
    y = tf.matmul(x, tf.constant(KERNEL))
    tf.nn.softmax(tf.where(training, -y, y), name="net/scores")
    tf.constant(3.0, name="left_over")


def two(tf: Any) -> None:
    x, y = (tf.compat.v1.placeholder(tf.float32, (None, 4), name) for name in "xy")
    tf.matmul(x, tf.constant(KERNEL), name="first")
    tf.split(x + y, 2, axis=1, name="second")


def test_inputs_and_the_output_are_found(tmp_path: Path) -> None:
    path = write(tmp_path / "one.pb", one)
    found = source.inspect(path)
    assert (found.kind, found.loader, found.trainable, found.parameters) == ("graphdef", "graphdef", False, 9)
    assert found.inputs == (TensorSpec("net_x", (None, 4), "float32"),)
    assert found.outputs == (TensorSpec("net_scores", (None, 2), "float32"),)
    x = RNG.random((3, 4)).astype("float32")
    e = np.exp(x @ KERNEL)
    assert np.allclose(run(found, x)[0], e / e.sum(axis=1, keepdims=True), atol=1e-6)
    assert source.inspect(path).sha256 == found.sha256


def test_several_outputs_are_named_by_the_user(tmp_path: Path) -> None:
    path = write(tmp_path / "two.pb", two)
    with pytest.raises(
        SourceError, match=r"2 nodes that no other reads \(first, second\)\nSay which.*--signature second"
    ):
        source.inspect(path)
    found = source.inspect(path, signature="second, first")
    assert [spec.name for spec in found.outputs] == ["second", "second_1", "first"]
    x, y = RNG.random((2, 3, 4)).astype("float32")
    a, b, c = run(found, x, y)
    assert np.allclose(np.concatenate([a, b], axis=1), x + y)
    assert np.allclose(c, x @ KERNEL, atol=1e-5)
    assert [s.name for s in source.inspect(path, signature="first").inputs] == ["x"], "y is not needed"
    assert [s.name for s in source.inspect(path, signature="second:1").outputs] == ["second_1"]
    with pytest.raises(SourceError, match="has no node 'third'"):
        source.inspect(path, signature="third")


def _variable(tf: Any) -> None:
    x = tf.compat.v1.placeholder(tf.float32, (None, 4), "x")
    tf.matmul(x, tf.compat.v1.get_variable("kernel", initializer=KERNEL, use_resource=False), name="y")


def _scalar(tf: Any) -> None:
    x = tf.compat.v1.placeholder(tf.float32, (None, 4), "x")
    tf.multiply(x, tf.compat.v1.placeholder(tf.float32, (), "keep_prob"), name="y")


def _unknown(tf: Any) -> None:
    tf.nn.relu(tf.compat.v1.placeholder(tf.float32, None, "x"), name="y")


def _nan(tf: Any) -> None:
    x = tf.compat.v1.placeholder(tf.float32, (None, 4), "x")
    tf.add(x, tf.constant([1.0, float("nan"), 1, 1], name="layer/bias"), name="y")


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda tf: tf.constant(1.0), "has no placeholder"),
        (_variable, r"is not frozen: kernel \(VariableV2\) is a variable"),
        (_scalar, "the placeholder keep_prob is a single value"),
        (_unknown, "the placeholder x is of no known shape"),
        (_nan, "has NaN or infinite weights"),
    ],
)
def test_what_cannot_be_a_model_is_refused(tmp_path: Path, build: Any, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        source.inspect(write(tmp_path / "m.pb", build))


def test_what_touches_files_is_refused(tmp_path: Path) -> None:
    def build(tf: Any) -> None:
        x = tf.compat.v1.placeholder(tf.float32, (None, 4), "x")
        text = tf.io.read_file("/etc/hostname")
        tf.add(x, tf.cast(tf.strings.length(text), tf.float32), name="y")

    path = write(tmp_path / "reads.pb", build)
    with pytest.raises(UnsafeModelError, match=r"reads\.pb: the graph holds the op ReadFile"):
        source.inspect(path)


def test_a_constant_that_unpacks_to_gigabytes_is_refused(tmp_path: Path) -> None:
    from tensorflow.core.framework import graph_pb2

    path = write(tmp_path / "bomb.pb", two)
    graph = graph_pb2.GraphDef.FromString(path.read_bytes())
    constant = next(node for node in graph.node if node.op == "Const").attr["value"].tensor
    del constant.tensor_shape.dim[:]
    constant.tensor_shape.dim.add(size=1 << 33)
    constant.tensor_content = b""
    constant.float_val.append(1.0)
    path.write_bytes(graph.SerializeToString())
    with pytest.raises(SourceError, match=r"unpacks to 34,359,\d+,\d+ bytes, more than is plausible"):
        source.inspect(path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("m.pb", b"no message of protocol buffers", "is no binary GraphDef|holds no graph"),
        ("m.pb", b"", "is empty"),
        ("saved_model.pb", b"x", "is part of a SavedModel"),
    ],
)
def test_files_that_are_no_graph(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError, match=message):
        source.inspect(tmp_path / name)


def test_a_damaged_graph_is_a_typed_error(tmp_path: Path) -> None:
    content = write(tmp_path / "one.pb", one).read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(60):
        damaged = bytearray(content)
        for place in rng.integers(0, len(content), 4):
            damaged[place] = rng.integers(0, 256)
        (tmp_path / "damaged.pb").write_bytes(damaged)
        try:
            source.inspect(tmp_path / "damaged.pb")
        except SourceError:
            refused += 1
    assert refused > 10
