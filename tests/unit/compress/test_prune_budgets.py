"""Pruning by pattern, by layer and with budgets of their own."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

import edgeship
from edgeship.compress.graph.kernels import prunable_layers, sparsity
from edgeship.compress.weights.budgets import smallest
from edgeship.compress.weights.pruning import masks
from edgeship.errors import InputError, UnsupportedModelError


@pytest.fixture(scope="module")
def fitted(digits, compiled):
    """Train briefly with the helpers, and finalize."""

    def fitted(model, samples=320):
        compiled(model).fit(
            digits[0][:samples], digits[1][:samples], epochs=1, verbose=0, callbacks=edgeship.callbacks(model)
        )
        return edgeship.finalize(model)

    return fitted


def zeros(model):
    return {layer.name: float(np.mean(np.asarray(kernel) == 0)) for layer, kernel in prunable_layers(model)}


def fours(kernel, axis=-2):
    return np.moveaxis(np.asarray(kernel), axis, -1).reshape(-1, 4)


def test_the_two_smallest_of_four_by_hand():
    kernel = np.array([[3.0, -1, 0, 2], [1, 1, 1, 1]]).T
    assert smallest(kernel, 0).T.tolist() == [[False, True, True, False], [True, True, False, False]]
    # Half the way: of the four that may go, those with the smallest LAMP scores.
    (kept,) = masks([kernel], 0.25, [smallest(kernel, 0)])
    assert kept.T.tolist() == [[1, 1, 0, 1], [0, 1, 1, 1]]


def test_two_of_four_reaches_every_group_and_survives_int8(trained, digits, fitted, accuracy, litert):
    with pytest.warns(UserWarning, match="leaves conv2d.* dense"):
        model = edgeship.prune(trained, pattern="2:4", ramp=0.5)
    final = fitted(model, 1300)
    shapes = {layer.name: kernel.shape for layer, kernel in prunable_layers(final)}
    for name, share in zeros(final).items():
        assert share == (0 if shapes[name][-2] % 4 else 0.5), name
    assert accuracy(final) > accuracy(trained) - 0.05
    quantized = edgeship.quantize_aware(final, digits[0][:100])
    int8 = fitted(quantized)
    found = [kernel for _, kernel in prunable_layers(int8) if kernel.shape[-2] % 4 == 0]
    assert found
    for kernel in found:
        assert ((fours(kernel) == 0).sum(1) >= 2).all()
    assert accuracy(litert(int8, digits[2])[0]) > accuracy(trained) - 0.06


def test_two_of_four_of_a_transposed_convolution_is_along_its_inputs(digits, compiled):
    image = keras.Input((8, 8, 1))
    x = layers.Conv2DTranspose(6, 3, padding="same", name="up")(layers.Conv2D(8, 3, padding="same", name="in")(image))
    dense = layers.Dense(10, activation="softmax", name="out")(layers.Flatten()(x))
    model = edgeship.prune(keras.Model(image, dense), pattern="2:4", schedule="constant", per_layer={"in": 0})
    compiled(model).fit(digits[0][:64], digits[1][:64], verbose=0, callbacks=edgeship.callbacks(model))
    final = edgeship.finalize(model)
    assert ((fours(final.get_layer("up").kernel, -1) == 0).sum(1) == 2).all()
    assert zeros(final) == {"in": 0.0, "up": 0.5, "out": 0.5}


def test_a_lost_pattern_is_found(trained, fitted):
    with pytest.warns(UserWarning, match="dense"):
        model = edgeship.prune(trained, pattern="2:4", schedule="constant")
    fitted(model)
    kernel = model.layers[-1].kernel
    # As many zeros as before, two of them in another group.
    values = np.array(kernel)
    rows = [int(np.flatnonzero(values[4 * n : 4 * n + 4, 0])[0]) + 4 * n for n in (0, 1)]
    gone = np.flatnonzero(values[0:4, 0] == 0)[0]
    values[gone, 0], values[rows[1], 0] = values[rows[1], 0], 0
    kernel.assign(values)
    with pytest.raises(InputError, match="was to be pruned to 50% zeros"):
        edgeship.finalize(model)


def test_uniform_scope_prunes_each_layer_alike(trained, fitted):
    final = fitted(edgeship.prune(trained, 0.75, scope="layer", schedule="constant"))
    sizes = {layer.name: int(np.prod(kernel.shape)) for layer, kernel in prunable_layers(final)}
    assert zeros(final) == {name: int(0.75 * size) / size for name, size in sizes.items()}


def test_layers_with_budgets_of_their_own(trained, fitted):
    budgets = {"conv2d*": 0.5, "probabilities": 0.0}
    first = next(layer.name for layer, _ in prunable_layers(trained))
    final = fitted(edgeship.prune(trained, 0.9, schedule="constant", per_layer={**budgets, first: 0.2}))
    for name, share in zeros(final).items():
        wanted = 0.2 if name == first else 0.0 if name == "probabilities" else 0.5
        assert share == pytest.approx(wanted, abs=0.01)


def test_the_rest_shares_the_global_budget(trained, fitted):
    final = fitted(edgeship.prune(trained, 0.6, schedule="constant", per_layer={"probabilities": 0.25}))
    own = zeros(final)["probabilities"]
    rest = [(np.asarray(k) == 0).ravel() for layer, k in prunable_layers(final) if layer.name != "probabilities"]
    assert own == pytest.approx(0.25, abs=0.001)
    assert np.concatenate(rest).mean() == pytest.approx(0.6, abs=0.001)
    assert len({round(float(part.mean()), 2) for part in rest}) > 1  # not alike


def test_a_shared_layer_counts_once(digits, compiled):
    image = keras.Input((64,))
    twice = layers.Dense(64, activation="relu", name="twice")
    model = keras.Model(image, layers.Dense(10, activation="softmax", name="out")(twice(twice(image))))
    pruned = edgeship.prune(model, 0.5, schedule="constant")
    flat = digits[0][:64].reshape(-1, 64)
    compiled(pruned).fit(flat, digits[1][:64], verbose=0, callbacks=edgeship.callbacks(pruned))
    final = edgeship.finalize(pruned)
    assert sorted(zeros(final)) == ["out", "twice"]
    assert sparsity(final) == pytest.approx(0.5, abs=0.001)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"pattern": "1:4"}, "pattern='1:4'"),
        ({"scope": "model"}, "scope='model'"),
        ({"per_layer": {"dense_nine": 0.5}}, "no such layer"),
        ({"per_layer": {"conv2d*": 1.0}}, r"per_layer=\{'conv2d\*': 1.0\}"),
        ({"pattern": "2:4", "sparsity": 0.6}, "with pattern 2:4"),
        ({"pattern": "2:4", "per_layer": {"conv2d*": 0.25}}, "with pattern 2:4"),
    ],
)
def test_what_is_refused(trained, wrong, message):
    with pytest.raises(InputError, match=message) as caught:
        edgeship.prune(trained, **wrong)
    assert caught.value.remedy


@pytest.mark.filterwarnings("ignore:2.4 leaves")
def test_nothing_left_to_prune_is_an_error_not_zero_percent():
    model = keras.Sequential([keras.Input((3,)), layers.Dense(3, name="small"), layers.Dense(3, name="next")])
    for settings in (
        {"pattern": "2:4"},
        {"per_layer": {"*": 0.0}},
        {"sparsity": 0.01},
        {"scope": "layer", "sparsity": 0.1},
    ):
        with pytest.raises(UnsupportedModelError, match="too few prunable weights"):
            edgeship.prune(model, **settings)
