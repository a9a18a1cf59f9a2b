"""Builds in MLflow: one run for each build, and a version of a registered model for each file that passed.

Runs have parameters, metrics by file and by stage, tags, and the report with its files. Files are stored byte for byte
as they were verified, beside an `MLmodel` file with their signature; ONNX files have MLflow's own `onnx` flavor and can
be loaded and served, others are artifacts. Nothing is pickled.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from edgeship import report as reports
from edgeship.errors import EdgeshipError, InputError, MissingPackageError, UnavailableError
from edgeship.history.builds import line
from edgeship.pipeline import lineage
from edgeship.report.view import rows
from edgeship.types import Artifact, Report, TensorSpec

if TYPE_CHECKING:
    from mlflow import MlflowClient

#: Of the build folder, what a run keeps beside `artifacts/`.
_DOCUMENTS = ("report.html", "report.md", "report.json", "lineage.json", "provenance.json", "summary.md")
#: What tells a build from others.
_BUILD_TAG = "edgeship.report_sha256"
_LONGEST_PARAMETER = 500
_NOT_IN_NAMES = re.compile(r"[^\w./ -]")
_NO_NAME = re.compile(r"[/:\"'\x00-\x1f\x7f]")
#: Answers that one waits for; MLflow itself waits for minutes. Nothing is reported to its makers.
_DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "60",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


@dataclass(frozen=True)
class Wishes:
    """Where a build goes.

    Attributes:
        uri: of the tracking server or store: `http://...`, `sqlite:///mlflow.db`; None: `$MLFLOW_TRACKING_URI`.
        experiment: is made where there is none.
        register: name of the registered model that gets a version for each file that passed; None: none.
    """

    uri: str | None = None
    experiment: str = "edgeship"
    register: str | None = None


@dataclass(frozen=True)
class Exported:
    """What came of it; `new` is false where the run was there already. Versions by `format/variant`."""

    uri: str
    experiment: str
    run_id: str
    new: bool
    model: str | None
    versions: dict[str, str]


def export(build: Path, wishes: Wishes) -> Exported:
    """Put a build into MLflow; a build that is there already is found and not put there twice.

    Raises:
        InputError: it is no build, its files are not those of its report, or a name is none.
        MissingPackageError: MLflow is not installed.
        UnavailableError: the server or store cannot be reached, or refuses.
    """
    report = reports.read(build)
    reports.check_files(report.artifacts)
    lineage.check(build)
    uri = _uri(wishes)
    with _client(uri) as client:
        experiment = _experiment(client, uri, wishes.experiment)
        digest = hashlib.sha256((build / "report.json").read_bytes()).hexdigest()
        found = client.search_runs(
            [experiment], f"tags.\"{_BUILD_TAG}\" = '{digest}' and attributes.status = 'FINISHED'", max_results=1
        )
        run_id = found[0].info.run_id if found else _run(client, experiment, build, report, digest)
        versions = _register(client, run_id, report, wishes.register) if wishes.register is not None else {}
    return Exported(_shown(uri), wishes.experiment, run_id, not found, wishes.register, versions)


def _uri(wishes: Wishes) -> str:
    uri = wishes.uri or os.environ.get("MLFLOW_TRACKING_URI", "")
    if not re.match(r"(https?://|sqlite:///|postgresql|mysql|file:/)", uri):
        raise InputError(
            f"{_shown(uri)!r} is no MLflow server or store" if uri else "no MLflow server or store is given",
            remedy="Give --uri http://HOST:PORT or --uri sqlite:///mlflow.db, or set MLFLOW_TRACKING_URI.",
        )
    for name in filter(None, (wishes.experiment, wishes.register)):
        if not name.strip() or _NO_NAME.search(name) or len(name) > 200:
            raise InputError(f"{name!r} is no name in MLflow", remedy="Leave out / : quotes and control characters.")
    return uri


def _shown(uri: str) -> str:
    """Without user and password."""
    try:
        parts = urlsplit(uri)
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        return "what was given"
    return urlunsplit(parts._replace(netloc=host)) if parts.netloc else uri


@contextmanager
def _client(uri: str) -> Iterator[MlflowClient]:
    """MLflow's client; its errors become ours."""
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
    try:
        from mlflow import MlflowClient
    except ImportError as error:
        raise MissingPackageError("MLflow is not installed", remedy="Get it: pip install 'edgeship[mlflow]'") from error
    try:
        with contextlib.redirect_stdout(sys.stderr):  # it prints where a run is to be seen
            yield MlflowClient(uri, registry_uri=uri)
    except EdgeshipError:
        raise
    except Exception as error:
        said = str(error).replace(uri, _shown(uri)).split("\n")[0][:500]
        raise UnavailableError(
            f"MLflow at {_shown(uri)} refuses, or is not there: {said}",
            remedy="Look whether the server runs and takes your credentials: MLFLOW_TRACKING_USERNAME and _PASSWORD.",
        ) from error


