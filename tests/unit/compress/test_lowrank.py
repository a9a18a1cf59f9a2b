from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
import zoo
from keras import layers

import edgeship
from edgeship.compress.graph.macs import macs, macs_by_layer
from edgeship.compress.graph.model import build, read
from edgeship.compress.lowrank import factorize as lowrank
from edgeship.compress.lowrank.factorize import factorize
from edgeship.compress.lowrank.factors import Channels, Spatial, estimated
from edgeship.compress.lowrank.patches import patch_moments, patches
from edgeship.errors import DataError, InputError, UnsupportedModelError

ZOO = [zoo.two_inputs, zoo.mobile, zoo.unet, zoo.signal, zoo.autoencoder]


def samples(model, count=64, seed=0):
    random = np.random.default_rng(seed)
    return [random.uniform(0, 1, (count, *tensor.shape[1:])).astype(np.float32) for tensor in model.inputs]


def product(factors):
    """The kernel of both factors after another."""
    if factors.second.shape[1] == 1:
        return np.einsum("hwir,ro->hwio", factors.first, factors.second[0, 0])
    return np.einsum("hir,wro->hwio", factors.first[:, 0], factors.second[0])


@pytest.fixture(scope="module")
def kernel():
    return np.random.default_rng(0).normal(size=(3, 3, 8, 12))


@pytest.fixture(scope="module")
def rows():
    """Patches with most of their variance in few directions, around a mean that is not zero."""
    random = np.random.default_rng(1)
    few = random.normal(size=(5000, 20)) @ random.normal(size=(20, 72))
    return few + 0.3 * random.normal(size=(5000, 72)) + 1


@pytest.mark.parametrize("way", [Channels, Spatial])
@pytest.mark.parametrize("data", [False, True])
def test_energy_is_the_share_of_the_variance_that_stays(way, data, kernel, rows):
    moments = estimated(len(rows), rows.sum(0), rows.T @ rows) if data else None
    seen = rows if data else np.random.default_rng(2).normal(size=(200_000, 72))
    split = way(kernel, moments)
    expected = seen @ kernel.reshape(72, 12)
    for rank in (2, 6):
        factors = split.factors(rank)
        error = expected - seen @ product(factors).reshape(72, 12) - factors.offset
        found = 1 - error.var(0).sum() / expected.var(0).sum()
        assert split.energy(rank) == pytest.approx(found, abs=0.02)
        if data:
            assert np.abs(error.mean(0)).max() < 1e-6 * np.abs(expected).max()
    energies = [split.energy(rank) for rank in range(1, split.full + 1)]
    assert energies == sorted(energies)
    full = split.factors(split.full)
    assert energies[-1] == pytest.approx(1)
    assert np.allclose(product(full), kernel, atol=1e-9)
    assert np.allclose(full.offset, 0, atol=1e-9)


def test_without_data_it_is_the_truncated_svd(kernel):
    matrix = kernel.reshape(72, 12)
    left, values, right = np.linalg.svd(matrix, full_matrices=False)
    best = (left[:, :4] * values[:4]) @ right[:4]
    factors = Channels(kernel).factors(4)
    assert np.allclose(product(factors).reshape(72, 12), best)
    assert Channels(kernel).energy(4) == pytest.approx(np.sum(values[:4] ** 2) / np.sum(values**2))
    norms = [np.sum(part**2, axis=axes) for part, axes in ((factors.first, (0, 1, 2)), (factors.second, (0, 1, 3)))]
    assert np.allclose(*norms)


def test_few_patches_are_not_trusted():
    random = np.random.default_rng(0)
    few = random.normal(size=(10, 50))
    found = estimated(10, few.sum(0), few.T @ few)
    values = np.linalg.eigvalsh(found.covariance)
    assert values.max() / values.min() < 3  # the truth is 1, the sample's is infinite
    assert np.trace(found.covariance) == pytest.approx(np.trace(np.cov(few.T, bias=True)), rel=1e-3)


CONVOLUTIONS = [
    lambda: layers.Conv2D(5, (3, 2), strides=(2, 1), padding="same"),
    lambda: layers.Conv2D(5, 3, strides=2, padding="valid"),
    lambda: layers.Conv2D(5, (2, 3), dilation_rate=(2, 3), padding="same"),
    lambda: layers.Conv2D(5, 1, strides=2, padding="same"),
    lambda: layers.Dense(5),
]
SEQUENCES = [
    lambda: layers.Conv1D(5, 4, dilation_rate=2, padding="causal"),
    lambda: layers.Conv1D(5, 3, strides=2, padding="same"),
]


@pytest.mark.parametrize(
    ("shape", "make"), [*(((9, 8, 3), m) for m in CONVOLUTIONS), *(((11, 3), m) for m in SEQUENCES)]
)
def test_patches_are_what_the_kernel_sees(shape, make):
    layer = make()
    source = keras.Input(shape)
    model = keras.Model(source, layer(source))
    (step,) = read(model).steps
    (x,) = samples(model, 4)
    rows = patches(step, x, 10**6, np.random.default_rng(0))
    expected = np.asarray(layer(x)).reshape(-1, 5)
    assert np.allclose(rows @ step.weights[0].reshape(-1, 5), expected, atol=1e-5)
    assert len(patches(step, x, 7, np.random.default_rng(0))) == 7


