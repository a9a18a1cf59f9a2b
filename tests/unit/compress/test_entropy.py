"""Entropy-constrained quantization: few bits a weight, reached, kept in the file, and spent where they count."""

from __future__ import annotations

import brotli
import keras
import numpy as np
import pytest
import tensorflow as tf

import edgeship
from edgeship.compress.helpers import helpers, said
from edgeship.compress.layers import PLAIN, fake_quantized, int8_numbers
from edgeship.compress.quantize.entropy import (
    EntropyCoder,
    KernelCoding,
    carried_bits,
    coded_layers,
    importances,
    information_bits,
)
from edgeship.errors import InputError

BITS = 2.5


def test_information_of_known_distributions():
    assert information_bits(np.array([3, 3, 3])) == 0
    assert information_bits(np.arange(16)) == pytest.approx(4)
    assert information_bits(np.array([0, 0, 0, 1])) == pytest.approx(0.8113, abs=1e-4)


def test_a_number_with_a_shorter_code_wins_near_the_middle():
    coding = KernelCoding()
    coding.step.assign(0.5)
    kernel = np.array([0.2, 0.27, 0.3, 0.74, -0.27, 200.0], np.float32)
    assert coding.numbers(kernel).tolist() == [0, 1, 1, 1, -1, 127]
    lengths = np.full(128, 4.0)
    lengths[0] = 1.0
    coding.lengths.assign(lengths)
    # Zero saves 3 bits: it is worth (1 - u)^2 - u^2 > -0.15 * 3, which is u < 0.725 of a step.
    assert coding.numbers(kernel).tolist() == [0, 0, 0, 1, 0, 127]


@pytest.fixture(scope="module")
def coded(trained, digits, compiled):
    """Trained to few bits, before and after `finalize`."""
    keras.utils.set_random_seed(0)
    model = edgeship.quantize_aware(trained, digits[0][:200], bits=BITS)
    data = tf.data.Dataset.from_tensor_slices((digits[0], digits[1])).shuffle(1300, seed=0).batch(32)
    compiled(model, 2e-3).fit(data, epochs=6, shuffle=False, verbose=0, callbacks=edgeship.callbacks(model))
    return model, edgeship.finalize(model)


def numbers(final):
    return {
        layer.name: int8_numbers(np.asarray(layer.kernel), layer.channel_axes, layer.step)
        for layer in final.layers
        if type(layer) in PLAIN
    }


def test_the_bits_are_reached_and_accuracy_stays(coded, trained, accuracy):
    model, final = coded
    found = numbers(final)
    assert len(found) == len(coded_layers(model)) == 4
    total = sum(n.size for n in found.values())
    bits = sum(information_bits(n) * n.size for n in found.values()) / total
    assert bits <= BITS * 1.03
    assert carried_bits(final) == pytest.approx(bits)
    assert carried_bits(model) is None
    stored = b"".join(n.tobytes() for n in found.values())
    assert len(brotli.compress(stored)) < 1.15 * BITS / 8 * total
    assert accuracy(final) >= accuracy(trained) - 0.02


def test_what_evaluates_in_training_is_what_is_finalized(coded, digits):
    model, final = coded
    ours, theirs = model.predict(digits[2], verbose=0), final.predict(digits[2], verbose=0)
    assert np.mean(ours.argmax(1) == theirs.argmax(1)) >= 0.99


def test_the_file_stores_these_numbers_and_computes_the_same(coded, digits, litert):
    _, final = coded
    ours = final.predict(digits[2], verbose=0)
    theirs, scale, _ = litert(final, digits[2])
    assert np.mean(np.abs(ours - theirs) > 0.5 * scale) < 0.02
    assert np.mean(ours.argmax(1) == theirs.argmax(1)) >= 0.995


def test_the_converted_file_holds_the_same_numbers(coded, tmp_path):
    _, final = coded
    exported = edgeship.convert(final, to="tflite", quantize="int8", out=tmp_path / "coded")
    content = (exported.artifacts[0].path / "model.tflite").read_bytes()
    for kernel in numbers(final).values():
        # Kernels of convolutions (h, w, in, out) and Dense (in, out) are stored as (out, h, w, in) and (out, in).
        assert np.moveaxis(kernel, -1, 0).tobytes() in content


