from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import frozen_models as zoo
import numpy as np
import pytest
import tensorflow as tf

from edgeship import plugins
from edgeship.errors import SourceError, UnsupportedModelError
from edgeship.source import inspect, save_live
from edgeship.types import ConvertOptions, Source, TensorSpec
from edgeship_converters.graph.frozen import FrozenGraph, freeze

#: Batch and unrolling, as the formats want it.
_WAYS = ((None, False), (1, False), (None, True), (1, True))


def run(frozen: FrozenGraph, source: Source, count: int) -> None:
    """Compare the frozen graph with the model."""
    inputs = zoo.samples(source, count)
    found = frozen.function()(*(tf.constant(inputs[i.name]) for i in frozen.inputs))
    for wanted, got in zip(zoo.reference(source, inputs), found, strict=True):
        np.testing.assert_allclose(got, wanted, atol=1e-5)


def content(frozen: FrozenGraph) -> bytes:
    return bytes(frozen.graph_def.SerializeToString(deterministic=True))


def unremembered(source: Source) -> Source:
    """A source whose graph is made anew each time, as of one whose code nobody can know."""
    return replace(source, code_sha256=None)


def test_carries_the_names_of_the_model_and_its_layers(tmp_path: Path) -> None:
    source = zoo.save(zoo.cnn(), tmp_path)
    frozen = freeze(source, static_batch=None, fake_quant=False)
    assert frozen.inputs == (TensorSpec("image", (None, 8, 8, 3), "float32"),)
    assert frozen.outputs == (TensorSpec("probabilities", (None, 5), "float32"),)
    assert (frozen.input_tensors, frozen.output_tensors) == (("image:0",), ("probabilities:0",))
    names = {node.name for node in frozen.graph_def.node}
    model = zoo.keras.models.load_model(source.path)
    layers = {layer.name for layer in model.layers}
    assert {name.split("/")[0] for name in names} <= layers
    convolutions = [layer.name for layer in model.layers if isinstance(layer, zoo.layers.Conv2D)]
    assert {f"{name}/convolution" for name in convolutions} <= names
    run(frozen, source, 3)


@pytest.mark.parametrize(
    "build", [zoo.cnn, zoo.lstm, zoo.bidirectional_gru, zoo.shared, zoo.embedding, zoo.bytes_image]
)
@pytest.mark.parametrize("batch", [None, 2])
def test_computes_what_the_model_computes(tmp_path: Path, build: Callable[[], Any], batch: int | None) -> None:
    source = zoo.save(build(), tmp_path)
    frozen = freeze(source, static_batch=batch, fake_quant=False)
    assert {spec.shape[0] for spec in (*frozen.inputs, *frozen.outputs)} == {batch}
    run(frozen, source, batch or 3)


@pytest.mark.parametrize("build", [zoo.cnn, zoo.lstm, zoo.shared])
def test_bytes_do_not_depend_on_what_came_before(tmp_path: Path, build: Callable[[], Any]) -> None:
    source = unremembered(zoo.save(build(), tmp_path))
    first = content(freeze(source, static_batch=None, fake_quant=False))
    freeze(zoo.save(zoo.bidirectional_gru(), tmp_path, "other"), static_batch=1, fake_quant=False)
    assert content(freeze(source, static_batch=None, fake_quant=False)) == first


def test_conversions_share_a_graph_and_leave_it_as_it_was(tmp_path: Path) -> None:
    source = zoo.save(zoo.lstm(), tmp_path)
    graphs = [freeze(source, static_batch=batch, fake_quant=False, unroll=unroll) for batch, unroll in _WAYS]
    assert [graph.has_loops() for graph in graphs] == [not unroll for _, unroll in _WAYS]
    before = [content(graph) for graph in graphs]
    for name in ("onnx", "savedmodel", "tfjs", "tflite"):
        folder = tmp_path / name
        folder.mkdir()
        plugins.converter(name).convert(source, "float32", ConvertOptions(), folder)
    after = [freeze(source, static_batch=batch, fake_quant=False, unroll=unroll) for batch, unroll in _WAYS]
    assert all(a is b for a, b in zip(graphs, after, strict=True))
    assert [content(graph) for graph in after] == before
    other = zoo.save(zoo.lstm(), tmp_path, "model")  # another model at the same place
    assert content(freeze(other, static_batch=1, fake_quant=False)) not in before


@pytest.mark.parametrize("build", [zoo.lstm, zoo.bidirectional_gru])
def test_unrolling_removes_loops_and_nothing_else(tmp_path: Path, build: Callable[[], Any]) -> None:
    source = zoo.save(build(), tmp_path)
    assert freeze(source, static_batch=None, fake_quant=False).has_loops()
    unrolled = freeze(source, static_batch=None, fake_quant=False, unroll=True)
    assert not unrolled.has_loops()
    assert not unrolled.graph_def.library.function
    run(unrolled, source, 3)


