"""Sound files to damage: small models in every format that is read or run; made in a worker, because it needs Keras."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from edgeship import plugins
from edgeship.source import inspect
from edgeship.types import ConvertOptions, Dataset

#: What is exported of each model.
_EXPORTS = (
    ("tflite", "float32"),
    ("tflite", "dynamic"),
    ("tflite", "int8"),
    ("onnx", "float32"),
    ("onnx", "int8"),
    ("tfjs", "float32"),
    ("tfjs", "uint8"),
)
#: Files of others, beside the checkout; none is larger than this.
_SHARED = (
    "mlperf_tiny/**/*.tflite",
    "mlperf_tiny/**/*.h5",
    "tflm/*.tflite",
    "coral/mobilenet*.tflite",
    "tfjs_reference/**/model.json",
    "tfjs_reference/**/saved_model.pb",
    "mlperf_tiny/**/saved_model.pb",
)
_MOST_BYTES = 800_000


def make(folder: Path, shared: Path) -> tuple[str, ...]:
    """Write the corpus, each file in a folder of its own with what it needs beside it.

    Args:
        folder: new.
        shared: the folder with models of others; left out where it does not exist.

    Returns:
        The files to damage, relative to `folder`.
    """
    import keras

    keras.utils.set_random_seed(0)
    for name, model in (("cnn", _cnn(keras)), ("text", _text(keras))):
        place = folder / name
        place.mkdir(parents=True)
        model.save(place / "model.keras")
        (folder / f"{name}_h5").mkdir()
        model.save(folder / f"{name}_h5" / "model.h5")
        model.export(folder / f"{name}_saved", verbose=False)
        _layers_model(model, folder / f"{name}_layers")
        _export(place, folder, np.asarray(model.input_shape[1:]), model.inputs[0].dtype)
    _shared(shared, folder)
    kinds = ("model.keras", "*.h5", "*.tflite", "*.onnx", "model.json", "*.bin", "saved_model.pb")
    return tuple(sorted(str(path.relative_to(folder)) for kind in kinds for path in folder.glob(f"*/{kind}")))


def _cnn(keras: Any) -> Any:
    layers = keras.layers
    image = keras.Input((8, 8, 3), name="image")
    x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(4, 3, padding="same")(image)))
    x = layers.Concatenate()([x, layers.DepthwiseConv2D(3, padding="same")(x)])
    x = layers.Dense(8, activation="tanh")(layers.GlobalAveragePooling2D()(x))
    return keras.Model(image, [layers.Dense(3, activation="softmax", name="a")(x), layers.Dense(1, name="b")(x)])


def _text(keras: Any) -> Any:
    layers = keras.layers
    ids = keras.Input((6,), name="ids", dtype="int32")
    x = layers.Embedding(20, 4)(ids)
    x = layers.LayerNormalization()(x + layers.MultiHeadAttention(2, 2)(x, x))
    return keras.Model(ids, layers.Dense(2)(layers.LSTM(3)(x)))


def _export(place: Path, folder: Path, shape: Any, dtype: str) -> None:
    rng = np.random.default_rng(0)
    samples = rng.normal(size=(16, *shape)).astype(dtype) if dtype == "float32" else rng.integers(0, 20, (16, *shape))
    source = inspect(place / "model.keras")
    (place / "calibration" / "x").mkdir(parents=True)
    np.save(place / "calibration" / "x" / f"{source.inputs[0].name}.npy", samples.astype(dtype))
    data = Dataset(place, "corpus", "0" * 64, "unlabelled", source.inputs, {"calibration": 16})
    for format_name, variant in _EXPORTS:
        target = folder / f"{place.name}_{format_name}_{variant}"
        target.mkdir()
        plugins.convert(format_name, source, variant, ConvertOptions(calibration=data), target)


def _layers_model(model: Any, folder: Path) -> None:
    """A layers model as TensorFlow.js writes it: the configuration of the Keras model, and weights in one file."""
    folder.mkdir()
    weights = [(w.path, np.asarray(w)) for w in model.weights]
    entries = [{"name": path, "shape": list(array.shape), "dtype": "float32"} for path, array in weights]
    topology = {"keras_version": "2.15.0", "backend": "tensorflow", "model_config": json.loads(model.to_json())}
    manifest = [{"paths": ["weights.bin"], "weights": entries}]
    found = {"format": "layers-model", "modelTopology": topology, "weightsManifest": manifest}
    (folder / "model.json").write_text(json.dumps(found))
    (folder / "weights.bin").write_bytes(b"".join(array.astype(np.float32).tobytes() for _, array in weights))


def _shared(shared: Path, folder: Path) -> None:
    for pattern in _SHARED:
        for number, path in enumerate(sorted(shared.glob(pattern))):
            if path.stat().st_size > _MOST_BYTES:
                continue
            target = folder / f"shared_{pattern.partition('/')[0]}_{path.suffix[1:]}_{number}"
            if path.suffix in (".json", ".pb"):
                shutil.copytree(path.parent, target)
            else:
                target.mkdir()
                shutil.copyfile(path, target / path.name)
