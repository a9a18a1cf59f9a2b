"""What is refused before a model is loaded. Nothing here may run code from a file."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from edgeship.errors import SourceError, UnsafeModelError
from edgeship.source import safety
from edgeship.source.safety import (
    Description,
    check_description,
    describe_hdf5,
    describe_keras_zip,
)

FILE = Path("m.keras")


def weights(values: Any = (1.0, 2.0)) -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file["layers/dense/vars/0"] = np.array(values)
    return buffer.getvalue()


def keras_zip(path: Path, config: Any, content: bytes | None = None) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", config if isinstance(config, str) else json.dumps(config))
        archive.writestr("metadata.json", json.dumps({"keras_version": "3.15.1"}))
        archive.writestr("model.weights.h5", weights() if content is None else content)
    return path


def layer(class_name: Any, module: str | None = "keras.layers", registered: str | None = None, **config: Any) -> Any:
    inner = {
        "module": module,
        "class_name": class_name,
        "registered_name": registered,
        "config": {"name": "head", **config},
    }
    return {"module": "keras", "class_name": "Sequential", "config": {"name": "m", "layers": [inner]}}


def function(config: Any, module: str | None) -> Any:
    return layer("Dense", activation={"class_name": "function", "module": module, "config": config})


def check(config: Any, custom: tuple[str, ...] = ()) -> None:
    check_description(FILE, Description(config, "3.15.1"), custom)


@pytest.mark.parametrize(
    "config",
    [
        layer("Dense"),
        layer("Dense", None),
        layer("ThresholdedReLU", None),  # known to Keras 2 only
        layer("Add", "keras.src.ops.numpy"),
        layer("LayerScale", "keras.src.applications.convnext"),
        layer("CustomScaleLayer", "keras.src.applications.inception_resnet_v2"),
        layer("Functional", "keras.src.models.functional"),
        layer("Functional", "keras.src.engine.functional"),
        layer("Dense", dtype={"module": "keras", "class_name": "DTypePolicy", "config": {"name": "float32"}}),
        layer("FakeQuantized", None, "edgeship>FakeQuantized"),
        function("relu", "builtins"),
        function("relu", "keras.ops"),
        layer("TFOpLambda", None, function="math.multiply"),
        layer("TFOpLambda", None, function="compat.v1.reshape"),
        layer("SlicingOpLambda", None, function="__operators__.getitem"),
        {**layer("Dense"), "compile_config": {"loss": {"class_name": "MyLoss", "module": "evil", "config": {}}}},
    ],
)
def test_harmless_descriptions_pass(config: Any) -> None:
    check(config)


@pytest.mark.parametrize(
    "config",
    [
        layer("Lambda"),
        layer("Lambda", None, function=["4wEAAAA=", None, None]),
        layer("Lambda", "keras.src.layers.core.lambda_layer"),
        layer("Dense", activation={"class_name": "__lambda__", "config": {"value": "4wEA"}}),
        layer("TFSMLayer", filepath="evil"),
        layer("TorchModuleWrapper", "keras.src.utils.torch_utils"),
        layer("TensorFlowOpLayer", None, node_def="{}"),
        layer("get_file", "keras.utils"),
        layer("load_model", "keras.models"),
        layer("ResNet50", "keras.applications"),
        layer("enable_unsafe_deserialization", "keras.config"),
        layer("Dense", "keras"),
        layer("TFOpLambda", None, function="io.write_file"),
        layer("TFOpLambda", None, function="py_function"),
        layer("TFOpLambda", None, function="compat.v1.py_func"),
        layer("TFOpLambda", None, function="raw_ops.WriteFile"),
        layer("ClassMethod", None, cls_ref="tf.io", method_name="x"),
        layer("InstanceProperty", None, attr_name="__class__"),
        layer("StringLookup", vocabulary="/etc/passwd"),
        layer("__typespec__", "evil"),
        function("get_file", "keras.utils"),
        function("load_model", "keras.models"),
    ],
)
def test_what_carries_code_is_refused(config: Any) -> None:
    with pytest.raises(UnsafeModelError, match=r"could run code from the file[\s\S]*--allow-unsafe") as caught:
        check(config)
    assert "layer 'head'" in caught.value.message


@pytest.mark.parametrize(
    ("config", "reference"),
    [
        (layer("Attention2", "my_layers", "Attention2"), "my_layers:Attention2"),
        (layer("Popen", "subprocess"), "subprocess:Popen"),
        (layer("Popen", "subprocess", "edgeship>Popen"), "subprocess:Popen"),
        (layer("Popen", "subprocess", "other>Popen"), "subprocess:Popen"),
        (layer("system", "kerasevil"), "kerasevil:system"),
        (function("system", "os"), "os:system"),
    ],
)
def test_code_of_other_modules_has_to_be_named(config: Any, reference: str) -> None:
    with pytest.raises(UnsafeModelError, match="which is not part of Keras") as caught:
        check(config, custom=("Popen",) if "edgeship>" in str(config) or "other>" in str(config) else ())
    assert f"--custom-objects {reference}" in caught.value.remedy


@pytest.mark.parametrize(
    ("config", "name"),
    [
        (layer("Attention2", None), "Attention2"),
        (layer("Attention2", None, "pkg>Attention2"), "Attention2"),
        (layer("pkg>Attention2", None), "Attention2"),
        (function("my_activation", "builtins"), "my_activation"),
        (function("system", None), "system"),
    ],
)
def test_a_missing_class_is_named(config: Any, name: str) -> None:
    with pytest.raises(SourceError, match=rf"layer 'head' needs '{name}', which is not part of Keras") as caught:
        check(config)
    assert caught.value.remedy == f"Say where it is: --custom-objects your_module:{name}"
    check(config, custom=(name, f"pkg>{name}"))


@pytest.mark.parametrize("config", [layer(3), layer(None), layer(["Dense"])])
def test_class_names_are_text(config: Any) -> None:
    with pytest.raises(SourceError, match="is no class name"):
        check(config)


def test_a_keras_zip_is_described(tmp_path: Path) -> None:
    found = describe_keras_zip(keras_zip(tmp_path / "m.keras", layer("Dense")))
    assert found.keras_version == "3.15.1"
    assert {entry.class_name for entry in found.entries()} == {"Sequential", "Dense"}


@pytest.mark.parametrize(
    ("config", "content", "message"),
    [
        ("{", None, "damaged model description"),
        ("[" * 100_000, None, "damaged model description"),
        ("[1]", None, "list instead of a mapping"),
        (layer("Dense"), b"no HDF5", "is not a readable HDF5 file"),
        (layer("Dense"), weights()[:700], "is not a readable HDF5 file"),
    ],
)
def test_damaged_keras_zips(tmp_path: Path, config: Any, content: bytes | None, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        describe_keras_zip(keras_zip(tmp_path / "m.keras", config, content))


def test_a_zip_that_is_no_model(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "m.keras", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(
        SourceError, match=r"a ZIP archive, but not a Keras model \(config\.json or model\.weights\.h5 is"
    ):
        describe_keras_zip(tmp_path / "m.keras")


def test_a_changed_byte_in_the_archive_is_noticed(tmp_path: Path) -> None:
    path = keras_zip(tmp_path / "m.keras", layer("Dense"))
    content = path.read_bytes()
    path.write_bytes(content.replace(b'"Sequential"', b'"Sequentiam"', 1))
    with pytest.raises(SourceError, match=r"m\.keras is damaged: Bad CRC-32"):
        describe_keras_zip(path)


def test_weights_must_not_come_from_other_files(tmp_path: Path) -> None:
    (tmp_path / "secret.bin").write_bytes(bytes(64))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["a"] = h5py.ExternalLink("other.h5", "/a")
    with pytest.raises(UnsafeModelError, match="'a' is a link"):
        describe_hdf5(tmp_path / "a.h5")
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file.create_dataset("b", (8,), "f8", external=[(str(tmp_path / "secret.bin"), 0, 64)])
    with pytest.raises(UnsafeModelError, match="'/b' takes its values from another file"):
        describe_hdf5(tmp_path / "b.h5")


def test_an_hdf5_bomb_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("a", (1 << 40,), "f4", chunks=(1 << 20,), compression="gzip")
    with pytest.raises(SourceError, match=r"'/a' unpacks to 4,398,046,511,104 bytes, more than is plausible"):
        describe_hdf5(tmp_path / "a.h5")


def test_loops_in_hdf5_end(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_group("a")["again"] = file["/"]
        file.attrs["model_config"] = json.dumps(layer("Dense"))
        file.attrs["keras_version"] = np.bytes_("2.4.0")
    assert describe_hdf5(tmp_path / "a.h5").keras_version == "2.4.0"


def test_weights_alone_are_no_model(tmp_path: Path) -> None:
    (tmp_path / "w.h5").write_bytes(weights())
    with pytest.raises(SourceError, match=r"w\.h5 holds no model description[\s\S]*model\.save\(\), not"):
        describe_hdf5(tmp_path / "w.h5")


def test_the_lists_do_not_name_what_runs_code() -> None:
    assert not safety._TF_FUNCTIONS & {"py_function", "numpy_function", "load_library", "print", "io"}
    assert not safety._MODULES & {"utils", "saving", "config", "export", "callbacks", "tree"}
