"""Real exports of two small models in every format, for the suites over runtimes and targets."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from unittest import mock

import contract_models
import numpy as np
import pytest
from contract_models import Exported

from edgeship import plugins
from edgeship.child import Limits, Worker
from edgeship.source import inspect
from edgeship.types import ConvertOptions


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Exported]:
    """`single` (one input, one output) and `multi` (two and two) in every format that a converter is installed for."""
    folder = tmp_path_factory.mktemp("contract")
    found = {}
    path = f"{Path(__file__).parent}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    with mock.patch.dict(os.environ, {"PYTHONPATH": path}), Worker(Limits(seconds=300)) as worker:
        worker.call(contract_models.make, folder=folder)
        for name in ("single", "multi"):
            source = worker.call(inspect, path=folder / f"{name}.keras")
            artifacts = {}
            for format_name in plugins.names("converters"):
                out = folder / name / format_name
                out.mkdir(parents=True)
                artifacts[format_name] = worker.call(
                    plugins.convert,
                    format_name=format_name,
                    source=source,
                    variant="float32",
                    options=ConvertOptions(),
                    out_dir=out,
                )
            inputs = {s.name: np.load(folder / f"{name}.x.{s.name}.npy") for s in source.inputs}
            outputs = {s.name: np.load(folder / f"{name}.y.{s.name}.npy") for s in source.outputs}
            found[name] = Exported(artifacts, inputs, outputs)
    return found
