"""Our exports beside those of the official tools: time of the conversion, bytes, and latency of what came out.

Conversions are from the Keras file to the written model, in processes that have imported everything and have converted
the model once before. Latencies are of both files interleaved in one runtime, as `edgeship benchmark` measures.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from edgeship import plugins
from edgeship.artifact import read_artifact
from edgeship.child import Limits, Worker
from edgeship.data import DataOptions
from edgeship.errors import EdgeshipError, UnavailableError
from edgeship.pipeline import steps
from edgeship.source import inspect
from edgeship.types import ConvertOptions, Measurement, Plan, Source
from edgeship_benchmarks import comparison
from edgeship_benchmarks.targets.local import LocalTarget
from tests.acceptance import environments, tfjs_reference
from tests.acceptance.bench import official
from tests.acceptance.bench.records import Ratio, Timed, taking_turns, timed

#: Six starts of both files: what a verdict rests on.
PLAN = Plan(min_runs=120, min_seconds=1.2, repeats=6)
CALIBRATION = 100


@dataclass(frozen=True)
class Export:
    """A format and variant of ours, and what makes the same officially."""

    format: str
    variant: str
    tool: str
    entry: str
    official: Callable[..., None]


EXPORTS = (
    Export("tflite", "float32", "tf.lite.TFLiteConverter", "model.tflite", official.tflite),
    Export("tflite", "int8", "tf.lite.TFLiteConverter", "model.tflite", official.tflite_int8),
    Export("onnx", "float32", "tf2onnx", "model.onnx", official.onnx),
)
Rows = tuple[list[Timed], list[str]]


def conversions(rounds: int) -> Rows:
    """TFLite and ONNX."""
    rows: list[Timed] = []
    left_out: list[str] = []
    with tempfile.TemporaryDirectory() as scratch, tfjs_reference._tests_importable():
        found = tfjs_reference.models(Path(scratch))
        with Worker(Limits(seconds=600)) as ours, Worker(Limits(seconds=600)) as other:
            for name, model in found.items():
                for export in EXPORTS:
                    place = Path(scratch) / "out" / name / export.variant
                    try:
                        rows += _export(export, model, place, (ours, other), rounds)
                    except EdgeshipError as error:
                        left_out.append(f"{name} as {export.format}/{export.variant}: {error.message}")
    return rows, left_out


def _export(export: Export, model: Path, place: Path, workers: tuple[Worker, Worker], rounds: int) -> list[Timed]:
    source = tfjs_reference.anew(workers[0].call(inspect, path=model))
    spec = source.inputs[0]
    images = np.random.default_rng(0).random((CALIBRATION, *(d or 1 for d in spec.shape[1:])), np.float32)
    place.mkdir(parents=True, exist_ok=True)
    np.save(place / "samples.npy", images)
    options = _options(workers[0], source, place, images) if export.variant == "int8" else ConvertOptions()
    more = {"samples": place / "samples.npy"} if export.variant == "int8" else {}

    def ours() -> float:
        given = {"format_name": export.format, "source": source, "variant": export.variant, "options": options}
        return _timed_into(place / "ours", lambda out: workers[0].call(plugins.convert, **given, out_dir=out))

    def theirs() -> float:
        return _timed_into(
            place / "official", lambda out: workers[1].call(export.official, model=model, out=out, **more)
        )

    ours(), theirs()  # once, so that both processes are warm
    times = taking_turns({"ours": ours, "official": theirs}, rounds)
    subject = f"{model.stem}, {export.format}/{export.variant}"
    row = timed(f"{subject}: conversion", ("edgeship", times["ours"]), (export.tool, times["official"]))
    return [*_weighed(row, place, export.entry), *latency(subject, place, export.entry, export.tool, images[:8])]


def _timed_into(place: Path, convert: Callable[[Path], object]) -> float:
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    started = time.perf_counter()
    convert(place)
    return time.perf_counter() - started


def _options(worker: Worker, source: Source, place: Path, images: np.ndarray) -> ConvertOptions:
    """With a calibration split of so many samples, drawn from the images, each of which is there twice."""
    twice, labels = np.concatenate([images, images]), np.arange(2 * len(images)) % 10
    np.savez(place / "data.npz", x_train=twice, y_train=labels, x_test=images[:20], y_test=labels[:20])
    given = DataOptions(calibration_samples=CALIBRATION)
    return ConvertOptions(calibration=steps.open_data(worker, str(place / "data.npz"), source, given))


def _weighed(row: Timed, place: Path, entry: str) -> list[Timed]:
    sizes = [read_artifact(place / part / entry).size_bytes for part in ("ours", "official")]
    return [replace(row, ours_bytes=sizes[0], other_bytes=sizes[1])]


def latency(subject: str, place: Path, entry: str, tool: str, images: np.ndarray) -> list[Timed]:
    """Inference of both files, interleaved; raises the error of a file that does not run."""
    files = [replace(read_artifact(place / part / entry), variant=part) for part in ("ours", "official")]
    rows = LocalTarget().measure(files, {"x": images}, PLAN)
    measured: list[Measurement] = []
    for row in rows:
        if not isinstance(row, Measurement):
            raise UnavailableError(f"{row.artifact} does not run: {row.reason}")
        measured.append(row)
    ours, other = measured
    found = comparison.ratio(other, ours)
    low, high = found.interval or (None, None)
    medians = [float(np.median(row.latency_ms)) for row in (ours, other)]
    word = f"{subject}: inference in {ours.runtime}"
    return [Timed(word, "edgeship", tool, *medians, Ratio(found.value, low, high, found.repeats))]


def tfjs(_: int) -> Rows:
    """TF.js graph models, whose official converter lives in an environment of its own."""
    try:
        environments.interpreter(tfjs_reference.ENVIRONMENT)
    except UnavailableError as error:
        return [], [f"tensorflowjs_converter: {error.message}"]
    rows: list[Timed] = []
    with tempfile.TemporaryDirectory() as scratch, tfjs_reference._tests_importable():
        found = tfjs_reference.models(Path(scratch))
        with Worker(Limits(seconds=600)) as worker, tfjs_reference._official() as converter:
            for name, model in found.items():
                rows += _tfjs(name, model, Path(scratch) / "out", worker, converter)
    return rows, []


def _tfjs(name: str, model: Path, out: Path, worker: Worker, converter: tfjs_reference.Child) -> list[Timed]:
    seconds = tfjs_reference.export(name, model, out, worker, converter)
    tool, subject = "tensorflowjs_converter", f"{model.stem}, tfjs/float32"
    ours, theirs = ([1e3 * turn[side] for turn in seconds] for side in (0, 1))
    row = timed(f"{subject}: conversion", ("edgeship", ours), (tool, theirs))
    spec = worker.call(inspect, path=model).inputs[0]
    images = np.random.default_rng(0).random((8, *(d or 1 for d in spec.shape[1:])), np.float32)
    return [*_weighed(row, out / name, "model.json"), *latency(subject, out / name, "model.json", tool, images)]
