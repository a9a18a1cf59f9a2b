"""TF.js layers models: rebuilt with all kinds of stored weights, and what is wrong with their files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from source_models import RNG, run, small

from edgeship import source
from edgeship.errors import ArtifactError, InputError, SourceError, UnsafeModelError

ITEM = {"float16": "<f2", "uint8": "u1", "uint16": "<u2"}


def write(model: Any, folder: Path, stored: str = "float32") -> Path:
    """A model as the official converter writes it: layers in order, weights in two files."""
    folder.mkdir()
    weights, content = [], b""
    for layer in model.layers:
        for weight in [*layer.trainable_weights, *layer.non_trainable_weights]:
            values = weight.numpy()
            entry = {"name": weight.name.removesuffix(":0"), "shape": list(values.shape), "dtype": "float32"}
            if stored == "float16":
                entry["quantization"] = {"dtype": "float16", "original_dtype": "float32"}
                content += values.astype("<f2").tobytes()
            elif stored != "float32":
                least = float(values.min())
                scale = (float(values.max()) - least) / np.iinfo(stored).max or 1.0
                entry["quantization"] = {"dtype": stored, "min": least, "scale": scale, "original_dtype": "float32"}
                content += np.round((values - least) / scale).astype(ITEM[stored]).tobytes()
            else:
                content += values.astype("<f4").tobytes()
            weights.append(entry)
    names = ["group1-shard1of2.bin", "group1-shard2of2.bin"]
    half = len(content) // 2
    for name, part in zip(names, (content[:half], content[half:]), strict=True):
        (folder / name).write_bytes(part)
    topology = {"keras_version": "2.15.0", "backend": "tensorflow", "model_config": json.loads(model.to_json())}
    manifest = [{"paths": names, "weights": weights}]
    data = {
        "format": "layers-model",
        "generatedBy": "keras v2.15.0",
        "modelTopology": topology,
        "weightsManifest": manifest,
    }
    (folder / "model.json").write_text(json.dumps(data))
    return folder


@pytest.fixture(scope="module")
def live(tf_keras: Any) -> Any:
    tf_keras.utils.set_random_seed(0)
    model = small(tf_keras, activation="softmax")
    norm = model.get_layer("norm")
    norm.set_weights([RNG.uniform(0.5, 2, 3) for _ in range(4)])
    return model


@pytest.mark.parametrize(
    ("stored", "tolerance"), [("float32", 1e-6), ("float16", 2e-3), ("uint16", 1e-4), ("uint8", 2e-2)]
)
def test_it_computes_what_the_model_did(live: Any, stored: str, tolerance: float, tmp_path: Path) -> None:
    found = source.inspect(write(live, tmp_path / "m", stored))
    assert (found.kind, found.loader, found.trainable) == ("tfjs", "keras", True)
    assert found.path.name == "model.json"
    assert (found.inputs[0].name, found.outputs[0].name) == ("image", "scores")
    assert found.parameters == live.count_params()
    x = RNG.random((5, 6, 6, 1)).astype("float32")
    assert np.abs(run(found, x)[0] - live(x).numpy()).max() < tolerance


def test_nested_and_wrapped_layers(tf_keras: Any, tmp_path: Path) -> None:
    layers = tf_keras.layers
    steps = layers.Input((5, 3), name="steps")
    inner = tf_keras.Sequential(
        [layers.Input((8,)), layers.Dense(6, name="a"), layers.BatchNormalization(name="b")], name="inner"
    )
    x = layers.Bidirectional(layers.LSTM(4, name="lstm"), name="both")(steps)
    live = tf_keras.Model(steps, layers.Dense(2, name="head")(inner(x)))
    live.get_layer("inner").get_layer("b").set_weights([RNG.uniform(0.5, 2, 6) for _ in range(4)])
    found = source.inspect(write(live, tmp_path / "m"))
    x = RNG.random((4, 5, 3)).astype("float32")
    assert np.allclose(run(found, x)[0], live(x), atol=1e-6)


def test_equal_models_have_equal_hashes(live: Any, tmp_path: Path) -> None:
    first, second = (source.inspect(write(live, tmp_path / name)) for name in "ab")
    assert first.sha256 == second.sha256
    assert source.inspect(source.save_live(live, tmp_path / "h5")).sha256 == first.sha256


def change(folder: Path, edit: Callable[[dict[str, Any]], None]) -> Path:
    data = json.loads((folder / "model.json").read_text())
    edit(data)
    (folder / "model.json").write_text(json.dumps(data))
    return folder


def _outside(data: dict[str, Any]) -> None:
    data["weightsManifest"][0]["paths"][0] = "../secret.bin"


def _missing(data: dict[str, Any]) -> None:
    data["weightsManifest"][0]["paths"][0] = "other.bin"


def _larger(data: dict[str, Any]) -> None:
    data["weightsManifest"][0]["weights"][0]["shape"][-1] += 1


def _smaller(data: dict[str, Any]) -> None:
    data["weightsManifest"][0]["weights"].pop()


def _stranger(data: dict[str, Any]) -> None:
    data["weightsManifest"][0]["weights"][0]["name"] = "nobody/kernel"


def _order(data: dict[str, Any]) -> None:
    weights = data["weightsManifest"][0]["weights"]
    gamma = next(i for i, w in enumerate(weights) if w["name"].endswith("gamma"))
    weights[gamma], weights[gamma + 1] = weights[gamma + 1], weights[gamma]


def _graph(data: dict[str, Any]) -> None:
    data["format"] = "graph-model"
    data["modelTopology"] = {"node": []}


def _no_layers(data: dict[str, Any]) -> None:
    data["modelTopology"] = {"model_config": {"class_name": "Model", "config": {"layers": [1]}}}


def _lambda(data: dict[str, Any]) -> None:
    data["modelTopology"]["model_config"]["config"]["layers"][1]["class_name"] = "Lambda"


@pytest.mark.parametrize(
    ("edit", "kind", "message"),
    [
        (_outside, ArtifactError, "is not the name of a file inside"),
        (_missing, ArtifactError, "does not exist"),
        (_larger, ArtifactError, "its weights have .* bytes, the files"),
        (_smaller, SourceError, "its weight files hold .* bytes, its weights take"),
        (_stranger, SourceError, "'nobody/kernel' belongs to none of its layers"),
        (_order, SourceError, "has its weights in the order beta, gamma"),
        (_graph, SourceError, r"is a TF\.js graph model: its operators were folded[\s\S]*Give the Keras model"),
        (_no_layers, SourceError, "does not describe layers"),
        (_lambda, UnsafeModelError, "carries code"),
    ],
)
def test_what_is_wrong_with_its_files(
    live: Any, tmp_path: Path, edit: Callable[[dict[str, Any]], None], kind: type[InputError], message: str
) -> None:
    (tmp_path / "secret.bin").write_bytes(bytes(1000))
    with pytest.raises(kind, match=message):
        source.inspect(change(write(live, tmp_path / "m"), edit))


def test_other_json(tmp_path: Path) -> None:
    for content, message in (("[1]", "is not the model.json"), ("{", "is not JSON"), ("{}", "is not the model.json")):
        (tmp_path / "model.json").write_text(content)
        with pytest.raises(SourceError, match=message):
            source.inspect(tmp_path)
