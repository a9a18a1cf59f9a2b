from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import frozen_models as zoo
import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from edgeship.compress.quantize import aware
from edgeship.errors import UnsupportedModelError
from edgeship.source import inspect
from edgeship.types import Array, Artifact, ConvertOptions, Dataset, Source
from edgeship_converters.tflite import TFLiteConverter, tensorflow_lite


def convert(source: Source, variant: str, folder: Path, *, calibrated: bool = True) -> Artifact:
    out = folder / "out" / variant
    out.mkdir(parents=True, exist_ok=True)
    calibration = zoo.calibration(source, folder / "data" / variant) if calibrated else None
    return TFLiteConverter().convert(source, variant, ConvertOptions(calibration=calibration), out)


def run(artifact: Artifact, inputs: dict[str, Array]) -> list[Array]:
    """Outputs in real numbers, sample by sample, through the signature."""
    interpreter = Interpreter(model_path=str(artifact.entry))
    runner = interpreter.get_signature_runner("serving_default")
    rows: list[list[Array]] = []
    for row in range(len(next(iter(inputs.values())))):
        given = {}
        for spec in artifact.inputs:
            value = inputs[spec.name][row : row + 1]
            if spec.quantization is not None:
                limits = np.iinfo(spec.dtype)
                stored = np.round(value / spec.quantization.scale) + spec.quantization.zero_point
                value = np.clip(stored, limits.min, limits.max).astype(spec.dtype)
            given[spec.name] = value
        found = runner(**given)
        rows.append([_real(found[o.name], o.quantization) for o in artifact.outputs])
    return [np.concatenate(column) for column in zip(*rows, strict=True)]


def _real(stored: Array, quantization: Any) -> Array:
    if quantization is None:
        return stored
    real: Array = (stored.astype(np.float32) - quantization.zero_point) * quantization.scale
    return real


def operators(artifact: Artifact) -> set[str]:
    interpreter = Interpreter(model_path=str(artifact.entry))
    return {operator["op_name"] for operator in interpreter._get_ops_details()}


def test_int8_uses_the_ranges_of_quantization_aware_training(tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)  # how far float32 is from int8 depends on the weights
    model = zoo.cnn()
    images = np.random.default_rng(0).normal(size=(64, 8, 8, 3)).astype(np.float32)
    source = zoo.save(aware.freeze(aware.quantize_aware(model, images)), tmp_path)
    assert source.fake_quantized
    wanted = zoo.reference(source, {"image": images})[0]
    for variant in ("int8", "int8-floatio"):
        artifact = convert(source, variant, tmp_path, calibrated=False)
        step = 1 / 256  # of the softmax output
        assert np.abs(run(artifact, {"image": images})[0] - wanted).max() <= step
    plain = convert(source, "float32", tmp_path, calibrated=False)
    assert "QUANTIZE" not in operators(plain)
    np.testing.assert_allclose(run(plain, {"image": images})[0], wanted, atol=0.03)


@pytest.mark.parametrize(
    "scaling",
    [
        lambda: keras.layers.Rescaling(1 / 255),
        lambda: keras.layers.Normalization(mean=[100.0, 120.0, 90.0], variance=[4000.0, 5000.0, 6000.0]),
        keras.layers.BatchNormalization,
    ],
)
def test_aware_training_of_a_model_that_scales_pixels_itself(tmp_path: Path, scaling: Callable[[], Any]) -> None:
    keras.utils.set_random_seed(0)
    pixels = keras.Input((8, 8, 3), dtype="uint8", name="pixels")
    image = keras.layers.Conv2D(4, 3, activation="relu")(scaling()(pixels))
    model = keras.Model(pixels, keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(image)))
    x = np.random.default_rng(0).integers(0, 256, (64, 8, 8, 3)).astype(np.uint8)
    source = zoo.save(aware.freeze(aware.quantize_aware(model, x)), tmp_path)
    artifact = convert(source, "int8-floatio", tmp_path, calibrated=False)
    assert operators(artifact) >= {"CAST", "QUANTIZE", "DEPTHWISE_CONV_2D", "CONV_2D"}
    wanted = np.asarray(model(x))
    assert np.abs(run(artifact, {"pixels": x})[0] - wanted).max() < 0.05 * np.ptp(wanted)


