"""Models with several outputs: distillation output by output, and the stages of a recipe."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers
from test_stages import recipe

import edgeship
from edgeship import data, source
from edgeship.compress.graph.outputs import output_kinds
from edgeship.compress.run import compress
from edgeship.compress.training import loss_for
from edgeship.errors import InputError, UnsupportedModelError


def two_heads(structure=list, units=16, seed=0, names=("digit", "ink"), ink=None):
    """Digits and how much ink they have; `ink` is the activation of the second output."""
    keras.utils.set_random_seed(seed)
    image = keras.Input((8, 8, 1), name="image")
    x = layers.Conv2D(6, 3, activation="relu", name="conv")(image)
    x = layers.Dense(units, activation="relu", name="hidden")(layers.Flatten()(x))
    outputs = [
        layers.Dense(10, activation="softmax", name=names[0])(x),
        layers.Dense(1, activation=ink, name=names[1])(x),
    ]
    if structure is dict:
        return keras.Model(image, {"first": outputs[0], "second": outputs[1]}, name="two_heads")
    return keras.Model(image, structure(outputs), name="two_heads")


LINEAR = {"digit": "logits", "ink": "values", "first": "logits", "second": "values"}


@pytest.fixture(scope="module")
def ink(digits):
    """How much ink each training image has, (N, 1)."""
    return 10 * digits[0].mean(axis=(1, 2))


@pytest.fixture(scope="module")
def teacher(digits, ink):
    model = two_heads(units=32)
    model.compile(keras.optimizers.Adam(5e-3), ["sparse_categorical_crossentropy", "mse"])
    model.fit(digits[0], [digits[1], ink], epochs=8, batch_size=32, verbose=0)
    return model


def test_kinds_of_all_outputs():
    assert output_kinds(two_heads()) == {"digit": "softmax", "ink": "linear"}
    assert output_kinds(two_heads(dict, ink="sigmoid")) == {"first": "softmax", "second": "sigmoid"}
    image = keras.Input((4,))
    out = layers.Dense(2, name="twice")(image)
    with pytest.raises(UnsupportedModelError, match="several outputs called twice"):
        output_kinds(keras.Model(image, [out, out]))


def test_each_output_is_compared_with_the_teachers_of_the_same_name(digits):
    """Also where the teacher has them in another order."""
    student = two_heads(seed=1)
    plain = two_heads(units=24, seed=2)
    turned = keras.Model(plain.input, plain.outputs[::-1])
    x = digits[0][:16]
    one, other = (edgeship.distiller(student, t, linear=LINEAR) for t in (plain, turned))
    for pair in (one, other):
        pair.compile("sgd", ["sparse_categorical_crossentropy", "mse"])
    labels = [digits[1][:16], np.zeros((16, 1), np.float32)]
    losses = [float(pair.compute_loss(x, labels, pair(x))) for pair in (one, other)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    digit = edgeship.distiller(
        keras.Model(student.input, student.outputs[0]), keras.Model(plain.input, plain.outputs[0])
    )
    soft = float(digit.soft_loss(plain(x)[0], student(x)[0])) + float(np.mean((plain(x)[1] - student(x)[1]) ** 2))
    assert float(one.soft_loss(plain(x), student(x))) == pytest.approx(soft, rel=1e-5)


@pytest.mark.parametrize("structure", [list, tuple, dict])
def test_the_users_losses_and_weights_are_kept(digits, ink, structure):
    """The formula, with losses given by name and other weights than 1."""
    student, teacher = two_heads(structure, seed=1), two_heads(structure, units=24, seed=2)
    pair = edgeship.distiller(student, teacher, temperature=2.0, weight=0.25, linear=LINEAR)
    keys = ("first", "second") if structure is dict else ("digit", "ink")
    losses = dict(zip(keys, ("sparse_categorical_crossentropy", "mae"), strict=True))
    pair.compile("sgd", losses, loss_weights=dict(zip(keys, (2.0, 0.5), strict=True)))
    x, labels = digits[0][:16], (digits[1][:16], ink[:16])
    y = dict(zip(keys, labels, strict=True)) if structure is dict else structure(labels)
    found = float(pair.compute_loss(x, y, pair(x)))
    ours, theirs = (keras.tree.flatten(model(x)) for model in (student, teacher))
    hard = [float(keras.losses.SparseCategoricalCrossentropy()(labels[0], ours[0]))]
    hard.append(float(np.mean(np.abs(np.asarray(ours[1]) - labels[1]))))
    p, q = (np.asarray(v[0]) ** 0.5 for v in (theirs, ours))
    p, q = (v / v.sum(-1, keepdims=True) for v in (p, q))
    soft = [4 * float(np.mean(np.sum(p * np.log(p / q), -1))), float(np.mean((theirs[1] - ours[1]) ** 2))]
    expected = sum(w * (0.75 * h + 0.25 * s) for w, h, s in zip((2.0, 0.5), hard, soft, strict=True))
    assert found == pytest.approx(expected, rel=1e-4)
    assert float(pair.compute_loss(x, y, pair(x), training=False)) == pytest.approx(
        2 * hard[0] + 0.5 * hard[1], rel=1e-5
    )


def test_an_output_without_labels_learns_from_the_teacher_alone(digits, teacher, ink):
    """In `fit`, with labels for the first output only, and weight 0: the second has its whole loss from the teacher."""
    student = two_heads(seed=5)
    pair = edgeship.distiller(student, teacher, weight=0, linear=LINEAR)
    pair.compile(keras.optimizers.Adam(5e-3), [keras.losses.SparseCategoricalCrossentropy(), None])
    x, y = digits[0][:16], digits[1][:16]
    hard = float(keras.losses.SparseCategoricalCrossentropy()(y, student(x)[0]))
    told = np.asarray(teacher(x)[1])
    relative = np.mean((np.asarray(student(x)[1]) - told) ** 2) / (np.var(told) + 0.01 * np.mean(told**2))
    assert float(pair.compute_loss(x, y, pair(x))) == pytest.approx(hard + relative, rel=1e-4)
    pair.fit(digits[0], digits[1], epochs=8, batch_size=32, verbose=0)
    found, expected = student.predict(digits[2], verbose=0), teacher.predict(digits[2], verbose=0)
    assert np.mean(found[0].argmax(1) == digits[3]) > 0.75
    assert np.mean((found[1] - expected[1]) ** 2) < 0.2 * np.var(expected[1])


def test_sample_weights_for_each_output(digits, ink):
    """Samples that count nothing may be anything."""
    student, teacher = two_heads(seed=1), two_heads(units=24, seed=2)
    pair = edgeship.distiller(student, teacher, linear=LINEAR, features=edgeship.Features())
    pair.compile("sgd", ["sparse_categorical_crossentropy", "mse"])
    y = [digits[1][:4], ink[:4]]
    half = np.array([2.0, 2.0, 0, 0], np.float32)

    def value(given, weights):
        x = given.copy()
        total = pair.compute_loss(x, y, pair(x, training=True), weights)
        return float(total) - float(pair.compute_loss(x, y, pair(x, training=True), weights, training=False)) / 2

    x, other = digits[0][:4].copy(), digits[0][:4].copy()
    other[2:] = 0.5
    only = edgeship.distiller(student, teacher, linear=LINEAR)
    only.compile("sgd", ["sparse_categorical_crossentropy", "mse"])
    losses = [float(only.compute_loss(given, y, only(given), [half, half])) for given in (x, other)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert np.isfinite(value(x, [half, half]))
    assert value(x, half) != pytest.approx(value(other, half), rel=1e-5)  # the features' scale is of the whole batch


def test_outputs_that_do_not_belong_together_are_refused():
    with pytest.raises(InputError, match="student's outputs are digit, ink, the teacher's digit, weight"):
        edgeship.distiller(two_heads(), two_heads(names=("digit", "weight")), linear=LINEAR)
    with pytest.raises(InputError, match="output ink has no activation"):
        edgeship.distiller(two_heads(), two_heads(), linear={"digit": "logits"})
    with pytest.raises(InputError, match="student's ink is sigmoid, the teacher's other"):
        edgeship.distiller(two_heads(ink="sigmoid"), two_heads(), linear=LINEAR)


def test_losses_belong_to_the_first_output():
    assert isinstance(loss_for("classification", two_heads())[0], keras.losses.SparseCategoricalCrossentropy)
    assert loss_for("classification", two_heads())[1] is None
    assert list(loss_for("classification", two_heads(dict))) == ["first", "second"]
    with pytest.raises(UnsupportedModelError, match="two_heads ends in softmax, which does not fit the task binary"):
        loss_for("binary", two_heads())


def test_a_recipe_keeps_the_head_that_has_no_labels(teacher, digits, tmp_path):
    """All stages; the second output stays what it was, though the data has labels for the first only."""
    given = source.inspect(source.save_live(teacher, tmp_path))
    arrays = dict(zip(("x_train", "y_train", "x_test", "y_test"), digits, strict=True))
    dataset = data.from_arrays(arrays, given.inputs, given.outputs, data.DataOptions(), tmp_path)
    stages = (
        {"prune": {"sparsity": 0.6, "epochs": 3}},
        {"distil": {"epochs": 1, "features": 1, "attention": 0.5}},
        {"quantize-aware": {"epochs": 1}},
    )
    (tmp_path / "out").mkdir()
    done = compress(given, dataset, recipe(*stages), None, tmp_path / "out", lambda event: None)
    assert [stage.name for stage in done.stages] == ["base", "prune", "distil", "quantize-aware"]
    assert done.stages[-1].metric > done.stages[0].metric - 0.05
    assert done.stages[-1].sparsity > 0.59
    found = source.load(done.source).predict(digits[2], verbose=0)
    expected = teacher.predict(digits[2], verbose=0)
    # Without the teacher the same pruning alone moves it by 2.5 times its variance.
    assert np.mean((found[1] - expected[1]) ** 2) < 0.3 * np.var(expected[1])
