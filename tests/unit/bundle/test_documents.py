"""What a bundle is said to be made of, in the words of CycloneDX, in-toto and SLSA."""

from __future__ import annotations

import hashlib
import json
import uuid
from dataclasses import replace

import pytest

from edgeship import manifest as manifests
from edgeship.bundle import verify_bundle, write_documents
from edgeship.bundle.bom import bill_of_materials
from edgeship.bundle.provenance import statement
from edgeship.cli import cli, failures
from edgeship.errors import OutputError
from edgeship.statements import package_url
from edgeship.types import Budget, ModelCard

CARD = ModelCard("Tells left from right.", "Apache-2.0", "demonstrations", "three classes")


@pytest.fixture(scope="session")
def manifest(pristine):
    found, _ = manifests.read_file(pristine / "manifest.json")
    return replace(found, version="1.2.0", card=CARD, budget=Budget(20.0, None))


def digests(folder):
    return {p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.rglob("*.*")}


def test_the_bill_of_materials_has_model_files_data_runtime_and_card(manifest):
    bom = bill_of_materials(manifest, "c" * 64)
    assert (bom["bomFormat"], bom["specVersion"], bom["version"]) == ("CycloneDX", "1.6", 1)
    model = bom["metadata"]["component"]
    assert (model["type"], model["name"], model["version"]) == ("machine-learning-model", "net", "1.2.0")
    assert model["licenses"] == [{"license": {"id": "Apache-2.0"}}]
    hashes = {file["name"]: file["hashes"] for file in model["components"]}
    assert hashes == {f.name: [{"alg": "SHA-256", "content": f.sha256}] for f in manifest.files}
    card = model["modelCard"]
    assert card["modelParameters"]["inputs"] == [{"format": "x: float32 [1, 4]"}]
    assert card["considerations"] == {"useCases": ["demonstrations"], "technicalLimitations": ["three classes"]}
    metrics = {metric["type"]: metric for metric in card["quantitativeAnalysis"]["performanceMetrics"]}
    assert metrics["accuracy"]["value"] == "0.949"
    assert metrics["drop of accuracy in points"]["confidenceInterval"] == {"lowerBound": "-0.2", "upperBound": "0.4"}
    assert [c["name"] for c in bom["components"]] == ["litert", "points.npz"]
    assert bom["formulation"][0]["components"][0]["purl"] == "pkg:pypi/tensorflow@2.21.0"


def test_references_in_a_bill_of_materials_lead_somewhere_and_are_unique(manifest):
    bom = bill_of_materials(manifest, "c" * 64)
    model = bom["metadata"]["component"]
    refs = [part["bom-ref"] for part in (model, *model["components"], *bom["components"])]
    assert len(set(refs)) == len(refs)
    (dependency,) = bom["dependencies"]
    assert {dependency["ref"], *dependency["dependsOn"]} <= set(refs)
    assert model["modelCard"]["modelParameters"]["datasets"] == [{"ref": "dataset"}]


def test_no_hash_of_a_file_is_claimed_where_only_its_content_was_hashed(manifest):
    bom = json.dumps(bill_of_materials(manifest, "c" * 64))
    made = json.dumps(statement(manifest, "c" * 64))
    for digest in (manifest.lineage.source.sha256, manifest.lineage.dataset.sha256):
        assert f'"name": "edgeship:content-sha256", "value": "{digest}"' in bom
        assert f'"content": "{digest}"' not in bom
        assert f'"edgeshipContent": "{digest}"' in made
        assert f'"sha256": "{digest}"' not in made


def test_a_manifest_that_says_little_gives_documents_that_say_little(manifest):
    lineage = replace(manifest.lineage, dataset=None)
    bare = replace(manifest, version=None, card=None, metric=None, latency=(), lineage=lineage)
    model = bill_of_materials(bare, "c" * 64)["metadata"]["component"]
    assert not {"version", "licenses", "description"} & set(model)
    assert set(model["modelCard"]) == {"modelParameters"}
    roles = [
        found["annotations"]["role"]
        for found in statement(bare, "c" * 64)["predicate"]["buildDefinition"]["resolvedDependencies"]
    ]
    assert "dataset" not in roles


