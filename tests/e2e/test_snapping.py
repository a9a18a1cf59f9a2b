"""`--snap-to`: float32 files of which patches are small, verified like every other file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import edgeship
from edgeship.bundle import Wishes, device_bundle
from edgeship.delta import decode, encode
from edgeship.errors import ArtifactError, InputError
from edgeship.types import Report


def _network(width: int = 24) -> keras.Model:
    keras.utils.set_random_seed(0)
    image = keras.Input((12, 12, 2), name="image")
    x = keras.layers.Conv2D(width, 3, activation="relu")(image)
    x = keras.layers.Conv2D(32, 3, activation="relu")(x)
    return keras.Model(image, keras.layers.Dense(5, name="scores")(keras.layers.Flatten()(x)), name="digits")


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> tuple[keras.Model, Path]:
    """A fine-tuned model, and the build of what it was before."""
    out = tmp_path_factory.mktemp("snapping")
    model = _network()
    edgeship.convert(model, to=("tflite", "onnx"), out=out / "old")
    random = np.random.default_rng(0)
    x, y = random.normal(size=(64, 12, 12, 2)).astype(np.float32), random.integers(0, 5, 64)
    model.compile(keras.optimizers.Adam(1e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(x, y, epochs=2, verbose=0)
    return model, out


def _files(folder: Path, variant: str, formats: tuple[str, ...] = ("tflite", "onnx")) -> tuple[Path, ...]:
    return tuple(folder / "artifacts" / name / variant / f"model.{name}" for name in formats)


@pytest.fixture(scope="module")
def report(releases: tuple[keras.Model, Path]) -> Report:
    model, out = releases
    return edgeship.convert(model, to=("tflite", "onnx"), out=out / "new", snap_to=_files(out / "old", "float32"))


def test_snapped_files_pass_and_their_patches_are_small(report: Report, releases: tuple[keras.Model, Path]) -> None:
    _, out = releases
    states = {a.id: a.verification for a in report.artifacts}
    names = ("tflite/float32", "tflite/float32-snapped", "onnx/float32", "onnx/float32-snapped")
    assert states == dict.fromkeys(names, "passed")
    for old, exact, snapped in zip(
        _files(out / "old", "float32"),
        _files(out / "new", "float32"),
        _files(out / "new", "float32-snapped"),
        strict=True,
    ):
        before, after = old.read_bytes(), snapped.read_bytes()
        patch = encode(before, after)
        assert decode(before, patch) == after
        assert len(patch) < 0.4 * len(encode(before, exact.read_bytes()))
        (artifact,) = (a for a in report.artifacts if a.entry == snapped)
        assert any(f"takes {len(patch):,} of {len(after):,} bytes" in note for note in artifact.notes)
    errors = {g.artifact: g.value for g in report.gates if g.name == "max-abs"}
    assert 5e-4 < errors["tflite/float32-snapped"] < 5e-2  # it is another file, held to other limits
    assert errors["tflite/float32"] < 5e-4


def test_to_devices_it_is_the_float32_file(report: Report, releases: tuple[keras.Model, Path]) -> None:
    _, out = releases
    device_bundle(out / "new", out / "bundle", Wishes(artifact="tflite/float32-snapped"))
    manifest: dict[str, Any] = json.loads((out / "bundle" / "manifest.json").read_text())
    assert (manifest["artifact"], manifest["variant"]) == ("tflite/float32-snapped", "float32")


def _twice(old: Path) -> tuple[Path, ...]:
    return _files(old, "float32", ("tflite", "tflite"))


def _of_another_format(old: Path) -> tuple[Path, ...]:
    return _files(old, "float32", ("onnx",))


def _that_is_not_there(old: Path) -> tuple[Path, ...]:
    return (old / "model.tflite",)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (_twice, InputError, "two tflite files"),
        (_of_another_format, InputError, "no file onnx/float32 is made"),
        (_that_is_not_there, ArtifactError, "does not exist"),
    ],
)
def test_files_that_nothing_can_be_snapped_to(
    releases: tuple[keras.Model, Path],
    tmp_path: Path,
    given: Callable[[Path], tuple[Path, ...]],
    error: type[Exception],
    message: str,
) -> None:
    model, out = releases
    with pytest.raises(error, match=message):
        edgeship.convert(model, to="tflite", out=tmp_path / "new", snap_to=given(out / "old"))
    assert not (tmp_path / "new").exists()


def test_the_file_of_another_network(releases: tuple[keras.Model, Path], tmp_path: Path) -> None:
    _, out = releases
    report = edgeship.convert(
        _other_network(), to="tflite", out=tmp_path / "new", snap_to=_files(out / "old", "float32", ("tflite",))
    )
    assert [a.id for a in report.artifacts] == ["tflite/float32"]
    (failure,) = report.failures
    assert "no weights to snap tflite/float32 to" in failure.message


def _other_network() -> keras.Model:
    keras.utils.set_random_seed(1)
    return keras.Sequential([keras.Input((7,)), keras.layers.Dense(3)])
