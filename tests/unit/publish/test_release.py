"""Bundles become releases: the rule of versions, variants, deltas, and that publishing twice is no change."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from publishing import LINE, Client, Site, as_variant, other_labels, publish, same_source

from edgeship import delta
from edgeship import manifest as manifests
from edgeship.errors import ArtifactError, InputError, PatchError, RepositoryError
from edgeship.publish import rollout, versions
from edgeship.publish.draft import Draft
from edgeship.releases.documents import Arm, Rollout
from edgeship.releases.names import Version, manifest_path, patch_path, version
from edgeship.report import schema
from edgeship.types import Manifest


def draft(site: Site) -> Draft:
    return Draft(site.store, site.repository.read(), site.repository.clock())


def manifest(site: Site, text: str, variant: str = "tflite-float32", model: str = "points") -> Manifest:
    return versions.read_manifest(draft(site), model, version(text), variant)


def test_the_first_release_of_a_line_is_for_all(site: Site, client: Client) -> None:
    found = client.rollout()
    assert (found["stable"], found["arms"], found["state"]) == ("1.0.0", [], "running")
    assert found["rollout"].startswith("1.0.0@20")


def test_a_later_release_is_for_nobody(site: Site, client: Client) -> None:
    before = client.rollout()
    made = site.publish(2)
    assert (made.version, made.new, made.first) == ("1.1.0", True, False)
    assert made.change.signed == ("targets", "snapshot", "timestamp")
    assert client.rollout() == before


def test_what_is_published_is_the_bundle_with_model_version_and_parent(site: Site, client: Client) -> None:
    place = site.bundle(2)
    publish(site.repository, [place])
    for entry in manifests.read_file(place / manifests.NAME)[0].files:
        path = f"models/{LINE}/1.1.0/tflite-float32/{entry.wire.name}"
        assert client.read(path) == (place / entry.wire.name).read_bytes()
    content = client.read(manifest_path("points", Version(1, 1, 0), "tflite-float32"))
    assert content is not None
    schema.check(json.loads(content), manifests.SCHEMA, "manifest")
    found, before = manifests.read(content), client.read(manifest_path("points", Version(1, 0, 0), "tflite-float32"))
    assert before is not None
    parent = hashlib.sha256(before).hexdigest()
    given = manifests.read_file(place / manifests.NAME)[0]
    assert found == replace(given, version="1.1.0", lineage=replace(given.lineage, parent=parent))
    assert manifest(site, "1.0.0").lineage.parent is None


def test_publishing_twice_is_no_change(site: Site) -> None:
    before = site.files()
    made = site.publish(1)
    assert (made.version, made.new, made.change.signed) == ("1.0.0", False, ())
    assert site.files() == before
    assert site.publish(1, "1.0.0").new is False


@pytest.mark.parametrize(
    ("edit", "padding", "wanted"),
    [
        (other_labels, 0, "2.0.0"),
        (lambda found: replace(found, outputs=(replace(found.outputs[0], shape=(1, 4)),)), 0, "2.0.0"),
        (lambda found: found, 0, "1.1.0"),
        (same_source(1), 8, "1.0.1"),
    ],
)
def test_the_next_version_follows_the_rule(edit: Any, padding: int, wanted: str, site: Site) -> None:
    assert site.publish(2, edit=edit, padding=padding).version == wanted


def test_units_of_inputs_are_a_part_of_what_an_application_is_written_for(site: Site) -> None:
    def scaled(found: Manifest) -> Manifest:
        units = replace(found.inputs[0].preprocessing, scale=0.5)
        return replace(found, inputs=(replace(found.inputs[0], preprocessing=units),))

    assert site.publish(2, edit=scaled).version == "2.0.0"


def test_the_files_own_number_format_is_not(site: Site) -> None:
    def quantized(found: Manifest) -> Manifest:
        steps = replace(found.inputs[0].preprocessing, steps=("quantize",))
        return replace(found, inputs=(replace(found.inputs[0], dtype="int8", preprocessing=steps),))

    assert site.publish(2, edit=quantized).version == "1.1.0"


@pytest.mark.parametrize(
    ("text", "seed", "edit", "message"),
    [
        ("1.1.0", 2, other_labels, "it has other labels than 1.0.0"),
        ("1.0.1", 2, lambda found: found, "it was made from another model than 1.0.0"),
        ("1.0.0", 2, same_source(1), "published already, with other files"),
    ],
)
def test_a_version_against_the_rule_is_refused_with_the_rule(
    text: str, seed: int, edit: Any, message: str, site: Site
) -> None:
    before = site.files()
    with pytest.raises(InputError, match=message) as caught:
        site.publish(seed, text, edit=edit)
    assert versions.RULE in caught.value.remedy
    assert site.files() == before


def test_a_greater_step_and_an_older_line_are_allowed(site: Site) -> None:
    assert site.publish(2, "1.7.0").version == "1.7.0"
    assert site.publish(3, "3.0.0").first
    assert site.publish(2, "1.7.1", edit=same_source(2), padding=8).version == "1.7.1"
    assert site.publish(4).version == "3.1.0"
    assert set(versions.releases(draft(site), "points")) == {
        Version(1, 0, 0),
        Version(1, 7, 0),
        Version(1, 7, 1),
        Version(3, 0, 0),
        Version(3, 1, 0),
    }


def test_a_new_line_has_a_rollout_of_its_own(site: Site, client: Client) -> None:
    before = client.rollout()
    assert site.publish(2, edit=other_labels).first
    assert json.loads(client.read("rollout/points/v2.json") or b"")["stable"] == "2.0.0"
    assert client.rollout() == before


def test_bundles_of_one_release_are_its_variants(site: Site, client: Client) -> None:
    plain, small = site.bundle(2), site.bundle(2, as_variant("int8"))
    made = publish(site.repository, [plain, small])
    assert (made.version, made.variants) == ("1.1.0", ("tflite-float32", "tflite-int8"))
    assert manifest(site, "1.1.0", "tflite-int8").variant == "int8"
    late = publish(site.repository, [site.bundle(2, as_variant("float16"))], version=Version(1, 1, 0))
    assert late.new
    assert versions.releases(draft(site), "points")[Version(1, 1, 0)] == (
        "tflite-float16",
        "tflite-float32",
        "tflite-int8",
    )


def test_bundles_that_are_no_variants_of_one_release_are_refused(site: Site) -> None:
    with pytest.raises(InputError, match="of the same variant"):
        publish(site.repository, [site.bundle(2), site.bundle(2)])
    with pytest.raises(InputError, match="made from different models"):
        publish(site.repository, [site.bundle(2), site.bundle(3, as_variant("int8"))])
    int8 = as_variant("int8")
    with pytest.raises(InputError, match="have different labels"):
        publish(site.repository, [site.bundle(2), site.bundle(2, lambda found: other_labels(int8(found)))])


def test_a_model_may_be_given_another_name(site: Site) -> None:
    made = publish(site.repository, [site.bundle(1)], model="other-points")
    assert (made.model, made.version, made.first) == ("other-points", "1.0.0", True)
    assert manifest(site, "1.0.0", model="other-points").name == "other-points"
    with pytest.raises(InputError, match="cannot be the name of a model"):
        publish(site.repository, [site.bundle(1)], model="../up")


def test_a_damaged_bundle_is_not_published(site: Site) -> None:
    place, before = site.bundle(2), site.files()
    (place / "golden" / "input_0.npy").write_bytes(b"short")
    with pytest.raises(ArtifactError):
        publish(site.repository, [place])
    assert site.files() == before


def test_devices_with_releases_in_use_get_patches(site: Site, client: Client) -> None:
    for seed in (2, 3, 4, 5):
        site.publish(seed)
    made = site.publish(6)
    models = {each.from_version: each for each in made.deltas if each.file == "model.tflite"}
    assert list(models) == ["1.0.0", "1.4.0", "1.3.0", "1.2.0"]  # stable, then the last three
    old, new = manifest(site, "1.4.0").files[0], manifest(site, "1.5.0").files[0]
    patch = client.read(patch_path(LINE, old.sha256, new.sha256))
    assert patch is not None
    assert (models["1.4.0"].patch_bytes, models["1.4.0"].full_bytes) == (len(patch), new.wire.size_bytes)
    assert len(patch) < new.wire.size_bytes


def test_a_patch_turns_the_old_file_into_the_new_one(site: Site, client: Client) -> None:
    first, second = site.bundle(7, padding=200, compress=False), site.bundle(8, padding=200, compress=False)
    publish(site.repository, [first])
    publish(site.repository, [second])
    old, new = ((place / "model.tflite").read_bytes() for place in (first, second))
    digests = [hashlib.sha256(content).hexdigest() for content in (old, new)]
    patch = client.read(patch_path(LINE, *digests))
    assert patch is not None
    assert delta.decode(old, patch) == new


def test_arms_and_channels_of_a_rollout_are_in_use(site: Site) -> None:
    for seed in (2, 3, 4, 5, 6, 7):
        site.publish(seed)
    site.repository.change(
        lambda found: rollout.put(found, Rollout("points", 1, "r", "1.0.0", arms=(Arm("1.1.0", 1),),
                                                 channels={"canary": "1.2.0"}))
    )  # fmt: skip
    made = site.publish(8)
    wanted = ["1.0.0", "1.1.0", "1.2.0", "1.6.0", "1.5.0", "1.4.0"]
    assert [each.from_version for each in made.deltas if each.file == "model.tflite"] == wanted


def test_patches_to_releases_that_nobody_is_sent_are_forgotten(site: Site, client: Client) -> None:
    for seed in range(2, 9):
        site.publish(seed)
    patches = [path for path in site.repository.read().targets.signed.targets if path.endswith(".esd")]
    files = {
        entry.sha256[:12]: release
        for release in versions.releases(draft(site), "points")
        for entry in manifest(site, str(release)).files
        if entry.name == "model.tflite"
    }
    reached = {files[path[-16:-4]] for path in patches if path[-16:-4] in files}
    assert reached == {Version(1, minor, 0) for minor in (4, 5, 6, 7)}
    for path in patches:
        assert client.read(path) is not None


def test_a_hotfix_of_an_old_release_is_published(site: Site, client: Client) -> None:
    """Among so many newer ones, the patches to it are those that are forgotten."""
    for number in range(1, 6):
        site.publish(number + 1, f"1.{number}.0")
    site.repository.change(lambda found: rollout.put(found, Rollout("points", 1, "r", "1.5.0")))
    made = site.publish(1, "1.0.1", padding=8, edit=same_source(1))
    assert (made.version, made.new) == ("1.0.1", True)
    assert client.read(manifest_path("points", Version(1, 0, 1), "tflite-float32")) is not None


def lose(site: Site, name: str) -> tuple[str, bytes]:
    """Remove a file of 1.0.0 from the store; its target path, and what it held."""
    (path,) = (found for found in draft(site).offline if found.startswith(f"models/{LINE}/1.0.0/") and name in found)
    place = site.folder / "repo" / "targets" / draft(site).offline[path].get_prefixed_paths()[0]
    content = place.read_bytes()
    place.unlink()
    return path, content


@pytest.mark.parametrize("lost", ["model.tflite", "manifest.json"])
def test_a_file_that_the_store_lost_comes_back_from_its_bundle(lost: str, site: Site, client: Client) -> None:
    path, before = lose(site, lost)
    with pytest.raises(RepositoryError, match=r"lacks .*"):
        draft(site).read(path)
    made = site.publish(1)
    assert (made.version, made.new, made.change.signed) == ("1.0.0", False, ())
    assert client.read(path) == before


def test_a_lost_file_costs_patches_from_it_only(site: Site) -> None:
    lose(site, "model.tflite")
    made = site.publish(2)
    assert (made.version, made.new) == ("1.1.0", True)
    assert "model.tflite" not in {delta.file for delta in made.deltas}


def test_patches_that_are_not_smaller_are_left_out(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delta, "encode", lambda old, new: b"x" * 10_000 + new)
    monkeypatch.setattr(delta, "decode", lambda old, patch: patch[10_000:])
    assert site.publish(2).deltas == ()
    assert not any(path.endswith(".esd") for path in site.files())


@pytest.mark.parametrize("wrong", ["other", "fails"])
def test_patches_that_do_not_decode_are_left_out(wrong: str, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def decode(old: bytes, patch: bytes) -> bytes:
        if wrong == "fails":
            raise PatchError("broken")
        return old

    monkeypatch.setattr(delta, "decode", decode)
    assert site.publish(2).deltas == ()


def test_a_patch_is_made_once_though_a_change_is_repeated(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    from publishing import Raced

    from edgeship.publish.stores import TIMESTAMP

    made: list[int] = []
    encode = delta.encode
    monkeypatch.setattr(delta, "encode", lambda old, new: made.append(1) or encode(old, new))
    raced = site.with_keys(site.keys, Raced(site.folder / "repo", TIMESTAMP, [site.repository.refresh]))
    assert publish(raced, [site.bundle(2)]).change.attempts == 2
    assert len(made) == 2  # the model, and its golden outputs


def test_a_bundle_that_is_none_is_said(site: Site, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="is not a bundle"):
        publish(site.repository, [tmp_path])