def test_a_license_that_spdx_does_not_know_is_a_name(manifest):
    own = replace(manifest, card=replace(CARD, license="Our own, 2026"))
    model = bill_of_materials(own, "c" * 64)["metadata"]["component"]
    assert model["licenses"] == [{"license": {"name": "Our own, 2026"}}]


def test_serial_numbers_are_made_of_the_manifest(manifest):
    one, again, other = (bill_of_materials(manifest, digit * 64)["serialNumber"] for digit in "ccd")
    assert one == again != other
    assert uuid.UUID(one.removeprefix("urn:uuid:")).version == 5


def test_the_statement_names_every_file_by_its_digest(made):
    bundle = verify_bundle(made)
    found, content = manifests.read_file(made / "manifest.json")
    made_of = statement(found, bundle.sha256)
    assert made_of["_type"] == "https://in-toto.io/Statement/v1"
    assert made_of["predicateType"] == "https://slsa.dev/provenance/v1"
    subjects = {subject["name"]: subject["digest"]["sha256"] for subject in made_of["subject"]}
    assert len(subjects) == len(made_of["subject"])
    assert digests(made).items() <= subjects.items()
    assert subjects["manifest.json"] == hashlib.sha256(content).hexdigest()
    assert subjects["model.tflite"] == found.files[0].sha256


def test_the_predicate_is_what_slsa_says(manifest):
    """Required fields and their types: https://slsa.dev/spec/v1.0/provenance."""
    predicate = statement(manifest, "c" * 64)["predicate"]
    assert set(predicate) == {"buildDefinition", "runDetails"}
    definition, details = predicate["buildDefinition"], predicate["runDetails"]
    assert set(definition) == {"buildType", "externalParameters", "internalParameters", "resolvedDependencies"}
    assert definition["buildType"].startswith("urn:")
    assert definition["externalParameters"]["recipe"] == manifest.lineage.recipe
    for resource in (*definition["resolvedDependencies"], *details["byproducts"]):
        assert {"uri", "digest", "content"} & set(resource)
        assert set(resource) <= {"uri", "digest", "content", "name", "annotations"}
    assert details["builder"]["id"].startswith("urn:")
    assert details["metadata"] == {"finishedOn": "2026-11-20T21:04:05Z"}
    named = {resource.get("uri", resource.get("name")) for resource in definition["resolvedDependencies"]}
    assert {"net.keras", "points.npz", "pkg:pypi/tensorflow@2.21.0"} <= named


def test_package_urls_are_normal():
    assert package_url("ai_edge-Litert", "2.3.0+cpu") == "pkg:pypi/ai-edge-litert@2.3.0%2Bcpu"


def test_documents_lie_beside_the_bundle_and_are_the_same_again(build, tmp_path):
    names = {name: tmp_path / f"net.{name}.json" for name in ("bom", "provenance")}
    options = [word for name, path in names.items() for word in (f"--{name}", str(path))]
    command = ["bundle", str(build), "--for", "device", *options, "--out", str(tmp_path / "net")]
    assert failures.run(cli, command) == 0
    first = {name: path.read_bytes() for name, path in names.items()}
    assert failures.run(cli, command) == 0
    assert {name: path.read_bytes() for name, path in names.items()} == first
    assert json.loads(first["bom"])["metadata"]["component"]["name"] == "net"
    assert verify_bundle(tmp_path / "net").sha256 == json.loads(first["provenance"])["subject"][0]["digest"]["sha256"]


def test_other_files_are_not_written_over(made, tmp_path):
    bundle = verify_bundle(made)
    thesis = tmp_path / "thesis.json"
    thesis.write_text("years of work")
    with pytest.raises(OutputError, match="something else"):
        write_documents(bundle, bom=thesis, provenance=None)
    assert thesis.read_text() == "years of work"
    write_documents(bundle, bom=None, provenance=thesis, force=True)
    assert "in-toto" in thesis.read_text()
    with pytest.raises(OutputError, match="in the bundle"):
        write_documents(bundle, bom=made / "golden" / "bom.json", provenance=None)
    assert verify_bundle(made) == bundle
