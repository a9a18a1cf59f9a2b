"""What the peers' scripts share: the request, the data, batches, the result. NumPy and the standard library only.

A script is started as a module from the root of the repository, with a folder that holds `request.json`; it writes the
file and `result.json` there.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from tests.acceptance.compression.data import flip_and_crop


@dataclass(frozen=True)
class Request:
    """What a script is asked for; see `methods.Peer`."""

    base: str
    data: str
    input: str
    out: str
    seed: int
    augment: bool
    batch_size: int
    epochs: int
    settings: Mapping[str, Any]

    def split(self, name: str) -> tuple[Any, Any]:
        """Inputs (N, ...) and labels (N,) of `train`, `validation` or `calibration`, memory-mapped.

        The test split is none of a script's business.
        """
        if name not in ("train", "validation", "calibration"):
            raise ValueError(f"no script sees the {name} split")
        folder = Path(self.data) / name
        x, y = folder / "x" / f"{self.input}.npy", folder / "y.npy"
        return np.load(x, mmap_mode="r"), np.load(y, mmap_mode="r")

    def calibration(self, count: int) -> Any:
        """(count, ...) inputs, evenly spread over the calibration split."""
        x, _ = self.split("calibration")
        return np.asarray(x[np.linspace(0, len(x) - 1, min(count, len(x))).round().astype(int)])

    def batches(self, epoch: int) -> Iterator[tuple[Any, Any]]:
        """Shuffled training batches of one epoch, augmented where the task's are."""
        x, y = self.split("train")
        rng = np.random.default_rng([self.seed, epoch])
        order = rng.permutation(len(x))
        for start in range(0, len(order), self.batch_size):
            rows = np.sort(order[start : start + self.batch_size])
            batch = np.asarray(x[rows]), np.asarray(y[rows])
            yield flip_and_crop(*batch, rng) if self.augment else batch

    @property
    def steps(self) -> int:
        """Batches of an epoch."""
        return -(-len(self.split("train")[0]) // self.batch_size)


def request() -> Request:
    """The request of this process."""
    return Request(**json.loads((Path(sys.argv[1]) / "request.json").read_text()))


def sweep(
    candidates: Sequence[Mapping[str, Any]], make: Callable[..., Any], score: Callable[[Any], float]
) -> tuple[Any, Mapping[str, Any], list[dict[str, Any]]]:
    """Make all candidates; the one that is best on the validation part, its settings, and what each came to.

    A candidate that cannot be made is listed with the reason; if none can, the last reason is raised.
    """
    tried: list[dict[str, Any]] = []
    best: tuple[float, Any, Mapping[str, Any]] | None = None
    problem: Exception | None = None
    for settings in candidates:
        try:
            made = make(**settings)
            value = score(made)
        except Exception as error:  # noqa: BLE001 - whatever the peer raises
            tried.append({**settings, "failed": f"{type(error).__name__}: {error}"[:300]})
            problem = error
            continue
        tried.append({**settings, "validation": value})
        if best is None or value > best[0]:
            best = (value, made, settings)
    if best is None:
        reasons = " / ".join(sorted({row["failed"] for row in tried}))
        raise RuntimeError(f"no candidate could be made: {reasons}") from problem
    return best[1], best[2], tried


def litert_accuracy(content: bytes, x: Any, y: Any) -> float:
    """Accuracy of a .tflite file with one input and one output, sample by sample, in LiteRT."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        import tensorflow as tf

        Interpreter = tf.lite.Interpreter
    interpreter = Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    (given,), (wanted,) = interpreter.get_input_details(), interpreter.get_output_details()
    scale, zero = given["quantization"]
    right = 0
    for sample, label in zip(x, y, strict=True):
        value = sample[None]
        if given["dtype"] != np.float32:
            limits = np.iinfo(given["dtype"])
            value = np.clip(np.round(value / scale + zero), limits.min, limits.max)
        interpreter.set_tensor(given["index"], value.astype(given["dtype"]))
        interpreter.invoke()
        right += int(interpreter.get_tensor(wanted["index"])[0].argmax() == label)
    return right / len(y)


def onnx_accuracy(content: bytes, x: Any, y: Any) -> float:
    """Accuracy of an .onnx file with one input and one output in ONNX Runtime."""
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    parts = [session.run(None, {name: np.asarray(x[i : i + 250])})[0] for i in range(0, len(x), 250)]
    return float((np.concatenate(parts).argmax(axis=-1) == y).mean())


def finish(asked: Request, content: bytes, form: str, packages: Sequence[str], **facts: Any) -> None:
    """Write the file and the result."""
    name = f"model.{form}"
    (Path(asked.out) / name).write_bytes(content)
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    result = {"file": name, "versions": found, **facts}
    (Path(asked.out) / "result.json").write_text(json.dumps(result))
