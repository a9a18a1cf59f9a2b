"""predict, benchmark and inspect with files made here, without TensorFlow."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as tfl
from PIL import Image
from tests import tiny_tflite

from edgeship import inspection, standalone
from edgeship.artifact import hash_files, read_artifact, write_sidecar
from edgeship.child import Limits
from edgeship.errors import DataError, MissingPackageError
from edgeship.types import Artifact, Preprocessing, Progress, TensorSpec
from edgeship_benchmarks.session import AgentSession, Channel

COLOURS = np.array([[[10, 20, 30], [40, 50, 60]], [[70, 80, 90], [100, 110, 200]]], np.uint8)


def quiet(_: Progress) -> None:
    """No progress wanted."""


def deliver(folder: Path, preprocessing: Preprocessing, dtype: str = "float32") -> Path:
    """A model that gives back its pixels, as a build delivers it."""
    folder.mkdir()
    code = {"float32": tfl.TensorType.FLOAT32, "uint8": tfl.TensorType.UINT8}[dtype]
    (folder / "model.tflite").write_bytes(tiny_tflite.image_model_bytes(code))
    inputs, outputs = (TensorSpec("image", (1, 2, 2, 3), dtype),), (TensorSpec("pixels", (1, 12), dtype),)
    files = hash_files(folder, ["model.tflite"])
    made = Artifact(folder, "tflite", "float32", files, inputs, outputs, "a" * 64, preprocessing=preprocessing)
    write_sidecar(replace(made, verification="passed"))
    return folder


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    Image.fromarray(COLOURS).save(tmp_path / "picture.png")
    return tmp_path / "picture.png"


def pixels(found: standalone.Predicted) -> list[float]:
    by_place = sorted((int(score.label), score.value) for score in found.samples[0])
    return [value for _, value in by_place]


def test_predict_prepares_an_image_as_recorded(tmp_path: Path, picture: Path) -> None:
    done = Preprocessing(0.5, "bilinear", "RGB")
    found = standalone.predict(deliver(tmp_path / "a", done), picture, None, 12)
    assert pixels(found) == list(COLOURS.reshape(-1) * 0.5)
    assert (found.preprocessing, found.assumed) == (done, ())
    other = standalone.predict(tmp_path / "a", picture, 2.0, 12)
    assert pixels(other) == list(COLOURS.reshape(-1) * 2.0)
    assert other.preprocessing == replace(done, scale=2.0)


def test_predict_says_what_it_assumes(tmp_path: Path, picture: Path) -> None:
    found = standalone.predict(deliver(tmp_path / "a", Preprocessing(scale=1.0)), picture, None, 12)
    assert found.assumed == ("resize: bilinear", "channels: RGB")


def test_predict_does_not_guess_the_scale(tmp_path: Path, picture: Path) -> None:
    folder = deliver(tmp_path / "a", Preprocessing())
    (tmp_path / "golden").mkdir()
    (tmp_path / "golden" / "ranges.json").write_text('{"inputs": {"image": [0.0, 1.0]}, "outputs": {}}')
    with pytest.raises(DataError, match="not recorded") as caught:
        standalone.predict(folder, picture, None, 12)
    assert "--scale 0.00392157" in caught.value.remedy
    assert pixels(standalone.predict(folder, picture, 1.0, 12)) == list(COLOURS.reshape(-1).astype(float))


def test_a_model_of_pixels_gets_pixels(tmp_path: Path, picture: Path) -> None:
    folder = deliver(tmp_path / "a", Preprocessing(), "uint8")
    assert pixels(standalone.predict(folder, picture, None, 12)) == list(COLOURS.reshape(-1).astype(float))
    with pytest.raises(DataError, match="uint8 pixels"):
        standalone.predict(folder, picture, 0.5, 12)


@pytest.mark.parametrize("value", [0.7, 300.0, -1.0, float("nan")])
def test_values_that_the_input_cannot_hold_are_refused(tmp_path: Path, value: float) -> None:
    folder = deliver(tmp_path / "a", Preprocessing(), "uint8")
    x = np.full((2, 2, 3), 44.0)
    np.save(tmp_path / "x.npy", x)
    assert pixels(standalone.predict(folder, tmp_path / "x.npy", None, 12)) == [44.0] * 12
    x[0, 0, 0] = value
    np.save(tmp_path / "x.npy", x)
    with pytest.raises(DataError, match="do not fit uint8"):
        standalone.predict(folder, tmp_path / "x.npy", None, 12)


def test_predict_without_pillow_names_the_command(
    tmp_path: Path, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = deliver(tmp_path / "a", Preprocessing(1.0))
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingPackageError, match="Pillow") as caught:
        standalone.predict(folder, picture, None, 12)
    assert "pip install" in caught.value.remedy


def test_a_verdict_beside_a_file_is_shown_as_a_claim(tmp_path: Path, picture: Path) -> None:
    folder = deliver(tmp_path / "a", Preprocessing(0.5, "bilinear", "RGB"))
    facts = inspection.inspect(folder).facts
    assert facts["verification"] == "passed, says its artifact.json"
    assert facts["preprocessing"] == "resize: bilinear, channels: RGB, x 0.5"
    assert standalone.predict(folder, picture, None, 1).claimed == "passed"
    (folder / "artifact.json").unlink()
    facts = inspection.inspect(folder / "model.tflite").facts
    assert facts["verification"] == "UNVERIFIED: there is no artifact.json"
    assert facts["preprocessing"] == "nothing is recorded"


def test_a_scale_that_is_none_is_refused_in_a_sidecar(tmp_path: Path) -> None:
    folder = deliver(tmp_path / "a", Preprocessing(0.5))
    text = (folder / "artifact.json").read_text()
    (folder / "artifact.json").write_text(text.replace('"scale": 0.5', '"scale": -1.0'))
    with pytest.raises(Exception, match="the scale of its preprocessing is"):
        read_artifact(folder)


def test_a_request_runs_files_under_its_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGESHIP_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "m.tflite"
    path.write_bytes(tiny_tflite.model_bytes())
    given = Limits(seconds=77, memory_mib=4000)
    started: list[Limits] = []
    start = AgentSession._start

    def recorded(self: AgentSession) -> Channel:
        started.append(self._limits)
        return start(self)

    monkeypatch.setattr(AgentSession, "_start", recorded)
    gates, failures = standalone.verify(standalone.VerifyRequest((path,), path, limits=given), quiet)
    assert gates
    assert not failures
    inspection.inspect(path, limits=given)
    assert len(started) >= 3
    assert set(started) == {given}
