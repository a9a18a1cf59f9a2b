from __future__ import annotations

import gzip

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from user_loop import loop

import edgeship
from edgeship import data, source
from edgeship.compress.graph.kernels import prunable_kernels, sparsity
from edgeship.compress.layers import kernel_scales
from edgeship.compress.run import compress
from edgeship.compress.training import weight_bytes
from edgeship.compress.weights.clustering import _codebook, shared_values, sharing
from edgeship.errors import InputError, UnsupportedModelError
from edgeship.recipe import SCHEMA


def counts(model):
    return [np.unique(np.asarray(kernel)).size for kernel in prunable_kernels(model)]


def int8_counts(model):
    """Different int8 numbers of the kernels of a finalized quantization-aware model."""
    kernels = map(np.asarray, prunable_kernels(model))
    return [np.unique(np.round(kernel / kernel_scales(kernel, (kernel.ndim - 1,)))).size for kernel in kernels]


def test_codebook_by_hand():
    # Two groups around -1 and 3; linear start at -1.1 and 3.1 finds their means at once.
    values = np.array([-1.1, -0.9, 3.1, 2.9, 3.0], np.float32)
    assert _codebook(values, 2, []).tolist() == pytest.approx([-1.0, 3.0])
    # Pinned ones stay and count; one is left between the ends.
    values = np.array([-127, 127, 10, 20, 30], np.float32)
    assert _codebook(values, 4, [0.0, -127.0, 127.0]).tolist() == pytest.approx([-127, 0, 20, 127])


def test_a_far_outlier_leaves_no_cluster_empty():
    values = np.append(np.linspace(-1, 1, 200), 1000.0)
    book = _codebook(values, 8, [])
    assert book.size == 8
    assert np.abs(values[:, None] - book).min(axis=1).max() < 0.4


def test_codebook_is_near_to_the_best_of_scikit_learn():
    from sklearn.cluster import KMeans

    values = np.random.default_rng(0).normal(size=2000)
    best = KMeans(16, n_init=5, random_state=0).fit(values[:, None]).inertia_
    assert np.square(values[:, None] - _codebook(values, 16, [])).min(axis=1).sum() < 1.15 * best


@pytest.fixture(scope="module")
def clustered(trained, digits, compiled):
    """Clustered to 16 values in `fit`, finalized."""
    keras.utils.set_random_seed(0)
    model = edgeship.cluster(trained, 16)
    compiled(model, 1e-3).fit(digits[0], digits[1], epochs=2, verbose=0, callbacks=edgeship.callbacks(model))
    return edgeship.finalize(model)


def test_cluster_in_fit_keeps_its_number_of_values_and_learns(clustered, trained, accuracy):
    start = edgeship.cluster(trained, 16)
    assert max(counts(clustered)) <= 16
    assert min(counts(trained)) > 50
    # The values themselves train.
    assert all(not np.allclose(a, b) for a, b in zip(*map(prunable_kernels, (clustered, start)), strict=True))
    assert accuracy(clustered) > accuracy(trained) - 0.03
    assert weight_bytes(clustered) < 0.4 * weight_bytes(trained)
    assert [type(layer) for layer in clustered.layers] == [type(layer) for layer in trained.layers]


def test_one_step_moves_a_cluster_by_the_mean_of_its_gradients():
    image = keras.Input((40,))
    model = edgeship.cluster(keras.Model(image, layers.Dense(1, use_bias=False)(image)), 4)
    (kernel,) = model.trainable_variables
    before = np.asarray(kernel)
    gradient = np.random.default_rng(0).normal(size=before.shape).astype(np.float32)
    keras.optimizers.SGD(0.1).apply([tf.constant(gradient)], [kernel])
    after = np.asarray(kernel)
    for value in np.unique(before):
        members = before == value
        assert np.allclose(after[members], value - 0.1 * gradient[members].mean(), atol=1e-6)
    assert np.unique(after).size == 4


def test_custom_loop_and_training_after_finalize(clustered, digits, compiled):
    loop(clone := edgeship.cluster(clustered, 16), digits, 10, edgeship.callbacks(clone, steps=10))
    final = edgeship.finalize(clone)
    assert max(counts(final)) <= 16
    loop(final, digits, 5)  # no callbacks: constraints
    assert max(counts(edgeship.finalize(final))) <= 16