def _experiment(client: MlflowClient, uri: str, name: str) -> str:
    found = client.get_experiment_by_name(name)
    if found is not None:
        if found.lifecycle_stage != "active":
            raise InputError(f"experiment {name!r} was deleted in MLflow", remedy="Restore it, or give another name.")
        return str(found.experiment_id)
    # A store in a file keeps artifacts in the folder that one happens to be in, unless it is told where.
    store = uri.removeprefix("sqlite:///") if uri.startswith("sqlite:///") else ""
    place = Path(store).absolute().with_suffix(".artifacts").as_uri() if store else None
    return str(client.create_experiment(name, artifact_location=place))


def _run(client: MlflowClient, experiment: str, build: Path, report: Report, digest: str) -> str:
    """A finished run with all that there is; one that could not be finished is marked as failed."""
    started = _milliseconds(report)
    short = line(build)
    tags = {
        _BUILD_TAG: digest,
        "edgeship.version": report.environment.get("edgeship", ""),
        "edgeship.best": short.best,
        "edgeship.passed": f"{short.passed} of {short.files}",
        "mlflow.source.name": " ".join(report.command)[:_LONGEST_PARAMETER],
    }
    if short.revision:
        tags["mlflow.source.git.commit"] = short.revision.removesuffix("-dirty")
    run = client.create_run(experiment, start_time=started, tags=tags, run_name=report.name)
    run_id = str(run.info.run_id)
    try:
        _log(client, run_id, build, report)
    except BaseException:
        client.set_terminated(run_id, status="FAILED")
        raise
    client.set_terminated(run_id, status="FINISHED")
    return run_id


def _log(client: MlflowClient, run_id: str, build: Path, report: Report) -> None:
    from mlflow.entities import Metric, Param

    now = _milliseconds(report)
    parameters = [Param(name, text[:_LONGEST_PARAMETER]) for name, text in _parameters(report).items()]
    values = [Metric(_NOT_IN_NAMES.sub("_", name), value, now, step) for name, value, step in _metrics(report)]
    client.log_batch(run_id, metrics=values, params=parameters)
    for name in _DOCUMENTS:
        if (build / name).is_file():
            client.log_artifact(run_id, str(build / name))
    for artifact in report.artifacts:
        with tempfile.TemporaryDirectory(prefix="edgeship-") as scratch:
            _write_model(artifact, Path(scratch), run_id)
            client.log_artifacts(run_id, scratch, _place(artifact))


def _milliseconds(report: Report) -> int:
    """When the build was, since 1970. Raises InputError where the report names no moment."""
    try:
        return int(datetime.fromisoformat(report.created).timestamp() * 1000)
    except (ValueError, OverflowError) as error:
        raise InputError(f"the report was made at {report.created}, which is no moment") from error


def _place(artifact: Artifact) -> str:
    return f"artifacts/{artifact.format}/{artifact.variant}"


def _parameters(report: Report) -> dict[str, str]:
    """What was chosen, and what went in."""
    found = {"model": report.source.path.name, "model_sha256": report.source.sha256}
    if report.dataset is not None:
        found |= {"data": report.dataset.name, "data_sha256": report.dataset.sha256}
    found |= {f"recipe.{key}": str(value) for key, value in report.recipe.items() if key not in ("schema", "purpose")}
    return {name: text for name, text in found.items() if text}


def _metrics(report: Report) -> Iterator[tuple[str, float, int]]:
    """Name, value and step; what is no finite number is left out, because no drawing of MLflow can show it."""
    for name, value, step in (*_of_files(report), *_of_stages(report)):
        if value is not None and math.isfinite(value):
            yield name, float(value), step