def test_saved_and_loaded_and_stripped(coded, digits, tmp_path):
    _, final = coded
    final.save(tmp_path / "final.keras")
    again = keras.models.load_model(tmp_path / "final.keras", compile=False)
    assert np.array_equal(again.predict(digits[2], verbose=0), final.predict(digits[2], verbose=0))
    plain = edgeship.strip(again)
    assert not fake_quantized(plain)
    assert not any(type(layer) in PLAIN for layer in plain.layers)
    match = plain.predict(digits[2], verbose=0).argmax(1) == final.predict(digits[2], verbose=0).argmax(1)
    assert np.mean(match) >= 0.99


def test_zeros_of_an_earlier_prune_stay(trained, digits, compiled):
    pruned = edgeship.prune(trained, 0.5, schedule="constant")
    compiled(pruned).fit(digits[0], digits[1], epochs=1, verbose=0, callbacks=edgeship.callbacks(pruned))
    pruned = edgeship.finalize(pruned)
    model = edgeship.quantize_aware(pruned, digits[0][:100], bits=2.0)
    zeros = {layer.name: np.asarray(layer.kernel) == 0 for layer in coded_layers(model)}
    compiled(model, 1e-3).fit(digits[0], digits[1], epochs=3, verbose=0, callbacks=edgeship.callbacks(model))
    found = numbers(edgeship.finalize(model))
    assert all(np.all(found[name][where] == 0) for name, where in zeros.items())


def test_importance_predicts_what_noise_costs(trained, digits):
    """Noise in a kernel raises the divergence from the original by its importance times the noise's power."""
    model = edgeship.quantize_aware(trained, digits[0][:200])
    batches = [[digits[0][start : start + 32]] for start in range(0, 640, 32)]
    predicted = importances(model, [batch[0] for batch in batches])
    before = model.predict(digits[0][:640], verbose=0)
    random, costs = np.random.default_rng(0), []
    for layer in coded_layers(model):
        kernel, found = np.asarray(layer.kernel), []
        for _ in range(8):
            layer.kernel.assign(kernel + random.normal(0, size := 0.1 * kernel.std(), kernel.shape))
            after = model.predict(digits[0][:640], verbose=0)
            found.append(np.mean(np.sum(before * (np.log(before + 1e-9) - np.log(after + 1e-9)), axis=1)))
        layer.kernel.assign(kernel)
        costs.append(np.mean(found) / (kernel.size * (layer.gain * size) ** 2))
    ratios = np.array(costs) / np.array(predicted)
    assert max(predicted) > 2 * min(predicted)
    assert ratios.max() / ratios.min() < 4


def test_a_model_that_did_not_train_has_not_reached_its_bits(trained, digits):
    model = edgeship.quantize_aware(trained, digits[0][:100], bits=2.0)
    assert any("EntropyCoder" in type(helper).__name__ for helper in helpers(model))
    with pytest.raises(InputError, match=r"carry .* bits a weight, 2 were asked for"):
        edgeship.finalize(model)


@pytest.mark.parametrize(("bits", "freeze_share", "progress"), [(2.0, 0.3, 0.6), (1.2, 0.3, 0.5), (2.0, 0.6, 0.4)])
def test_weights_that_moved_after_the_last_choice_of_steps_cost_no_training(
    trained, digits, bits, freeze_share, progress
):
    """The schedule came to its end: the file is made of steps chosen once more, and that is said."""
    model = edgeship.quantize_aware(trained, digits[0][:100], bits=bits, freeze_share=freeze_share)
    (coder,) = (helper for helper in helpers(model) if isinstance(helper, EntropyCoder))
    coder.advance(progress)
    moved = np.random.default_rng(0)
    for layer in coded_layers(model):
        kernel = np.asarray(layer.kernel)
        layer.kernel.assign(kernel + 0.5 * kernel.std() * moved.normal(size=kernel.shape))
    assert coder.reached() > 1.03 * bits
    with pytest.warns(UserWarning, match="chosen once more after training"):
        final = edgeship.finalize(model)
    assert carried_bits(final) <= 1.03 * bits
    assert [note.split(":")[0] for note in said(model)] == ["steps were chosen once more after training"]


@pytest.mark.parametrize("bits", [0.4, 8.5, float("nan")])
def test_bits_out_of_range(trained, digits, bits):
    with pytest.raises(InputError, match="bits="):
        edgeship.quantize_aware(trained, digits[0][:100], bits=bits)


def test_few_bits_need_samples_and_no_clusters(trained, digits):
    with pytest.raises(InputError, match="without calibration"):
        edgeship.quantize_aware(trained, bits=4)
    clustered = edgeship.finalize(edgeship.cluster(trained, 16, per_channel=True))
    with pytest.raises(InputError, match="clustered kernels"):
        edgeship.quantize_aware(clustered, digits[0][:100], bits=4)