def test_weights_changed_past_the_optimizer_are_found(clustered):
    model = edgeship.cluster(clustered, 16)
    kernel = prunable_kernels(model)[-1]
    kernel.assign(kernel + np.random.default_rng(0).normal(size=kernel.shape))
    for end in (edgeship.finalize, edgeship.quantize_aware, edgeship.cluster):
        with pytest.raises(InputError, match="was clustered to 16 values and has"):
            end(model)


def test_small_kernels_are_left_alone_and_zeros_stay(digits, compiled):
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 1))
    x = layers.Conv2D(3, 3)(image)  # 27 weights
    model = keras.Model(image, layers.Dense(10, activation="softmax")(layers.Flatten()(x)))
    pruned = edgeship.prune(model, 0.5, schedule="constant")
    compiled(pruned).fit(digits[0][:64], digits[1][:64], verbose=0, callbacks=edgeship.callbacks(pruned))
    pruned = edgeship.finalize(pruned)
    new = edgeship.cluster(pruned, 16)
    compiled(new).fit(digits[0][:64], digits[1][:64], verbose=0, callbacks=edgeship.callbacks(new))
    final = edgeship.finalize(new)
    for before, after in zip(*(map(np.asarray, prunable_kernels(m)) for m in (pruned, final)), strict=True):
        assert np.array_equal(before == 0, after == 0)
    assert counts(final)[0] == np.unique(np.asarray(prunable_kernels(pruned)[0])).size
    assert counts(final)[1] == 16


def test_shared_values_are_recognised():
    random = np.random.default_rng(0)
    assert shared_values(random.normal(size=(30, 30))) is None
    assert shared_values(np.zeros((30, 30))) is None
    assert shared_values(random.choice([0.0, 1.0, 2.5], (30, 30))) == 3
    shared = random.choice([-127.0, 3.3, 50.0, 127.0], (30, 30)) * random.random(30)
    assert sharing(shared.astype(np.float32), (-1,)) == (4, (-1,))
    assert sharing(random.choice([0.0, 1.0, 2.5], (30, 30)), (-1,)) == (3, None)
    assert shared_values(random.random((1000, 1000)), (-1,)) is None  # dense, and yet no clusters
    sparse = random.normal(size=(30, 30)) * (random.random((30, 30)) < 0.05)
    assert shared_values(sparse) is None  # zeros alone are no clusters


@pytest.mark.parametrize("wrong", [3, 129, 16.0])
def test_values_out_of_range(trained, wrong):
    with pytest.raises(InputError, match="clusters="):
        edgeship.cluster(trained, wrong)


def test_what_cannot_be_clustered(trained, digits):
    with pytest.raises(UnsupportedModelError, match="quantization-aware already"):
        edgeship.cluster(edgeship.quantize_aware(trained, digits[0][:32]))
    model = keras.Sequential([keras.Input((4, 4, 2)), layers.DepthwiseConv2D(3), layers.Flatten()])
    with pytest.raises(UnsupportedModelError, match="no kernel with at least 32 nonzero weights"):
        edgeship.cluster(model)


def test_quantize_aware_keeps_few_int8_numbers(clustered, digits, compiled, accuracy, litert, tmp_path):
    """Also of a model from a file, whose kernels have batch normalization folded in."""
    clustered.save(tmp_path / "model.keras")
    model = edgeship.quantize_aware(keras.models.load_model(tmp_path / "model.keras"), digits[0][:200])
    compiled(model, 3e-4).fit(digits[0], digits[1], epochs=2, verbose=0, callbacks=edgeship.callbacks(model))
    final = edgeship.finalize(model)
    assert max(int8_counts(final)) <= 16
    for layer in prunable_kernels(final):
        kernel = np.asarray(layer)
        steps = kernel / kernel_scales(kernel, (kernel.ndim - 1,))
        assert np.abs(steps - np.round(steps)).max() < 1e-3
    assert max(int8_counts(edgeship.strip(final))) <= 16
    theirs, *_ = litert(final, digits[2])
    assert np.mean(final.predict(digits[2], verbose=0).argmax(1) == theirs.argmax(1)) >= 0.99
    assert accuracy(theirs) > accuracy(clustered) - 0.03


def test_quantize_aware_in_a_custom_loop_keeps_them(clustered, digits):
    model = edgeship.quantize_aware(clustered, digits[0][:64])
    assert max(int8_counts(edgeship.finalize(model))) <= 16
    loop(model, digits, 10, edgeship.callbacks(model, steps=10), keras.optimizers.Adam(1e-3))
    assert max(int8_counts(edgeship.finalize(model))) <= 16


