"""Our TF.js graph models against those of the official converter, on the same Keras files.

`python -m tests.acceptance.tfjs_reference` prints the table; `test_tfjs_reference.py` asserts it. The official
converter runs in an environment of its own, built once from `requirements/tfjs-reference.txt` in edgeship's cache.

What is timed: latency of one sample in the same agent (Node, WebAssembly, one thread), both models loaded and taking
turns; export from Keras file to written graph model, each in a process that has imported everything and converted the
model once before. The official converter reads no Keras 3 file: its way is to load the model, export it as SavedModel
and convert that.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from unittest import mock

import numpy as np

from edgeship.child import Child, Limits, Worker
from edgeship.source import inspect
from edgeship.types import Array, Source
from edgeship_benchmarks.runtimes.tfjs import TFJSWasmRuntime
from edgeship_benchmarks.session import AgentSession
from tests.acceptance import environments, tfjs_models

ROOT = Path(__file__).parents[2]
#: What the test measured last, for README.md.
RECORD = Path(__file__).with_name("records") / "tfjs_reference.jsonl"
#: Of the official converter: its name in `requirements/`.
ENVIRONMENT = "tfjs-reference"
SHARED = ROOT.parent / "shared" / "data"
ROUNDS = 20
EXPORTS = 5


@dataclass(frozen=True)
class Comparison:
    """One model. Ratios are official / ours: above 1, ours is better.

    Attributes:
        difference: largest difference of an output value, as a share of the largest value where that is above 1.
        sizes, gzip_sizes: bytes of model.json and weights, ours and official.
        latency_ms, export_s: medians, ours and official.
        latency, export: median over rounds of the ratio within the round.
    """

    model: str
    difference: float
    sizes: tuple[int, int]
    gzip_sizes: tuple[int, int]
    latency_ms: tuple[float, float]
    latency: float
    export_s: tuple[float, float]
    export: float


def models(folder: Path) -> dict[str, Path]:
    """Keras files by name: two that are made here, and the real ones beside the checkout where they are."""
    with Worker(Limits(seconds=300)) as worker:
        worker.call(tfjs_models.make, folder=folder)
    real = {
        "mnist_cnn": SHARED / "tfjs_reference" / "mnist_cnn" / "mnist_cnn.keras",
        "resnet8": SHARED / "base" / "resnet8_cifar10_jpeg.keras",
    }
    made = {path.stem: path for path in sorted(folder.glob("*.keras"))}
    return {**made, **{name: path for name, path in real.items() if path.is_file()}}


@contextmanager
def _official() -> Iterator[Child]:
    command = [str(environments.interpreter(ENVIRONMENT)), str(Path(__file__).with_name("tfjs_official.py"))]
    with Child(
        command, name="official converter", limits=Limits(seconds=600), env={"TF_CPP_MIN_LOG_LEVEL": "3"}
    ) as child:
        yield child


def anew(source: Source) -> Source:
    """The model as one of which no conversion shares its frozen graph with the next: that would be half of the work."""
    return replace(source, code_sha256=None)


def export(name: str, model: Path, folder: Path, worker: Worker, official: Child) -> list[tuple[float, float]]:
    """Convert with both, taking turns, into `<folder>/<name>/ours` and `official`; wall seconds, ours and official."""
    source = anew(worker.call(inspect, path=model))
    seconds = []
    for turn in range(EXPORTS + 1):
        place = folder / name
        shutil.rmtree(place, ignore_errors=True)
        for part in ("ours", "official"):
            (place / part).mkdir(parents=True)
        started = time.perf_counter()
        worker.call(tfjs_models.convert, source=source, out_dir=place / "ours")
        ours = time.perf_counter() - started
        paths = {"model": model, "saved_model": place / "saved_model", "out": place / "official"}
        times = official.request({key: str(path) for key, path in paths.items()})
        if turn:  # the first one warms both processes up
            seconds.append((ours, sum(times.values())))
    return seconds


def measure(place: Path, inputs: Array) -> tuple[list[tuple[float, float]], float]:
    """Median latencies of rounds that take turns, milliseconds, ours and official; and the outputs' difference."""
    runtime = TFJSWasmRuntime()
    with ExitStack() as stack:
        sessions = [stack.enter_context(AgentSession(runtime.command())) for _ in range(2)]
        for session, part in zip(sessions, ("ours", "official"), strict=True):
            session.load(runtime.name, place / part / "model.json")
        feeds = [{session.loaded.inputs[0].name: inputs} for session in sessions]
        ours, official = (next(iter(s.run(feed).values())) for s, feed in zip(sessions, feeds, strict=True))
        for session, feed in zip(sessions, feeds, strict=True):
            session.warm_up(feed, max_runs=2000)
        rounds = []
        for _ in range(ROUNDS):
            a, b = (statistics.median(s.measure(f, 30, 0.15)) for s, f in zip(sessions, feeds, strict=True))
            rounds.append((a, b))
    return rounds, float(np.abs(ours - official).max() / max(1.0, float(np.abs(official).max())))


def _bytes(folder: Path, *, compressed: bool) -> int:
    files = [path.read_bytes() for path in folder.iterdir()]
    return sum(len(gzip.compress(content, 9, mtime=0)) if compressed else len(content) for content in files)


def compare(name: str, model: Path, folder: Path, worker: Worker, official: Child) -> Comparison:
    """Everything about one model."""
    seconds = export(name, model, folder, worker, official)
    spec = worker.call(inspect, path=model).inputs[0]
    inputs = np.random.default_rng(0).uniform(0, 1, (8, *(d or 1 for d in spec.shape[1:]))).astype(np.float32)
    rounds, difference = measure(folder / name, inputs)
    sizes = [[_bytes(folder / name / part, compressed=z) for part in ("ours", "official")] for z in (False, True)]
    return Comparison(
        model=name,
        difference=difference,
        sizes=(sizes[0][0], sizes[0][1]),
        gzip_sizes=(sizes[1][0], sizes[1][1]),
        latency_ms=(statistics.median(a for a, _ in rounds), statistics.median(b for _, b in rounds)),
        latency=statistics.median(b / a for a, b in rounds),
        export_s=(statistics.median(a for a, _ in seconds), statistics.median(b for _, b in seconds)),
        export=statistics.median(b / a for a, b in seconds),
    )


@contextmanager
def _tests_importable() -> Iterator[None]:
    """Workers do not look into the working directory; these functions of ours lie there."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    with mock.patch.dict(os.environ, {"PYTHONPATH": path}):
        yield


def comparisons(folder: Path) -> Iterator[Comparison]:
    """All models, one after another."""
    with _tests_importable():
        found = models(folder)
        with Worker(Limits(seconds=600)) as worker, _official() as official:
            for name, path in found.items():
                yield compare(name, path, folder / "out", worker, official)


def main() -> None:
    """Print the table."""
    print(f"TF.js, official converter / ours; load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as folder:
        for found in comparisons(Path(folder)):
            print(json.dumps(found.__dict__))


if __name__ == "__main__":
    main()
