"""The same model has the same names of inputs and outputs in every format, as its runtime reads them from the file."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnxruntime
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from edgeship import plugins
from edgeship.source import inspect, save_live
from edgeship.types import Artifact, ConvertOptions

Ends = tuple[list[str], list[str]]


def litert(artifact: Artifact) -> Ends:
    interpreter = Interpreter(str(artifact.entry))
    details = (interpreter.get_input_details(), interpreter.get_output_details())
    (signature,) = interpreter.get_signature_list().values()
    inputs, outputs = ([entry["name"] for entry in side] for side in details)
    assert (sorted(inputs), sorted(outputs)) == (sorted(signature["inputs"]), sorted(signature["outputs"]))
    return inputs, outputs


def onnx(artifact: Artifact) -> Ends:
    session = onnxruntime.InferenceSession(str(artifact.entry))
    return [entry.name for entry in session.get_inputs()], [entry.name for entry in session.get_outputs()]


def tfjs(artifact: Artifact) -> Ends:
    """TF.js shows the keys of the signature; what stands there as `name` is a tensor in its own spelling."""
    model = json.loads(artifact.entry.read_text())
    nodes = {node["name"] for node in model["modelTopology"]["node"]}
    sides = [model["signature"][side] for side in ("inputs", "outputs")]
    for side in sides:
        assert all(entry["name"] == f"{key}:0" for key, entry in side.items())
        assert set(side) <= nodes
    keys = model.get("userDefinedMetadata", {}).get("structuredOutputKeys", list(sides[1]))
    assert keys == list(sides[1])
    return list(sides[0]), keys


READERS: dict[str, Callable[[Artifact], Ends]] = {"tflite": litert, "onnx": onnx, "tfjs": tfjs}


def multi(framework: Any) -> Any:
    wide, deep = framework.Input((4,), name="wide"), framework.Input((3,), name="deep")
    both = framework.layers.Concatenate()([wide, deep])
    outputs = {"zebra": framework.layers.Dense(1, name="z")(both), "ant": framework.layers.Dense(2, name="a")(both)}
    return framework.Model({"wide": wide, "deep": deep}, outputs)


def listed(framework: Any) -> Any:
    """Inputs and outputs whose order is not that of their names, one with a number as Keras gives it."""
    first, second = framework.Input((4,), name="b_1"), framework.Input((4,), name="a")
    twin = framework.layers.Dense(2, name="twin")
    return framework.Model([first, second], [twin(first), twin(second)])


def odd() -> Any:
    """Names that some format or TensorFlow itself refuses, and one that two would have."""
    x = keras.Input((4,), name="größe in cm:0")
    y = keras.layers.Dense(3, name="my scores")(x)
    return keras.Model(x, [y, keras.layers.Dense(3, name="输出")(y), keras.ops.sum(y, axis=-1)])


def unnamed() -> Any:
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])


def as_h5(folder: Path) -> Path:
    import tf_keras

    # Of another slope in Keras 3, so that tf_keras reads it.
    live = multi(tf_keras)
    outputs = [
        tf_keras.layers.Activation("hard_sigmoid", name=name)(t) for name, t in zip("qp", live.outputs, strict=True)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # tf_keras calls .h5 a legacy format
        tf_keras.Model(live.inputs, outputs).save(folder / "m.h5")
    return folder / "m.h5"


def as_saved_model(folder: Path) -> Path:
    class Module(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((None, 4), name="x"), tf.TensorSpec((None, 4), name="a")])
        def call(self, x: Any, a: Any) -> dict[str, Any]:
            return {"output_10": x + a, "output_2": x * 2.0 + a, "two words": x - a, "x": x * 3.0}

    module = Module()
    tf.saved_model.save(module, str(folder / "m"), {"serving_default": module.call})
    return folder / "m"


def tf_keras_model(build: Callable[[Any], Any]) -> Any:
    import tf_keras

    return build(tf_keras)


MODELS: dict[str, tuple[Callable[[Path], Path], Ends]] = {
    "dict": (lambda p: save_live(multi(keras), p), (["deep", "wide"], ["ant", "zebra"])),
    "list": (lambda p: save_live(listed(keras), p), (["b_1", "a"], ["twin", "twin_1"])),
    "odd": (lambda p: save_live(odd(), p), (["gr_e_in_cm_0"], ["my_scores", "layer", "sum"])),
    "unnamed": (lambda p: save_live(unnamed(), p), (["input_layer"], ["dense"])),
    "tf_keras": (lambda p: save_live(tf_keras_model(multi), p), (["deep", "wide"], ["ant", "zebra"])),
    "h5": (as_h5, (["deep", "wide"], ["q", "p"])),
    "savedmodel": (as_saved_model, (["a", "x"], ["output_2", "output_10", "two_words", "x_1"])),
}


@pytest.mark.parametrize("kind", MODELS)
def test_names_are_the_same_in_every_format(tmp_path: Path, kind: str) -> None:
    keras.backend.clear_session()
    make, expected = MODELS[kind]
    (tmp_path / "model").mkdir()
    source = inspect(make(tmp_path / "model"))
    assert ([s.name for s in source.inputs], [s.name for s in source.outputs]) == expected
    for name, reader in READERS.items():
        (tmp_path / name).mkdir()
        artifact = plugins.converter(name).convert(source, "float32", ConvertOptions(), tmp_path / name)
        assert reader(artifact) == expected, name
        assert ([s.name for s in artifact.inputs], [s.name for s in artifact.outputs]) == expected


def test_an_input_that_is_an_output_has_another_name_as_such(tmp_path: Path) -> None:
    x = keras.Input((4,), name="x")
    y = keras.layers.Dense(3, name="X")(x)  # case alone tells no names apart
    source = inspect(save_live(keras.Model(x, [y, x]), tmp_path / "model"))
    assert [spec.name for spec in source.outputs] == ["X_1", "x_1_1"]
    for name in ("tflite", "onnx"):
        (tmp_path / name).mkdir()
        artifact = plugins.converter(name).convert(source, "float32", ConvertOptions(), tmp_path / name)
        runtime = plugins.runtimes_for(name)[0]
        found = runtime.run(artifact, {"x": np.ones((2, 4), np.float32)})
        assert list(found) == ["X_1", "x_1_1"]
        assert np.array_equal(found["x_1_1"], np.ones((2, 4)))


def test_positions_mean_the_same_in_every_format(tmp_path: Path) -> None:
    """Whoever gives arrays by position, as Android's Interpreter does, gives them in the order of the model."""
    keras.utils.set_random_seed(0)
    live = listed(keras)
    source = inspect(save_live(live, tmp_path / "model"))
    (tmp_path / "tflite").mkdir()
    artifact = plugins.converter("tflite").convert(source, "float32", ConvertOptions(), tmp_path / "tflite")
    values = [np.full((1, 4), i + 1.0, np.float32) for i in range(2)]
    interpreter = Interpreter(str(artifact.entry))
    interpreter.allocate_tensors()
    for entry, value in zip(interpreter.get_input_details(), values, strict=True):
        interpreter.set_tensor(entry["index"], value)
    interpreter.invoke()
    for entry, expected in zip(interpreter.get_output_details(), live(values), strict=True):
        assert np.allclose(interpreter.get_tensor(entry["index"]), expected, atol=1e-6)
