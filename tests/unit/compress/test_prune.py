from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from user_loop import loop

import edgeship
from edgeship.compress.graph.kernels import prunable_kernels, sparsity
from edgeship.compress.weights.pruning import masks
from edgeship.errors import InputError, UnsupportedModelError


def test_masks_take_the_smallest_weights_within_a_kernel_and_never_empty_one():
    random = np.random.default_rng(0)
    big, small = random.normal(0, 1, (5, 20)), random.normal(0, 1e-3, (30,))
    kept_big, kept_small = masks([big, small], 0.9)
    assert kept_big.sum() + kept_small.sum() == 130 - 117
    assert kept_small.sum() >= 1
    assert np.abs(big[kept_big == 1]).min() > np.abs(big[kept_big == 0]).max()


def test_lamp_scores_by_hand():
    # Squares 1, 4, 9: scores 1/14, 4/13, 1; of the second kernel (16, 1): 1, 1/17. Two of five go: 1/17 and 1/14.
    first, second = masks([np.array([1.0, -2.0, 3.0]), np.array([-4.0, 1.0])], 0.4)
    assert first.tolist() == [0, 1, 1]
    assert second.tolist() == [1, 0]


def test_prune_in_fit_reaches_its_sparsity_and_leaves_the_given_model_alone(trained, digits, compiled, accuracy):
    before = trained.get_weights()
    model = edgeship.prune(trained, 0.6)
    seen = []
    watch = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: seen.append(sparsity(model)))
    riding = [*edgeship.callbacks(model), watch]
    compiled(model).fit(digits[0], digits[1], epochs=5, batch_size=32, verbose=0, callbacks=riding)
    final = edgeship.finalize(model)
    # The cubic ramp ends after 60 % of 5 epochs and stands still then.
    progress = np.array([1, 2, 3]) / 3
    assert np.allclose(seen[:3], 0.6 * (1 - (1 - progress) ** 3), atol=0.6 / 50 + 0.01)
    assert seen[3] == seen[4] == sparsity(final)
    assert sparsity(final) == pytest.approx(0.6, abs=0.002)
    assert all(np.count_nonzero(np.asarray(kernel)) for kernel in prunable_kernels(final))
    assert accuracy(final) > accuracy(trained) - 0.03
    assert all(np.array_equal(a, b) for a, b in zip(before, trained.get_weights(), strict=True))
    assert [type(layer) for layer in final.layers] == [type(layer) for layer in trained.layers]


def test_zeros_stay_in_whatever_training_follows(trained, digits, compiled):
    model = edgeship.prune(trained, 0.5, schedule="constant")
    compiled(model).fit(digits[0], digits[1], epochs=1, verbose=0, callbacks=edgeship.callbacks(model))
    final = edgeship.finalize(model)
    zeros = [np.asarray(kernel) == 0 for kernel in prunable_kernels(final)]
    compiled(final).fit(digits[0], digits[1], epochs=1, verbose=0)  # no callback: the masks are in the kernels
    assert all((np.asarray(k)[z] == 0).all() for k, z in zip(prunable_kernels(final), zeros, strict=True))
    assert sparsity(edgeship.finalize(final)) >= 0.5 - 0.001


def test_prune_in_a_custom_loop(trained, digits, accuracy):
    model = edgeship.prune(trained, 0.5, ramp=0.5)
    helpers = edgeship.callbacks(model, steps=60)
    loop(model, digits, 60, helpers)
    assert sparsity(edgeship.finalize(model)) == pytest.approx(0.5, abs=0.002)
    assert accuracy(model) > accuracy(trained) - 0.05


def test_a_loop_shorter_than_announced_is_refused(trained, digits):
    model = edgeship.prune(trained, 0.5)
    loop(model, digits, 3, edgeship.callbacks(model, steps=100))
    with pytest.raises(InputError, match=r"was to be pruned to 50% zeros and has") as caught:
        edgeship.finalize(model)
    assert "callbacks" in caught.value.remedy


def test_fit_without_the_callbacks_is_refused(trained, digits, compiled):
    model = edgeship.prune(trained, 0.5)
    compiled(model).fit(digits[0], digits[1], epochs=1, verbose=0)
    for end in (edgeship.finalize, edgeship.quantize_aware):
        with pytest.raises(InputError, match="the schedule came to 0"):
            end(model)


def test_stopping_early_warns_at_once(trained, digits, compiled):
    model = edgeship.prune(trained, 0.5, ramp=1.0)
    compiled(model)

    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = True

    with pytest.warns(UserWarning, match="asked for"):
        model.fit(digits[0], digits[1], epochs=9, verbose=0, callbacks=[*edgeship.callbacks(model), Stop()])
    with pytest.raises(InputError):
        edgeship.finalize(model)


@pytest.mark.filterwarnings("ignore:Your input ran out of data")  # how Keras finds the end
def test_unknown_number_of_batches_ramps_by_epochs(trained, digits, compiled):
    model = edgeship.prune(trained, 0.5)
    data = tf.data.Dataset.from_generator(
        lambda: iter([(digits[0][:64], digits[1][:64])] * 3),
        output_signature=(tf.TensorSpec((None, 8, 8, 1)), tf.TensorSpec((None,), tf.int64)),
    )
    compiled(model).fit(data, epochs=3, shuffle=False, verbose=0, callbacks=edgeship.callbacks(model))
    assert sparsity(edgeship.finalize(model)) == pytest.approx(0.5, abs=0.002)


def test_weights_changed_past_the_optimizer_are_found(trained, digits, compiled):
    model = edgeship.prune(trained, 0.5, schedule="constant")
    compiled(model).fit(digits[0][:64], digits[1][:64], verbose=0, callbacks=edgeship.callbacks(model))
    final = edgeship.finalize(model)
    kernel = prunable_kernels(final)[0]
    kernel.assign(kernel + 1.0)
    with pytest.raises(InputError, match="no longer zero"):
        edgeship.finalize(final)


@pytest.mark.parametrize("wrong", [{"sparsity": 0}, {"sparsity": 1.0}, {"ramp": 2.0}, {"schedule": "linear"}])
def test_values_out_of_range(trained, wrong):
    with pytest.raises(InputError, match="="):
        edgeship.prune(trained, **wrong)


def test_nothing_to_prune():
    model = keras.Sequential([keras.Input((4, 4, 2)), layers.DepthwiseConv2D(3), layers.Flatten()])
    with pytest.raises(UnsupportedModelError, match="too few prunable weights"):
        edgeship.prune(model, 0.5)


def test_step_needs_the_number_of_steps(trained):
    (helper,) = edgeship.callbacks(edgeship.prune(trained, 0.5))
    with pytest.raises(InputError, match="number of training steps"):
        helper.step()
