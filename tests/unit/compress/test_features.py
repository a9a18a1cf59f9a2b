"""Intermediate features and attention maps, and which layers of two models belong together."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import zoo
from keras import layers
from user_loop import loop

import edgeship
from edgeship.compress.distill.features import attention_map
from edgeship.compress.graph.kernels import sparsity
from edgeship.compress.graph.points import Tap, auto_pairs, named_pairs, stage_ends
from edgeship.errors import InputError, UnsupportedModelError


def names(pairs):
    return [(one.name, other.name) for one, other in pairs]


def two_stages(channels=(4, 6), size=8, seed=0):
    keras.utils.set_random_seed(seed)
    image = keras.Input((size, size, 1), name="image")
    x = layers.Conv2D(channels[0], 3, padding="same", activation="relu", name="early")(image)
    x = layers.Conv2D(channels[1], 3, strides=2, padding="same", activation="relu", name="late")(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, layers.Dense(10, activation="softmax", name="classes")(x), name=f"stages_{channels[0]}")


def feature_loss(pair, x):
    """What the features add to the compiled loss."""
    pair.compile("sgd", "sparse_categorical_crossentropy")
    y = np.zeros(len(x), np.int64)
    total = pair.compute_loss(x, y, pair(x, training=True))
    return float(total) - float(pair.compute_loss(x, y, pair(x, training=True), training=False))


@pytest.mark.parametrize(
    ("make", "ends"),
    [
        (zoo.two_inputs, [(8, 8)]),
        (zoo.mobile, [(8, 8), (6, 6)]),
        (zoo.unet, [(8, 8), (4, 4)]),
        (zoo.signal, [(32,)]),
        (zoo.autoencoder, [(), (), ()]),
    ],
)
def test_pairs_of_every_kind_of_student(make, ends):
    teacher = make()
    theirs = stage_ends(teacher)
    assert [point.positions for point in theirs] == ends
    students = [edgeship.prune(teacher, 0.5), edgeship.cluster(teacher, 4), edgeship.quantize_aware(teacher)]
    if make is not zoo.autoencoder:  # its Reshape has a fixed size
        students.append(edgeship.narrow(teacher, 0.5))
    inputs = [np.random.default_rng(0).random((2, *t.shape[1:]), np.float32) for t in teacher.inputs]
    for student in students:
        pairs = auto_pairs(student, teacher)
        assert [other for _, other in pairs] == theirs
        assert all(one.positions == other.positions for one, other in pairs)
        given = inputs if len(inputs) > 1 else inputs[0]
        answer, found = Tap(student, [one for one, _ in pairs])(given, training=False)
        assert np.array_equal(answer, student(given, training=False))
        assert [tuple(value.shape[1:]) for value in found] == [one.shape[1:] for one, _ in pairs]


def test_features_of_a_quantization_aware_student_are_those_of_the_original(trained, digits):
    """Batch normalization is folded and activations are split off: the values say whether it is the same place."""
    student = edgeship.quantize_aware(trained, digits[0][:64])
    pairs = auto_pairs(student, trained)
    assert [one.name.endswith("_range") for one, _ in pairs] == [True, True]
    ours = Tap(student, [one for one, _ in pairs])(digits[0][:64], training=False)[1]
    theirs = Tap(trained, [other for _, other in pairs])(digits[0][:64], training=False)[1]
    for one, other in zip(ours, theirs, strict=True):
        assert np.mean((np.asarray(one) - np.asarray(other)) ** 2) < 1e-3 * np.mean(np.asarray(other) ** 2)


def test_names_of_a_quantization_aware_student_are_those_that_its_layers_had(trained):
    student = edgeship.quantize_aware(trained)
    conv = next(layer.name for layer in reversed(trained.layers) if isinstance(layer, layers.Conv2D))
    assert names(named_pairs(student, trained, [(conv, conv)])) == [(f"{conv}_activation_range", conv)]


def test_a_network_of_the_users_own_is_paired_by_size():
    teacher = two_stages()
    image = keras.Input((8, 8, 1))
    inner = keras.Sequential(
        [keras.Input((8, 8, 1)), layers.Conv2D(2, 5, padding="same"), layers.ELU(name="first_elu")], name="inner"
    )
    x = layers.MaxPooling2D(2)(inner(image))
    x = layers.Flatten()(layers.Conv2D(3, 1, activation="silu", name="second")(x))
    student = keras.Model(image, layers.Dense(10, activation="softmax")(x))
    assert names(auto_pairs(student, teacher)) == [("first_elu", "early"), ("second", "late")]
    assert names(auto_pairs(edgeship.quantize_aware(two_stages((2, 3))), teacher)) == [
        ("early_activation_range", "early"), ("late_activation_range", "late")
    ]  # fmt: skip
    wider = two_stages(size=32)
    with pytest.raises(
        InputError, match=r"no layers of stages_4 \(early 32x32x4, late 16x16x6\) fit those of .*early 8"
    ):
        auto_pairs(wider, teacher)


def test_hidden_layers_without_positions():
    def mlp(hidden, seed):
        keras.utils.set_random_seed(seed)
        parts = [layers.Dense(units, activation="relu", name=f"h{seed}_{n}") for n, units in enumerate(hidden)]
        return keras.Sequential([keras.Input((5,)), *parts, layers.Dense(3, activation="softmax")])

    student, teacher = mlp((4, 2), 1), mlp((8, 6), 2)
    assert names(auto_pairs(student, teacher)) == [("h1_0", "h2_0"), ("h1_1", "h2_1")]
    with pytest.raises(InputError, match="no layers"):
        auto_pairs(mlp((4,), 1), teacher)
    pair = edgeship.distiller(student, teacher, weight=0, features=edgeship.Features())
    # The projections start at zero: as if the student's features were.
    assert feature_loss(pair, np.random.default_rng(0).random((8, 5), np.float32)) == pytest.approx(1, rel=1e-4)
    with pytest.raises(UnsupportedModelError, match="positions to pay attention to"):
        edgeship.distiller(student, teacher, features=edgeship.Features(0, attention=1))


def test_the_feature_loss_is_the_relative_error(digits):
    student, teacher = two_stages(seed=1), two_stages(seed=2)
    pair = edgeship.distiller(student, teacher, weight=0, features=edgeship.Features(3.0, layers=[("late", "late")]))
    assert pair.features.projections == [None]  # equally many channels
    a, b = (keras.Model(m.input, m.get_layer("late").output)(digits[0][:16]).numpy() for m in (student, teacher))
    assert feature_loss(pair, digits[0][:16]) == pytest.approx(3 * np.mean((a - b) ** 2) / np.mean(b**2), rel=1e-4)


def test_the_attention_loss_is_the_formula_of_the_paper(digits):
    student, teacher = two_stages((3, 5), seed=1), two_stages(seed=2)
    wanted = edgeship.Features(0, attention=2.0, layers=[("early", "early"), ("late", "late")])
    pair = edgeship.distiller(student, teacher, weight=0, features=wanted)
    assert len(pair.trainable_variables) == len(student.trainable_variables)

    def maps(model, name):
        value = keras.Model(model.input, model.get_layer(name).output)(digits[0][:16]).numpy()
        q = (value**2).sum(-1).reshape(16, -1)
        return q / np.linalg.norm(q, axis=1, keepdims=True)

    distances = [np.sum((maps(student, n) - maps(teacher, n)) ** 2, 1).mean() for n in ("early", "late")]
    assert feature_loss(pair, digits[0][:16]) == pytest.approx(2 * np.mean(distances), rel=1e-3)


def test_a_finer_map_is_averaged_down():
    values = np.random.default_rng(0).random((2, 4, 6, 3), np.float32)
    q = (values**2).sum(-1).reshape(2, 2, 2, 3, 2).mean((2, 4)).reshape(2, 6)
    expected = q / np.linalg.norm(q, axis=1, keepdims=True)
    assert np.allclose(attention_map(values, (2, 3)), expected, atol=1e-6)
    student, teacher = two_stages(seed=1), two_stages(seed=2)
    pair = edgeship.distiller(
        student, teacher, features=edgeship.Features(1, 1, [("early", "late"), ("late", "early")])
    )
    assert feature_loss(pair, np.random.default_rng(1).random((4, 8, 8, 1), np.float32)) > 0
    with pytest.raises(InputError, match=r"has positions \(8, 8\), late of the teacher \(3, 3\)"):
        edgeship.distiller(student, two_stages(size=6), features=edgeship.Features(layers=[("early", "late")]))


@pytest.mark.parametrize("features", [edgeship.Features(), edgeship.Features(0, 1)])
def test_the_gradient_reaches_early_layers_and_no_later_ones(digits, features):
    """With the pair of the first layers alone, the soft loss off and labels without weight."""
    import tensorflow as tf

    student = two_stages((2, 3), seed=1)
    only = edgeship.Features(features.weight, features.attention, [("early", "early")])
    pair = edgeship.distiller(student, two_stages(seed=2), weight=0, features=only)
    pair.compile("sgd", "sparse_categorical_crossentropy", loss_weights=0.0)
    for projection in filter(None, pair.features.projections):
        projection.kernel.assign(np.ones(projection.kernel.shape))  # it starts at zero
    x, y = digits[0][:8], digits[1][:8]
    with tf.GradientTape() as tape:
        loss = pair.compute_loss(x, y, pair(x, training=True))
    kernels = [student.get_layer(name).kernel.value for name in ("early", "late")]
    early, late = tape.gradient(loss, kernels)
    assert np.abs(early).max() > 0
    assert late is None or not np.any(late)


def test_projections_train_and_are_no_part_of_the_student(trained, digits, compiled, accuracy):
    keras.utils.set_random_seed(3)
    student = edgeship.narrow(trained, 0.5)
    before = trained.get_weights()
    pair = edgeship.distiller(student, trained, features=edgeship.Features(1.0, attention=0.1))
    assert [p.kernel.shape for p in pair.features.projections] == [(6, 12), (12, 24)]
    assert len(pair.trainable_variables) == len(student.trainable_variables) + 4
    history = compiled(pair, 1e-2).fit(digits[0], digits[1], epochs=3, batch_size=32, verbose=0).history
    assert history["loss"][-1] < 0.7 * history["loss"][0]
    assert all(np.any(np.asarray(p.kernel)) for p in pair.features.projections)
    final = edgeship.finalize(pair)
    assert [w.shape for w in final.weights] == [w.shape for w in student.weights]
    assert final.count_params() == student.count_params()
    assert accuracy(final) > 0.7  # its batch normalization saw training, too
    assert all(np.array_equal(a, b) for a, b in zip(before, trained.get_weights(), strict=True))


def test_helpers_ride_along_in_a_loop_of_ones_own(trained, digits, compiled):
    """A pruned and quantization-aware student, with features, keeps its zeros and freezes its ranges."""
    pruned = edgeship.prune(trained, 0.5, schedule="constant")
    compiled(pruned).fit(digits[0][:320], digits[1][:320], verbose=0, callbacks=edgeship.callbacks(pruned))
    student = edgeship.quantize_aware(edgeship.finalize(pruned), digits[0][:64])
    pair = compiled(edgeship.distiller(student, trained, features=edgeship.Features()))
    losses = loop(pair, digits, 30, edgeship.callbacks(pair, steps=30), compute_loss=pair.compute_loss)
    assert np.mean(losses[-10:]) < np.mean(losses[:10])
    assert sparsity(edgeship.finalize(pair)) == pytest.approx(0.5, abs=0.01)
    with pytest.raises(InputError, match="features of this output are not known"):
        pair.compute_loss(digits[0][:4], digits[1][:4], pair(digits[0][:4]))


def test_the_teacher_runs_once_a_batch_and_only_where_it_counts(trained, digits, compiled, monkeypatch):
    ran = []
    watched = Tap.__call__
    monkeypatch.setattr(Tap, "__call__", lambda *given, **more: ran.append(given[0]) or watched(*given, **more))
    for weight, features, expected in ((0.5, edgeship.Features(), 2), (0.5, None, 1), (0.0, None, 0)):
        student = edgeship.narrow(trained, 0.5)
        pair = compiled(edgeship.distiller(student, trained, weight=weight, features=features))
        ran.clear()
        pair.compute_loss(digits[0][:8], digits[1][:8], pair(digits[0][:8], training=True))
        assert len(ran) == expected  # the student, whose features are read, and the teacher


def test_what_cannot_be_compared_is_refused():
    student, teacher = two_stages(seed=1), two_stages(seed=2)
    with pytest.raises(InputError, match="weight=-1"):
        edgeship.Features(-1)
    with pytest.raises(InputError, match=r"attention=0\.0"):
        edgeship.Features(0)
    for wrong in ("early", [], ["ab"], [("a", "b", "c")]):
        with pytest.raises(InputError, match="layers="):
            edgeship.Features(layers=wrong)
    with pytest.raises(InputError, match=r"has no layers called 'nonsense'\nIts layers: .*early"):
        edgeship.distiller(student, teacher, features=edgeship.Features(layers=[("early", "nonsense")]))
    shared = keras.Model(teacher.inputs, teacher.outputs)
    with pytest.raises(InputError, match="share weights"):
        edgeship.distiller(shared, teacher)
    twins = [keras.Sequential([layers.Dense(4, "relu", name="twin")], name=name) for name in "ab"]
    vector = keras.Input((4,))
    twice = keras.Model(vector, layers.Dense(2, "softmax")(twins[1](twins[0](vector))))
    with pytest.raises(InputError, match="2 layers called 'twin'"):
        named_pairs(twice, twice, [("twin", "twin")])


@pytest.mark.slow
def test_a_distilled_narrow_student_beats_the_same_student_from_200_labels(trained, digits):
    """Mean of 3 seeds; the teacher saw all 1,300. Measured once: 0.784 without, 0.811 with (4 seeds)."""

    def accuracy(seed, taught):
        keras.utils.set_random_seed(seed)
        student = edgeship.narrow(trained, 0.34)
        model = edgeship.distiller(student, trained, features=edgeship.Features()) if taught else student
        rate = keras.optimizers.schedules.CosineDecay(5e-3, 40 * 7)
        model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", jit_compile=False)
        model.fit(digits[0][:200], digits[1][:200], epochs=40, batch_size=32, verbose=0)
        return np.mean(student.predict(digits[2], verbose=0).argmax(1) == digits[3])

    without, taught = (np.mean([accuracy(seed, taught) for seed in range(3)]) for taught in (False, True))
    assert taught > without + 0.01
