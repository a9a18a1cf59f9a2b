"""Releases of a network for scikit-learn's digits: trained, trained on, and another one in its place."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits

from edgeship import encodings
from edgeship import manifest as manifests
from edgeship.codec import from_data
from edgeship.device.engine import Engine
from edgeship.types import Manifest
from tests.tiny_tflite import network_bytes

MODEL = "digits"
VARIANT = "tflite-float32"
#: Version -> epochs that its network was trained for in all; 1.2.0 carries the file of a network of another seed.
EPOCHS = {"1.0.0": 20, "1.1.0": 22, "1.2.0": 24, "1.2.1": 24}
BAD = "1.2.0"
_GOLDEN = 16
_IMAGES, _CLASSES = load_digits(return_X_y=True)
_IMAGES = (_IMAGES / 16).astype(np.float32)
#: None of them was trained on, none is a golden sample.
PROBES = _IMAGES[-12:]


@dataclass(frozen=True)
class Made:
    """A release before it is published.

    Attributes:
        bundle: its folder.
        file: its model as devices run it.
        probes: what it answers to `PROBES`.
        accuracy: share of 400 images that it was not trained on.
    """

    bundle: Path
    file: Path
    probes: np.ndarray
    accuracy: float


def make(folder: Path) -> dict[str, Made]:
    """All releases of the story; the golden samples of 1.2.0 are those of the network that it should have carried."""
    network, other = _network(0), _network(1)
    files, made = {}, {}
    trained = 0
    for version, epochs in EPOCHS.items():
        _train(network, epochs - trained)
        trained = epochs
        files[version] = _file(network)
    _train(other, trained)
    for version, right in files.items():
        carried = _file(other) if version == BAD else right
        made[version] = _release(folder / version, carried, right)
    return made


def _network(seed: int) -> MLPClassifier:
    return MLPClassifier((128, 64), learning_rate_init=1e-3, max_iter=1, warm_start=True, random_state=seed)


def _train(network: MLPClassifier, epochs: int) -> None:
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore", ConvergenceWarning)  # it is stopped on purpose, to be trained on
        for _ in range(epochs):
            network.fit(_IMAGES[:1200], _CLASSES[:1200])


def _file(network: MLPClassifier) -> bytes:
    return network_bytes(list(zip(network.coefs_, network.intercepts_, strict=True)))


def _release(folder: Path, carried: bytes, right: bytes) -> Made:
    folder.mkdir(parents=True)
    file, reference = folder / "model.tflite", folder / "right.tflite"
    file.write_bytes(carried)
    reference.write_bytes(right)
    golden = _IMAGES[1200 : 1200 + _GOLDEN]
    bundle = _bundle(folder / "bundle", carried, (golden, run(reference, golden)), hashlib.sha256(right).hexdigest())
    held = _IMAGES[1300:1700]
    right_ones = run(file, held).argmax(axis=1) == _CLASSES[1300:1700]
    return Made(bundle, file, run(file, PROBES), float(right_ones.mean()))


def run(file: Path, images: np.ndarray) -> np.ndarray:
    """What a file answers: (N, 64) -> (N, 10)."""
    return np.asarray(Engine(str(file), ["x"], ["probabilities"]).run({"x": images})["probabilities"])


def _bundle(folder: Path, model: bytes, golden: tuple[np.ndarray, np.ndarray], source: str) -> Path:
    """A device bundle; each file is stored as it is smallest. `source`: digest of what the model was made from."""
    inputs, outputs = golden
    (folder / "golden").mkdir(parents=True)
    np.save(folder / "golden" / "input_0.npy", inputs)
    np.save(folder / "golden" / "output_0.npy", outputs)
    (folder / "model.tflite").write_bytes(model)
    names = ("model.tflite", "golden/input_0.npy", "golden/output_0.npy")
    files = [_stored(folder, name) for name in names]
    (folder / manifests.NAME).write_bytes(manifests.written(_manifest(files, source)))
    return folder


def _stored(folder: Path, name: str) -> dict[str, Any]:
    plain = (folder / name).read_bytes()
    found = encodings.smallest(plain)
    stored = None
    if found is not None:
        encoding, content = found
        stored = {"name": name + encodings.SUFFIXES[encoding], "encoding": encoding, **_content(content)}
        (folder / stored["name"]).write_bytes(content)
        (folder / name).unlink()
    return {"name": name, **_content(plain), "stored": stored}


def _content(content: bytes) -> dict[str, Any]:
    return {"sha256": hashlib.sha256(content).hexdigest(), "size_bytes": len(content)}


def _manifest(files: list[dict[str, Any]], source: str) -> Manifest:
    preprocessing: dict[str, Any] = {
        "scale": None, "resize": None, "channels": None, "mean": [], "std": [], "value_range": None,
        "given_dtype": "float32", "steps": [],
    }  # fmt: skip
    spec: Mapping[str, Any] = {"dtype": "float32", "quantization": None, "range": [0.0, 1.0]}
    return from_data(
        Manifest,
        {
            "schema": manifests.SCHEMA, "kind": "device", "name": MODEL, "version": None,
            "created": "2026-11-20T21:04:05+00:00", "artifact": "tflite/float32", "format": "tflite",
            "variant": "float32", "entry": "model.tflite", "files": files,
            "runtime": {"name": "litert", "minimum": "1.5.0", "ops": [{"name": "FULLY_CONNECTED", "version": 1}]},
            "budget": {"latency_ms": None, "memory_bytes": 64 << 20},
            "inputs": [{"name": "x", "shape": [1, 64], **spec, "preprocessing": preprocessing}],
            "outputs": [{"name": "probabilities", "shape": [1, 10], **spec}], "labels": list("0123456789"),
            "golden": {
                "samples": _GOLDEN, "inputs": {"x": "golden/input_0.npy"},
                "outputs": {"probabilities": "golden/output_0.npy"},
                "tolerances": [
                    {"runtime": "litert", "max_abs": {"probabilities": 1e-3}, "agreement": {"probabilities": 0.9}},
                    {"runtime": "*", "max_abs": {"probabilities": 1e-2}, "agreement": {"probabilities": 0.9}},
                ],
            },
            "metric": None, "latency": [], "card": None,
            "lineage": {
                "parent": None, "dataset": None, "recipe": {}, "report_sha256": source, "made_by": {},
                "source": {"name": "digits.keras", "kind": "keras", "sha256": source, "parameters": 17_226},
                "environment": {},
            },
        },
    )  # fmt: skip
