from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from user_loop import loop

import edgeship
from edgeship.compress.graph.kernels import sparsity
from edgeship.compress.layers import FakeQuant
from edgeship.errors import InputError, UnsupportedModelError


def softmax(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def head(activation=None, units=10, seed=0):
    keras.utils.set_random_seed(seed)
    image = keras.Input((8, 8, 1), name="image")
    return keras.Model(image, layers.Dense(units, activation=activation, name="out")(layers.Flatten()(image)))


@pytest.mark.parametrize(("student", "teacher"), [("softmax", "softmax"), (None, None), (None, "softmax")])
def test_soft_loss_is_the_formula_of_the_paper(digits, student, teacher):
    x, y = digits[0][:16], digits[1][:16]
    small, large = head(student, seed=1), head(teacher, seed=2)
    pair = edgeship.distiller(small, large, temperature=4.0, weight=0.7, linear="logits")
    hard = keras.losses.SparseCategoricalCrossentropy(from_logits=student is None)
    pair.compile("sgd", hard)
    zs, zt = (
        np.asarray(layers.Flatten()(x)) @ np.asarray(m.layers[-1].kernel) + np.asarray(m.layers[-1].bias)
        for m in (small, large)
    )
    p, q = softmax(zt / 4), softmax(zs / 4)
    expected = 0.7 * 16 * np.mean(np.sum(p * (np.log(p) - np.log(q)), -1)) + 0.3 * float(hard(y, small(x)))
    assert float(pair.compute_loss(x, y, pair(x))) == pytest.approx(expected, rel=1e-4)
    assert float(pair.compute_loss(x, y, pair(x), training=False)) == pytest.approx(float(hard(y, small(x))), rel=1e-5)


def test_unlikely_classes_count_as_what_they_are():
    """A sure teacher: at temperature 4 nothing is added to what it left unlikely, and the student feels it."""
    sure = np.zeros((1, 10), np.float32)
    sure[0, 0] = 60.0
    wanted = softmax(sure / 4)
    unsure = np.array([[2.0, *[-30.0] * 8, 1.0]], np.float32)
    pair = edgeship.distiller(head("softmax", seed=1), head("softmax", seed=2), temperature=4.0)
    teacher, logits = keras.ops.softmax(sure), tf.Variable(unsure)
    with tf.GradientTape() as tape:
        loss = pair.soft_loss(teacher, keras.ops.softmax(logits))
    found = softmax(unsure / 4)
    assert float(loss) == pytest.approx(16 * np.sum(wanted * (np.log(wanted) - np.log(found))), rel=1e-3)
    np.testing.assert_allclose(np.asarray(tape.gradient(loss, logits)), 4 * (found - wanted), rtol=1e-3, atol=1e-6)


def test_sigmoid_and_values(digits):
    x = digits[0][:16]
    one, other = head("sigmoid", 1, 1), head("sigmoid", 1, 2)
    pair = edgeship.distiller(one, other, temperature=2.0)
    p, q = (1 / (1 + np.exp(-np.log(v / (1 - v)) / 2)) for v in (np.asarray(other(x)), np.asarray(one(x))))
    expected = 4 * np.mean(p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q)))
    assert float(pair.soft_loss(other(x), one(x))) == pytest.approx(expected, rel=1e-4)
    values = edgeship.distiller(head(None, 3, 1), head(None, 3, 2), linear="values")
    a, b = values.teacher(x), values(x)
    assert float(values.soft_loss(a, b)) == pytest.approx(
        float(np.mean((np.asarray(a) - np.asarray(b)) ** 2)), rel=1e-5
    )


def test_narrow_student_learns_in_fit_and_the_teacher_stays(trained, digits, compiled, accuracy):
    keras.utils.set_random_seed(3)
    student = edgeship.narrow(trained, 0.5)
    assert student.output_shape == trained.output_shape
    assert student.count_params() < 0.6 * trained.count_params()
    before = trained.get_weights()
    pair = edgeship.distiller(student, trained)
    assert len(pair.trainable_variables) == len(student.trainable_variables)
    compiled(pair, 1e-2).fit(digits[0], digits[1], epochs=6, batch_size=32, verbose=0)
    assert accuracy(edgeship.finalize(pair)) > 0.85
    assert all(np.array_equal(a, b) for a, b in zip(before, trained.get_weights(), strict=True))


def test_soft_labels_alone_teach(trained, digits, compiled, accuracy):
    """With weight 1 the labels play no part: they may all be wrong."""
    keras.utils.set_random_seed(3)
    pair = edgeship.distiller(edgeship.narrow(trained, 0.75), trained, weight=1.0)
    wrong = (digits[1] + 1) % 10
    compiled(pair, 1e-2).fit(digits[0], wrong, epochs=5, batch_size=32, verbose=0)
    assert accuracy(pair.student) > 0.85


def test_custom_loop_keeps_the_zeros_of_a_pruned_student(trained, digits, compiled):
    pruned = edgeship.prune(trained, 0.8, schedule="constant")
    compiled(pruned).fit(digits[0][:320], digits[1][:320], verbose=0, callbacks=edgeship.callbacks(pruned))
    pair = edgeship.distiller(edgeship.finalize(pruned), trained, temperature=2.0)
    compiled(pair)
    losses = loop(pair, digits, 30, edgeship.callbacks(pair, steps=30), compute_loss=pair.compute_loss)
    assert np.mean(losses[-5:]) < np.mean(losses[:5])
    assert sparsity(edgeship.finalize(pair)) == pytest.approx(0.8, abs=0.01)


def test_a_quantization_aware_student(trained, digits, compiled, accuracy):
    student = edgeship.quantize_aware(trained, digits[0][:64])
    pair = edgeship.distiller(student, trained)
    riding = edgeship.callbacks(pair)
    assert len(riding) == 2  # the zeros and the ranges
    compiled(pair, 1e-4).fit(digits[0], digits[1], verbose=0, callbacks=riding)
    final = edgeship.finalize(pair)
    assert all(layer.frozen for layer in final.layers if isinstance(layer, FakeQuant))
    assert accuracy(final) > accuracy(trained) - 0.02


def test_narrow_in_every_layer_but_the_head(trained):
    widths = {layer.name: layer.filters for layer in trained.layers if hasattr(layer, "filters") and layer.filters}
    narrow = {la.name: la.filters for la in edgeship.narrow(trained, 0.25).layers if getattr(la, "filters", None)}
    assert narrow == {name: round(width / 4) for name, width in widths.items()}


def test_narrow_refuses_what_does_not_fit():
    image = keras.Input((4, 4, 8))
    model = keras.Model(image, layers.Dense(2)(layers.Add(name="sum")([layers.Conv2D(8, 1)(image), image])))
    with pytest.raises(UnsupportedModelError, match="layer sum"):
        edgeship.narrow(model, 0.5)
    with pytest.raises(InputError, match="width is 1"):
        edgeship.narrow(model, 1)


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(InputError, match="no activation"):
        edgeship.distiller(head(), head())
    with pytest.raises(InputError, match="student's output is"):
        edgeship.distiller(head(units=3), head(units=4), linear="logits")
    with pytest.raises(InputError, match="cannot be compared"):
        edgeship.distiller(head("sigmoid"), head("softmax"))
    with pytest.raises(InputError, match="temperature=0"):
        edgeship.distiller(head("softmax"), head("softmax"), temperature=0)
    image = keras.Input((4,))
    two = keras.Model(image, [layers.Dense(1)(image), layers.Dense(1)(image)])
    with pytest.raises((UnsupportedModelError, InputError)):
        edgeship.distiller(two, two)
