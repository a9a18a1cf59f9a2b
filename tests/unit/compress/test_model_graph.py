"""Models as lists of steps and back: shared layers, nested models, several inputs and outputs, operations."""

from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np
import pytest
from keras import layers, ops

import edgeship
from edgeship.compress.distill.students import narrow
from edgeship.compress.graph.kernels import prunable_kernels
from edgeship.compress.graph.macs import macs
from edgeship.compress.graph.model import build, read
from edgeship.compress.layers import FakeQuant
from edgeship.compress.training import weight_bytes
from edgeship.errors import UnsupportedModelError


def samples(model, count=16, seed=0):
    random = np.random.default_rng(seed)
    arrays = [random.uniform(0, 1, (count, *tensor.shape[1:])).astype(np.float32) for tensor in model.inputs]
    return keras.tree.pack_sequence_as(keras.tree.map_structure(lambda _: 0, model.input), arrays)


def lively(model):
    """Batch normalization as after training."""
    random = np.random.default_rng(0)
    for variable in model.weights:
        if variable.path.split("/")[-1] in ("moving_mean", "beta"):
            variable.assign(random.normal(0, 0.3, variable.shape))
        elif variable.path.split("/")[-1] in ("moving_variance", "gamma"):
            variable.assign(random.uniform(0.3, 1.5, variable.shape))
    return model


def branch(with_norm):
    parts = [keras.Input((8, 8, 3)), layers.Conv2D(8, 3, padding="same", name="shared")]
    parts += [layers.BatchNormalization()] if with_norm else []
    return keras.Sequential([*parts, layers.ReLU(), layers.MaxPooling2D(2)], name="branch")


def siamese(with_norm=True):
    """One branch for two images, compared."""
    one, two = keras.Input((8, 8, 3), name="one"), keras.Input((8, 8, 3), name="two")
    shared = branch(with_norm)
    difference = layers.Subtract()([shared(one), shared(two)])
    return lively(keras.Model([one, two], layers.Dense(4, name="out")(layers.Flatten()(difference))))


def own_norms():
    """One convolution at two scales, each with batch normalization of its own, as detectors have it."""
    image = keras.Input((8, 8, 3), name="image")
    head = layers.Conv2D(3, 3, padding="same", name="head")
    top = layers.ReLU()(layers.BatchNormalization()(head(image)))
    low = layers.ReLU()(layers.BatchNormalization()(head(layers.AveragePooling2D(2)(image))))
    return lively(keras.Model(image, layers.Concatenate(name="both")([layers.Flatten()(top), layers.Flatten()(low)])))


def recurrent():
    """Convolutions over a sequence and a separable one, each used twice; shared relu."""
    wave = keras.Input((16, 4), name="wave")
    twice = layers.Conv1D(4, 3, padding="same", name="twice")
    separable = layers.SeparableConv1D(4, 3, padding="same", activation="relu", name="separable")
    relu = layers.ReLU()
    x = relu(twice(relu(twice(wave))))
    x = separable(layers.MaxPooling1D(2)(separable(x)))
    return keras.Model(wave, layers.Dense(3, name="out")(layers.Flatten()(x)))


def squeeze_and_excite():
    image = keras.Input((8, 8, 4), name="image")
    x = layers.DepthwiseConv2D(3, padding="same")(image)
    gate = layers.Dense(2, activation="relu")(layers.GlobalAveragePooling2D()(x))
    gate = layers.Reshape((1, 1, 4))(layers.Dense(4, activation="sigmoid")(gate))
    return keras.Model(image, layers.Conv2D(2, 1, name="out")(x * gate))