def whole(model, way, calibration):
    """The model with every layer split at full rank."""
    graph = read(model)
    calls = [step for step in graph.steps if lowrank._splits(step)]
    moments = {} if calibration is None else patch_moments(graph, calls, calibration, 0)
    chosen = {}
    for step in calls:
        kernel = lowrank._kernel(step)
        split = (way if min(kernel.shape[:2]) > 1 else Channels)(kernel, moments.get(step.key))
        chosen[step.key] = split.factors(split.full)
    return build(lowrank._rebuilt(graph, chosen)), len(chosen)


@pytest.mark.parametrize("make", ZOO)
@pytest.mark.parametrize(("way", "data"), [(Channels, False), (Spatial, True)])
def test_full_rank_computes_the_same(make, way, data):
    keras.utils.set_random_seed(0)
    model = make()
    x = samples(model)
    split, count = whole(model, way, x if data else None)
    assert count >= 3
    expected, found = (np.asarray(m(x if len(x) > 1 else x[0], training=False)) for m in (model, split))
    assert np.abs(expected - found).max() < 3e-6 * max(1, np.abs(expected).max())
    assert split.output_names == build(read(model)).output_names


@pytest.mark.parametrize("make", [*CONVOLUTIONS, *SEQUENCES])
@pytest.mark.parametrize("way", [Channels, Spatial])
def test_full_rank_of_strides_padding_dilation_and_activation(make, way):
    layer = make()
    layer.activation = keras.activations.relu
    source = keras.Input((11, 3) if isinstance(layer, layers.Conv1D) else (11, 9, 3))
    model = keras.Model(source, layer(source))
    (x,) = samples(model, 4)
    split, count = whole(model, way, None)
    assert count == 1
    assert np.allclose(model(x), split(x), atol=1e-5)


def low_rank_network():
    """Kernels that truly have low rank, with noise of 1 %: rank 3 of a Dense, rank 4 of a spatial convolution."""
    random = np.random.default_rng(0)
    image = keras.Input((12, 12, 6), name="image")
    convolution = layers.Conv2D(24, 3, padding="same", activation="relu", use_bias=False, name="spatial")
    dense = layers.Dense(30, name="out")
    model = keras.Model(image, dense(layers.GlobalAveragePooling2D()(convolution(image))))
    low = np.einsum("hir,wro->hwio", random.normal(size=(3, 6, 4)), random.normal(size=(3, 4, 24)))
    convolution.set_weights([(low + 0.01 * random.normal(size=low.shape)).astype(np.float32)])
    product = random.normal(size=(24, 3)) @ random.normal(size=(3, 30)) + 0.01 * random.normal(size=(24, 30))
    dense.set_weights([product.astype(np.float32), random.normal(size=30).astype(np.float32)])
    return model


def test_each_layer_is_split_the_cheapest_way_that_keeps_its_energy():
    model = low_rank_network()
    small = factorize(model, energy=0.99)
    shapes = {layer.name: layer.kernel.shape for layer in small.layers if layer.weights}
    assert shapes == {"spatial_low": (3, 1, 6, 4), "spatial": (1, 3, 4, 24), "out_low": (24, 3), "out": (3, 30)}
    assert small.get_layer("spatial").activation is keras.activations.relu
    assert small.get_layer("spatial_low").activation is keras.activations.linear
    assert not small.get_layer("spatial").use_bias
    assert small.output_names == ["out"]
    (x,) = samples(model)
    expected, found = np.asarray(model(x)), np.asarray(small(x))
    assert np.abs(expected - found).max() < 0.05 * expected.std()
    assert macs(small) == macs_by_layer(small)["spatial_low"] + 12 * 12 * 3 * 4 * 24 + 24 * 3 + 3 * 30
    assert macs(small) < 0.5 * macs(model)
    assert small.count_params() < 0.5 * model.count_params()


