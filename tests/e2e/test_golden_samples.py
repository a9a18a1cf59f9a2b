"""The golden samples of a real build find another network in place of the one that was verified."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgeship import golden, plugins, report
from edgeship.artifact import read_artifact
from edgeship.errors import ArtifactError

from .conftest import Demo
from .damage import CASES, Damage

#: Those that devices take.
DEVICE_CASES = [case for case in CASES if not case[0].startswith("tfjs/")]


@pytest.mark.parametrize(("name", "what", "damage"), DEVICE_CASES, ids=[f"{a} {w}" for a, w, _ in DEVICE_CASES])
def test_a_damaged_file_fails_its_golden_samples(
    demo: Demo, tmp_path: Path, name: str, what: str, damage: Damage
) -> None:
    artifact = next(a for a in report.read(demo.build).artifacts if a.id == name)
    samples = golden.load(demo.build, artifact)
    runtime = plugins.runtimes_for(artifact.format)[0]
    tolerances = golden.tolerances(artifact, samples, runtime.name)
    golden.check(artifact, samples, runtime.run(artifact, samples.inputs), tolerances[0])
    foreign = read_artifact(damage(artifact.path, tmp_path / "bad"))
    found = runtime.run(replace(foreign, inputs=artifact.inputs, outputs=artifact.outputs), samples.inputs)
    for tolerance in tolerances:
        with pytest.raises(ArtifactError, match="golden output"):
            golden.check(artifact, samples, found, tolerance)


def test_golden_samples_of_a_classification_are_clear_and_of_many_classes(demo: Demo) -> None:
    for artifact in report.read(demo.build).artifacts:
        if artifact.verification == "passed":
            outputs = next(iter(golden.load(demo.build, artifact).outputs.values()))
            assert len(set(outputs.argmax(axis=1))) >= 6, artifact.id
            ordered = np.sort(outputs, axis=1)
            assert (ordered[:, -1] - ordered[:, -2]).min() > 0.4, artifact.id