def several():
    """A nested model with two inputs by name and two outputs, and a model with two outputs of one head."""
    left, right = keras.Input((6,), name="left"), keras.Input((6,), name="right")
    mixed = layers.Dense(5, name="mixed")(layers.Concatenate()([left, right]))
    inner = keras.Model([left, right], [mixed, layers.Dense(5, name="alone")(left)], name="inner")
    a, b = keras.Input((6,), name="a"), keras.Input((6,), name="b")
    first, second = inner({"right": a, "left": b})
    third, _ = inner([a, b])
    head = layers.Dense(3, activation="tanh", name="head")
    return keras.Model({"b": b, "a": a}, {"one": head(first), "two": head(layers.Add()([second, third]))})


ALL = [siamese, own_norms, recurrent, squeeze_and_excite, several]


@pytest.mark.parametrize("make", ALL)
def test_there_and_back(make, tmp_path):
    model = make()
    again = build(read(model))
    x = samples(model)
    expected, found = (keras.tree.flatten(m(x, training=False)) for m in (model, again))
    assert all(np.allclose(a, b, atol=1e-6) for a, b in zip(expected, found, strict=True))
    assert again.count_params() == model.count_params()
    assert again.output_names == model.output_names
    assert [tensor.name for tensor in again.inputs] == [tensor.name for tensor in model.inputs]
    keras.tree.assert_same_structure(again.output, model.output)
    again.save(tmp_path / "again.keras")
    loaded = keras.models.load_model(tmp_path / "again.keras", compile=False)
    assert all(np.allclose(a, b) for a, b in zip(found, keras.tree.flatten(loaded(x)), strict=True))


def test_calls_of_one_layer_share_their_step():
    graph = read(siamese())
    calls = [steps for steps in graph.calls().values() if steps[0].name == "shared"]
    assert [len(steps) for steps in calls] == [2]
    assert calls[0][0].weights is calls[0][1].weights
    assert weight_bytes(siamese()) < 1.1 * weight_bytes(build(read(siamese())))


def test_calls_that_were_rewritten_differently_are_refused():
    graph = read(siamese())
    first = next(step for step in graph.steps if step.name == "shared")
    for changed in (
        replace(first, weights=tuple(2 * weight for weight in first.weights)),
        first.set(padding="valid"),
    ):
        steps = [changed if step is first else step for step in graph.steps]
        with pytest.raises(UnsupportedModelError, match="layer shared is used several times"):
            build(graph.with_steps(steps))


def test_a_frozen_base_stays_frozen():
    """Batch normalization of a base that does not train stays on its moving statistics while the rest trains."""
    base = lively(keras.Sequential([keras.Input((4,)), layers.Dense(4), layers.BatchNormalization()], name="base"))
    base.trainable = False
    vector = keras.Input((4,))
    model = keras.Model(vector, layers.Dropout(0.5)(layers.Dense(2)(base(vector, training=False))))
    again = build(read(model))
    x = samples(model, 64)
    norm = next(layer for layer in again.layers if isinstance(layer, layers.BatchNormalization))
    before = np.asarray(norm.moving_mean)
    assert len(again.trainable_variables) == 2
    outputs = np.asarray(again(x, training=True))
    assert np.array_equal(before, norm.moving_mean)
    assert np.mean(outputs == 0) > 0.3  # dropout is of the model around it
    kept = outputs != 0
    assert np.allclose(outputs[kept], 2 * np.asarray(model(x))[kept], atol=1e-5)


@pytest.mark.filterwarnings("ignore:Layer 'inner'")  # a Sequential says so of its own mask
def test_a_nested_model_called_with_more_than_its_inputs():
    inner = keras.Sequential([keras.Input((4, 2)), layers.LSTM(3)], name="inner")
    x, mask = keras.Input((4, 2)), keras.Input((4,), dtype="bool")
    model = keras.Model([x, mask], inner(x, mask=mask))
    with pytest.raises(UnsupportedModelError, match="model inner is called with more than its inputs"):
        read(model)