def test_per_channel_clusters_are_the_int8_numbers(trained, digits, compiled, tmp_path):
    """Training, a file, training, folding: the numbers are those of the codebook, and folding changes no output."""
    keras.utils.set_random_seed(0)
    model = edgeship.cluster(trained, 8, per_channel=True)
    compiled(model, 1e-3).fit(digits[0], digits[1], epochs=1, verbose=0, callbacks=edgeship.callbacks(model))
    model = edgeship.finalize(model)
    loop(model, digits, 5)
    model = edgeship.finalize(model)
    assert max(int8_counts(model)) <= 8
    model.save(tmp_path / "model.keras")
    aware = edgeship.quantize_aware(keras.models.load_model(tmp_path / "model.keras"), digits[0][:200])
    final = edgeship.finalize(aware)
    assert max(int8_counts(final)) <= 8
    before, after = (m.predict(digits[2], verbose=0) for m in (model, final))
    assert np.mean(before.argmax(1) == after.argmax(1)) > 0.98


def test_negative_and_dead_channels(digits):
    """Batch normalization with scales of both signs, one of them zero."""
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 1), name="image")
    norm = layers.BatchNormalization()
    x = layers.ReLU()(norm(layers.Conv2D(16, 3, use_bias=False)(image)))
    model = keras.Model(image, layers.Dense(10, activation="softmax", name="digit")(layers.Flatten()(x)))
    gamma = np.linspace(-1, 1, 16)
    gamma[3] = 0
    norm.gamma.assign(gamma)
    final = edgeship.finalize(edgeship.quantize_aware(edgeship.cluster(model, 16), digits[0][:64]))
    assert max(int8_counts(final)) <= 16
    assert np.abs(final.predict(digits[2], verbose=0) - model.predict(digits[2], verbose=0)).max() < 0.3


def int8_tensors(path):
    """The int8 kernels of a TFLite file."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path))
    constants = []
    for detail in interpreter.get_tensor_details():
        if detail["dtype"] == np.int8 and detail["quantization_parameters"]["scales"].size > 1:
            try:
                constants.append(interpreter.get_tensor(detail["index"]))
            except ValueError:  # not a constant
                continue
    return constants


def test_stages_to_an_int8_file_that_compresses(trained, digits, tmp_path, accuracy):
    from edgeship.contracts import ConvertOptions
    from edgeship_converters.tflite import TFLiteConverter

    found = source.inspect(source.save_live(trained, tmp_path))
    arrays = dict(zip(("x_train", "y_train", "x_test", "y_test"), digits, strict=True))
    dataset = data.from_arrays(arrays, found.inputs, found.outputs, data.DataOptions(), tmp_path / "data")
    prune = {"prune": {"sparsity": 0.5, "epochs": 3}}
    share = {"cluster": {"clusters": 16, "epochs": 2, "learning_rate": 1e-3}}
    quantize = {"quantize-aware": {"epochs": 1, "learning_rate": 3e-4}}
    sizes, results = [], []
    for name, stages in (("with", [prune, share, quantize]), ("without", [prune, quantize])):
        (tmp_path / name).mkdir()
        recipe = {"schema": SCHEMA, "name": name, "stages": stages, "variants": ["int8"]}
        result = compress(found, dataset, recipe, None, tmp_path / name, lambda event: None)
        results.append(result)
        folder = tmp_path / name / "tflite"
        folder.mkdir()
        artifact = TFLiteConverter().convert(result.source, "int8", ConvertOptions(), folder)
        sizes.append(len(gzip.compress(artifact.entry.read_bytes(), 9, mtime=0)))
        if name == "with":
            kernels = [k for k in int8_tensors(artifact.entry) if k.size > 200]
    assert len(kernels) >= 2
    assert all(np.unique(kernel).size <= 16 for kernel in kernels)
    assert np.mean(np.concatenate([k.ravel() for k in kernels]) == 0) >= 0.45
    assert sizes[0] < 0.9 * sizes[1], sizes
    base, pruned, shared, quantized = results[0].stages
    assert quantized.sparsity >= shared.sparsity >= pruned.sparsity >= 0.499
    assert shared.size_bytes < 0.9 * pruned.size_bytes
    assert "kernels have at most 16 different int8 numbers each" in shared.notes[0]
    assert "different int8 numbers each" in quantized.notes[0]
    assert not base.notes
    assert not pruned.notes
    assert quantized.metric > base.metric - 0.05
    assert sparsity(source.load(results[0].source)) == quantized.sparsity
