"""A build folder with one small TFLite file, as the pipeline leaves it."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
from tests import report_builder, tiny_tflite

from edgeship import report
from edgeship.artifact import hash_files, write_sidecar
from edgeship.types import Artifact, Dataset, Gate, Prediction, Preprocessing, Report, Source, TensorSpec

X = np.random.default_rng(5).normal(size=(8, 4)).astype(np.float32)


def make_build(folder, content=None, **changes):
    """A build folder with one TFLite file, as the pipeline leaves it."""
    place = folder / "artifacts" / "tflite" / "float32"
    place.mkdir(parents=True)
    (place / "model.tflite").write_bytes(content or tiny_tflite.model_bytes())
    inputs, outputs = (TensorSpec("x", (1, 4), "float32"),), (TensorSpec("probabilities", (1, 3), "float32"),)
    artifact = Artifact(
        place,
        "tflite",
        "float32",
        hash_files(place, ["model.tflite"]),
        inputs,
        outputs,
        "a" * 64,
        ("left", "right", "<b>up</b>"),
        {"tensorflow": "2.21.0"},
        "passed",
        Preprocessing(scale=0.5),
    )
    artifact = replace(artifact, **changes)
    write_sidecar(artifact)
    golden = folder / "golden"
    (golden / "inputs").mkdir(parents=True)
    (golden / "outputs" / "tflite__float32").mkdir(parents=True)
    np.save(golden / "inputs" / "x.npy", X)
    np.save(golden / "outputs" / "tflite__float32" / "probabilities.npy", tiny_tflite.expected(X))
    ranges = {"inputs": {"x": [-3.5, 3.25]}, "outputs": {"probabilities": [0.0, 1.0]}}
    (golden / "ranges.json").write_text(json.dumps(ranges))
    report.write(make_report(folder, artifact), folder)
    return folder


def make_report(folder, artifact):
    accepted = artifact.verification == "passed"
    status = "pass" if accepted else "fail"
    gate = Gate("metric", artifact.id, "litert", status, accepted, 0.1, 0.5, "points", 100, (-0.2, 0.4))
    source = Source(folder / "net.keras", "keras", "keras", "a" * 64, artifact.inputs, artifact.outputs, 15, True)
    data = Dataset(folder / "d", "points.npz", "b" * 64, "classification", artifact.inputs, {"test": 100})
    return Report(
        name="net",
        created="2026-11-20T21:04:05+00:00",
        source=source,
        dataset=data,
        recipe={"schema": "edgeship.recipe/1", "name": "auto"},
        metric="accuracy",
        baseline=Prediction(folder / "predictions", "keras", 100, 0.95),
        stages=(),
        artifacts=(artifact,),
        predictions={f"{artifact.id} litert": Prediction(folder / "predictions", "litert", 100, 0.949)},
        gates=(gate,),
        measurements=(report_builder.measurement(artifact, 0.3, 1),),
        failures=(),
        environment={"python": "3.11.9"},
        command=("edgeship", "build", "net.keras"),
        metric_direction="maximize",
    )


def contents(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