@pytest.mark.filterwarnings("ignore:Layer 'inner'")
def test_masks_that_come_with_tensors_are_made_anew():
    words = keras.Input((7,), dtype="int32", name="words")
    vectors = layers.Embedding(10, 4, mask_zero=True)(words)
    inner = keras.Sequential([keras.Input((7, 4)), layers.LSTM(3)], name="inner")
    masked = layers.Masking(0.5)(layers.Dropout(0.1)(vectors))
    model = keras.Model(words, [layers.LSTM(3)(vectors), layers.LSTM(3)(masked), inner(vectors)])
    again = build(read(model))
    x = np.array([[1, 2, 3, 0, 0, 0, 0], [1, 2, 3, 4, 5, 6, 7]], np.int32)
    for expected, found in zip(model(x), again(x), strict=True):
        assert np.allclose(expected, found, atol=1e-6)
    assert not np.allclose(again(x)[0][0], again(np.array([[1, 2, 3, 9, 9, 9, 9]], np.int32))[0][0])


IMAGE = (6, 6, 4)
OPERATIONS = [
    (IMAGE, lambda x: x * 2.0 + 1),
    (IMAGE, lambda x: (1 - x) / 3),
    (IMAGE, lambda x: -x - 0.5),
    (IMAGE, lambda x: x + x * x - x),
    (IMAGE, lambda x: ops.relu(x) + ops.relu6(9 * x) + keras.activations.relu(x, negative_slope=0.1, max_value=4)),
    (IMAGE, lambda x: ops.maximum(x - 0.5, 0) + ops.clip(8 * x, 0, 6)),
    (IMAGE, lambda x: ops.maximum(ops.minimum(x, x * 0.5), x * 0.2)),
    (IMAGE, lambda x: ops.silu(x) + ops.hard_silu(x) + ops.gelu(x, approximate=False) + keras.activations.gelu(x)),
    (IMAGE, lambda x: ops.elu(x - 1, 0.5) + ops.leaky_relu(x - 1, 0.3) + ops.selu(x)),
    (IMAGE, lambda x: ops.sigmoid(x) + ops.tanh(x) + ops.hard_sigmoid(x) + ops.softplus(x) + ops.softsign(x)),
    (IMAGE, lambda x: ops.softmax(x) + ops.softmax(x, axis=1)),
    (IMAGE, lambda x: ops.mean(x, axis=(1, 2))),
    (IMAGE, lambda x: ops.mean(x, axis=[-2, 1], keepdims=True) * x),
    (IMAGE, lambda x: ops.max(x, axis=(1, 2))),
    (IMAGE, lambda x: ops.reshape(x, (-1, 144))),
    (IMAGE, lambda x: ops.expand_dims(ops.squeeze(ops.mean(x, axis=(1, 2), keepdims=True), 1), 3)),
    (IMAGE, lambda x: ops.transpose(x, (0, 3, 1, 2)) + ops.transpose(ops.swapaxes(x, -1, 1), (0, 1, 3, 2))),
    (IMAGE, lambda x: ops.concatenate([x, 2 * x], axis=-1)),
    (IMAGE, lambda x: ops.pad(x, ((0, 0), (1, 2), (0, 1), (0, 0)))),
    ((6, 4), lambda x: ops.mean(ops.pad(x, ((0, 0), (1, 2), (0, 0))), axis=1)),
    ((6, 6, 6, 2), lambda x: ops.max(x, axis=(1, 2, 3))),
]


@pytest.mark.parametrize(("shape", "function"), OPERATIONS)
def test_operations_become_layers(shape, function):
    source = keras.Input(shape)
    model = keras.Model(source, function(source))
    again = build(read(model))
    assert all(isinstance(operation, layers.Layer) for operation in again.operations)
    x = samples(model)
    assert np.allclose(model(x), again(x), atol=1e-6)
    assert again.output_shape == model.output_shape


