"""Models in: every kind, who reads it, names, hashes, prediction, and what is refused."""

from __future__ import annotations

import gc
import json
import shutil
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from edgeship import source
from edgeship.codec import from_data, to_data
from edgeship.data import DataOptions, from_arrays, open_dataset
from edgeship.errors import DataError, MissingPackageError, SourceError, UnsafeModelError
from edgeship.types import Progress, Source, TensorSpec

RNG = np.random.default_rng(5)


@pytest.fixture(scope="module")
def keras() -> Any:
    import keras

    return keras


@pytest.fixture(scope="module")
def tf_keras() -> Any:
    import tf_keras

    return tf_keras


def small(framework: Any, **head: Any) -> Any:
    layers = framework.layers
    image = framework.Input((6, 6, 1), name="image")
    x = layers.Conv2D(3, 3, activation="relu", name="conv")(image)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.DepthwiseConv2D(3, name="depthwise")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return framework.Model(image, layers.Dense(4, name="scores", **head)(x), name="small")


@pytest.fixture(scope="module")
def model(keras: Any) -> Any:
    keras.utils.set_random_seed(1)
    return small(keras, activation="softmax")


@pytest.fixture
def saved(model: Any, tmp_path: Path) -> Path:
    return source.save_live(model, tmp_path)


def run(found: Source, *inputs: Any) -> list[Any]:
    return [np.asarray(value) for value in source.forward(source.load(found), found)(*inputs)]


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


def test_what_only_keras_2_knows_is_read_by_tf_keras(tf_keras: Any, tmp_path: Path) -> None:
    layers = tf_keras.layers
    live = tf_keras.Sequential([layers.Input((8, 2)), layers.LocallyConnected1D(3, 3), layers.Flatten()])
    found = source.inspect(source.save_live(live, tmp_path))
    assert (found.loader, found.inputs[0].shape) == ("tf_keras", (None, 8, 2))


def test_several_inputs_and_outputs_keep_their_names_and_order(keras: Any, tmp_path: Path) -> None:
    layers = keras.layers
    wide, deep = keras.Input((2,), name="wide"), keras.Input((3,), name="deep", dtype="int32")
    x = layers.Concatenate()([wide, layers.Rescaling(1.0)(deep)])
    outputs = {"zebra": layers.Dense(1, name="z")(x), "ant": layers.Dense(2, name="a")(x)}
    live = keras.Model({"wide": wide, "deep": deep}, outputs)
    found = source.inspect(source.save_live(live, tmp_path))
    assert {spec.name: (spec.shape, spec.dtype) for spec in found.inputs} == {
        "wide": ((None, 2), "float32"),
        "deep": ((None, 3), "int32"),
    }
    assert {spec.name: spec.shape for spec in found.outputs} == {"zebra": (None, 1), "ant": (None, 2)}
    values = {"wide": RNG.random((4, 2)).astype("float32"), "deep": np.arange(12, dtype="int32").reshape(4, 3)}
    results = run(found, *(values[spec.name] for spec in found.inputs))
    expected = live(values)
    for spec, result in zip(found.outputs, results, strict=True):
        assert np.allclose(result, expected[spec.name], atol=1e-6)


def test_names_are_made_safe_and_unique(keras: Any, tmp_path: Path) -> None:
    first, second = keras.Input((2,), name="my input:0"), keras.Input((2,), name="2nd")
    shared = keras.layers.Dense(2, name="twin")
    found = source.inspect(source.save_live(keras.Model([first, second], [shared(first), shared(second)]), tmp_path))
    assert [spec.name for spec in found.inputs] == ["my_input_0", "input_2nd"]
    assert [spec.name for spec in found.outputs] == ["twin", "twin_1"]
    assert len(run(found, np.ones((1, 2), "float32"), np.ones((1, 2), "float32"))) == 2


