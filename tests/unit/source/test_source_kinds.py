"""Models in: every kind, who reads it, hashes, and real models."""

from __future__ import annotations

import gc
import json
import sys
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from source_models import RNG, run, small

from edgeship import source
from edgeship.codec import from_data, to_data
from edgeship.errors import MissingPackageError, SourceError
from edgeship.types import Source, TensorSpec


def test_a_live_keras_model(model: Any, saved: Path) -> None:
    assert saved.name == "model.keras"
    assert [p.name for p in saved.parent.iterdir()] == ["model.keras"]
    found = source.inspect(saved)
    assert (found.kind, found.loader, found.trainable, found.fake_quantized) == ("keras", "keras", True, False)
    assert found.inputs == (TensorSpec("image", (None, 6, 6, 1), "float32"),)
    assert found.outputs == (TensorSpec("scores", (None, 4), "float32"),)
    assert found.parameters == model.count_params()
    assert from_data(Source, to_data(found)) == found
    x = RNG.random((3, 6, 6, 1)).astype("float32")
    assert np.allclose(run(found, x)[0], model(x), atol=1e-6)


def test_the_hash_is_of_content_not_of_bytes(keras: Any, model: Any, saved: Path, tmp_path: Path) -> None:
    first = source.inspect(saved)
    again = source.save_live(keras.models.load_model(saved), tmp_path / "again")
    with zipfile.ZipFile(saved) as old, zipfile.ZipFile(tmp_path / "packed.keras", "w", zipfile.ZIP_DEFLATED) as new:
        for name in reversed(old.namelist()):
            new.writestr(name, old.read(name))
    model.compile("adam", "mse")
    compiled = source.save_live(model, tmp_path / "compiled")
    hashes = {source.inspect(path).sha256 for path in (again, tmp_path / "packed.keras", compiled)}
    assert hashes == {first.sha256}
    changed = keras.models.clone_model(model)
    changed.set_weights([w + (1e-6 if i == 0 else 0) for i, w in enumerate(model.get_weights())])
    assert source.inspect(source.save_live(changed, tmp_path / "changed")).sha256 != first.sha256
    other = small(keras, activation="relu")
    other.set_weights(model.get_weights())
    assert source.inspect(source.save_live(other, tmp_path / "other")).sha256 != first.sha256


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_h5_of_keras_3(model: Any, tmp_path: Path) -> None:
    model.save(tmp_path / "m.h5")
    found = source.inspect(tmp_path / "m.h5")
    assert (found.kind, found.loader) == ("h5", "keras")
    x = RNG.random((3, 6, 6, 1)).astype("float32")
    assert np.allclose(run(found, x)[0], model(x), atol=1e-6)


def test_a_live_tf_keras_model_whose_depthwise_convolution_has_groups(tf_keras: Any, tmp_path: Path) -> None:
    live = small(tf_keras, activation="softmax")
    path = source.save_live(live, tmp_path)
    assert path.name == "model.h5"
    with h5py.File(path) as file:
        config = json.loads(file.attrs["model_config"])
    depthwise = next(item for item in config["config"]["layers"] if item["class_name"] == "DepthwiseConv2D")
    assert depthwise["config"]["groups"] == 1
    found = source.inspect(path)
    assert (found.kind, found.loader, found.trainable) == ("h5", "keras", True)
    assert found.inputs == (TensorSpec("image", (None, 6, 6, 1), "float32"),)
    x = RNG.random((3, 6, 6, 1)).astype("float32")
    assert np.allclose(run(found, x)[0], live(x), atol=1e-6)
    again = source.inspect(source.save_live(source.load(found), tmp_path / "again"))
    assert again.sha256 == found.sha256


def test_recurrent_layers_of_keras_2(tf_keras: Any, tmp_path: Path) -> None:
    layers = tf_keras.layers
    live = tf_keras.Sequential([layers.Input((5, 3)), layers.Bidirectional(layers.GRU(4)), layers.Dense(2)])
    found = source.inspect(source.save_live(live, tmp_path))
    assert (found.loader, found.trainable) == ("keras", True)
    x = RNG.random((3, 5, 3)).astype("float32")
    assert np.allclose(run(found, x)[0], live(x), atol=1e-6)


def test_what_changed_its_meaning_in_keras_3_is_read_by_tf_keras(tf_keras: Any, tmp_path: Path) -> None:
    live = small(tf_keras, activation="hard_sigmoid")
    found = source.inspect(source.save_live(live, tmp_path))
    assert (found.kind, found.loader, found.trainable) == ("h5", "tf_keras", False)
    assert found.outputs == (TensorSpec("scores", (None, 4), "float32"),)
    x = RNG.random((3, 6, 6, 1)).astype("float32")
    assert np.allclose(run(found, x)[0], live(x), atol=1e-6)
    assert source.inspect(source.save_live(live, tmp_path / "again")).sha256 == found.sha256
    reason = source.why_not_trainable(found)
    assert "was written by Keras 2 and computes otherwise" in reason
    assert ".h5 file" not in reason