def test_int8_stores_and_computes_with_int8(tmp_path: Path) -> None:
    source = zoo.save(zoo.cnn(), tmp_path)
    artifact = convert(source, "int8", tmp_path)
    assert [s.dtype for s in (*artifact.inputs, *artifact.outputs)] == ["int8", "int8"]
    interpreter = Interpreter(model_path=str(artifact.entry))
    dtypes = {np.dtype(tensor["dtype"]).name for tensor in interpreter.get_tensor_details()}
    assert dtypes == {"int8", "int32"}  # int32: biases, axes and shapes
    assert (artifact.outputs[0].quantization.scale, artifact.outputs[0].quantization.zero_point) == (1 / 256, -128)  # type: ignore[union-attr] # asserted by the line itself


@pytest.mark.parametrize("build", [zoo.lstm, zoo.bidirectional_gru])
def test_int8_of_a_recurrent_model_is_whole_and_always_the_same(tmp_path: Path, build: Callable[[], Any]) -> None:
    keras.utils.set_random_seed(1)  # how far int8 is from float32 depends on them
    source = zoo.save(build(), tmp_path)
    options = ConvertOptions(calibration=zoo.calibration(source, tmp_path / "data"))
    hashes = set()
    for _ in range(6):
        artifact = TFLiteConverter().convert(source, "int8", options, tmp_path)
        hashes.add(artifact.files[0].sha256)
        assert not operators(artifact) & {"QUANTIZE", "DEQUANTIZE"}
    assert len(hashes) == 1
    inputs = zoo.samples(source, 8)
    wanted = zoo.reference(source, inputs)[0]
    np.testing.assert_allclose(run(artifact, inputs)[0], wanted, rtol=0, atol=0.06 * np.ptp(wanted))


def test_integer_inputs_stay_integers(tmp_path: Path) -> None:
    source = zoo.save(zoo.embedding(), tmp_path)
    inputs = zoo.samples(source, 8)
    wanted = zoo.reference(source, inputs)[0]
    for variant in ("float32", "int8"):
        artifact = convert(source, variant, tmp_path)
        assert artifact.inputs[0].dtype == "int32"
        np.testing.assert_allclose(run(artifact, inputs)[0], wanted, atol=0.02)


@pytest.mark.parametrize("variant", ["float32", "int8"])
def test_an_operator_that_tflite_lacks_is_named(tmp_path: Path, variant: str) -> None:
    source = zoo.save(zoo.gamma(), tmp_path)
    with pytest.raises(UnsupportedModelError, match="Igamma") as caught:
        convert(source, variant, tmp_path)
    assert caught.value.remedy
    assert not list((tmp_path / "out" / variant).iterdir())


def test_weights_beyond_half_precision_are_refused_by_name(tmp_path: Path) -> None:
    x = keras.Input((4,), name="x")
    model = keras.Model(x, zoo.layers.Dense(2, name="y")(zoo.layers.Dense(4, name="wide")(x)))
    model.get_layer("wide").kernel.assign(np.full((4, 4), 65400.0, np.float32))
    assert convert(zoo.save(model, tmp_path, "held"), "float16", tmp_path / "held").variant == "float16"
    model.get_layer("wide").kernel.assign(np.full((4, 4), 7e4, np.float32))
    source = zoo.save(model, tmp_path)
    with pytest.raises(
        UnsupportedModelError, match=r"tflite/float16: weights of wide/MatMul\S* reach 65,504"
    ) as caught:
        convert(source, "float16", tmp_path)
    assert "float32" in caught.value.remedy
    place = tmp_path / "file"
    place.mkdir()
    (place / "model.tflite").write_bytes(convert(source, "float32", tmp_path).entry.read_bytes())
    with pytest.raises(UnsupportedModelError, match="reach 65,504"):
        convert(inspect(place / "model.tflite"), "float16", place, calibrated=False)


