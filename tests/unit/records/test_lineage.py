"""`lineage.json`: a valid in-toto statement that names everything by its digest and is the same again."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from edgeship import manifest as manifests
from edgeship import recipe as recipes
from edgeship.bundle.provenance import statement as of_bundle
from edgeship.cli import cli, failures
from edgeship.errors import ArtifactError, InputError
from edgeship.pipeline import Request, lineage
from edgeship.report import schema
from edgeship.usercode import code_sha256

_FILES = Path(lineage.__file__).parents[1]


def read(build: Path) -> dict[str, Any]:
    return json.loads((build / "lineage.json").read_text())


def test_it_is_of_its_schema_which_refuses_what_is_not(work):
    checker = Draft202012Validator(json.loads((_FILES / "lineage.schema.json").read_text()))
    Draft202012Validator.check_schema(checker.schema)
    found = read(work / "builds" / "first")
    checker.validate(found)
    for change in (
        lambda d: d.pop("subject"),
        lambda d: d.update(predicateType="https://example.org/other"),
        lambda d: d["subject"][0].update(name="../elsewhere"),
        lambda d: d["subject"][0]["digest"].update(sha256="0" * 63),
        lambda d: d["predicate"]["runDetails"]["builder"].pop("id"),
        lambda d: d["predicate"]["edgeship_results"]["gates"][0].update(status="fine"),
        lambda d: d["predicate"]["buildDefinition"]["resolvedDependencies"][0].pop("digest"),
    ):
        damaged = json.loads(json.dumps(found))
        change(damaged)
        assert not checker.is_valid(damaged)


def test_subjects_and_byproducts_are_the_files_of_the_folder(work):
    build = work / "builds" / "first"
    found = read(build)
    subjects = {entry["name"]: entry["digest"]["sha256"] for entry in found["subject"]}
    assert set(subjects) == {f"artifacts/tflite/{variant}/model.tflite" for variant in ("float32", "int8")}
    others = {e["name"]: e["digest"]["sha256"] for e in found["predicate"]["runDetails"]["byproducts"]}
    results = [path for name in ("predictions", "golden", "measurements") for path in (build / name).rglob("*.*")]
    assert set(others) == {"report.json", *(path.relative_to(build).as_posix() for path in results)}
    for name, digest in (subjects | others).items():
        assert hashlib.sha256((build / name).read_bytes()).hexdigest() == digest


def test_inputs_are_model_data_code_script_commit_and_packages(work):
    found = read(work / "builds" / "first")["predicate"]["buildDefinition"]
    report = json.loads((work / "builds" / "first" / "report.json").read_text())
    by_name = {entry.get("name", entry.get("uri")): entry for entry in found["resolvedDependencies"]}
    assert by_name["shops.keras"]["digest"] == {"edgeshipContent": report["source"]["sha256"]}
    assert by_name["data"]["digest"] == {"edgeshipContent": report["dataset"]["sha256"]}
    script = hashlib.sha256((work / "shops.py").read_bytes()).hexdigest()
    assert by_name["shops.py"] == {"name": "shops.py", "digest": {"sha256": script}, "annotations": {"role": "script"}}
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=work, capture_output=True, text=True, check=True)
    assert by_name["repository"]["digest"] == {"gitCommit": head.stdout.strip()}
    assert by_name["repository"]["annotations"] == {"role": "code", "dirty": False}
    assert f"pkg:pypi/keras@{report['environment']['keras']}" in by_name
    assert found["externalParameters"]["recipe"] == report["recipe"]
    assert found["externalParameters"]["slices"] == "label, shop"
    assert found["internalParameters"]["seeds"] == {"recipe": 0, "data": 0, "measuring": 0}
    assert found["internalParameters"]["environment"] == report["environment"]


def test_code_of_the_user_that_decides_over_results_is_named_by_its_digest(work, monkeypatch):
    monkeypatch.syspath_prepend(str(work))
    request = Request(work / "good.keras", work / "builds" / "first", recipes.load("int8"), metric="shops:trained")
    found = lineage.statement(request)["predicate"]["buildDefinition"]["resolvedDependencies"]
    (entry,) = [item for item in found if item.get("name") == "shops:trained"]
    assert entry["digest"] == {"edgeshipContent": code_sha256(["shops:trained"])}
    schema.fits(lineage.statement(request), "lineage", "here")


def test_results_are_those_of_the_report(work):
    build = work / "builds" / "first"
    report, found = json.loads((build / "report.json").read_text()), read(build)["predicate"]["edgeship_results"]
    assert found["original"] == {"metric": report["baseline"]["metric"], "n": 1500}
    assert {p["file"]: p["metric"] for p in found["predictions"]} == {
        key: value["metric"] for key, value in report["predictions"].items()
    }
    assert [gate["value"] for gate in found["gates"]] == [gate["value"] for gate in report["gates"]]


def test_the_same_inputs_give_the_same_statement_but_for_the_run(work):
    one, again, other = (read(work / "builds" / name) for name in ("first", "again", "worse"))
    details = [found["predicate"].pop("runDetails") for found in (one, again, other)]
    assert one == again != other
    assert details[0]["builder"] == details[1]["builder"]
    steady = [{e["name"]: e for e in d["byproducts"] if "measure" not in e["name"]} for d in details]
    assert all(steady[0][name] == steady[1][name] for name in steady[0] if name != "report.json")


def test_no_place_of_this_machine_is_in_it(work):
    text = (work / "builds" / "first" / "lineage.json").read_text()
    assert str(work) not in text
    assert str(Path.home()) not in text


def test_a_report_that_is_written_anew_stays_the_one_that_is_named(copy):
    build = copy("first")
    assert failures.run(cli, ["report", str(build)]) == 0
    lineage.check(build)


@pytest.mark.parametrize("name", ["predictions/original/per_sample.npy", "artifacts/tflite/int8/model.tflite"])
def test_a_file_that_was_changed_is_found(copy, name):
    build = copy("first")
    content = (build / name).read_bytes()
    (build / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(ArtifactError, match="another one"):
        lineage.check(build)
    (build / name).unlink()
    with pytest.raises(ArtifactError, match="missing"):
        lineage.check(build)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"_type": "https://in-toto.io/Statement/v1"}', "\xff"])
def test_what_is_no_statement_is_refused(copy, text):
    build = copy("first")
    (build / "lineage.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError):
        lineage.read(build)


def test_a_build_of_an_earlier_edgeship_has_none(copy):
    build = copy("first")
    (build / "lineage.json").unlink()
    lineage.check(build)
    assert lineage.read(build) is None


def test_builds_and_bundles_speak_one_form(work):
    manifest, _ = manifests.read_file(work / "bundle" / "manifest.json")
    bundle, build = of_bundle(manifest, "c" * 64), read(work / "builds" / "first")
    for key in ("_type", "predicateType"):
        assert bundle[key] == build[key]
    bundled, built = (found["predicate"]["buildDefinition"] for found in (bundle, build))
    assert set(bundled) == set(built)
    assert bundled["buildType"] == built["buildType"]
    assert bundle["predicate"]["runDetails"]["byproducts"][0] == build["predicate"]["runDetails"]["byproducts"][0]
    for name in ("shops.keras", "data"):
        assert [d for d in bundled["resolvedDependencies"] if d.get("name") == name] == [
            d for d in built["resolvedDependencies"] if d.get("name") == name
        ]
    schema.fits(build, "lineage", "here")