def test_open_sizes_and_options_tell_real_costs():
    """What an option says it costs is what the rebuilt model costs."""
    model = low_rank_network()
    for candidate in lowrank._candidates(read(model), samples(model), 0):
        for option in candidate.options[:: max(1, len(candidate.options) // 4)]:
            split = build(lowrank._rebuilt(read(model), {candidate.calls[0].key: option.split.factors(option.rank)}))
            assert macs(model) - macs(split) == candidate.macs - option.macs
            # The largest term of a bias is never exactly zero.
            assert model.count_params() - split.count_params() == candidate.parameters - option.parameters
            assert option.macs < candidate.macs
            assert option.parameters < candidate.parameters
    open_image = keras.Input((None, None, 6))
    sizes = keras.Model(open_image, layers.Conv2D(24, 3, strides=2, padding="same")(open_image))
    assert factorize(sizes, energy=0.3).count_params() < sizes.count_params()
    with pytest.raises(UnsupportedModelError, match="MACs"):
        factorize(sizes, share=0.5)


@pytest.mark.parametrize("budget", ["macs", "parameters"])
@pytest.mark.parametrize("share", [0.75, 0.5])
def test_a_budget_is_kept_and_not_far_undershot(trained, digits, budget, share):
    def count(model):
        return macs(model) if budget == "macs" else model.count_params()

    small = factorize(trained, share=share, budget=budget, calibration=digits[0][:300])
    assert share * count(trained) * 0.9 < count(small) <= share * count(trained)
    assert macs(small) < macs(trained)
    assert small.count_params() < trained.count_params()


def test_data_costs_less_accuracy_than_weights_alone(trained, digits, accuracy):
    """Before any training, at the same cost."""
    before = trained.get_weights()
    plain = factorize(trained, share=0.45)
    aware = factorize(trained, share=0.45, calibration=digits[0][:300])
    assert macs(aware) <= 0.45 * macs(trained)
    assert accuracy(aware) > accuracy(plain) + 0.1
    assert accuracy(aware) > accuracy(trained) - 0.2
    assert all(np.array_equal(a, b) for a, b in zip(before, trained.get_weights(), strict=True))


def test_training_recovers_and_the_int8_file_computes_what_keras_computes(trained, digits, compiled, accuracy, litert):
    keras.utils.set_random_seed(0)
    data = tf.data.Dataset.from_tensor_slices(digits[:2]).batch(32)
    small = factorize(trained, share=0.6, calibration=data)
    compiled(small).fit(digits[0], digits[1], epochs=2, verbose=0)
    assert accuracy(small) > accuracy(trained) - 0.02
    final = edgeship.finalize(edgeship.quantize_aware(small, digits[0][:200]))
    theirs, _, operators = litert(final, digits[2])
    assert np.mean(final.predict(digits[2], verbose=0).argmax(1) == theirs.argmax(1)) >= 0.99
    assert accuracy(theirs) > accuracy(trained) - 0.03
    assert operators <= {"CONV_2D", "DEPTHWISE_CONV_2D", "ADD", "RESHAPE", "FULLY_CONNECTED", "SOFTMAX", "DELEGATE"}


def test_a_shared_layer_stays_shared():
    keras.utils.set_random_seed(0)
    vector = keras.Input((40,))
    twice = layers.Dense(40, activation="relu", name="twice")
    model = keras.Model(vector, layers.Dense(2, name="out")(twice(twice(vector))))
    random = np.random.default_rng(0)
    low = random.normal(size=(40, 6)) @ random.normal(size=(6, 40)) + 0.05 * random.normal(size=(40, 40))
    twice.set_weights([(low / 40).astype(np.float32), random.normal(0, 0.1, 40).astype(np.float32)])
    small = factorize(model, energy=0.98, calibration=samples(model, 200))
    names = [layer.name for layer in small.layers if layer.weights]
    assert {"twice", "twice_low"} <= set(names)
    assert names.count("twice") == 1
    assert macs_by_layer(small)["twice"] == 2 * small.get_layer("twice").kernel.shape[0] * 40
    (x,) = samples(model, 100, seed=1)
    expected = np.asarray(model(x))
    assert np.corrcoef(expected.ravel(), np.asarray(small(x)).ravel())[0, 1] > 0.98


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"energy": 1.0}, "energy=1.0"),
        ({"share": 0.0}, "share=0.0"),
        ({"energy": 0.9, "share": 0.5}, "share=0.5"),
        ({"share": 0.5, "budget": "bytes"}, "budget='bytes'"),
        ({"energy": 0.99999}, "keeps 100.0% of its energy with less work"),
        ({"share": 0.001}, "by low rank alone; the least is"),
    ],
)
def test_what_is_refused(trained, wrong, message):
    with pytest.raises(InputError, match=message) as caught:
        factorize(trained, **wrong)
    assert caught.value.remedy


def test_models_that_cannot_be_factorized(trained, digits, compiled):
    tiny = keras.Sequential([keras.Input((2,)), layers.Dense(2)])
    with pytest.raises(UnsupportedModelError, match="no layer that two smaller ones could replace"):
        factorize(tiny)
    with pytest.raises(UnsupportedModelError, match="already"):
        factorize(edgeship.quantize_aware(trained, digits[0][:32]))
    pruned = edgeship.prune(trained, schedule="constant")
    with pytest.raises(InputError, match="the schedule came to 0"):
        factorize(pruned)
    compiled(pruned).fit(digits[0][:64], digits[1][:64], verbose=0, callbacks=edgeship.callbacks(pruned))
    with pytest.raises(InputError, match="pruned or clustered"):
        factorize(edgeship.finalize(pruned))
    with pytest.raises(DataError, match="shapes"):
        factorize(trained, calibration=np.zeros((3, 7, 7, 1), np.float32))
    with pytest.raises(DataError, match="NaN or infinite"):
        factorize(trained, calibration=np.full((3, 8, 8, 1), np.nan, np.float32))
    with pytest.raises(DataError, match="not finite"):
        factorize(trained, calibration=np.full((3, 8, 8, 1), 3e38, np.float32))
