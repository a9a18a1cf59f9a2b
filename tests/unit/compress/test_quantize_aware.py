from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
import zoo
from keras import layers
from user_loop import loop

import edgeship
from edgeship.compress.graph.fold import fold
from edgeship.compress.graph.kernels import sparsity
from edgeship.compress.graph.model import build, read
from edgeship.compress.layers import FakeQuant, fake_quantized, kernel_scales, snap
from edgeship.errors import DataError, InputError, UnsupportedModelError

ZOO = [zoo.two_inputs, zoo.mobile, zoo.unet, zoo.signal, zoo.autoencoder, zoo.activations]


def samples(model, count=64, seed=0):
    random = np.random.default_rng(seed)
    arrays = [random.uniform(0, 1, (count, *tensor.shape[1:])).astype(np.float32) for tensor in model.inputs]
    return arrays if len(arrays) > 1 else arrays[0]


@pytest.mark.parametrize("make", ZOO)
def test_folding_does_not_change_the_function(make):
    keras.utils.set_random_seed(0)
    model = make()
    folded = build(fold(read(model)))
    assert not any(isinstance(la, layers.BatchNormalization) for la in folded.layers)
    x = samples(model)
    assert np.allclose(model.predict(x, verbose=0), folded.predict(x, verbose=0), atol=1e-5)
    assert folded.output_names == build(read(model)).output_names


@pytest.mark.parametrize("make", ZOO)
def test_int8_file_computes_what_keras_computes(make, litert):
    keras.utils.set_random_seed(0)
    model = make()
    x = samples(model)
    final = edgeship.finalize(edgeship.quantize_aware(model, x))
    fresh = samples(model, seed=1)
    ours = final.predict(fresh, verbose=0)
    theirs, scale, _ = litert(final, *(fresh if isinstance(fresh, list) else [fresh]))
    # Fixed-point arithmetic may round a tie the other way; a tie early in the network moves later values by a step.
    assert np.abs(ours - theirs).max() <= 4 * scale
    assert np.mean(np.abs(ours - theirs)) < 0.5 * scale
    # And int8 is near to float, or the ranges are wrong.
    signal = np.std(model.predict(fresh, verbose=0))
    assert np.sqrt(np.mean((theirs - model.predict(fresh, verbose=0)) ** 2)) < 0.15 * signal + scale
    assert [tensor.name for tensor in final.inputs] == [tensor.name for tensor in model.inputs]


def test_normalization_and_activation_of_a_sequence_are_fused_into_its_convolution(litert):
    """As of images; else they stay operators of their own in the int8 file, which then takes five times as long."""
    x = steps = keras.Input((24, 3))
    for number in range(2):
        x = layers.Conv1D(8, 5, padding="same", use_bias=False, dilation_rate=1 + number)(x)
        x = layers.ReLU()(layers.BatchNormalization(axis=2 if number else -1)(x))
    x = layers.Activation("tanh")(layers.SeparableConv1D(8, 3)(x))
    model = zoo._lively(keras.Model(steps, layers.Dense(3)(layers.GlobalAveragePooling1D()(x))))
    folded = fold(read(model))
    assert not [step.name for step in folded.steps if step.layer in (layers.BatchNormalization, layers.DepthwiseConv1D)]
    kinds = [step.layer for step in folded.steps if step.layer is not layers.Reshape]
    convolution, activation = layers.Conv2D, layers.Activation
    assert kinds[:6] == [convolution, activation, convolution, activation, layers.DepthwiseConv2D, convolution]
    given = samples(model)
    np.testing.assert_allclose(build(folded).predict(given, verbose=0), model.predict(given, verbose=0), atol=1e-5)
    final = edgeship.finalize(edgeship.quantize_aware(model, given))
    ours, (theirs, scale, _) = final.predict(given, verbose=0), litert(final, given)
    assert np.abs(ours - theirs).max() <= 4 * scale


