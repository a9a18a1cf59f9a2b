"""A Report with values as a real build of ResNet-8 on CIFAR-10 gives them, and real files for it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from edgeship.types import (
    Artifact,
    Attempt,
    Change,
    Dataset,
    DeviceInfo,
    Failure,
    FileEntry,
    Gate,
    Measurement,
    Prediction,
    Quantization,
    Report,
    Source,
    Stage,
    StageFile,
    TensorSpec,
)
from tests import tiny_tflite

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
IMAGE = TensorSpec("image", (None, 32, 32, 3), "float32")
SCORES = TensorSpec("probabilities", (None, 10), "float32")
BASE = 0.8504

#: format, variant, bytes, accuracy, drop interval in points, median ms
FILES = (
    ("tflite", "float32", 321_192, 0.8504, (0.0, 0.0), 0.94),
    ("tflite", "float16", 164_404, 0.8506, (-0.06, 0.02), 0.96),
    ("tflite", "dynamic", 101_240, 0.8494, (-0.08, 0.28), 1.61),
    ("tflite", "int8", 98_464, 0.8494, (-0.24, 0.44), 0.31),
    ("tflite", "int16x8", 101_872, 0.8502, (-0.06, 0.10), 28.4),
    ("onnx", "float32", 317_406, 0.8504, (0.0, 0.0), 0.71),
    ("onnx", "float16", 162_011, 0.8504, (-0.04, 0.04), 1.08),
    ("onnx", "int8", 104_735, 0.8466, (0.06, 0.72), 0.43),
    ("tfjs", "float32", 339_120, 0.8504, (0.0, 0.0), 2.9),
    ("tfjs", "float16", 181_733, 0.8506, (-0.06, 0.02), 2.95),
    ("tfjs", "uint8", 103_210, 0.7112, (13.1, 14.7), 2.92),
)
RUNTIMES = {"tflite": "litert", "onnx": "onnxruntime", "tfjs": "tfjs-wasm"}
ENTRIES = {"tflite": "model.tflite", "onnx": "model.onnx", "tfjs": "model.json"}


def samples(median: float, seed: int, n: int = 1500) -> tuple[float, ...]:
    """Latencies as they come: a sharp left edge, a tail, a few interruptions."""
    rng = np.random.default_rng(seed)
    values = median * (0.97 + 0.03 * rng.gamma(2.0, 0.6, n) + (rng.random(n) < 0.01) * rng.random(n) * 1.4)
    return tuple(float(round(v, 5)) for v in values)


def gates(name: str, runtime: str, drop: float, interval: tuple[float, float]) -> tuple[Gate, ...]:
    status = "pass" if interval[1] <= 0.5 else "fail" if interval[0] > 0.5 else "inconclusive"
    detail = "" if status != "inconclusive" else "5000 samples cannot tell it from 0.5"
    return (
        Gate("sensitivity", name, runtime, "pass", True, 1.0, 0.0, "share", 5000),
        Gate("cosine", name, runtime, "pass", True, 0.99991, 0.95, "cosine", 5000),
        Gate("top1", name, runtime, "pass", True, 0.9962, 0.9, "share", 5000),
        Gate("metric", name, runtime, status, status == "pass", drop, 0.5, "points", 5000, interval, detail),
    )


def artifact(folder: Path, format_name: str, variant: str, size: int) -> Artifact:
    place = folder / "artifacts" / format_name / variant
    place.mkdir(parents=True, exist_ok=True)
    entry = place / ENTRIES[format_name]
    if not entry.exists():
        content = tiny_tflite.model_bytes() if format_name == "tflite" else b""
        entry.write_bytes(content.ljust(size, b"\0"))
    quantization = Quantization(0.00390625, -128) if variant == "int8" else None
    dtype = "int8" if variant == "int8" else "float32"
    return Artifact(
        place,
        format_name,
        variant,
        (FileEntry(entry.name, f"{size:064x}", size),),
        (replace(IMAGE, dtype=dtype, quantization=quantization),),
        (replace(SCORES, dtype=dtype, quantization=quantization),),
        "a" * 64,
        CLASSES,
        {"tensorflow": "2.21.0", "edgeship": "0.1.0"},
    )


def measurement(of: Artifact, median: float, seed: int) -> Measurement:
    return Measurement(
        of.id,
        of.files[0].sha256,
        "local",
        RUNTIMES[of.format],
        samples(median, seed),
        (300,) * 5,
        40,
        312.4,
        3.2,
        median * 6,
        58.2,
        of.size_bytes,
        int(of.size_bytes * 0.86),
        int(of.size_bytes * 0.79),
        int(of.size_bytes * 0.81),
        1,
        DeviceInfo(
            "local", "measured", {"system": "Linux 6.12", "machine": "x86_64", "cpu": "Intel Xeon", "cores": "2"}
        ),
    )


def stage_file(of: Artifact, accuracy: float, before: float, brotli: int, seed: int) -> StageFile:
    """The file after a stage, on 5,000 validation images, of which the original has 85.32 % right."""
    drop, step = (100 * (reference - accuracy) for reference in (0.8532, before))
    changes = [Change(value, (value - 0.4, value + 0.4), "points") for value in (drop, step)]
    timing = replace(measurement(of, 0.31, seed), brotli_bytes=brotli, zstd_bytes=brotli + 500)
    sizes = (of.size_bytes, brotli + 900, brotli, brotli + 500)
    return StageFile(of.id, of.sha256, "litert", 5000, accuracy, *changes, *sizes, timing)


def stages(artifacts: list[Artifact]) -> tuple[Stage, ...]:
    """What `small` did, file by file."""
    by_id = {a.id: a for a in artifacts}
    full, int8 = by_id["tflite/float32"], by_id["tflite/int8"]
    reached = ("the schedule reached its sparsity at step 2,110",)
    base = (stage_file(full, 0.8532, 0.8532, 288_120, 90), stage_file(int8, 0.8522, 0.8532, 77_509, 91))
    pruned, aware = stage_file(int8, 0.8474, 0.8522, 51_020, 92), stage_file(int8, 0.8514, 0.8474, 50_874, 93)
    return (
        Stage("base", 0.8532, 287_958, 78_666, 0.0, 0, 0.0, (), 12_501_632, base),
        Stage("prune", 0.8490, 171_204, 78_666, 0.5, 6, 312.4, reached, 12_501_632, (pruned,)),
        Stage("quantize-aware", 0.8514, 61_330, 78_666, 0.5, 3, 190.8, (), 12_501_632, (aware,)),
    )


def attempts(after: tuple[Stage, ...]) -> tuple[Attempt, ...]:
    """As if `small` had been chosen among others."""
    return (
        Attempt("int8", "undecided", False, "drop +0.10 [-0.30, +0.50]: too much to tell", 4.2, after[0].files[1]),
        Attempt("mixed", "failed", False, "layer top has no simulation", 0.4),
        Attempt("small", "good", True, "drop +0.18 [-0.22, +0.58] points: within 0.6", 503.1, after[-1].files[0]),
        Attempt("float16", "skipped", False, "not needed: small is taken", 0.0),
    )


SOURCE = Source(Path("/home/ann/models/resnet8.keras"), "keras", "keras", "a" * 64, (IMAGE,), (SCORES,), 78_666, True)
DATA = Dataset(
    Path("/home/ann/.cache/edgeship/data/1f"),
    "cifar10_jpeg.npz",
    "b" * 64,
    "classification",
    (IMAGE,),
    {"train": 45_000, "validation": 5_000, "test": 5_000, "calibration": 500},
    CLASSES,
)


def build(folder: Path) -> Report:
    """The whole report; the artifacts' files lie in `folder`."""
    artifacts, found_gates, predictions, measurements = [], [], {}, []
    for seed, (format_name, variant, size, accuracy, interval, median) in enumerate(FILES):
        made = artifact(folder, format_name, variant, size)
        runtime = RUNTIMES[format_name]
        mine = gates(made.id, runtime, 100 * (BASE - accuracy), interval)
        verified = "passed" if all(g.accepted for g in mine) else "failed"
        artifacts.append(replace(made, verification=verified))
        found_gates += mine
        predictions[f"{made.id} {runtime}"] = Prediction(folder / "predictions" / variant, runtime, 5000, accuracy)
        measurements.append(measurement(made, median, seed))
    artifacts.append(artifact(folder, "tfjs", "uint16", 182_004))  # stays UNVERIFIED
    after = stages(artifacts)
    return Report(
        name="resnet8",
        created="2026-11-20T21:04:05+00:00",
        source=SOURCE,
        dataset=DATA,
        recipe={"schema": "edgeship.recipe/1", "name": "small", "max_drop": 0.5, "seed": 7, "stages": [{"prune": {}}]},
        metric="accuracy",
        baseline=Prediction(folder / "predictions" / "original", "keras", 5000, BASE),
        stages=after,
        artifacts=tuple(artifacts),
        predictions=predictions,
        gates=tuple(found_gates),
        measurements=tuple(measurements),
        failures=(
            Failure(
                "tfjs/uint16",
                "verify",
                "UnavailableError",
                "tfjs-wasm needs Node 20 or later",
                "Get it: edgeship doctor --install node",
                False,
            ),
        ),
        environment={
            "python": "3.11.9",
            "system": "Linux",
            "tensorflow": "2.21.0",
            "numpy": "2.4.6",
            "edgeship": "0.1.0",
        },
        command=(
            "edgeship",
            "build",
            "/home/ann/models/resnet8.keras",
            "--data",
            "cifar10_jpeg.npz",
            "--recipe",
            "small",
        ),
        warnings=("tfjs/uint16 left out (verify): tfjs-wasm needs Node 20 or later",),
        metric_direction="maximize",
        attempts=attempts(after),
    )
