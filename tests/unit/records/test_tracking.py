"""Builds in MLflow's tracking and registry, in a store of its own in a SQLite file."""

from __future__ import annotations

import builtins
import hashlib
import json
import shutil
from pathlib import Path

import pytest

from edgeship import tracking
from edgeship.cli import cli, failures
from edgeship.errors import ArtifactError, InputError, MissingPackageError, UnavailableError
from edgeship.tracking import Wishes, export

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's own


@pytest.fixture(scope="module")
def mlflow():
    """The package, which takes seconds to import."""
    import mlflow

    return mlflow


@pytest.fixture(scope="module")
def store(mlflow, work, tmp_path_factory):
    folder = tmp_path_factory.mktemp("mlflow")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    return uri, export(work / "builds" / "first", Wishes(uri, register="shops")), mlflow.MlflowClient(uri, uri)


def test_a_run_has_parameters_metrics_tags_and_the_report(store, work, tmp_path):
    _, made, client = store
    build = work / "builds" / "first"
    report = json.loads((build / "report.json").read_text())
    run = client.get_run(made.run_id)
    assert made.new
    assert run.info.status == "FINISHED"
    assert run.data.params["model_sha256"] == report["source"]["sha256"]
    assert run.data.params["recipe.name"] == "int8"
    value = report["predictions"]["tflite/int8 litert"]["metric"]
    gate = next(g for g in report["gates"] if (g["artifact"], g["name"]) == ("tflite/int8", "metric"))
    assert run.data.metrics["tflite/int8/accuracy"] == value
    assert run.data.metrics["original/accuracy"] == report["baseline"]["metric"]
    assert run.data.metrics["tflite/int8/drop"] == gate["value"]
    assert (run.data.metrics["tflite/int8/drop_low"], run.data.metrics["tflite/int8/drop_high"]) == tuple(
        gate["interval"]
    )
    assert run.data.metrics["tflite/int8/latency_ms/local/litert"] > 0
    assert run.data.metrics["tflite/float32/passed"] == 1
    lineage = json.loads((build / "lineage.json").read_text())
    commit = next(e["digest"]["gitCommit"] for e in lineage["predicate"]["buildDefinition"]["resolvedDependencies"]
                  if "gitCommit" in e.get("digest", {}))  # fmt: skip
    assert run.data.tags["mlflow.source.git.commit"] == commit
    for name in ("report.html", "report.json", "lineage.json"):
        kept = Path(client.download_artifacts(made.run_id, name, str(tmp_path)))
        assert kept.read_bytes() == (build / name).read_bytes()


def test_each_file_that_passed_is_a_version_with_its_signature_and_its_very_bytes(mlflow, store, work, tmp_path):
    _, made, client = store
    assert set(made.versions) == {"tflite/float32", "tflite/int8"}
    for artifact, number in made.versions.items():
        version = client.get_model_version("shops", number)
        assert version.tags["edgeship.artifact"] == artifact
        assert client.get_model_version_by_alias("shops", artifact.replace("/", "-")).version == int(number)
        place = client.download_artifacts(made.run_id, f"artifacts/{artifact}", str(tmp_path))
        described = mlflow.models.Model.load(place)
        assert described.signature.inputs.input_names() == ["sales"]
        assert set(described.flavors) == {"edgeship"}
        given = (work / "builds" / "first" / "artifacts" / artifact / "model.tflite").read_bytes()
        assert Path(place, "model.tflite").read_bytes() == given
        assert described.flavors["edgeship"]["sha256"] == hashlib.sha256(given).hexdigest()


def test_the_same_build_is_not_put_there_twice_another_one_is(store, work):
    uri, made, client = store
    again = export(work / "builds" / "first", Wishes(uri, register="shops"))
    assert (again.new, again.run_id, again.versions) == (False, made.run_id, made.versions)
    other = export(work / "builds" / "again", Wishes(uri))
    assert (other.new, other.versions) == (True, {})
    assert len(client.search_model_versions("name = 'shops'")) == 2


def test_a_run_that_was_cut_is_failed_and_the_next_export_is_whole(store, work, monkeypatch):
    uri, _, client = store

    def cut(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(tracking, "_write_model", cut)
        with pytest.raises(KeyboardInterrupt):
            export(work / "builds" / "worse", Wishes(uri))
    made = export(work / "builds" / "worse", Wishes(uri))
    assert made.new
    runs = client.search_runs([client.get_experiment_by_name("edgeship").experiment_id])
    assert sorted(run.info.status for run in runs if run.info.run_name == "shops").count("FAILED") == 1
    assert client.get_run(made.run_id).info.status == "FINISHED"


def test_a_build_whose_files_changed_is_not_exported(store, copy):
    build = copy("first")
    (build / "artifacts" / "tflite" / "int8" / "model.tflite").write_bytes(b"other")
    with pytest.raises(ArtifactError):
        export(build, Wishes(store[0]))


def test_files_that_did_not_pass_are_no_versions(store, copy, work):
    build = copy("worse")
    text = (build / "report.json").read_text()
    report = json.loads(text)
    for gate in report["gates"]:
        if gate["artifact"] == "tflite/int8" and gate["name"] == "metric":
            gate.update(status="fail", accepted=False)
    for artifact in report["artifacts"]:
        if artifact["variant"] == "int8":
            artifact["verification"] = "failed"
    (build / "report.json").write_text(json.dumps(report))
    sidecar = build / "artifacts" / "tflite" / "int8" / "artifact.json"
    sidecar.write_text(sidecar.read_text().replace('"passed"', '"failed"'))
    (build / "lineage.json").unlink()
    assert set(export(build, Wishes(store[0], register="strict")).versions) == {"tflite/float32"}


@pytest.mark.parametrize(
    ("wishes", "said"),
    [
        (Wishes("ftp://host"), "no MLflow server"),
        (Wishes(""), "no MLflow server or store is given"),
        (Wishes("sqlite:///x.db", "a'b"), "no name"),
        (Wishes("sqlite:///x.db", register="a/b"), "no name"),
    ],
)
def test_what_is_no_place_or_name_is_refused(work, wishes, said, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(InputError, match=said):
        export(work / "builds" / "first", wishes)


def test_without_the_package_the_error_says_how_to_get_it(work, monkeypatch, capsys):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "mlflow":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingPackageError, match=r"edgeship\[mlflow\]"):
        export(work / "builds" / "first", Wishes("sqlite:///x.db"))


def test_a_store_that_is_none_and_a_server_that_is_not_there_are_said_without_the_password(
    work, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    (tmp_path / "no.db").write_text("this is no database")
    with pytest.raises(UnavailableError):
        export(work / "builds" / "first", Wishes(f"sqlite:///{tmp_path / 'no.db'}"))
    words = ["export-mlflow", str(work / "builds" / "first"), "--uri", "http://ann:secret@127.0.0.1:9"]
    assert failures.run(cli, words) == 3
    said = capsys.readouterr().err
    assert "127.0.0.1:9 refuses, or is not there" in said
    assert "secret" not in said
    shutil.rmtree(tmp_path, ignore_errors=True)
