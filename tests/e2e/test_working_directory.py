"""The user's own modules are found in the working directory; others that lie there are not run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import Script

_LAYERS = """
import keras

@keras.saving.register_keras_serializable("mine")
class Scale(keras.layers.Layer):
    def call(self, x):
        import factors_of_mine  # found when the layer is called, too
        return x * factors_of_mine.FACTOR

def hit(outputs, labels):
    return (outputs.argmax(1) == labels).astype("float32")

def samples():
    import numpy as np
    x = np.random.default_rng(0).normal(size=(200, 4)).astype("float32")
    return {"x": x, "y": x.argmax(1)}
"""
_MODEL = """
import keras, layers_of_mine
x = keras.Input((4,), name="x")
keras.Model(x, keras.layers.Softmax(name="y")(layers_of_mine.Scale()(x))).save("m.keras")
"""
_SCRIPT = """
import json, sys
import edgeship
report = edgeship.build(
    "m.keras", data="layers_of_mine:samples", metric="layers_of_mine:hit", to=["tflite"], recipe="float16",
    custom_objects=["layers_of_mine:Scale"], out="by-api",
)
print(json.dumps([report.best.id, report.baseline.metric]))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("mine")
    (place / "layers_of_mine.py").write_text(_LAYERS)
    (place / "factors_of_mine.py").write_text("FACTOR = 2.0\n")
    subprocess.run([sys.executable, "-c", _MODEL], cwd=place, check=True, capture_output=True)
    (place / "h5py.py").write_text(f"open({str(place / 'ran')!r}, 'w')\n")
    return place


def test_a_module_next_to_a_downloaded_model_is_not_run(edgeship: Script, folder: Path) -> None:
    ran = edgeship("inspect", "m.keras", "--custom-objects", "layers_of_mine:Scale", "--json", cwd=folder)
    assert ran.code == 0, ran.err
    assert not (folder / "ran").exists()


def test_the_users_modules_are_found(edgeship: Script, folder: Path) -> None:
    mine = ("--custom-objects", "layers_of_mine:Scale", "--data", "layers_of_mine:samples")
    metric = ("--metric", "layers_of_mine:hit")
    ran = edgeship("convert", "m.keras", "--to", "tflite", *mine, *metric, "--out", "by-cli", "--json", cwd=folder)
    assert ran.code == 0, ran.err
    assert ran.json["baseline"]["metric"] == 1.0
    assert not (folder / "ran").exists()


def test_the_users_modules_are_found_from_python(edgeship: Script, folder: Path) -> None:
    (folder / "h5py.py").unlink(missing_ok=True)  # Python itself puts the script's folder first for the script
    (folder / "train.py").write_text(_SCRIPT)
    done = subprocess.run(
        [sys.executable, "train.py"], cwd=folder, env=edgeship.env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    best, metric = json.loads(done.stdout.splitlines()[-1])
    assert best.startswith("tflite/")
    assert metric == 1.0
