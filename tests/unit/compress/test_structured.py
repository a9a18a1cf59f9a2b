"""Budgets, importance and rounds of structured pruning."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

import edgeship
from edgeship.compress.channels.groups import find
from edgeship.compress.channels.importance import scores, taylor
from edgeship.errors import DataError, InputError, UnsupportedModelError


def sizes(model):
    return {group.name: group.size for group in find(model).groups}


def wide(filters=32, activation="softmax"):
    """Two convolutions and a head, random weights."""
    keras.utils.set_random_seed(3)
    image = keras.Input((8, 8, 1), name="image")
    x = layers.BatchNormalization(name="norm")(layers.Conv2D(filters, 3, padding="same", name="one")(image))
    x = layers.Conv2D(filters, 3, activation="relu", name="two")(layers.ReLU()(x))
    return keras.Model(image, layers.Dense(10, activation, name="out")(layers.GlobalAveragePooling2D()(x)))


@pytest.mark.parametrize("multiple_of", [1, 4, 8])
@pytest.mark.parametrize("keep", [0.75, 0.5, 0.2])
def test_a_budget_of_macs_is_met_and_not_undercut_by_much(keep, multiple_of):
    model = wide()
    before = model.get_weights()
    smaller = edgeship.prune_channels(model, keep, multiple_of=multiple_of)
    share = edgeship.macs(smaller) / edgeship.macs(model)
    assert share <= keep
    assert share > keep - 0.02 - 0.025 * multiple_of  # a portion of one group
    assert all(size % multiple_of == 0 for size in sizes(smaller).values())
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    assert (smaller.input.name, smaller.output_names) == (model.input.name, model.output_names)


def test_groups_that_are_no_multiple_come_to_one():
    smaller = edgeship.prune_channels(wide(20), 0.9, multiple_of=8)
    assert set(sizes(smaller).values()) <= {16, 20}
    assert 16 in sizes(smaller).values()


def test_what_cannot_be_reached_says_what_can():
    with pytest.raises(InputError, match=r"5.0% of the MACs were asked for, (\d+\.\d)% is the least") as error:
        edgeship.prune_channels(wide(), 0.05, min_channels=9, multiple_of=8)
    least = float(error.value.remedy.split("at least ")[1].split(",")[0])
    smaller = edgeship.prune_channels(wide(), least, min_channels=9, multiple_of=8)
    assert set(sizes(smaller).values()) == {16}
    assert "out is kept: it makes the output out" in error.value.message


def test_nothing_to_remove():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3, name="out")])
    with pytest.raises(InputError, match=r"100.0% is the least"):
        edgeship.prune_channels(model)


@pytest.mark.parametrize(
    "wrong",
    [{"keep": 1.0}, {"keep": 0.0}, {"multiple_of": 0}, {"min_channels": 0}, {"importance": "l2"}],
    ids=str,
)
def test_wrong_values(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        edgeship.prune_channels(wide(), **wrong)


def test_unknown_sizes_and_quantized_models_are_refused(trained, digits):
    anything = keras.Sequential([keras.Input((None, None, 3)), layers.Conv2D(8, 3), layers.Conv2D(2, 1)])
    with pytest.raises(UnsupportedModelError, match="not known"):
        edgeship.prune_channels(anything)
    with pytest.raises(UnsupportedModelError, match="quantization-aware already"):
        edgeship.prune_channels(edgeship.quantize_aware(trained, digits[0][:64]))


def test_a_budget_of_any_cost_is_met_with_no_more_than_needed():
    model = wide()

    def milliseconds(of):
        """A device on which only the second convolution takes time, in blocks of 8 input channels."""
        kernel = of.get_layer("two").kernel.shape
        return 1e-6 + 1e-4 * -(-kernel[2] // 8) * kernel[3]

    smaller = edgeship.prune_channels(model, 0.5, cost=milliseconds, multiple_of=4)
    assert milliseconds(smaller) <= 0.5 * milliseconds(model)
    assert milliseconds(smaller) > 0.3 * milliseconds(model)
    with pytest.raises(InputError, match="of the cost were asked for"):
        edgeship.prune_channels(model, 0.01, cost=milliseconds, multiple_of=8)
    with pytest.raises(InputError, match=r"cost of .* is nan"):
        edgeship.prune_channels(model, 0.5, cost=lambda _: float("nan"))


def test_weak_channels_go_first_by_each_measure():
    model = wide()
    weak = np.random.default_rng(0).permutation(32)[:16]
    one, norm, two = (model.get_layer(name) for name in ("one", "norm", "two"))
    one.kernel.assign(np.asarray(one.kernel) * np.where(np.isin(np.arange(32), weak), 0.1, 1))
    by_size = scores(find(model), "l1")["one"]
    assert set(np.argsort(by_size)[:16]) == set(weak)

    strong = np.setdiff1d(np.arange(32), weak)
    norm.gamma.assign(np.where(np.isin(np.arange(32), strong), 0.01, 1))
    by_scale = scores(find(model), "bn")["one"]
    assert set(np.argsort(by_scale)[:16]) == set(strong)
    assert np.all(scores(find(model), "bn")["two"] > 0)  # no batch normalization: by magnitude
    kernel = np.asarray(one.kernel)
    smaller = edgeship.prune_channels(model, 0.5, importance="bn", multiple_of=1)
    kept = np.sort(np.argsort(by_scale)[-smaller.get_layer("one").filters :])
    np.testing.assert_array_equal(np.asarray(smaller.get_layer("one").kernel), kernel[..., kept])
    assert two.filters == 32

    plain = keras.Sequential([keras.Input((4,)), layers.Dense(8), layers.Dense(2)])
    with pytest.raises(InputError, match="no batch normalization"):
        edgeship.prune_channels(plain, importance="bn")


def test_taylor_is_the_derivative_by_a_gate(digits):
    """Scores are the squared slope of the loss when a channel fades, by finite differences."""
    model = wide(activation=None)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    x, y = digits[0][:64], digits[1][:64]
    model.get_layer("out").kernel.assign(model.get_layer("out").kernel * 20)  # a slope far from rounding
    found = taylor(model, [(x, y)], loss)
    kernel = np.asarray(model.get_layer("two").kernel)

    def faded(channel, share):
        changed = kernel.copy()
        changed[:, :, channel] *= 1 - share
        model.get_layer("two").kernel.assign(changed)
        return float(loss(y, model(x, training=False)))

    for channel in np.argsort(found["one"])[[5, 20, 31]]:
        slope = (faded(channel, 0.02) - faded(channel, -0.02)) / 0.04
        np.testing.assert_allclose(found["one"][channel], slope**2, rtol=0.05)


def test_taylor_averages_batches_and_knows_the_compiled_loss(trained, digits, compiled):
    x, y = digits[0][:96], digits[1][:96]
    batches = [(x[:48], y[:48]), (x[48:], y[48:])]
    whole = taylor(compiled(keras.models.clone_model(trained)), iter(batches))
    model = compiled(trained)
    parts = [taylor(model, [batch]) for batch in batches]
    both = taylor(model, iter(batches))
    for name in both:
        np.testing.assert_allclose(both[name], (parts[0][name] + parts[1][name]) / 2, rtol=1e-4, atol=1e-12)
    assert set(whole) == set(both)


def test_wrong_use_of_taylor(digits):
    model = wide()
    loss = keras.losses.SparseCategoricalCrossentropy()
    with pytest.raises(InputError, match="not compiled"):
        taylor(model, [(digits[0][:8], digits[1][:8])])
    with pytest.raises(DataError, match="no batches"):
        taylor(model, [], loss)
    with pytest.raises(DataError, match="not finite"):
        taylor(model, [(digits[0][:8] * np.nan, digits[1][:8])], loss)
    found = taylor(model, [(digits[0][:8], digits[1][:8])], loss)
    smaller = edgeship.prune_channels(model, 0.5, importance=found)
    with pytest.raises(InputError, match="scores are not those"):
        edgeship.prune_channels(smaller, 0.5, importance=found)


def test_half_of_the_macs_go_and_accuracy_comes_back(trained, digits, compiled, accuracy):
    before = accuracy(trained)
    loss = keras.losses.SparseCategoricalCrossentropy()
    batches = [(digits[0][n : n + 64], digits[1][n : n + 64]) for n in range(0, 640, 64)]
    keras.utils.set_random_seed(0)
    smaller = edgeship.prune_channels(trained, 0.5, importance=taylor(trained, batches, loss), multiple_of=4)
    compiled(smaller, 3e-3).fit(digits[0], digits[1], epochs=4, batch_size=32, verbose=0)
    assert edgeship.macs(smaller) <= 0.5 * edgeship.macs(trained)
    assert accuracy(smaller) > before - 0.03


def test_zeros_of_an_earlier_pruning_stay_and_training_goes_on_with_masks(trained, digits, compiled):
    pruned = compiled(edgeship.prune(trained, 0.5, schedule="constant"))
    pruned.fit(digits[0], digits[1], epochs=1, callbacks=edgeship.callbacks(pruned), verbose=0)
    smaller = edgeship.prune_channels(edgeship.finalize(pruned), 0.7, multiple_of=4)
    zeros = [np.asarray(layer.kernel) == 0 for layer in smaller.layers if isinstance(layer, layers.Conv2D)]
    compiled(smaller).fit(digits[0], digits[1], epochs=1, callbacks=edgeship.callbacks(smaller), verbose=0)
    final = edgeship.finalize(smaller)
    after = [np.asarray(layer.kernel) == 0 for layer in final.layers if isinstance(layer, layers.Conv2D)]
    assert sum(z.sum() for z in zeros) > 100
    assert all(np.array_equal(a, b) for a, b in zip(zeros, after, strict=True))