def test_what_mixes_channels_or_has_two_readers_stays_behind_the_sequence():
    steps = keras.Input((24, 3))
    both = layers.Conv1D(4, 3)(steps)
    x = layers.Add()([layers.ReLU()(both), layers.LayerNormalization()(both)])
    model = zoo._lively(keras.Model(steps, layers.Softmax()(layers.Conv1D(4, 3)(x))))
    given = samples(model)
    found = build(fold(read(model))).predict(given, verbose=0)
    np.testing.assert_allclose(found, model.predict(given, verbose=0), atol=1e-5)


@pytest.fixture(scope="module")
def quantized(trained, digits, compiled):
    """Trained quantization-aware in `fit` after calibration, before and after `finalize`."""
    keras.utils.set_random_seed(0)
    model = edgeship.quantize_aware(trained, digits[0][:200])
    data = tf.data.Dataset.from_tensor_slices((digits[0], digits[1])).shuffle(1300, seed=0).batch(32)
    history = compiled(model, 1e-3).fit(
        data, epochs=3, shuffle=False, verbose=0, callbacks=edgeship.callbacks(model), validation_data=digits[2:]
    )
    return model, edgeship.finalize(model), history


def test_trained_digits_agree_between_keras_and_litert(quantized, trained, digits, accuracy, litert):
    model, final, _ = quantized
    ours = final.predict(digits[2], verbose=0)
    theirs, _, operators = litert(final, digits[2])
    assert np.mean(ours.argmax(1) == theirs.argmax(1)) >= 0.995
    assert accuracy(theirs) >= accuracy(trained) - 0.01
    assert operators <= {"CONV_2D", "DEPTHWISE_CONV_2D", "ADD", "RESHAPE", "FULLY_CONNECTED", "SOFTMAX", "DELEGATE"}
    # What `evaluate` says while training is what the final model does (it has the biases on their grid besides).
    evaluated = model.predict(digits[2], verbose=0)
    assert np.mean(evaluated.argmax(1) == ours.argmax(1)) >= 0.99
    assert np.mean(np.abs(evaluated - ours)) < 1 / 256


def test_rounding_is_that_of_the_file_almost_everywhere(quantized, digits, litert):
    """Biases on the grid of the sums leave nothing but ties and the runtime's own approximations."""
    _, final, _ = quantized
    theirs, scale, _ = litert(final, digits[2])
    assert np.mean(np.abs(final.predict(digits[2], verbose=0) - theirs) > 0.5 * scale) < 0.02


def test_finalized_model_is_plain_layers_on_their_grid(quantized):
    _, final, _ = quantized
    kinds = {type(layer).__module__.split(".")[0] for layer in final.layers if not isinstance(layer, FakeQuant)}
    assert kinds == {"keras"}
    assert all(layer.frozen for layer in final.layers if isinstance(layer, FakeQuant))
    for layer in final.layers:
        if isinstance(layer, layers.Dense | layers.Conv2D) and not isinstance(layer, layers.DepthwiseConv2D):
            kernel = np.asarray(layer.kernel)
            steps = kernel / kernel_scales(kernel, (kernel.ndim - 1,))
            assert np.abs(steps - np.round(steps)).max() < 1e-3
            assert np.abs(steps).max() <= 127.001
    before = final.get_weights()
    final(np.zeros((2, 8, 8, 1), np.float32), training=True)  # frozen ranges follow nothing
    assert all(np.array_equal(a, b) for a, b in zip(before, final.get_weights(), strict=True))


def test_save_and_load_while_training_and_after(quantized, digits, tmp_path):
    for number, model in enumerate(quantized[:2]):
        model.save(tmp_path / f"{number}.keras")
        again = keras.models.load_model(tmp_path / f"{number}.keras", compile=False)
        assert np.array_equal(again.predict(digits[2], verbose=0), model.predict(digits[2], verbose=0))
        assert fake_quantized(again)
        assert again.output_names == ["probabilities"]
    # A checkpoint from the middle of training can be finalized as well.
    loaded = keras.models.load_model(tmp_path / "0.keras", compile=False)
    assert np.array_equal(edgeship.finalize(loaded)(digits[2]), quantized[1](digits[2]))


