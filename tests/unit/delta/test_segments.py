"""Tensors of real files are found where they are; anything else is bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeship.delta import decode, encode
from edgeship.delta.decoder import F16, F32, I8, I32, TYPES
from edgeship.delta.segments import segments
from edgeship.encodings import encode as compress
from edgeship.source import inspect
from edgeship.types import ConvertOptions
from edgeship_converters.onnx import ONNXConverter
from edgeship_converters.tflite import TFLiteConverter


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[bytes]]:
    """A small network before and after a step of training, in each format."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    image = keras.Input((16, 16, 3), name="image")
    x = layers.Conv2D(24, 3, activation="relu", name="first")(image)
    x = layers.Conv2D(32, 3, strides=2, activation="relu", name="second")(x)
    model = keras.Model(image, layers.Dense(10, name="scores")(layers.GlobalAveragePooling2D()(x)))
    found: dict[str, list[bytes]] = {"tflite": [], "tflite-float16": [], "onnx": []}
    for state in range(2):
        folder = tmp_path_factory.mktemp(f"state{state}")
        model.save(folder / "model.keras")
        source = inspect(folder / "model.keras")
        for name, (converter, variant) in {
            "tflite": (TFLiteConverter(), "float32"),
            "tflite-float16": (TFLiteConverter(), "float16"),
            "onnx": (ONNXConverter(), "float32"),
        }.items():
            out = folder / name
            out.mkdir()
            found[name].append(converter.convert(source, variant, ConvertOptions(), out).entry.read_bytes())
        random = np.random.default_rng(state)
        for variable in model.trainable_variables:
            variable.assign_add(random.normal(0, 1e-4, variable.shape).astype(np.float32))
    return found


@pytest.mark.parametrize(("name", "kind"), [("tflite", F32), ("tflite-float16", F16), ("onnx", F32)])
def test_the_weights_of_a_file_are_found(versions: dict[str, list[bytes]], name: str, kind: int) -> None:
    content = versions[name][0]
    own = [segment for segment in segments(content) if segment.type == kind]
    assert sum(segment.count for segment in own) == pytest.approx(648 + 6912 + 320, abs=70)
    kernel = max(own, key=lambda segment: segment.count)
    values = np.frombuffer(content, TYPES[kind], kernel.count, kernel.start).view("<f4" if kind == F32 else "<f2")
    assert np.isfinite(values.astype(np.float64)).all()
    assert 0.01 < values.astype(np.float64).std() < 0.2


@pytest.mark.parametrize("name", ["tflite", "tflite-float16", "onnx"])
def test_an_update_is_a_fraction_of_the_file(versions: dict[str, list[bytes]], name: str) -> None:
    old, new = versions[name]
    patch = encode(old, new)
    assert decode(old, patch) == new
    assert len(patch) < 0.85 * len(compress(new, "br"))


def test_scales_and_biases_of_integer_files_are_numbers_too(shared_data: Path) -> None:
    content = (shared_data / "mlperf_tiny/image_classification/pretrainedResnet_quant.tflite").read_bytes()
    counts = {kind: sum(s.count for s in segments(content) if s.type == kind) for kind in (F32, I8, I32)}
    assert counts[I8] > 76_000
    assert counts[I32] >= 346
    assert counts[F32] > 600


@pytest.mark.parametrize("name", ["tflite", "onnx"])
def test_damaged_files_are_bytes(versions: dict[str, list[bytes]], name: str) -> None:
    old, new = versions[name]
    random = np.random.default_rng(0)
    for _ in range(15):
        broken = bytearray(new)
        for at in random.integers(0, len(broken), 20):
            broken[at] = random.integers(256)
        segments(bytes(broken))
    cut = new[: len(new) // 3]
    assert decode(old, encode(old, cut)) == cut


def test_other_files_are_bytes() -> None:
    assert segments(b"") == []
    assert segments(b'{"format": "graph-model"}') == []
    assert segments(b"\x93NUMPY\x01\x00" + bytes(100)) == []
