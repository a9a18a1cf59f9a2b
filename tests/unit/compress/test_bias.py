"""Bias correction, held against the int8 files of both converters."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import zoo

from edgeship.errors import DataError, UnsupportedModelError
from edgeship.source import inspect
from edgeship.types import ConvertOptions, Dataset
from edgeship_converters.tflite import selective

MODELS = ("two_inputs", "mobile", "unet", "signal", "autoencoder")


def samples_of(model, n=48):
    random = np.random.default_rng(0)
    arrays = [random.normal(0.3, 1, (n, *i.shape[1:])).astype(np.float32) for i in model.inputs]
    return arrays if len(arrays) > 1 else arrays[0]


@pytest.mark.parametrize("name", MODELS)
def test_means_of_a_rounded_network_come_back(name):
    """The network that the file computes, here with 4-bit kernels so that there is something to bring back."""
    from edgeship.compress.layers import kernel_scales
    from edgeship.compress.quantize.bias import Rounding, correct_bias

    def coarse(_, kernel, axes):
        scales = kernel_scales(kernel, axes) * 127 / 7
        return np.floor(kernel / scales) * scales  # always downwards: a large shift

    def with_coarse_kernels(given):
        from edgeship.compress.graph.fold import KERNEL_LAYERS, fold
        from edgeship.compress.graph.model import build, read
        from edgeship.compress.layers import QUANTIZED

        graph = fold(read(given))
        steps = []
        for step in graph.steps:
            if step.layer in KERNEL_LAYERS:
                kernel, *bias = step.weights
                rounded = coarse("", kernel, QUANTIZED[step.layer].channel_axes)
                steps.append(replace(step, weights=(rounded.astype(np.float32), *bias)))
            else:
                steps.append(step)
        return build(graph.with_steps(steps))

    model = getattr(zoo, name)()
    x = samples_of(model)
    before = [np.array(w) for w in model.get_weights()]
    corrected = correct_bias(model, x, Rounding(coarse, activations=False))
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True)), "not changed"
    want, without, with_it = (
        np.asarray(m(x)) for m in (model, with_coarse_kernels(model), with_coarse_kernels(corrected))
    )
    assert np.abs(with_it - want).mean() < 0.85 * np.abs(without - want).mean()


def build_int8(model, x, folder: Path, format_name: str):
    from edgeship import plugins

    folder.mkdir()
    model.save(folder / "model.keras")
    source = inspect(folder / "model.keras")
    inputs = folder / "calibration" / "x"
    inputs.mkdir(parents=True)
    np.save(inputs / f"{source.inputs[0].name}.npy", x)
    data = Dataset(folder, "c", "0" * 64, "unlabelled", source.inputs, {"calibration": len(x)})
    return plugins.converter(format_name).convert(source, "int8", ConvertOptions(calibration=data), folder)


def outputs(artifact, x):
    from edgeship import plugins

    (runtime,) = [r for r in plugins.runtimes_for(artifact.format) if not r.missing()][:1]
    found = runtime.run(artifact, {artifact.inputs[0].name: x})
    return np.asarray(next(iter(found.values())))


def coarse():
    """A network whose kernels have one large weight a channel, so that all others are rounded coarsely."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(3)
    image = keras.Input((8, 8, 4), name="image")
    x = image
    for number in range(2):
        convolution = layers.Conv2D(8, 3, activation="relu", padding="same", name=f"coarse_{number}")
        x = convolution(x)
        kernel = np.asarray(convolution.kernel).copy()
        kernel[1, 1, 0, :] *= 40
        convolution.kernel.assign(kernel)
    pooled = layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, layers.Dense(4, name="scores")(pooled), name="coarse")