def test_a_sequential_model_and_a_fixed_batch(keras: Any, tmp_path: Path) -> None:
    live = keras.Sequential([keras.Input((3,), batch_size=2, name="x"), keras.layers.Dense(2, name="y")])
    found = source.inspect(source.save_live(live, tmp_path))
    assert (found.inputs[0], found.outputs[0].name) == (TensorSpec("x", (2, 3), "float32"), "y")
    dataset = from_arrays(
        {"x_test": RNG.random((5, 3)), "y_test": RNG.random((5, 2))},
        found.inputs,
        found.outputs,
        DataOptions(),
        tmp_path / "c",
    )
    source.predict(found, dataset, "test", tmp_path / "out", lambda event: None)
    assert np.load(tmp_path / "out" / "y.npy").shape == (5, 2)


CUSTOM = """
import keras

@keras.saving.register_keras_serializable(package="mine")
class Registered(keras.layers.Layer):
    def call(self, x):
        return x * 2

class Plain(keras.layers.Layer):
    def call(self, x):
        return x + 1

def twice(x):
    return 2 * x

class Whole(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = keras.layers.Dense(2)

    def call(self, x):
        return {"scores": self.dense(x)}
"""


@pytest.fixture(scope="module")
def custom(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("custom")
    (folder / "layers_of_test_source.py").write_text(CUSTOM)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        from edgeship.references import resolve

        resolve("layers_of_test_source:Plain")
        import sys

        yield sys.modules["layers_of_test_source"]


def test_custom_objects(keras: Any, custom: Any, tmp_path: Path) -> None:
    x = keras.Input((3,), name="x")
    y = keras.layers.Dense(2, activation=custom.twice, name="y")(custom.Plain()(custom.Registered()(x)))
    live = keras.Model(x, y)
    path = source.save_live(live, tmp_path)
    references = tuple(f"layers_of_test_source:{name}" for name in ("Plain", "Registered", "twice"))
    with pytest.raises(SourceError, match=r"needs '(Plain|twice)'[\s\S]*--custom-objects"):
        source.inspect(path)
    found = source.inspect(path, references)
    assert found.custom_objects == references
    value = RNG.random((2, 3)).astype("float32")
    assert np.allclose(run(found, value)[0], live(value), atol=1e-6)
    with pytest.raises(SourceError, match="there is no 'Gone' in layers_of_test_source"):
        source.inspect(path, ("layers_of_test_source:Gone",))


def test_a_class_that_was_registered_when_saved_and_is_not_any_more(keras: Any, custom: Any, tmp_path: Path) -> None:
    x = keras.Input((3,), name="x")
    path = source.save_live(keras.Model(x, custom.Plain(name="y")(x)), tmp_path)
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(tmp_path / "moved.keras", "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name).replace(b'"registered_name": "Plain"', b'"registered_name": "old>Plain"'))
    found = source.inspect(tmp_path / "moved.keras", ("layers_of_test_source:Plain",))
    assert run(found, np.zeros((1, 3), "float32"))[0].tolist() == [[1, 1, 1]]


def test_edgeships_own_layers_need_no_permission(keras: Any, tmp_path: Path) -> None:
    from edgeship.compress.layers import FakeQuant

    x = keras.Input((3,), name="x")
    found = source.inspect(source.save_live(keras.Model(x, FakeQuant(frozen=True, name="y")(x)), tmp_path))
    assert (found.fake_quantized, found.trainable, found.outputs[0].name) == (True, True, "y")


def test_without_tensorflow_the_error_says_what_to_install(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = source.inspect(saved)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for call in (lambda: source.inspect(saved), lambda: source.load(found)):
        with pytest.raises(
            MissingPackageError, match=r"reading model\.keras needs tensorflow, keras, h5py[\s\S]*pip install"
        ):
            call()


def test_a_subclassed_model(keras: Any, custom: Any, tmp_path: Path) -> None:
    live = custom.Whole()
    with pytest.raises(SourceError, match="has no weights yet"):
        source.save_live(live, tmp_path)
    value = RNG.random((2, 3)).astype("float32")
    expected = live(value)["scores"]
    found = source.inspect(source.save_live(live, tmp_path), ("layers_of_test_source:Whole",))
    assert found.inputs == (TensorSpec("input", (None, 3), "float32"),)
    assert found.outputs == (TensorSpec("scores", (None, 2), "float32"),)
    assert np.allclose(run(found, value)[0], expected, atol=1e-6)


def test_a_lambda_layer_needs_permission(keras: Any, tmp_path: Path) -> None:
    x = keras.Input((3,), name="x")
    path = source.save_live(keras.Model(x, keras.layers.Lambda(lambda v: v * 3, name="triple")(x)), tmp_path)
    with pytest.raises(UnsafeModelError, match=r"layer 'triple' \(Lambda\) carries code"):
        source.inspect(path)
    found = source.inspect(path, allow_unsafe=True)
    assert found.allow_unsafe
    assert np.allclose(run(found, np.ones((1, 3), "float32"))[0], 3)
    with pytest.raises(UnsafeModelError):
        source.load(replace(found, allow_unsafe=False))


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


def test_a_saved_model_without_the_signature_or_its_variables(keras: Any, tmp_path: Path) -> None:
    import tensorflow as tf

    module = tf.Module()
    module.f = tf.function(lambda x: x, input_signature=[tf.TensorSpec((None, 2))])
    tf.saved_model.save(module, str(tmp_path / "a"), signatures={"other": module.f})
    with pytest.raises(SourceError, match=r"a has no signature 'serving_default' \(it has: other\)"):
        source.inspect(tmp_path / "a")
    small(keras).export(tmp_path / "b", verbose=False)
    shutil.rmtree(tmp_path / "b" / "variables")
    with pytest.raises(SourceError, match="b cannot be loaded as a SavedModel"):
        source.inspect(tmp_path / "b")


def test_predict_writes_the_outputs_of_a_split(model: Any, saved: Path, tmp_path: Path) -> None:
    found = source.inspect(saved)
    x = RNG.random((300, 6, 6, 1)).astype("float32")
    arrays = {"x_test": x, "y_test": np.arange(300) % 4}
    dataset = from_arrays(arrays, found.inputs, found.outputs, DataOptions(), tmp_path / "cache")
    events: list[Progress] = []
    assert source.predict(found, dataset, "test", tmp_path / "out", events.append) == ("scores",)
    written = np.load(tmp_path / "out" / "scores.npy")
    assert written.dtype == np.float32
    assert np.allclose(written, model.predict(x, verbose=0), atol=1e-6)
    assert [(e.done, e.total) for e in events] == [(128, 300), (256, 300), (300, 300)]
    other = replace(dataset, inputs=(TensorSpec("picture", (None, 6, 6, 1), "float32"),))
    (dataset.path / "test" / "x" / "picture.npy").symlink_to("image.npy")
    with pytest.raises(DataError, match="the dataset has inputs picture; the model takes image"):
        source.predict(found, other, "test", tmp_path / "out", events.append)


def test_outputs_without_a_row_for_each_sample_are_refused(keras: Any, tmp_path: Path) -> None:
    x = keras.Input((3,), name="x")
    found = source.inspect(source.save_live(keras.Model(x, keras.ops.sum(x, axis=0)), tmp_path))
    dataset = from_arrays(
        {"x_test": RNG.random((9, 3)), "y_test": RNG.random((9, 3))},
        found.inputs,
        (TensorSpec("y", (None, 3), "float32"),),
        DataOptions(),
        tmp_path / "c",
    )
    with pytest.raises(SourceError, match=r"of shape \(3,\) does not have one row for each of 128 samples"):
        source.predict(found, dataset, "test", tmp_path / "out", lambda event: None)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_broken_weights_are_refused_by_layer(keras: Any, value: float, tmp_path: Path) -> None:
    live = small(keras)
    kernel, bias = live.get_layer("conv").get_weights()
    bias[1] = value
    live.get_layer("conv").set_weights([kernel, bias])
    with pytest.raises(SourceError, match=r"model\.keras: layer 'conv' has NaN or infinite weights \(conv/bias\)"):
        source.inspect(source.save_live(live, tmp_path))
    live.export(tmp_path / "saved", verbose=False)
    with pytest.raises(SourceError, match=r"saved: layer '.*conv.*' has NaN or infinite weights"):
        source.inspect(tmp_path / "saved")


ALLOWED = r"[\s\S]*a \.keras or \.h5 file, a SavedModel folder, a float \.tflite file"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("m.keras", None, "there is no model at .*m.keras" + ALLOWED),
        ("m.keras", b"", r"m\.keras is empty \(0 bytes\)"),
        ("m.h5", b"", r"m\.h5 is empty \(0 bytes\)"),
        ("m.tflite", b"", r"m\.tflite is empty \(0 bytes\)"),
        ("m.h5", b"this is a text\n", r"m\.h5 is not a Keras model \(neither HDF5 nor ZIP\)" + ALLOWED),
        ("m.keras", b"this is a text\n", r"m\.keras is not a Keras model \(neither HDF5 nor ZIP\)"),
        (
            "m.h5",
            b"\x89HDF\r\n\x1a\n" + bytes(50),
            r"m\.h5 is not a readable HDF5 file[\s\S]*truncated or of another type",
        ),
        ("m.h5", b"PK\x03\x04" + bytes(50), r"m\.h5 is a \.keras file by its content[\s\S]*Rename it to \.keras"),
        ("m.keras", b"\x89HDF\r\n\x1a\n", r"m\.keras is a \.h5 file by its content[\s\S]*Rename it to \.h5"),
        ("m.keras", b"PK\x03\x04" + bytes(50), r"m\.keras is damaged or not a ZIP archive"),
        ("m.tflite", b"this is a text\n", r"m\.tflite is not a TFLite file"),
        ("m.pt", b"PK\x03\x04", r"m\.pt is of no type that edgeship reads \(\.pt\)" + ALLOWED),
        ("model", b"x", r"model is of no type that edgeship reads \(no suffix\)"),
    ],
)
def test_files_that_are_no_models(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError, match=message):
        source.inspect(tmp_path / name)


def test_a_folder_that_is_no_saved_model(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"is a folder without saved_model\.pb" + ALLOWED):
        source.inspect(tmp_path)


@pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
def test_truncated_keras_files(saved: Path, share: float) -> None:
    content = saved.read_bytes()
    saved.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(SourceError, match=r"model\.keras is damaged or not a ZIP archive"):
        source.inspect(saved)


def test_weights_that_do_not_fit_the_description(keras: Any, saved: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(saved) as old, zipfile.ZipFile(tmp_path / "mixed.keras", "w") as new:
        new.writestr("metadata.json", old.read("metadata.json"))
        new.writestr("config.json", old.read("config.json").replace(b'"units": 4', b'"units": 5'))
        new.writestr("model.weights.h5", old.read("model.weights.h5"))
    with pytest.raises(SourceError, match=r"mixed\.keras cannot be loaded \(Keras 3: "):
        source.inspect(tmp_path / "mixed.keras")


def test_what_is_no_live_model(tmp_path: Path) -> None:
    with pytest.raises(
        SourceError, match=r"dict is not a Keras model[\s\S]*a keras\.Model, a tf_keras\.Model or a path"
    ):
        source.save_live({}, tmp_path)


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


def test_real_mnist_accuracy(shared_data: Path, tmp_path: Path) -> None:
    from edgeship.metrics import get_metric

    with np.load(shared_data / "mnist" / "mnist.npz") as arrays:
        np.savez(tmp_path / "m.npz", x_test=arrays["x_test"][:2000], y_test=arrays["y_test"][:2000])
    found = source.inspect(shared_data / "tfjs_reference" / "mnist_cnn" / "mnist_cnn.keras")
    dataset = open_dataset(
        str(tmp_path / "m.npz"), found.inputs, found.outputs, DataOptions(scale=1 / 255), tmp_path / "c"
    )
    (name,) = source.predict(found, dataset, "test", tmp_path / "out", lambda event: None)
    metric = get_metric(None, dataset)
    labels = np.load(dataset.path / "test" / "y.npy")
    assert metric.value(metric.per_sample(np.load(tmp_path / "out" / f"{name}.npy"), labels)) > 0.98
