"""Slices in a build: planted damage fails its gate, an intact file passes, and everything is in the report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from .conftest import Ran, Script

#: A network whose answer is x0 > 0, and one that gives too much to those of group 1.
_MODELS = """
import keras, numpy as np
for name, extra in (("intact", 0.0), ("unfair", 1.2)):
    model = keras.Sequential([keras.Input((6,), name="person"), keras.layers.Dense(2, "softmax", name="answer")])
    weights = np.zeros((6, 2), np.float32)
    weights[0, 1], weights[1, 1] = 3.0, 3.0 * extra
    model.set_weights([weights, np.zeros(2, np.float32)])
    model.save(f"{name}.keras")
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, edgeship: Script) -> Path:
    import subprocess
    import sys

    folder = tmp_path_factory.mktemp("slices")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2400, 6)).astype(np.float32)
    group = rng.random(2400) < 0.25
    x[:, 1] = group
    y = (x[:, 0] > 0).astype(np.int64)
    words = np.where(group, "few", "many")
    np.savez(folder / "data.npz", x=x, y=y, classes=np.array(["no", "yes"]), **{"slice.group": words})
    subprocess.run([sys.executable, "-c", _MODELS], cwd=folder, check=True, env=edgeship.env, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def built(place: Path, edgeship: Script) -> Ran:
    return edgeship(
        "build", "intact.keras", "--data", "data.npz", "--recipe", "int8", "--to", "tflite", "--quantize", "float32",
        "--quantize", "int8", "--max-drop", "5", "--max-slice-drop", "10", "--min-slice", "20", "--occlusion",
        "--slices", "label, group, label x group, level", "--out", "out", cwd=place,
    )  # fmt: skip


def test_a_build_compares_each_file_by_slice(built: Ran, place: Path) -> None:
    assert built.code == 0, built.err
    document = json.loads((place / "out" / "report.json").read_text())
    studies = {study["artifact"]: study for study in document["slices"]}
    assert set(studies) == {"tflite/float32", "tflite/int8"}
    for study in studies.values():
        names = {row["slice"] for row in study["rows"]}
        assert {"label=no", "label=yes", "group=few", "group=many", "label=no x group=few"} <= names
        assert sum(name.startswith("level=") for name in names) == 4
        assert study["calibration"]["n"] == study["overall"]["n"] == 480
    exact = studies["tflite/float32"]
    assert {row["drop"]["value"] for row in exact["rows"]} == {0.0}
    assert exact["occlusion"]["similarity"] == pytest.approx(1.0, abs=0.01)
    assert studies["tflite/int8"]["occlusion"]["columns"] == 6
    gates = [gate for gate in document["gates"] if gate["name"] == "slices"]
    assert [(gate["status"], gate["limit"]) for gate in gates] == [("pass", 10.0)] * 2
    assert "What compression did, to whom" in (place / "out" / "report.html").read_text()


def test_damage_of_one_group_fails_the_gate_of_slices(place: Path, edgeship: Script) -> None:
    made = edgeship("convert", "unfair.keras", "--to", "tflite", "--out", "unfair", cwd=place)
    assert made.code == 0, made.err
    wanted = ("--against", "intact.keras", "--data", "data.npz", "--max-drop", "20", "--max-slice-drop", "15")
    ran = edgeship("verify", "unfair/artifacts/tflite/float32", *wanted, "--json", cwd=place)
    assert ran.code == 1
    gates: dict[str, Any] = {gate["name"]: gate for gate in ran.json["gates"]}
    assert gates["metric"]["accepted"]  # as a whole, 20 points are allowed
    assert gates["slices"]["status"] == "fail"
    assert gates["slices"]["detail"].startswith("group=few: accuracy drops by +")
    assert "of 4 slices exceed 15" in gates["slices"]["detail"]
    kept = edgeship("verify", "out/artifacts/tflite/float32", *wanted, "--json", cwd=place)
    assert {g["name"]: g["status"] for g in kept.json["gates"]}["slices"] == "pass"


def test_slices_that_cannot_be_are_refused_before_anything_is_written(place: Path, edgeship: Script) -> None:
    ran = edgeship("convert", "intact.keras", "--data", "data.npz", "--out", "no", "--slices", "colour", cwd=place)
    assert ran.code == 2
    assert "there is no column 'colour'" in ran.err
    assert "There are: group, label" in ran.err
    assert not (place / "no").exists()
