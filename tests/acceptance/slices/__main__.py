"""Compare files of real models by slice, simulate how often that errs, and write docs/slices.md.

python -m tests.acceptance.slices [--only simulated,limits,resnet8,adult,autoencoder]
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

import edgeship
from edgeship import plugins
from edgeship.codec import to_data
from edgeship.files import write_text
from edgeship.metrics import AreaUnderCurve
from edgeship.types import Report, SliceStudy
from tests.acceptance.slices import adult, limits, machine, others, page, simulated

HERE = Path(__file__).parent
RECORDS = HERE / "records"
_BASE = HERE.parents[3] / "shared" / "data" / "base" / "resnet8_cifar10_jpeg.keras"
#: Samples for which coverage is computed.
_SIZES = (30, 50, 100, 200)
#: Data sets of a simulation, and shares that break in the planted slice.
_SETS, _PLANTED = 200, (0.06, 0.08, 0.10, 0.12, 0.15)
#: Data sets of the simulation of a limit.
_HELD = 500


def simulate() -> dict[str, Any]:
    """How often the method errs."""
    return {
        "sets": _SETS,
        "rates": {f"{100 * (share - simulated.NOISE):.0f}": simulated.rates(_SETS, 0, share) for share in _PLANTED},
        "errors": simulated.error_rates(_SETS, 0),
        "coverage": {str(n): _least_and_mean(simulated.coverage(n)) for n in _SIZES},
        "tango": {
            str(n): _least_and_mean(others.tango_coverage(n, simulated.SHARES, simulated.chances(n))) for n in _SIZES
        },
        "means": {"runs": 1000, **others.means(1000, 0)},
        "areas": {"runs": 300, **others.areas(300, 0)},
    }


def _least_and_mean(held: list[float]) -> list[float]:
    return [min(held), float(np.mean(held))]


def resnet8() -> dict[str, Any]:
    """ResNet-8 by class and quality of the image: after training, and a short `tiny`."""
    wanted = {"data": "tests.acceptance.cifar10:load", "to": "tflite", "slices": "label, brightness, noise",
              "targets": (), "occlusion": True}  # fmt: skip
    with tempfile.TemporaryDirectory() as scratch:
        made = edgeship.build(_BASE, recipe="int8", quantize=("float32", "int8", "int4"), out=f"{scratch}/a", **wanted)
        short = edgeship.build(_BASE, recipe=str(HERE / "short-tiny.yaml"), out=f"{scratch}/b", **wanted)
    return {"studies": [*_studies(made, ""), *_studies(short, "short tiny: ")]}


def adults() -> dict[str, Any]:
    """The network trained on Adult, by sex, race and both."""
    wanted = {"data": "tests.acceptance.slices.adult:load", "to": "tflite", "slices": "label, sex, race, sex x race",
              "targets": ()}  # fmt: skip
    with tempfile.TemporaryDirectory() as scratch:
        model = Path(scratch) / "adult.keras"
        adult.train(model)
        made = edgeship.build(model, recipe="int8", quantize=("float32", "int8", "int4"), out=f"{scratch}/a", **wanted)
        short = edgeship.build(model, recipe=str(HERE / "few-bits.yaml"), out=f"{scratch}/b", **wanted)
    return {"studies": [*_studies(made, ""), *_studies(short, "few bits: ")]}


def autoencoder() -> dict[str, Any]:
    """ad01 by kind of planted disturbance: AUC of telling it from the plain recording, in float32 and int8."""
    plain = machine.windows()
    kinds = {"plain": plain, **machine.disturbed(plain)}
    inputs = np.concatenate(list(kinds.values())).astype(np.float32)
    kind = np.repeat(list(kinds), len(plain))
    with tempfile.TemporaryDirectory() as scratch:
        data = machine.every()
        report = edgeship.convert(machine.MODEL, to="tflite", quantize=("float32", "int8"), data=data, out=scratch)
        errors = {}
        for artifact in report.artifacts:
            (spec,) = artifact.inputs
            outputs = plugins.runtimes_for("tflite")[0].run(artifact, {spec.name: inputs})
            errors[artifact.variant] = machine.errors(next(iter(outputs.values())), inputs)
    disturbed = (kind != "plain").astype(np.int64)
    rows = [AreaUnderCurve().per_sample(errors[v][:, None], disturbed) for v in ("float32", "int8")]
    groups = {name: (kind == name) | (kind == "plain") for name in kinds if name != "plain"}
    by_kind = edgeship.slices.compare(*rows, groups, metric="auc")
    level = edgeship.slices.compare(errors["float32"], errors["int8"], {"input": kind}, metric="mse")
    return {"windows": len(plain), "auc": to_data(by_kind), "error": to_data(level)}


def _studies(report: Report, prefix: str) -> list[dict[str, Any]]:
    return [{**_short(study), "artifact": prefix + study.artifact} for study in report.slices]


def _short(study: SliceStudy) -> dict[str, Any]:
    """Without samples: images of others are no part of this repository."""
    found: dict[str, Any] = to_data(study)
    del found["flips"]
    if found["occlusion"]:
        del found["occlusion"]["cases"]
    return found


TASKS: dict[str, Callable[[], dict[str, Any]]] = {
    "simulated": simulate,
    "limits": lambda: limits.measure(_HELD),
    "resnet8": resnet8,
    "adult": adults,
    "autoencoder": autoencoder,
}


def main() -> None:
    """Run what is asked for, keep the records, write the page."""
    parser = argparse.ArgumentParser(prog="python -m tests.acceptance.slices", description=__doc__)
    parser.add_argument("--only", default=",".join(TASKS), help=f"divided by commas: {', '.join(TASKS)}")
    os.chdir(HERE.parents[2])  # `--data module:function` is found from here
    for name in parser.parse_args().only.split(","):
        found = {"made": datetime.now(UTC).date().isoformat(), **TASKS[name]()}
        write_text(RECORDS / f"{name}.json", json.dumps(found, indent=1) + "\n")
    page.write({name: json.loads((RECORDS / f"{name}.json").read_text()) for name in TASKS})


if __name__ == "__main__":
    main()