def _of_files(report: Report) -> Iterator[tuple[str, float | None, int]]:
    metric = report.metric or "metric"
    if report.baseline is not None:
        yield f"original/{metric}", report.baseline.metric, 0
    for row in rows(report):
        name = row.artifact.id
        yield f"{name}/{metric}", row.metric, 0
        yield f"{name}/size_bytes", row.artifact.size_bytes, 0
        yield f"{name}/wire_bytes", row.wire_bytes, 0
        yield f"{name}/passed", float(row.status == "pass"), 0
        if row.drop is not None:
            yield f"{name}/drop", row.drop.value, 0
            low, high = row.drop.interval or (None, None)
            yield f"{name}/drop_low", low, 0
            yield f"{name}/drop_high", high, 0
        for timing in row.timings:
            yield f"{name}/latency_ms/{timing.measurement.target}/{timing.runtime}", timing.summary.median_ms, 0


def _of_stages(report: Report) -> Iterator[tuple[str, float | None, int]]:
    """After each stage of the recipe, on the validation samples: the step is the number of the stage."""
    for step, stage in enumerate(report.stages):
        yield "stages/metric_in_keras", stage.metric, step
        yield "stages/sparsity", stage.sparsity, step
        for file in stage.files:
            yield f"stages/{file.artifact}/metric", file.metric, step
            yield f"stages/{file.artifact}/brotli_bytes", file.brotli_bytes, step


def _write_model(artifact: Artifact, folder: Path, run_id: str) -> None:
    """The files of an artifact as they are, and `MLmodel`."""
    from mlflow.models import Model

    for entry in artifact.files:
        target = folder / entry.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(artifact.path / entry.name, target)
    shutil.copyfile(artifact.path / "artifact.json", folder / "artifact.json")
    model = Model(run_id=run_id, artifact_path=_place(artifact), signature=_signature(artifact))
    main = artifact.files[0].name
    model.add_flavor("edgeship", format=artifact.format, variant=artifact.variant, data=main, sha256=artifact.sha256)
    if artifact.format == "onnx" and len(artifact.files) == 1:
        _add_onnx(model, folder, main, artifact)
    model.save(str(folder / "MLmodel"))


def _add_onnx(model: Any, folder: Path, main: str, artifact: Artifact) -> None:
    """The flavor by which MLflow loads and serves an ONNX file."""
    versions = artifact.made_by
    packages = [f"{name}=={versions[name]}" if name in versions else name for name in ("onnx", "onnxruntime")]
    (folder / "requirements.txt").write_text("".join(f"{word}\n" for word in ("mlflow", *packages)))
    model.add_flavor("onnx", data=main, onnx_version=versions.get("onnx", ""), providers=["CPUExecutionProvider"])
    model.add_flavor("python_function", loader_module="mlflow.onnx", data=main)


def _signature(artifact: Artifact) -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types import Schema
    from mlflow.types import TensorSpec as Tensor

    def schema(specs: tuple[TensorSpec, ...]) -> Any:
        import numpy as np

        return Schema(
            [Tensor(np.dtype(s.dtype), tuple(-1 if d is None else d for d in s.shape), s.name) for s in specs]
        )

    return ModelSignature(schema(artifact.inputs), schema(artifact.outputs))


def _register(client: MlflowClient, run_id: str, report: Report, name: str) -> dict[str, str]:
    """A version for each file that passed, unless this run has one; the alias `format-variant` is the newest."""
    if not client.search_registered_models(f"name = '{name}'", max_results=1):
        client.create_registered_model(name, tags={"made_by": "edgeship"})
    there = client.search_model_versions(f"name = '{name}' and run_id = '{run_id}'")
    known = {version.tags.get("edgeship.artifact"): str(version.version) for version in there}
    for artifact in report.artifacts:
        if artifact.verification != "passed" or artifact.id in known:
            continue
        tags = {"edgeship.artifact": artifact.id, "edgeship.sha256": artifact.sha256}
        made = client.create_model_version(name, f"runs:/{run_id}/{_place(artifact)}", run_id, tags=tags)
        known[artifact.id] = str(made.version)
        client.set_registered_model_alias(name, f"{artifact.format}-{artifact.variant}", str(made.version))
    return {key: version for key, version in known.items() if key is not None}