@pytest.mark.parametrize(
    "function",
    [
        ops.sin,
        ops.gelu,  # the approximation: no layer has it
        lambda x: ops.mean(x, axis=1),
        ops.mean,
        lambda x: ops.reshape(x, (-1, 4)),
        ops.transpose,
        lambda x: 2 / x,
        lambda x: ops.clip(x, 0.1, 6),
        lambda x: ops.pad(x, ((0, 0), (0, 0), (0, 0), (1, 1))),
        lambda x: ops.pad(x, ((0, 0), (1, 1), (0, 0), (0, 0)), constant_values=1),
        lambda x: x + ops.mean(x, axis=(1, 2)),  # other ranks are aligned otherwise by layers
        lambda x: x * np.arange(4, dtype=np.float32),
        lambda x: x[:, :3],
        lambda x: ops.maximum(x, 0.5),
    ],
)
def test_operations_without_a_layer_are_refused(function):
    source = keras.Input((4, 4, 4))
    with pytest.raises(UnsupportedModelError, match="is not a layer") as caught:
        read(keras.Model(source, function(source)))
    assert caught.value.remedy


@pytest.mark.parametrize("make", [siamese, lambda: siamese(False), own_norms, recurrent, squeeze_and_excite])
def test_int8_files_of_shared_layers_compute_what_keras_computes(make, litert):
    keras.utils.set_random_seed(0)
    model = make()
    x = samples(model, 64)
    quantized = edgeship.quantize_aware(model, x)
    final = edgeship.finalize(quantized)
    assert len(prunable_kernels(final)) == len(prunable_kernels(model))  # still shared
    fresh = samples(model, 64, seed=1)
    theirs, scale, _ = litert(final, *keras.tree.flatten(fresh))
    ours = np.asarray(final(fresh))
    assert np.abs(ours - theirs).max() <= 4 * scale
    assert np.mean(np.abs(ours - theirs)) < 0.5 * scale
    floats = np.asarray(model(fresh))
    assert np.sqrt(np.mean((theirs - floats) ** 2)) < 0.15 * floats.std() + scale
    assert np.allclose(edgeship.strip(final)(fresh), floats, atol=0.1 * np.abs(floats).max())


def test_each_use_of_a_shared_layer_has_its_own_range():
    vector = keras.Input((6,), name="vector")
    twice = layers.Dense(6, name="twice")
    model = keras.Model(vector, twice(layers.Rescaling(10.0)(twice(vector))))
    quantized = edgeship.quantize_aware(model, samples(model, 32))
    widths = sorted(
        float(np.asarray(layer.maximum) - np.asarray(layer.minimum))
        for layer in quantized.layers
        if isinstance(layer, FakeQuant)
    )
    assert len(widths) == 4
    assert widths[-1] > 3 * widths[0]
    assert len(prunable_kernels(quantized)) == 1


def test_quantization_aware_training_of_several_inputs_and_outputs():
    model = several()
    x = samples(model, 64)
    quantized = edgeship.quantize_aware(model, x)
    targets = {name: np.asarray(value) for name, value in model(x).items()}
    quantized.compile("adam", "mse")
    history = quantized.fit(x, targets, epochs=2, verbose=0, callbacks=edgeship.callbacks(quantized)).history["loss"]
    assert history[-1] < 0.01
    final = edgeship.finalize(quantized)
    assert sorted(final(x)) == ["one", "two"]
    for name, value in final(x).items():
        assert np.abs(value - targets[name]).max() < 0.1


def test_a_narrower_student_with_shared_layers():
    model = siamese()
    student = narrow(model, 0.5)
    assert sum(isinstance(layer, layers.Conv2D) for layer in student.layers) == 1
    assert student.get_layer("shared").filters == 4
    assert macs(student) < 0.6 * macs(model)
    # A layer that makes an output keeps its units, wherever else it is used.
    vector = keras.Input((6,))
    head = layers.Dense(6, name="head")
    kept = narrow(keras.Model(vector, head(layers.ReLU()(head(vector)))), 0.5)
    assert kept.get_layer("head").units == 6
