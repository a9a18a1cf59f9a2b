"""What is no model, or a broken one, is refused with what to do."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from source_models import small

from edgeship import source
from edgeship.errors import MissingPackageError, SourceError


def test_without_tensorflow_the_error_says_what_to_install(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = source.inspect(saved)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for call in (lambda: source.inspect(saved), lambda: source.load(found)):
        with pytest.raises(
            MissingPackageError, match=r"reading model\.keras needs tensorflow, keras, h5py[\s\S]*pip install"
        ):
            call()


def test_a_saved_model_without_a_signature_or_its_variables(keras: Any, tmp_path: Path) -> None:
    import tensorflow as tf

    tf.saved_model.save(tf.Module(), str(tmp_path / "a"))
    with pytest.raises(SourceError, match=r"a has no signature\nExport it"):
        source.inspect(tmp_path / "a")
    small(keras).export(tmp_path / "b", verbose=False)
    shutil.rmtree(tmp_path / "b" / "variables")
    with pytest.raises(SourceError, match="b cannot be loaded as a SavedModel"):
        source.inspect(tmp_path / "b")


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


ALLOWED = r"[\s\S]*a \.keras or \.h5 file, a SavedModel folder, a frozen graph[\s\S]*a float \.onnx or \.tflite file"


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
    with pytest.raises(SourceError, match=r"is a folder without saved_model\.pb or model\.json" + ALLOWED):
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