def test_strip_gives_the_same_network_without_fake_quantization(quantized, digits, accuracy):
    model, final, _ = quantized
    plain = edgeship.strip(final)
    assert not fake_quantized(plain)
    assert plain.output_names == ["probabilities"]
    assert abs(accuracy(plain) - accuracy(final)) < 0.01
    for one, two in zip(plain.get_weights(), edgeship.strip(model).get_weights(), strict=True):
        assert np.allclose(one, two, atol=1e-6 if one.ndim > 1 else 1e-3)  # final biases are on their grid


def test_ranges_stand_still_in_the_last_part(trained, digits, compiled):
    model = edgeship.quantize_aware(trained, digits[0][:64], freeze_share=0.5)
    layer = next(la for la in model.layers if isinstance(la, FakeQuant) and la.fixed is None)
    seen = []
    watch = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: seen.append(float(layer.batches)))
    riding = [*edgeship.callbacks(model), watch]
    compiled(model, 1e-3).fit(digits[0][:640], digits[1][:640], epochs=4, verbose=0, callbacks=riding)
    assert seen[1] > seen[0] + 15
    assert seen[3] == seen[2] <= seen[1] + 1


def test_without_calibration_the_first_batches_set_the_ranges(trained, digits, accuracy):
    model = edgeship.quantize_aware(trained)
    with pytest.raises(DataError, match="were never set"):
        edgeship.finalize(model)
    helpers = edgeship.callbacks(model, steps=40)
    loop(model, digits, 40, helpers, keras.optimizers.Adam(1e-4))
    assert accuracy(edgeship.finalize(model)) > accuracy(trained) - 0.02


def test_zeros_of_a_pruned_model_are_zeros_in_the_int8_kernels(trained, digits, compiled, litert, accuracy):
    pruned = edgeship.prune(trained, 0.6)
    compiled(pruned).fit(digits[0], digits[1], epochs=3, verbose=0, callbacks=edgeship.callbacks(pruned))
    pruned = edgeship.finalize(pruned)
    model = edgeship.quantize_aware(pruned, digits[0][:100])
    compiled(model, 1e-3).fit(digits[0], digits[1], epochs=1, verbose=0, callbacks=edgeship.callbacks(model))
    final = edgeship.finalize(model)
    assert sparsity(final) >= 0.599
    assert accuracy(litert(final, digits[2])[0]) > accuracy(trained) - 0.03


def test_a_dead_channel_survives_the_conversion(litert):
    """A kernel of zeros with a bias must not lose the bias to an absurd scale."""
    image = keras.Input((6, 6, 2), name="image")
    convolution = layers.Conv2D(4, 3, activation="relu")
    model = keras.Model(image, convolution(image))
    kernel, _ = convolution.get_weights()
    kernel[..., 1] = 0
    kernel[..., 2] *= 1e-8
    convolution.set_weights([kernel, np.array([0.1, 0.4, 0.3, 0.0], np.float32)])
    x = samples(model) * 255
    final = edgeship.finalize(edgeship.quantize_aware(model, x))
    theirs, scale, _ = litert(final, x)
    assert np.abs(final.predict(x, verbose=0) - theirs).max() <= 1.01 * scale


def test_kernel_grid():
    kernel = np.array([[1.0, 0.0], [-0.5, 0.0], [0.004, 0.0]], np.float32)
    assert kernel_scales(kernel, (1,)).tolist() == [[pytest.approx(1 / 127), 1.0]]
    assert np.allclose(snap(kernel, (1,))[:, 0] * 127, [127, -64, 1])
    assert np.array_equal(snap(snap(kernel, (1,)), (1,)), snap(kernel, (1,)))


