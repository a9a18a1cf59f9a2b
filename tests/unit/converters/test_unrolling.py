"""Loops of SavedModels are written out where their number of steps is known, and computed as before."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import frozen_models as zoo
import numpy as np
import pytest
import tensorflow as tf

from edgeship.errors import UnsupportedModelError
from edgeship.source import inspect
from edgeship.types import Source
from edgeship_converters.graph.frozen import FrozenGraph, freeze
from edgeship_converters.graph.unrolling import MOST_STEPS

STEPS = np.random.default_rng(0).random((1, 6, 5)).astype(np.float32)


def saved(folder: Path, function: Callable[[Any], Any], shape: tuple[int | None, ...] = (1, 6, 5)) -> Source:
    """A SavedModel of one function of `x`, which TensorFlow compiles with its loops."""
    module = tf.Module()
    given = tf.TensorSpec(shape, tf.float32, name="x")
    module.serve = tf.function(lambda x: {"y": function(x)}, input_signature=[given])
    tf.saved_model.save(module, str(folder / "saved"), signatures=module.serve)
    return inspect(folder / "saved")


def unrolled(source: Source) -> FrozenGraph:
    looping = freeze(source, static_batch=1, fake_quant=False)
    assert looping.has_loops()
    found = freeze(source, static_batch=1, fake_quant=False, unroll=True)
    assert not found.has_loops()
    assert not [node.op for node in found.nodes() if node.op.startswith("TensorList") or "PartitionedCall" in node.op]
    same = [graph.function()(tf.constant(STEPS))[0] for graph in (looping, found)]
    np.testing.assert_allclose(*same, atol=1e-6)
    return found


def accumulated(x: Any) -> Any:
    """A list of tensors is written and read step by step."""
    found = tf.TensorArray(tf.float32, size=6, element_shape=(1, 5))
    total = tf.zeros((1, 5))
    for step in tf.range(6):
        total = total * 0.5 + x[:, step]
        found = found.write(step, total)
    return tf.transpose(found.stack(), [1, 0, 2])


def nested(x: Any) -> Any:
    """A loop within a loop, and a branch that the outer one decides."""
    total = tf.zeros((1, 5))
    for outer in tf.range(3):
        for inner in tf.range(2):
            total += x[:, 2 * outer + inner]
        if outer > 1:
            total *= 2.0
    return total


@pytest.mark.parametrize("function", [accumulated, nested])
def test_computes_what_the_loop_computes(tmp_path: Path, function: Callable[[Any], Any]) -> None:
    unrolled(saved(tmp_path, function))


@pytest.mark.parametrize("build", [zoo.lstm, zoo.bidirectional_gru])
def test_recurrent_layers_of_a_saved_model(tmp_path: Path, build: Callable[[], Any]) -> None:
    model = build()
    model.export(tmp_path / "saved", verbose=False)
    source = inspect(tmp_path / "saved")
    found = freeze(source, static_batch=1, fake_quant=False, unroll=True)
    assert not found.has_loops()
    inputs = zoo.samples(source, 1)
    got = found.function()(*(tf.constant(inputs[i.name]) for i in found.inputs))
    for wanted, value in zip(zoo.reference(source, inputs), got, strict=True):
        np.testing.assert_allclose(value, wanted, atol=1e-5)


def by_the_data(x: Any) -> Any:
    """As many steps as the data says."""
    while tf.reduce_sum(x) > 1.0:
        x *= 0.5
    return x


def endless(x: Any) -> Any:
    for _ in tf.range(MOST_STEPS + 1):
        x = x * 0.999
    return x


def of_any_length(x: Any) -> Any:
    total = tf.zeros((1, 5))
    for step in tf.range(tf.shape(x)[1]):
        total += x[:, step]
    return total


@pytest.mark.parametrize(
    ("function", "shape"), [(by_the_data, (1, 6, 5)), (endless, (1, 6, 5)), (of_any_length, (1, None, 5))]
)
def test_what_has_no_known_number_of_steps_or_too_many_is_refused(
    tmp_path: Path, function: Callable[[Any], Any], shape: tuple[int | None, ...]
) -> None:
    source = saved(tmp_path, function, shape)
    with pytest.raises(UnsupportedModelError, match="is a loop that cannot be unrolled") as caught:
        freeze(source, static_batch=1, fake_quant=False, unroll=True)
    assert "fixed number of steps" in caught.value.remedy
