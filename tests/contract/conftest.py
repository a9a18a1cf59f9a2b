"""Real exports of two small models in every format, for the suites over runtimes and targets."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from unittest import mock

import contract_models
import numpy as np
import pytest
from contract_models import Exported
from tests.sharing import Shared
from tests.ssh_server import free_port
from tests.standins.adbd import Adbd
from tests.standins.phone import AdbServer, make_root, write_tool

from edgeship import plugins
from edgeship.child import Limits, Worker
from edgeship.codec import from_data, to_data
from edgeship.source import inspect
from edgeship.types import Artifact, ConvertOptions


@pytest.fixture(scope="session")
def exported(shared: Shared) -> Mapping[str, Exported]:
    """`single` (one input, one output) and `multi` (two and two) in every format that a converter is installed for."""
    folder = shared("contract-models", _export)
    found = {}
    for name, made in json.loads((folder / "exported.json").read_text()).items():
        artifacts = {a.format: a for a in (from_data(Artifact, data) for data in made["artifacts"])}
        inputs = {spec: np.load(folder / f"{name}.x.{spec}.npy") for spec in made["inputs"]}
        outputs = {spec: np.load(folder / f"{name}.y.{spec}.npy") for spec in made["outputs"]}
        found[name] = Exported(artifacts, inputs, outputs)
    return found


@pytest.fixture(scope="session")
def a_phone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A stand-in for a phone, at an adb server of its own; without adb there is none."""
    if shutil.which("adb") is None:
        yield
        return
    folder = tmp_path_factory.mktemp("phone")
    make_root(folder / "root")
    server = AdbServer(folder / "server", free_port())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANDROID_ADB_SERVER_PORT", str(server.port))
        patch.setenv("EDGESHIP_BENCHMARK_MODEL", str(write_tool(folder / "benchmark_model")))
        patch.setattr("edgeship_benchmarks.android.tool.WARM_UP_SECONDS", 0.01)
        server.start()
        try:
            server.connect(Adbd(folder / "root"))
            yield
        finally:
            server.stop()


def _export(folder: Path) -> None:
    made = {}
    path = f"{Path(__file__).parent}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    with mock.patch.dict(os.environ, {"PYTHONPATH": path}), Worker(Limits(seconds=300)) as worker:
        worker.call(contract_models.make, folder=folder)
        for name in ("single", "multi"):
            source = worker.call(inspect, path=folder / f"{name}.keras")
            artifacts = []
            for format_name in plugins.names("converters"):
                out = folder / name / format_name
                out.mkdir(parents=True)
                artifact = worker.call(
                    plugins.convert,
                    format_name=format_name,
                    source=source,
                    variant="float32",
                    options=ConvertOptions(),
                    out_dir=out,
                )
                artifacts.append(to_data(artifact))
            made[name] = {
                "artifacts": artifacts,
                "inputs": [spec.name for spec in source.inputs],
                "outputs": [spec.name for spec in source.outputs],
            }
    (folder / "exported.json").write_text(json.dumps(made))