@pytest.mark.parametrize("format_name", ["tflite", "onnx"])
def test_int8_files_come_nearer_to_the_original(tmp_path, monkeypatch, format_name):
    """On ResNet-8 the error fell to 0.38 (TFLite) and 0.45 (ONNX) of that without."""
    model = coarse()
    x = np.random.default_rng(0).uniform(0, 1, (300, 8, 8, 4)).astype(np.float32)
    want = model.predict(x, verbose=0)
    # All in integers, whatever comes of it: operators that stay in float would hide what correction does.
    monkeypatch.setattr(selective, "choose", lambda make, _: selective.Chosen(make(frozenset()), ()))
    corrected = outputs(build_int8(model, x, tmp_path / "with", format_name), x)
    with mock.patch(f"edgeship_converters.{format_name}.converter.corrected", lambda model, **_: model):
        plain = outputs(build_int8(model, x, tmp_path / "without", format_name), x)
    assert np.abs((corrected - want).mean(axis=0)).max() < 0.7 * np.abs((plain - want).mean(axis=0)).max()
    assert np.sqrt(np.mean((corrected - want) ** 2)) < 0.8 * np.sqrt(np.mean((plain - want) ** 2))


def test_biases_stay_where_correcting_them_does_not_help():
    """Here rounding is exact, so nothing is to be won."""
    import keras
    from keras import layers

    image = keras.Input((4,), name="row")
    model = keras.Model(image, layers.Dense(2, name="scores")(image))
    model.set_weights([np.array([[127, 0], [0, 127], [0, 0], [0, 0]], np.float32), np.array([1.0, 2.0], np.float32)])
    x = np.random.default_rng(0).integers(0, 2, (64, 4)).astype(np.float32)
    from edgeship.compress.quantize.bias import correct_bias

    again = correct_bias(model, x)
    assert np.array_equal(np.asarray(again.layers[-1].bias), [1.0, 2.0])


def test_inputs_that_are_ids_are_refused():
    import keras
    from keras import layers

    from edgeship.compress.quantize.bias import correct_bias

    words = keras.Input((4,), dtype="int32", name="words")
    model = keras.Model(words, layers.Dense(2)(layers.Flatten()(layers.Embedding(9, 3)(words))))
    with pytest.raises(UnsupportedModelError, match="input words is neither float nor uint8"):
        correct_bias(model, np.zeros((8, 4), np.int32))


def test_pixels_as_they_come_in():
    import keras
    from keras import layers

    from edgeship.compress.quantize.bias import correct_bias

    keras.utils.set_random_seed(0)
    pixels = keras.Input((8, 8, 3), dtype="uint8", name="pixels")
    image = layers.Conv2D(8, 3)(layers.Rescaling(1 / 255)(pixels))
    model = keras.Model(pixels, layers.Dense(4)(layers.GlobalAveragePooling2D()(image)))
    x = np.random.default_rng(0).integers(0, 256, (64, 8, 8, 3)).astype(np.uint8)
    again = correct_bias(model, x)
    difference = np.abs(np.asarray(again(x)) - np.asarray(model(x)))
    assert 0 < difference.max() < 0.05  # biases make up for a rounding of a few thousandths


def test_models_that_cannot_be_corrected_are_converted_as_before(tmp_path):
    import keras

    keras.utils.set_random_seed(0)
    wave = keras.Input((12, 3), name="wave")
    model = keras.Model(wave, keras.layers.Dense(4)(keras.layers.LSTM(5)(wave)))
    x = np.random.default_rng(0).normal(size=(30, 12, 3)).astype(np.float32)
    artifact = build_int8(model, x, tmp_path / "lstm", "onnx")
    assert artifact.size_bytes > 0
    from edgeship.compress.quantize.bias import correct_bias

    with pytest.raises(UnsupportedModelError, match=r"layer lstm.* \(LSTM\)"):
        correct_bias(model, x)


def test_what_is_refused(trained, digits):
    from edgeship.compress import quantize_aware
    from edgeship.compress.quantize.bias import correct_bias

    with pytest.raises(UnsupportedModelError, match="carries its own ranges"):
        correct_bias(quantize_aware(trained, digits[0][:32]), digits[0][:32])
    with pytest.raises(DataError, match="calibration samples have shapes"):
        correct_bias(trained, digits[0][:32, :4])
    with pytest.raises(DataError, match="empty"):
        correct_bias(trained, digits[0][:0])