def custom():
    @keras.saving.register_keras_serializable(package="edgeship_tests")
    class Odd(layers.Layer):
        def call(self, inputs):
            return inputs * 2

    return Odd(name="odd")


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (lambda: layers.Activation("elu", name="odd"), "activation 'elu' has no int8 form"),
        (lambda: layers.ELU(name="odd"), "not supported"),
        (lambda: layers.ReLU(max_value=2.0, name="odd"), "limit 6"),
        (lambda: layers.LayerNormalization(name="odd"), "not supported"),
        (lambda: layers.Conv2D(2, 3, name="odd", data_format="channels_first"), "channels_first"),
        (lambda: layers.Softmax(axis=1, name="odd"), "another axis"),
        (custom, "not supported"),
    ],
)
def test_an_unsupported_layer_is_named(layer, message):
    image = keras.Input((8, 8, 3))
    model = keras.Model(image, layer()(image))
    with pytest.raises(UnsupportedModelError, match=message) as caught:
        edgeship.quantize_aware(model)
    assert "layer odd" in caught.value.message
    assert caught.value.remedy


def test_models_that_cannot_be_looked_through_are_refused():
    image = keras.Input((3,))
    with pytest.raises(UnsupportedModelError, match="is not a layer"):
        edgeship.quantize_aware(keras.Model(image, keras.ops.sin(image)))
    with pytest.raises(UnsupportedModelError, match="without input shape"):
        edgeship.quantize_aware(keras.Sequential([layers.Dense(2)]))

    class Own(keras.Model):
        def call(self, inputs):
            return inputs

    with pytest.raises(UnsupportedModelError, match="functional"):
        edgeship.quantize_aware(Own())
    words = keras.Input((4,), dtype="int32", name="words")
    with pytest.raises(UnsupportedModelError, match="input words is int32"):
        edgeship.quantize_aware(keras.Model(words, layers.Flatten()(words)))


def test_samples_that_are_no_finite_numbers(trained, digits):
    gaps = np.array(digits[0][:8])
    gaps[3, 2, 2] = np.nan
    with pytest.raises(DataError, match="NaN or infinite"):
        edgeship.quantize_aware(trained, gaps)
    with pytest.raises(DataError, match="no numbers"):
        edgeship.quantize_aware(trained, np.full(digits[0][:8].shape, "x"))


@pytest.mark.parametrize("share", [-0.1, 7, float("nan")])
def test_a_share_that_is_none(trained, share):
    with pytest.raises(InputError, match="freeze_share"):
        edgeship.quantize_aware(trained, freeze_share=share)


@pytest.mark.parametrize(
    "wrong",
    [np.zeros((4, 7, 7, 1), np.float32), np.zeros((0, 8, 8, 1), np.float32), {"picture": np.zeros((4, 8, 8, 1))}],
)
def test_calibration_that_does_not_fit(trained, wrong):
    with pytest.raises(DataError, match="calibration"):
        edgeship.quantize_aware(trained, wrong)


def test_calibration_in_every_form_gives_the_same_ranges(trained, digits):
    x = digits[0][:64]
    dataset = tf.data.Dataset.from_tensor_slices((x, digits[1][:64])).batch(32)
    forms = [x, [x], {"image": x}, dataset, iter([x[:32], x[32:]])]
    weights = [edgeship.quantize_aware(trained, form).get_weights() for form in forms]
    for other in weights[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(weights[0], other, strict=True))


def test_a_model_of_mixed_precision(digits, litert):
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 1), name="image")
    x = layers.Conv2D(4, 3, dtype="mixed_float16", activation="relu")(image)
    x = layers.BatchNormalization(dtype="mixed_float16")(layers.Flatten(dtype="mixed_float16")(x))
    model = keras.Model(image, layers.Dense(3, name="out", dtype="float32")(x))
    final = edgeship.finalize(edgeship.quantize_aware(model, digits[0][:64]))
    theirs, scale, _ = litert(final, digits[2][:50])
    assert np.abs(final.predict(digits[2][:50], verbose=0) - theirs).max() <= 2.01 * scale


def test_twice_is_refused(quantized):
    with pytest.raises(UnsupportedModelError, match="already"):
        edgeship.quantize_aware(quantized[1])
