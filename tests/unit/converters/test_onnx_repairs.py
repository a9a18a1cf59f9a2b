"""What tf2onnx and ONNX Runtime get wrong is put right: each model here is wrong, or refused, without its repair."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import frozen_models as zoo
import numpy as np
import onnx
import onnxruntime
import pytest

from edgeship.types import ConvertOptions
from edgeship_converters.onnx import ONNXConverter
from edgeship_converters.onnx import repairs as onnx_repairs

keras, layers = zoo.keras, zoo.layers


def _difference(model: Any, place: Path) -> tuple[float, onnx.ModelProto]:
    """The largest difference to Keras on samples below and above zero; the file."""
    place.mkdir(exist_ok=True)
    source = zoo.save(model, place)
    artifact = ONNXConverter().convert(source, "float32", ConvertOptions(), place)
    shape = source.inputs[0].shape[1:]
    values = np.random.default_rng(0).normal(-1, 1, (3, *(n or 1 for n in shape))).astype(np.float32)
    session = onnxruntime.InferenceSession(artifact.entry)
    (found,) = session.run(None, {source.inputs[0].name: values})
    wanted = model.predict(values, verbose=0)
    assert found.shape == wanted.shape
    return float(np.abs(found - wanted).max()), onnx.load(artifact.entry)


def _resized(first: int, second: int) -> Any:
    image = keras.Input((5, 6, 2))
    return keras.Model(image, layers.Resizing(second, 3)(layers.Resizing(first, 4)(image)))


def _padded_maximum(pads: int) -> Any:
    image = keras.Input((10, 14, 4))
    x = layers.ZeroPadding2D([1, pads])(layers.DepthwiseConv2D(1)(image))
    return keras.Model(image, layers.MaxPooling2D()(x))


def _small_window(padding: str) -> Any:
    image = keras.Input((5, 4, 2))
    return keras.Model(image, layers.Conv2DTranspose(3, (1, 2), strides=(3, 3), padding=padding)(image))


def _volume_groups() -> Any:
    volume = keras.Input((4, 5, 4, 6))
    return keras.Model(volume, layers.Conv3D(4, 3, groups=2, padding="same")(volume))


MODELS: dict[str, Callable[[], Any]] = {
    "sizes": lambda: _resized(7, 11),
    "more sizes": lambda: _resized(13, 9),
    "maximum": lambda: _padded_maximum(1),
    "wide padding": lambda: _padded_maximum(2),
    "same": lambda: _small_window("same"),
    "valid": lambda: _small_window("valid"),
    "groups": _volume_groups,
}


@pytest.mark.parametrize("name", MODELS)
def test_repaired(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = MODELS[name]()
    assert _difference(model, tmp_path / "repaired")[0] < 1e-5
    monkeypatch.setattr(onnx_repairs, "repair", lambda _: None)
    try:
        assert _difference(model, tmp_path / "plain")[0] > 1e-3
    except AssertionError:
        raise
    except Exception:  # noqa: BLE001 - refused by ONNX, or by its runtime: also a reason to repair
        pass


def test_normalization_after_a_depthwise_convolution_becomes_part_of_it(tmp_path: Path) -> None:
    image = keras.Input((8, 8, 4))
    x = layers.BatchNormalization()(layers.DepthwiseConv2D(3, depth_multiplier=2, name="deep")(image))
    model = keras.Model(image, layers.ReLU()(x))
    rng = np.random.default_rng(1)
    model.layers[2].set_weights([rng.uniform(0.5, 2, 8), *rng.normal(0, 1, (2, 8)), rng.uniform(0.5, 2, 8)])
    difference, found = _difference(model, tmp_path)
    assert difference < 2e-5
    assert Counter(node.op_type for node in found.graph.node) == {"Transpose": 2, "Conv": 1, "Relu": 1}
    assert {tensor.name for tensor in found.graph.initializer} == {"deep/depthwise/W", "deep/depthwise/B"}


def test_a_result_that_is_used_twice_is_not_folded(tmp_path: Path) -> None:
    image = keras.Input((8, 8, 4))
    deep = layers.DepthwiseConv2D(3, padding="same")(image)
    model = keras.Model(image, layers.Add()([deep, layers.Rescaling(3.0, 1.0)(deep)]))
    assert _difference(model, tmp_path)[0] < 1e-5