@pytest.mark.parametrize("version", [None, "", "unknown", "2.4.0"])
def test_a_file_that_does_not_say_that_keras_3_wrote_it_is_compared(
    tf_keras: Any, tmp_path: Path, version: str | None
) -> None:
    live = small(tf_keras, activation="hard_sigmoid")
    path = source.save_live(live, tmp_path)
    with h5py.File(path, "r+") as file:
        del file.attrs["keras_version"]
        if version is not None:
            file.attrs["keras_version"] = version
    found = source.inspect(path)
    assert found.loader == "tf_keras"
    x = RNG.random((3, 6, 6, 1)).astype("float32")
    assert np.allclose(run(found, x)[0], live(x), atol=1e-6)


def test_without_tf_keras_nothing_of_keras_2_is_trusted(
    tf_keras: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = source.save_live(small(tf_keras, activation="hard_sigmoid"), tmp_path)
    monkeypatch.setitem(sys.modules, "tf_keras", None)
    with pytest.raises(MissingPackageError, match="needs tf-keras"):
        source.inspect(path)


def test_what_changed_its_meaning_is_refused_where_only_keras_3_can_read_it(keras: Any, tmp_path: Path) -> None:
    layers = keras.layers
    live = keras.Sequential([layers.Input((6,)), layers.Dense(4, "hard_sigmoid"), layers.RMSNormalization()])
    path = source.save_live(live, tmp_path / "3").with_suffix(".h5")
    live.save(path)
    with h5py.File(path, "r+") as file:
        file.attrs["keras_version"] = "2.15.0"
    with pytest.raises(SourceError, match=r"hard_sigmoid is another function, and tf_keras cannot read it \("):
        source.inspect(path)


def test_what_only_keras_2_knows_is_read_by_tf_keras(tf_keras: Any, tmp_path: Path) -> None:
    layers = tf_keras.layers
    live = tf_keras.Sequential([layers.Input((8, 2)), layers.LocallyConnected1D(3, 3), layers.Flatten()])
    found = source.inspect(source.save_live(live, tmp_path))
    assert (found.loader, found.inputs[0].shape) == ("tf_keras", (None, 8, 2))


@pytest.mark.parametrize("writer", ["keras", "tf_keras"])
def test_saved_models(writer: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    live = small(request.getfixturevalue(writer))
    live.export(tmp_path / "a", verbose=False) if writer == "keras" else live.export(tmp_path / "a")
    found = source.inspect(tmp_path / "a")
    assert (found.kind, found.loader, found.trainable) == ("savedmodel", "savedmodel", False)
    assert found.inputs[0].shape == (None, 6, 6, 1)
    assert found.outputs[0].shape == (None, 4)
    assert found.parameters == live.count_params()
    x = RNG.random((3, 6, 6, 1)).astype("float32")
    assert np.allclose(run(found, x)[0], live(x), atol=1e-6)
    call = source.forward(source.load(found), found)
    gc.collect()
    assert np.allclose(call(x)[0], live(x), atol=1e-6), "the call keeps the loaded model alive"
    live.export(tmp_path / "b", verbose=False) if writer == "keras" else live.export(tmp_path / "b")
    assert source.inspect(tmp_path / "b").sha256 == found.sha256
    live.set_weights([w + 1e-6 for w in live.get_weights()])
    live.export(tmp_path / "c", verbose=False) if writer == "keras" else live.export(tmp_path / "c")
    assert source.inspect(tmp_path / "c").sha256 != found.sha256


@pytest.mark.parametrize(
    ("path", "kind", "inputs", "outputs", "parameters"),
    [
        ("mlperf_tiny/image_classification/pretrainedResnet.h5", "h5", (None, 32, 32, 3), (None, 10), 78_666),
        ("base/resnet8_cifar10_jpeg.keras", "keras", (None, 32, 32, 3), (None, 10), 78_666),
        ("mlperf_tiny/keyword_spotting/kws_ref_model", "savedmodel", (None, 49, 10, 1), (None, 12), 24_908),
        ("mlperf_tiny/anomaly_detection/ad01.h5", "h5", (None, 640), (None, 640), 269_992),
        ("tfjs_reference/mnist_cnn/mnist_cnn.keras", "keras", (None, 28, 28, 1), (None, 10), 37_610),
    ],
)
def test_real_models(shared_data: Path, path: str, kind: str, inputs: Any, outputs: Any, parameters: int) -> None:
    found = source.inspect(shared_data / path)
    assert (found.kind, found.loader) == (kind, "savedmodel" if kind == "savedmodel" else "keras")
    assert (found.inputs[0].shape, found.outputs[0].shape, found.parameters) == (inputs, outputs, parameters)
    x = RNG.random((2, *inputs[1:])).astype("float32")
    assert run(found, x)[0].shape == (2, *outputs[1:])


def test_a_real_saved_model_computes_what_tf_keras_does(tf_keras: Any, shared_data: Path) -> None:
    folder = shared_data / "mlperf_tiny" / "keyword_spotting" / "kws_ref_model"
    x = RNG.normal(size=(20, 49, 10, 1)).astype("float32")
    expected = tf_keras.models.load_model(folder, compile=False)(x)
    assert np.allclose(run(source.inspect(folder), x)[0], expected, atol=1e-6)
