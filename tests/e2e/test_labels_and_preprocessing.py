"""From the command line: labels and preprocessing in a file, or in its graph, and the file used alone."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from edgeship.preprocessing import NAMED, prepare

from .conftest import Ran, Script

TORCH = NAMED["torch"]
BAKED = ("--to", "tflite", "--quantize", "int8", "--bake-preprocessing")
PLAIN = ("--to", "onnx")


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of images whose brightest channel is the class, trained on what `--preprocess torch` makes of them."""
    import keras

    folder = tmp_path_factory.mktemp("given")
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 900)
    x = rng.integers(0, 150, (900, 8, 8, 3))
    x[np.arange(900), :, :, y] += rng.integers(5, 100, 900)[:, None, None]
    x = x.astype("uint8")
    layers = keras.layers
    first = [layers.Conv2D(6, 3, padding="same", activation="relu"), layers.GlobalAveragePooling2D()]
    model = keras.Sequential([keras.Input((8, 8, 3), name="image"), *first, layers.Dense(3, "softmax", name="color")])
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(prepare(x[:600], TORCH), y[:600], epochs=20, verbose=0)
    model.save(folder / "model.keras")
    np.savez(folder / "data.npz", x_train=x[:600], y_train=y[:600], x_test=x[600:], y_test=y[600:])
    (folder / "labels.txt").write_text("red\ngreen\nblue\n")
    return folder


def convert(edgeship: Script, given: Path, out: Path, *more: str) -> Ran:
    prepared = ("--data", given / "data.npz", "--preprocess", "torch", "--labels", given / "labels.txt")
    return edgeship("convert", given / "model.keras", *prepared, *more, "--max-drop", "3", "--out", out, "--json")


def picture(folder: Path) -> Path:
    from PIL import Image

    pixels = np.full((20, 20, 3), (60, 200, 40), np.uint8)
    Image.fromarray(pixels).save(folder / "green.png")
    return folder / "green.png"


@pytest.mark.parametrize("baked", [False, True])
def test_files_say_what_they_take_and_are_used_by_it(
    edgeship: Script, given: Path, tmp_path: Path, baked: bool
) -> None:
    made = convert(edgeship, given, tmp_path / "build", *(BAKED if baked else PLAIN))
    assert made.code == 0, made.err
    report = made.json
    assert {a["verification"] for a in report["artifacts"]} == {"passed"}
    for artifact in report["artifacts"]:
        assert artifact["labels"] == ["red", "green", "blue"]
        assert artifact["preprocessing"]["mean"] == ([] if baked else list(TORCH.mean))
        assert any("takes raw values" in note for note in artifact["notes"]) == baked
    for artifact in report["artifacts"]:
        entry = Path(artifact["format"]) / artifact["variant"] / artifact["files"][0]["name"]
        lone = tmp_path / entry.name
        shutil.copyfile(tmp_path / "build" / "artifacts" / entry, lone)
        found = edgeship("predict", lone, picture(tmp_path), "--json").json
        assert found["labelled"]
        assert found["samples"][0][0]["label"] == "green"
        data = ("--data", given / "data.npz", "--preprocess", "torch", "--max-drop", "3")
        checked = edgeship("verify", lone, "--against", given / "model.keras", *data, "--json")
        assert checked.code == 0, checked.err


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--scale", "0.5"), "--preprocess says what --scale, --mean and --std say"),
        (("--mean", "1,x"), "'1,x' is not a number, or numbers divided by commas"),
        (("--mean", "1,2", "--preprocess", "raw"), "give one or the other"),
    ],
)
def test_options_that_do_not_go_together(
    edgeship: Script, given: Path, tmp_path: Path, more: tuple[str, ...], message: str
) -> None:
    ran = convert(edgeship, given, tmp_path / "build", *more)
    assert ran.code == 2
    assert message in " ".join(ran.err.split())


def test_what_cannot_be_said_or_baked(edgeship: Script, given: Path, tmp_path: Path) -> None:
    model, out = given / "model.keras", ("--to", "tflite", "--out", tmp_path / "build")
    (tmp_path / "two.txt").write_text("a\nb\n")
    wrong = edgeship("convert", model, "--labels", tmp_path / "two.txt", *out)
    assert (wrong.code, "there are 2 labels, and output 'color' has 3 classes" in wrong.err) == (2, True)
    absent = edgeship("convert", model, "--labels", tmp_path / "absent.txt", *out)
    assert (absent.code, "cannot be read" in absent.err) == (2, True)
    unknown = edgeship("convert", model, "--bake-preprocessing", *out)
    assert (unknown.code, "it is not known how these samples were made" in unknown.err) == (2, True)
    said = edgeship("convert", model, "--preprocess", "torch", "--bake-preprocessing", *out, "--json")
    assert said.code == 0, said.err
    assert [a["verification"] for a in said.json["artifacts"]] == ["passed"]
