"""What is kept of a foreign file beside its graph, and what is said where that cannot be."""

from __future__ import annotations

import io
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from edgeship.errors import DataError
from edgeship.types import ConvertOptions, Dataset, Preprocessing, Source, TensorSpec
from edgeship_converters.calibration import batches
from edgeship_converters.usage import add_props, keep_files

IMAGE = TensorSpec("x", (None, 4), "float32")


def _tflite(path: Path) -> Source:
    return Source(path, "tflite", "litert", "", (IMAGE,), (IMAGE,), 0, False)


@pytest.mark.parametrize("damage", ["checksum", "leaves the folder"])
def test_files_that_cannot_be_unpacked_are_left_out_with_a_note(tmp_path: Path, damage: str) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("labels.txt" if damage == "checksum" else "../labels.txt", b"one\ntwo\n")
    behind = archive.getvalue().replace(b"one", b"OnE") if damage == "checksum" else archive.getvalue()
    path = tmp_path / "m.tflite"
    path.write_bytes(b"\0\0\0\0TFL3" + behind)
    delivered, notes = keep_files(b"the file", _tflite(path))
    assert delivered == b"the file"
    assert len(notes) == 1
    assert notes[0].startswith("the files behind m.tflite (labels) are left out: ")


def test_what_speaks_of_neither_labels_nor_preprocessing_is_kept() -> None:
    model = onnx.ModelProto()
    kept = {"author": "Ann", "stride": "32", "names": "{0: 'old'}", "Image.BitmapPixelFormat": "Bgr8"}
    add_props(model, ConvertOptions(labels=("a", "b"), preprocessing=Preprocessing()), kept)
    found = {entry.key: entry.value for entry in model.metadata_props}
    assert found == {"author": "Ann", "stride": "32", "labels": '["a","b"]'}


def test_fewer_samples_than_the_batch_of_the_model_cannot_calibrate(tmp_path: Path) -> None:
    fixed = replace(IMAGE, shape=(32, 4))
    folder = tmp_path / "calibration" / "x"
    folder.mkdir(parents=True)
    np.save(folder / "x.npy", np.zeros((20, 4), np.float32))
    data = Dataset(tmp_path, "few", "", "unlabelled", (fixed,), {"calibration": 20})
    with pytest.raises(DataError, match=r"the model takes batches of 32, and there are 20 samples to calibrate with"):
        batches(data, (fixed,), 8)
