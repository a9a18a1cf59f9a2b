"""Files that are measured in the app, over the system's own adb; the app's own code runs on a JVM."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from edgeship import cli
from edgeship.types import Artifact, Measurement, NotMeasured
from edgeship_benchmarks.targets.adb import VARIABLE, AdbTarget
from edgeship_benchmarks.targets.local import LocalTarget
from tests.device_repository import LINE, NOW, Published
from tests.sharing import Shared
from tests.standins.android_app import App, classpath, install

from .conftest import PLAN, Phone


@pytest.fixture(scope="module")
def classes(shared: Shared) -> str:
    return classpath(shared)


@pytest.fixture
def app(phone: Phone, classes: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[App]:
    monkeypatch.setenv(VARIABLE, "app")
    made = install(phone.device.root, classes, Published(tmp_path / "publisher").root, NOW, str(LINE))
    yield made
    made.settle()


def test_outputs_and_times_of_the_app(app: App, model: Artifact, inputs: dict[str, np.ndarray], phone: Phone) -> None:
    facts = AdbTarget().probe().facts
    assert (facts["app"], facts["app_runtime"], facts["model"]) == (app_name(), "stand-in 1", "Example Stand in 7")
    one = {name: value[:1] for name, value in inputs.items()}
    found, expected = AdbTarget().check(model, one), LocalTarget().check(model, one)
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, atol=1e-6)
    plan = replace(PLAN, rounds=1, repeats=2, min_runs=7)
    row, other = AdbTarget().measure([model, replace(model, format="onnx")], inputs, plan)
    assert isinstance(row, Measurement)
    assert (row.runtime, row.provenance, row.repeats) == ("litert in an app", "measured", 2)
    assert row.round_lengths == (4, 4)
    assert min(row.latency_ms) > 0
    assert row.load_ms > 0
    assert row.peak_memory_mib is not None
    assert row.parity is not None
    assert row.device.facts["app"] == app_name()
    assert any("measured inside" in note for note in row.notes)
    assert isinstance(other, NotMeasured)
    assert list(app.shared.iterdir()) == []


def app_name() -> str:
    return "dev.edgeship.demo"


def test_a_row_in_the_report(app: App, model: Artifact, tmp_path: Path) -> None:
    """The numbers of the app come back into the report of `edgeship benchmark`."""
    words = [
        "benchmark",
        str(model.entry),
        "--target",
        "adb",
        "--repeats",
        "1",
        "--min-runs",
        "5",
        "--min-seconds",
        "0.01",
    ]
    said = CliRunner().invoke(cli.cli, [*words, "--json"])
    assert said.exit_code == 0, said.output
    assert "litert in an app" in json.dumps(json.loads(said.stdout))


def test_a_release_build_runs_no_files_of_others(app: App, model: Artifact, inputs: dict[str, np.ndarray]) -> None:
    app.settings(debuggable="false")
    row = AdbTarget().measure([model], inputs, replace(PLAN, rounds=1))[0]
    assert isinstance(row, NotMeasured)
    assert "release build" in row.reason
    app.settings(debuggable="true")
    row = AdbTarget().measure([model], inputs, replace(PLAN, rounds=1, xnnpack=(False,)))[0]
    assert isinstance(row, NotMeasured)
    assert "XNNPACK" in row.reason