def test_a_mask_beyond_half_precision_is_no_weight(tmp_path: Path) -> None:
    x = keras.Input((4, 8), name="x")
    y = zoo.layers.MultiHeadAttention(2, 4, name="y")(x, x, use_causal_mask=True)
    source = zoo.save(keras.Model(x, y), tmp_path)
    found, inputs = convert(source, "float16", tmp_path), zoo.samples(source, 3)
    np.testing.assert_allclose(run(found, inputs)[0], zoo.reference(source, inputs)[0], atol=2e-3)


@pytest.mark.parametrize("variant", ["int16x8", "int16x8-floatio", "int4", "mixed", "float16"])
def test_what_tflite_lacks_is_said_of_the_variant_that_was_asked_for(tmp_path: Path, variant: str) -> None:
    x = keras.Input((4,), name="x")
    source = zoo.save(keras.Model(x, keras.ops.erfinv(zoo.layers.Dense(4)(x))), tmp_path)
    with pytest.raises(UnsupportedModelError, match=f"^tflite/{variant}: .*Erfinv"):
        convert(source, variant, tmp_path)


@pytest.mark.parametrize(("variant", "tolerance"), [("float32", 1e-6), ("float16", 2e-3), ("int4", 0.5)])
def test_the_error_function_is_computed_by_an_exponential(tmp_path: Path, variant: str, tolerance: float) -> None:
    x = keras.Input((128,), name="x")
    source = zoo.save(keras.Model(x, keras.ops.erf(zoo.layers.Dense(16)(x))), tmp_path)
    found, inputs = convert(source, variant, tmp_path), zoo.samples(source, 3)
    assert "EXP" in operators(found)
    np.testing.assert_allclose(run(found, inputs)[0], zoo.reference(source, inputs)[0], atol=tolerance)


def test_the_error_function_is_within_a_millionth_everywhere(tmp_path: Path) -> None:
    x = keras.Input((20_003,), name="x")
    source = zoo.save(keras.Model(x, keras.ops.erf(x)), tmp_path)
    values = np.concatenate([np.linspace(-6, 6, 20_000), [0.0, -1e4, 1e30]])[None].astype(np.float32)
    (found,) = run(convert(source, "float32", tmp_path), {"x": values})
    exact = np.array([math.erf(value) for value in values[0]])
    assert np.abs(found[0] - exact).max() < 1e-6
    assert found[0, -3] == 0


def test_the_error_function_in_a_gelu_stays_one_operator(tmp_path: Path) -> None:
    x = keras.Input((8,), name="x")
    y = zoo.layers.Dense(8, activation=None)(x)
    y = 0.5 * y * (1 + keras.ops.erf(y * 0.7071067811865476))
    source = zoo.save(keras.Model(x, y), tmp_path)
    found, inputs = convert(source, "float32", tmp_path), zoo.samples(source, 3)
    assert operators(found) >= {"GELU"}
    np.testing.assert_allclose(run(found, inputs)[0], zoo.reference(source, inputs)[0], atol=1e-5)


def test_what_was_made_a_moment_before_is_not_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A micro file holds the same one. Labels change what is written, calibration samples what is made."""
    source = zoo.save(zoo.cnn(), tmp_path)
    made: list[str] = []
    calibrated = tensorflow_lite.calibrated
    monkeypatch.setattr(tensorflow_lite, "calibrated", lambda *given: [made.append("int8"), calibrated(*given)][1])

    def content(name: str, dataset: Dataset, *labels: str) -> bytes:
        (tmp_path / name).mkdir()
        options = ConvertOptions(calibration=dataset, labels=labels)
        return TFLiteConverter().convert(source, "int8", options, tmp_path / name).entry.read_bytes()

    samples = zoo.calibration(source, tmp_path / "data")
    other = replace(zoo.calibration(source, tmp_path / "other", count=8), sha256="1" * 64)
    first = content("first", samples)
    count = len(made)
    assert content("again", samples) == first
    assert b"kitten" in content("labelled", samples, "kitten", "cat")
    assert len(made) == count > 0
    assert content("others", other) != first
    assert len(made) == 2 * count
