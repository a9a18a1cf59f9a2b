"""The models that are compared, each in all forms: packages, files of the official converter, ONNX, TFLite."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgeship import demo
from edgeship.child import Child, Limits
from edgeship.data import digits
from edgeship.plugins import runtimes_for
from edgeship.report import read
from tests.acceptance import environments, tfjs_reference
from tests.acceptance.compression.code import ROOT
from tests.acceptance.web_comparison import networks

_EDGESHIP = str(Path(sys.executable).with_name("edgeship"))
_OFFICIAL = Path(tfjs_reference.__file__).with_name("tfjs_official.py")


@dataclass(frozen=True)
class Setup:
    """What is compared.

    Attributes:
        make: writes `model.keras` and `data.npz` into a folder; the samples for testing are those that are compared on.
        shape: of one sample, with its batch.
        samples: that outputs are compared on.
        runs: predictions of a subject in each round.
        quantize: the variant for LiteRT.js; TF.js has its equivalent.
        note: for the page.
    """

    make: Callable[[Path], None]
    shape: tuple[int, ...]
    samples: int
    runs: int
    quantize: str
    note: str = ""


def _digits(folder: Path) -> None:
    shutil.copyfile(demo.trained_baseline(lambda _: None), folder / "model.keras")
    data, count = digits.arrays(), SETUPS["digits"].samples
    x, y = data["x"], data["y"]
    test = {"x_test": x[-count:], "y_test": y[-count:]}
    np.savez(folder / "data.npz", x_train=x[:-count], y_train=y[:-count], **test)


def _mobilenet(folder: Path) -> None:
    # Keras in a process of its own.
    command = [sys.executable, "-m", networks.__name__, str(folder), str(SETUPS["mobilenetv2"].samples)]
    subprocess.run(command, check=True, cwd=ROOT)


SETUPS: Mapping[str, Setup] = {
    "digits": Setup(_digits, (1, 32, 32, 1), samples=100, runs=30, quantize="int8-floatio"),
    "mobilenetv2": Setup(
        _mobilenet,
        networks.SHAPE,
        samples=100,
        runs=8,
        quantize="int8-floatio",
        note="MobileNetV2 1.0 (2.3 million parameters), trained on the digits as images of 96x96x3.",
    ),
}


@dataclass(frozen=True)
class Model:
    """A model in all forms, in one folder.

    Attributes:
        folder: `package`, `tfjs`, `onnx`, `litert`, `inputs.bin` (float32, sample by sample).
        expected: classes of the samples by TFLite in float32, int64.
        labels: classes of the samples as the original gives them, or true ones.
    """

    name: str
    folder: Path
    expected: np.ndarray
    labels: np.ndarray

    @property
    def setup(self) -> Setup:
        return SETUPS[self.name]


def made(name: str, folder: Path) -> Model:
    """The model; what is in the folder already is used."""
    if not (folder / "expected.npy").is_file():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        _make(SETUPS[name], folder)
    return Model(name, folder, np.load(folder / "expected.npy"), np.load(folder / "data.npz")["y_test"])


def _make(setup: Setup, folder: Path) -> None:
    setup.make(folder)
    inputs = np.load(folder / "data.npz")["x_test"].astype(np.float32)
    inputs.tofile(folder / "inputs.bin")
    keras = folder / "model.keras"
    given = (keras, "--data", folder / "data.npz", "--max-drop", "5", "--quantize", "float32")
    both = ("--to", "tfjs", "--to", "tflite")
    _run("convert", *given, "--quantize", setup.quantize, *both, "--out", folder / "build")
    _run("convert", *given, "--to", "onnx", "--out", folder / "others")
    runtimes = ("--runtime", "tfjs-wasm", "--runtime", "litert-wasm")
    _run("bundle", folder / "build", "--for", "web", *runtimes, "--out", folder / "package")
    shutil.copytree(folder / "others/artifacts/onnx/float32", folder / "onnx")
    shutil.copytree(folder / "build/artifacts/tflite/float32", folder / "litert")
    env = {"TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [str(environments.interpreter(tfjs_reference.ENVIRONMENT)), str(_OFFICIAL)]
    with Child(command, name="official converter", limits=Limits(seconds=600), env=env) as official:
        paths = {"model": keras, "saved_model": folder / "saved_model", "out": folder / "tfjs"}
        official.request({key: str(path) for key, path in paths.items()})
    plain = next(a for a in read(folder / "build").artifacts if a.id == "tflite/float32")
    (outputs,) = runtimes_for("tflite")[0].run(plain, {plain.inputs[0].name: inputs}).values()
    np.save(folder / "expected.npy", outputs.argmax(axis=1))


def _run(*words: object) -> None:
    subprocess.run([_EDGESHIP, *map(str, words)], check=True, stdout=subprocess.DEVNULL)
