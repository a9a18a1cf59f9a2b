"""The models that are compared, each in all forms: packages, files of the official converter, ONNX, TFLite."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgeship import demo
from edgeship.child import Child, Limits
from edgeship.data import digits
from edgeship.plugins import runtimes_for
from edgeship.report import read
from tests.acceptance import environments, tfjs_reference

_EDGESHIP = str(Path(sys.executable).with_name("edgeship"))
_OFFICIAL = Path(tfjs_reference.__file__).with_name("tfjs_official.py")
SAMPLES = 100
#: Name -> shape of one sample.
MODELS = {"digits": (1, 32, 32, 1)}


@dataclass(frozen=True)
class Model:
    """A model in all forms, in one folder.

    Attributes:
        folder: `package`, `tfjs`, `onnx`, `litert`, `inputs.bin` (float32, sample by sample).
        expected: classes of the samples by TFLite in float32, int64.
        labels: true classes.
    """

    name: str
    folder: Path
    expected: np.ndarray
    labels: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        return MODELS[self.name]


def made(name: str, folder: Path) -> Model:
    """The model; what is in the folder already is used."""
    if not (folder / "expected.npy").is_file():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        _make(folder)
    return Model(name, folder, np.load(folder / "expected.npy"), np.load(folder / "labels.npy"))


def _make(folder: Path) -> None:
    source, inputs, labels = _digits()
    keras = folder / "model.keras"
    shutil.copyfile(source, keras)
    formats = [word for form in ("tfjs", "tflite", "onnx") for word in ("--to", form)]
    variants = [word for variant in ("float32", "int8-floatio") for word in ("--quantize", variant)]
    _run("build", keras, "--data", "digits", *formats, *variants, "--max-drop", "5", "--out", folder / "build")
    runtimes = ("--runtime", "tfjs-wasm", "--runtime", "litert-wasm")
    _run("bundle", folder / "build", "--for", "web", *runtimes, "--out", folder / "package")
    artifacts = folder / "build/artifacts"
    shutil.copytree(artifacts / "onnx/float32", folder / "onnx")
    shutil.copytree(artifacts / "tflite/float32", folder / "litert")
    env = {"TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [str(environments.interpreter(tfjs_reference.ENVIRONMENT)), str(_OFFICIAL)]
    with Child(command, name="official converter", limits=Limits(seconds=600), env=env) as official:
        paths = {"model": keras, "saved_model": folder / "saved_model", "out": folder / "tfjs"}
        official.request({key: str(path) for key, path in paths.items()})
    inputs.tofile(folder / "inputs.bin")
    np.save(folder / "labels.npy", labels)
    plain = next(a for a in read(folder / "build").artifacts if a.id == "tflite/float32")
    (outputs,) = runtimes_for("tflite")[0].run(plain, {plain.inputs[0].name: inputs}).values()
    np.save(folder / "expected.npy", outputs.argmax(axis=1))


def _digits() -> tuple[Path, np.ndarray, np.ndarray]:
    data = digits.arrays()
    return demo.trained_baseline(lambda _: None), data["x"][-SAMPLES:], data["y"][-SAMPLES:]


def _run(*words: object) -> None:
    subprocess.run([_EDGESHIP, *map(str, words)], check=True, stdout=subprocess.DEVNULL)
