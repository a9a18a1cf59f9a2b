"""Trust: nothing is built on metadata or files that are not what was signed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from publishing import Site, publish
from tuf.api.metadata import Metadata, MetaFile, Root

from edgeship.errors import RepositoryError
from edgeship.publish import keymaking, keys
from edgeship.publish.keys import KeySet
from edgeship.publish.stores import TIMESTAMP, FolderStore
from edgeship.releases.names import Version


@pytest.mark.parametrize(
    "name", ["timestamp.json", "1.snapshot.json", "1.targets.json", "1.rollout.json", "2.root.json"]
)
def test_nothing_is_built_on_tampered_metadata(name: str, site: Site) -> None:
    path = site.folder / "repo" / "metadata" / name
    if not path.exists():
        root = json.loads((site.folder / "repo" / "metadata" / "1.root.json").read_bytes())
        root["signed"]["version"] = 2
        path.write_text(json.dumps(root))
    else:
        text = path.read_text()
        path.write_text(text.replace('"expires":"20', '"expires":"21', 1))
        assert path.read_text() != text
    before = site.files()
    for repeat in range(2):
        with pytest.raises(RepositoryError, match="is not what was signed") as caught:
            publish(site.repository, [site.bundle(repeat + 2)])
        assert "nothing was signed" in caught.value.remedy
    assert site.files() == before


@pytest.mark.parametrize(
    "content", [b"<html>captive</html>", b"{}", b'{"signed": {"_type": "king"}, "signatures": []}']
)
def test_what_is_no_metadata_is_said(content: bytes, site: Site) -> None:
    (site.folder / "repo" / TIMESTAMP).write_bytes(content)
    with pytest.raises(RepositoryError, match="it is no TUF metadata"):
        site.repository.read()


def test_metadata_of_another_type_are_refused(site: Site) -> None:
    folder = site.folder / "repo" / "metadata"
    shutil.copyfile(folder / "1.root.json", folder / "timestamp.json")
    with pytest.raises(RepositoryError, match="of the type root"):
        site.repository.read()


def test_mixed_metadata_are_refused(site: Site) -> None:
    folder = site.folder / "repo" / "metadata"
    site.publish(2)
    shutil.copyfile(folder / "1.targets.json", folder / "2.targets.json")
    with pytest.raises(RepositoryError, match="targets is not what was signed"):
        site.repository.read()


@pytest.mark.parametrize("name", ["1.targets.json", "1.snapshot.json", "1.rollout.json"])
def test_metadata_of_another_repository_of_the_same_keys_are_refused(name: str, site: Site, tmp_path: Path) -> None:
    """Rightly signed, and of the same number: only hashes tell them apart."""
    other = FolderStore(tmp_path / "other")
    publish(site.with_keys(site.keys, other), [site.bundle(2)], version=Version(1, 5, 0))
    shutil.copyfile(other.folder / "metadata" / name, site.folder / "repo" / "metadata" / name)
    with pytest.raises(RepositoryError, match="is not what was signed"):
        site.repository.read()


def forge(site: Site, meta: dict[str, MetaFile]) -> None:
    """What the owner of the online keys could sign: a snapshot that says so."""
    state, folder = site.repository.read(), site.folder / "repo" / "metadata"
    signers = {role: site.keys.signer(role, site.keys.entries(role)[0][1].keyid) for role in ("snapshot", "timestamp")}
    assert all(signers.values())
    state.snapshot.signed.meta, state.snapshot.signed.version = meta, 9
    state.snapshot.sign(signers["snapshot"])
    content = state.snapshot.to_bytes()
    (folder / "9.snapshot.json").write_bytes(content)
    state.timestamp.signed.snapshot_meta = MetaFile.from_data(9, content, ["sha256"])
    state.timestamp.signed.version += 1
    state.timestamp.sign(signers["timestamp"])
    (folder / "timestamp.json").write_bytes(state.timestamp.to_bytes())


def test_old_metadata_under_a_new_number_are_refused(site: Site) -> None:
    folder = site.folder / "repo" / "metadata"
    content = (folder / "1.targets.json").read_bytes()
    (folder / "5.targets.json").write_bytes(content)
    rollout = MetaFile.from_data(1, (folder / "1.rollout.json").read_bytes(), ["sha256"])
    forge(site, {"targets.json": MetaFile.from_data(5, content, ["sha256"]), "rollout.json": rollout})
    with pytest.raises(RepositoryError, match="it says version 1, 5 was expected"):
        site.repository.read()


@pytest.mark.parametrize("role", ["targets", "rollout"])
def test_who_has_the_online_keys_cannot_sign_for_others(role: str, site: Site) -> None:
    """Nothing is built on releases that the offline role did not sign, nor on a rollout by the key of the timestamp."""
    state, folder = site.repository.read(), site.folder / "repo" / "metadata"
    forged = state.targets if role == "targets" else state.rollout
    forged.signed.version, signer = 2, site.keys.signer("timestamp", site.keys.entries("timestamp")[0][1].keyid)
    assert signer is not None
    forged.sign(signer)
    (folder / f"2.{role}.json").write_bytes(forged.to_bytes())
    forge(site, {**state.snapshot.signed.meta, f"{role}.json": MetaFile.from_data(2, forged.to_bytes(), ["sha256"])})
    with pytest.raises(RepositoryError, match=rf"of {role} is not what was signed: {role} was signed by 0/1 keys"):
        site.repository.read()


def test_a_snapshot_with_other_roles_is_refused(site: Site) -> None:
    forge(site, {**site.repository.read().snapshot.signed.meta, "king.json": MetaFile(1)})
    with pytest.raises(RepositoryError, match=r"it names king\.json"):
        site.repository.read()


def test_missing_metadata_are_said(site: Site) -> None:
    (site.folder / "repo" / "metadata" / "1.targets.json").unlink()
    with pytest.raises(RepositoryError, match=r"lacks metadata/1\.targets\.json"):
        site.repository.read()


def plant_root(site: Site, by: list[KeySet], trusts: KeySet, *, version: int = 2, count: int = 2) -> None:
    """Put a root where the second is looked for: with the keys of `trusts`, signed by `count` keys of each of `by`."""
    root = Metadata[Root].from_bytes(trusts.root)
    root.signed.version = version
    root.signatures.clear()
    for owner in by:
        for _, entry in owner.entries("root")[:count]:
            signer = owner.signer("root", entry.keyid)
            assert signer is not None
            root.sign(signer, append=True)
    (site.folder / "repo" / "metadata" / "2.root.json").write_bytes(root.to_bytes())


def test_only_a_root_that_the_old_and_the_new_keys_signed_is_followed(site: Site, tmp_path: Path) -> None:
    ours, others = site.keys, keymaking.create(tmp_path / "others", dev=True)
    plant_root(site, [ours], ours)
    assert site.repository.read().root.signed.version == 2
    plant_root(site, [ours], ours, count=1)
    with pytest.raises(RepositoryError, match="signed by 1/2 keys"):
        site.repository.read()
    plant_root(site, [others], others)
    with pytest.raises(RepositoryError, match="root was signed by 0/2 keys"):
        site.repository.read()
    plant_root(site, [ours], others)
    with pytest.raises(RepositoryError, match="root was signed by 0/2 keys"):
        site.repository.read()
    plant_root(site, [ours], ours, version=3)
    with pytest.raises(RepositoryError, match="it says version 3, its name 2"):
        site.repository.read()


def test_a_root_in_the_key_folder_that_was_changed_is_refused(site: Site, tmp_path: Path) -> None:
    path = site.folder / "keys" / "root.json"
    path.write_text(path.read_text().replace('"expires":"20', '"expires":"21', 1))
    with pytest.raises(RepositoryError, match="root is not what was signed"):
        site.with_keys(keys.load([site.folder / "keys"]), FolderStore(tmp_path / "new")).refresh()


def test_a_tampered_target_is_never_read(site: Site) -> None:
    for path in (site.folder / "repo" / "targets").rglob("*.manifest.json"):
        path.write_bytes(path.read_bytes().replace(b"points", b"pounts"))
    with pytest.raises(RepositoryError, match="is not what was signed"):
        publish(site.repository, [site.bundle(2)])


def test_what_a_newer_edgeship_remembers_is_not_guessed_at(site: Site) -> None:
    (site.folder / "keys" / "seen.json").write_text('{"repositories": {}, "schema": "edgeship.seen/2"}')
    with pytest.raises(RepositoryError, match=r"seen\.json is of 'edgeship\.seen/2'"):
        site.repository.read()