def test_a_model_of_keras_2(tmp_path: Path) -> None:
    import tf_keras

    steps = tf_keras.Input((6, 5), name="steps")
    x = tf_keras.layers.LSTM(4, activation="tanh", recurrent_activation="sigmoid")(steps)
    model = tf_keras.Model(steps, tf_keras.layers.Dense(2, name="score")(x))
    source = replace(inspect(save_live(model, tmp_path)), loader="tf_keras")
    for unroll in (False, True):
        frozen = freeze(source, static_batch=1, fake_quant=False, unroll=unroll)
        assert frozen.has_loops() is not unroll
        run(frozen, source, 1)
        assert {node.name.split("/")[0] for node in frozen.graph_def.node} <= {"steps", "lstm", "score"}


def test_a_saved_model(tmp_path: Path) -> None:
    model = zoo.lstm()
    model.export(tmp_path / "saved", verbose=False)
    source = inspect(tmp_path / "saved")
    frozen = freeze(source, static_batch=1, fake_quant=False)
    assert [i.name for i in frozen.inputs] == [i.name for i in source.inputs]
    assert not [node.name for node in frozen.nodes() if "PartitionedCall" in node.name]
    run(frozen, source, 1)
    first = content(frozen)
    freeze(zoo.save(zoo.cnn(), tmp_path), static_batch=1, fake_quant=False)
    assert content(freeze(unremembered(source), static_batch=1, fake_quant=False)) == first
    unrolled = freeze(source, static_batch=1, fake_quant=False, unroll=True)
    assert not unrolled.has_loops()
    run(unrolled, source, 1)


def test_a_batch_size_of_its_own_is_kept(tmp_path: Path) -> None:
    x = zoo.keras.Input((4,), name="x", batch_size=5)
    source = zoo.save(zoo.keras.Model(x, zoo.layers.Dense(2, name="y")(x)), tmp_path)
    assert freeze(source, static_batch=1, fake_quant=False).inputs[0].shape == (5, 4)


def test_state_is_refused(tmp_path: Path) -> None:
    steps = zoo.keras.Input((6, 5), name="steps", batch_size=1)
    source = zoo.save(zoo.keras.Model(steps, zoo.layers.LSTM(4, stateful=True, name="memory")(steps)), tmp_path)
    with pytest.raises(UnsupportedModelError, match=r"memory.* keeps state"):
        freeze(source, static_batch=1, fake_quant=False)


def test_what_has_no_legal_names_is_refused(tmp_path: Path) -> None:
    source = zoo.save(zoo.shared(), tmp_path)
    same = replace(source, outputs=(replace(source.outputs[0], name=source.inputs[0].name),))
    with pytest.raises(UnsupportedModelError, match="names two"):
        freeze(same, static_batch=None, fake_quant=False)
    odd = replace(source, outputs=(replace(source.outputs[0], name="a b"),))
    with pytest.raises(UnsupportedModelError, match="cannot be the name"):
        freeze(odd, static_batch=None, fake_quant=False)


def test_augmentation_that_draws_without_use_is_idle(tmp_path: Path) -> None:
    image = zoo.keras.Input((6, 6, 3), name="image")
    hidden = zoo.layers.MixUp()(zoo.layers.RandomPosterization(4)(image))  # these draw outside of training too
    model = zoo.keras.Model(image, zoo.layers.Conv2D(4, 3, name="conv")(hidden))
    source = zoo.save(model, tmp_path)
    frozen = freeze(source, static_batch=None, fake_quant=False)
    assert {node.op for node in frozen.graph_def.node} >= {"Conv2D"}
    run(frozen, source, 3)
    assert zoo.keras.random.SeedGenerator.next.__qualname__ == "SeedGenerator.next"  # nothing is left replaced


class Sampling(zoo.layers.Layer):
    """What the middle of a variational autoencoder does, in inference too."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.seeds = zoo.keras.random.SeedGenerator(1)

    def call(self, x: Any) -> Any:
        return x + zoo.keras.random.normal(zoo.keras.ops.shape(x), seed=self.seeds)


def test_outputs_that_depend_on_random_numbers_are_refused(tmp_path: Path) -> None:
    x = zoo.keras.Input((4,), name="x")
    model = zoo.keras.Model(x, Sampling(name="latent")(x))
    with pytest.raises(SourceError, match="changes variables when it runs"):
        inspect(save_live(model, tmp_path / "live"))  # of a class that nobody named: what it computes was saved
    model.save(tmp_path / "model.keras")
    source = inspect(tmp_path / "model.keras", (f"{__name__}:Sampling",))
    with pytest.raises(UnsupportedModelError, match=r"StatelessRandom.* draws random numbers"):
        freeze(source, static_batch=None, fake_quant=False)
