"""Variants int4 and int4-mixed: what is in the file, what it computes, and that wrong files are noticed."""

from __future__ import annotations

from pathlib import Path
from unittest import mock

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from keras import layers

from edgeship import verify
from edgeship.errors import DataError, UnsupportedModelError
from edgeship.source import inspect
from edgeship.types import Array, Artifact, ConvertOptions, Dataset
from edgeship_converters import flatfile
from edgeship_converters.tflite import TFLiteConverter, low_bit

X = np.random.default_rng(0).random((200, 8, 8, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with batch normalization, in which one layer is much more sensitive than the others; and samples."""
    keras.utils.set_random_seed(3)
    image = keras.Input((8, 8, 3), name="image")
    x = layers.Conv2D(24, 3, padding="same", name="first")(image)
    x = layers.ReLU()(layers.BatchNormalization(name="norm")(x))
    side = layers.Conv2D(24, 3, padding="same", activation="relu", name="weak")(x)
    x = layers.Add()([x, layers.Rescaling(0.003)(side)])
    x = layers.SeparableConv2D(32, 3, activation="relu", name="separable")(x)
    x = layers.GlobalAveragePooling2D()(x)
    model = keras.Model(image, layers.Dense(10, activation="softmax", name="scores")(x))
    random = np.random.default_rng(0)
    norm = model.get_layer("norm")
    norm.moving_mean.assign(random.normal(0, 0.2, 24))
    norm.moving_variance.assign(random.uniform(0.2, 0.6, 24))
    head = model.get_layer("scores")
    head.kernel.assign(head.kernel * 25)
    folder = tmp_path_factory.mktemp("low_bit")
    model.save(folder / "model.keras")
    (folder / "calibration" / "x").mkdir(parents=True)
    np.save(folder / "calibration" / "x" / "image.npy", X)
    return folder


def convert(folder: Path, variant: str, *, data: bool = True) -> Artifact:
    source = inspect(folder / "model.keras")
    out = folder / f"{variant}-{data}"
    out.mkdir(exist_ok=True)
    calibration = Dataset(folder, "c", "0" * 64, "unlabelled", source.inputs, {"calibration": len(X)}) if data else None
    return TFLiteConverter().convert(source, variant, ConvertOptions(calibration=calibration), out)


def run(content: bytes) -> Array:
    runner = Interpreter(model_content=content).get_signature_runner("serving_default")
    return np.concatenate([runner(image=x[None])["scores"] for x in X])


def types(artifact: Artifact) -> dict[str, str]:
    details = Interpreter(model_path=str(artifact.entry)).get_tensor_details()
    return {str(detail["name"]): np.dtype(detail["dtype"]).name for detail in details}


def error(artifact: Artifact, folder: Path) -> float:
    want = keras.models.load_model(folder / "model.keras").predict(X, verbose=0)
    return float(np.sqrt(np.mean((run(artifact.entry.read_bytes()) - want) ** 2)) / want.std())


def test_int4_with_samples_has_corrected_biases(folder: Path) -> None:
    without, corrected = convert(folder, "int4", data=False), convert(folder, "int4")
    assert error(corrected, folder) < 0.6 * error(without, folder)
    float32 = convert(folder, "float32")
    assert corrected.size_bytes < 0.5 * float32.size_bytes
    assert corrected.notes == ("weights of layers: 4 in 4 bits; small ones in float32",)
    assert convert(folder, "int4").files == corrected.files
    assert [spec.dtype for spec in (*corrected.inputs, *corrected.outputs)] == ["float32", "float32"]


def test_int4_mixed_spends_bits_where_they_count(folder: Path) -> None:
    with mock.patch("edgeship_converters.tflite.slim.slim", lambda content, *_: content):  # which takes names out
        content = convert(folder, "float32").entry.read_bytes()
    samples = [{"image": x[None]} for x in X]
    chosen = low_bit.choose(content, lambda: iter(samples))
    kernels = [operator for operator in flatfile.operators(content) if operator.weights in chosen]
    by_layer = {layer: chosen[o.weights] for layer in ("first", "weak") for o in kernels if o.is_of(layer)}
    assert by_layer["weak"] == 2, "hardly anything depends on it"
    assert by_layer["first"] > 2
    assert set(low_bit.choose(content, lambda: iter(samples), budget=1e-9).values()) == {8}
    artifact = convert(folder, "int4-mixed")
    assert error(artifact, folder) < 0.25
    assert "1 in 2 bits" in artifact.notes[0]
    assert artifact.size_bytes < convert(folder, "float32").size_bytes / 2


def test_int4_mixed_needs_samples(folder: Path) -> None:
    with pytest.raises(DataError, match="int4-mixed needs sample inputs to measure on"):
        convert(folder, "int4-mixed", data=False)


def test_a_model_with_few_weights_is_refused(tmp_path: Path) -> None:
    x = keras.Input((4,), name="image")
    keras.Model(x, layers.Dense(3, name="scores")(x)).save(tmp_path / "model.keras")
    with pytest.raises(UnsupportedModelError, match="no weights that can be made smaller"):
        convert(tmp_path, "int4", data=False)


def test_wrong_kernels_are_noticed(folder: Path) -> None:
    """int2 weights directly in CONV_2D load and run in LiteRT 2.3, and give other numbers, or NaN: parity must fail."""
    from ai_edge_quantizer import qtyping, quantizer

    content = convert(folder, "float32").entry.read_bytes()
    model = flatfile.read(content)
    flatfile.name_apart(model)
    worker = quantizer.Quantizer(flatfile.write(model))
    worker.add_dynamic_config(".*", qtyping.TFLOperationName.CONV_2D, num_bits=2)
    broken = bytes(worker.quantize().quantized_model)
    artifact = convert(folder, "int4")
    expected = verify.Outputs({"scores": run(content)})
    for found in (run(broken), np.full_like(run(broken), np.nan)):
        gates = verify.parity(artifact, "litert", expected, verify.Outputs({"scores": found}), classes=True)
        assert any(gate.status == "fail" for gate in gates), gates
    gates = verify.parity(
        artifact, "litert", expected, verify.Outputs({"scores": run(artifact.entry.read_bytes())}), classes=True
    )
    assert [gate.name for gate in gates if gate.status != "pass"] == []
