"""What is believed of a repository: after every refusal the release before still serves."""

from __future__ import annotations

import importlib.metadata
import inspect
import json
import re
import shutil
import tomllib
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from tests.device_repository import LINE, NOW, Published, Server, X, bundle, served
from tests.enrolled_device import Device
from tuf.api.metadata import Metadata, Root, TargetFile
from tuf.ngclient.updater import Updater

from edgeship import manifest as manifests
from edgeship.device import clock, trust
from edgeship.device.clock import BUILT
from edgeship.device.config import Place, enrol
from edgeship.device.seen import read_seen
from edgeship.errors import InputError, RepositoryUnavailable, UpdateRefused
from edgeship.publish.draft import Draft
from edgeship.releases.names import rollout_path

METADATA_OF_A_SET = ("root", "timestamp", "snapshot", "targets")


@pytest.fixture
def updated(device: Device) -> Device:
    device.update()
    return device


def serves(device: Device) -> bool:
    with device.model() as model:
        return model.predict(X).version == "1.0.0"


def metadata(published: Published, name: str) -> bytes:
    return (published.folder / "repo/metadata" / name).read_bytes()


def test_python_tuf_offers_no_public_clock_yet() -> None:
    """Where this fails, `trust._Client.set_time` can use what python-tuf offers instead."""
    assert not {name for name in inspect.signature(Updater.__init__).parameters if "time" in name or "clock" in name}


def test_python_tuf_has_the_names_that_are_not_public_and_used(device: Device) -> None:
    """A later minor version may rename them: where this passes with it, the bound in pyproject.toml can move."""
    uses = {name for line in inspect.getsource(trust).splitlines() for name in re.findall(r"self\.(_[a-z_]+)", line)}
    updater = Updater(str(device.place.tuf), "http://unused/", bootstrap=device.place.root.read_bytes())
    assert {"_dir", "_trusted_set"} <= uses & set(vars(updater))
    assert callable(Updater._load_timestamp)
    trusted = updater._trusted_set
    assert isinstance(trusted, trust.TrustedMetadataSet)
    assert isinstance(trusted.reference_time, datetime)
    assert all(isinstance(getattr(trust.TrustedMetadataSet, name), property) for name in METADATA_OF_A_SET)
    assert trust.EnvelopeType.METADATA


def test_python_tuf_is_bound_to_the_version_that_was_looked_at() -> None:
    major, minor, *_ = importlib.metadata.version("tuf").split(".")
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert f"tuf=={major}.{minor}.*" in project["dependencies"]


def test_an_old_repository_is_refused(updated: Device, published: Published) -> None:
    published.snapshot("old")
    published.release("1.1.0", 2)
    updated.update()
    published.restore("old")
    with pytest.raises(UpdateRefused, match="version"):
        updated.update()
    assert serves(updated)


@pytest.mark.parametrize("lost", ["files", "folder", "garbage"])
def test_local_metadata_that_are_lost_heal_and_no_old_repository_profits(
    updated: Device, published: Published, lost: str
) -> None:
    published.snapshot("old")
    published.release("1.1.0", 2)
    updated.update()
    for _ in range(2):  # once for the replay, once for what is true
        for file in updated.place.tuf.rglob("*.json"):
            if lost == "garbage":
                file.write_bytes(b'{"signed": [')
            else:
                file.unlink()
        if lost == "folder":
            shutil.rmtree(updated.place.tuf)
        if not (published.folder / "new").exists():
            published.snapshot("new")
            published.restore("old")
            with pytest.raises(UpdateRefused, match="seen already"):
                updated.update()
            published.restore("new")
    assert updated.update().result == "current"
    assert serves(updated)


def test_without_its_own_memory_and_metadata_a_device_starts_from_the_enrolled_root(updated: Device) -> None:
    shutil.rmtree(updated.place.tuf)
    updated.place.seen.write_bytes(b"")
    assert updated.update().result == "current"


def test_expired_metadata_are_refused_and_fresh_ones_taken(updated: Device, published: Published) -> None:
    updated.now = published.now = NOW + timedelta(days=2)
    with pytest.raises(UpdateRefused, match="expired"):
        updated.update()
    assert serves(updated)
    published.repository.refresh()
    assert updated.update().result == "current"


@pytest.mark.parametrize("wrong", [datetime(1970, 1, 1, tzinfo=BUILT.tzinfo), BUILT - timedelta(seconds=1)])
def test_with_a_clock_before_this_code_no_check_is_made(updated: Device, server: Server, wrong: datetime) -> None:
    server.requests.clear()
    updated.now = wrong
    with pytest.raises(RepositoryUnavailable, match="the clock says"):
        updated.update()
    assert server.requests == []
    assert any("the clock says" in problem for problem in updated.status().problems)
    assert serves(updated)


def test_a_clock_that_fell_back_is_noticed(updated: Device, published: Published) -> None:
    """What expired long ago would be fresh to it."""
    published.now = updated.now = NOW + timedelta(days=30)
    published.repository.refresh()
    updated.update()
    updated.now = NOW + timedelta(days=20)
    with pytest.raises(RepositoryUnavailable, match="has passed already"):
        updated.update()


@pytest.mark.parametrize("ahead", [timedelta(hours=23), timedelta(days=5000)])
def test_a_clock_that_was_ahead_does_no_harm_once_it_is_right(updated: Device, ahead: timedelta) -> None:
    updated.now = NOW + ahead
    if ahead > timedelta(days=1):
        with pytest.raises(UpdateRefused, match="expired"):
            updated.update()
    else:
        updated.update()
    assert serves(updated)
    updated.now = NOW + timedelta(minutes=1)
    assert updated.update().result == "current"


def test_a_moment_is_proven_by_what_was_signed_not_by_the_clock() -> None:
    expires = NOW + timedelta(days=1)
    assert clock.proven(NOW + timedelta(hours=20), expires) == NOW
    assert clock.proven(NOW, NOW + timedelta(days=9)) == NOW


def test_root_keys_rotate_and_a_device_follows(updated: Device, published: Published) -> None:
    """The next root is signed by the keys before it."""
    following = Metadata[Root].from_bytes(published.root)
    following.signed.version += 1
    sign(published, following)
    path = published.folder / "repo/metadata/2.root.json"
    following.to_file(str(path))
    assert updated.update().result == "current"
    seen = read_seen(updated.place)
    assert seen is not None
    assert seen.root == 2
    shutil.rmtree(updated.place.tuf)
    path.rename(path.with_name("hidden"))
    with pytest.raises(UpdateRefused, match="root is version 1, and 2 was seen"):
        updated.update()
    assert serves(updated)


def sign(published: Published, root: Metadata[Root], count: int = 3) -> None:
    root.signatures.clear()
    for keyid in root.signed.roles["root"].keyids[:count]:
        signer = published.keys.signer("root", keyid)
        assert signer is not None
        root.sign(signer, append=True)


def test_a_root_with_too_few_signatures_is_refused(updated: Device, published: Published) -> None:
    following = Metadata[Root].from_bytes(published.root)
    following.signed.version += 1
    sign(published, following, 1)
    following.to_file(str(published.folder / "repo/metadata/2.root.json"))
    with pytest.raises(UpdateRefused):
        updated.update()
    assert serves(updated)


@pytest.mark.parametrize("path", ["timestamp.json", "2.root.json"])
def test_a_network_that_wants_a_login_is_no_repository(updated: Device, server: Server, path: str) -> None:
    page = b"<html><body>Welcome to our network</body></html>"
    kinds = iter(["text/html", "application/json"])
    for kind in kinds:
        server.trick = lambda r, k=kind: r.path.endswith(path) and r.answer(200, page, {"Content-Type": k}) is None
        with pytest.raises(RepositoryUnavailable, match="answers with a web page"):
            updated.update()
    assert serves(updated)


def test_metadata_without_end_are_cut_off(updated: Device, server: Server) -> None:
    server.trick = lambda r: r.path.endswith("timestamp.json") and r.answer(200, b"{" * 4_000_000) is None
    with pytest.raises(UpdateRefused):
        updated.update()
    assert serves(updated)


def test_a_tampered_target_is_refused_and_nothing_of_it_stays(device: Device, server: Server) -> None:
    def tamper(request: object) -> bool:
        if "model.tflite" not in request.path:  # type: ignore[attr-defined]
            return False
        content = bytearray((server.folder / request.path.lstrip("/")).read_bytes())  # type: ignore[attr-defined]
        content[100] ^= 1
        request.answer(200, bytes(content))  # type: ignore[attr-defined]
        return True

    server.trick = tamper
    with pytest.raises(UpdateRefused, match="is not the file that was signed"):
        device.update()
    assert not list(device.place.downloads.glob("*.part"))
    server.trick = None
    assert device.update().result == "updated"


def test_only_the_role_targets_says_what_a_release_is(updated: Device, published: Published, tmp_path: Path) -> None:
    """Whoever stole the online keys signs a whole release with them: another model under the next version."""
    place = bundle(tmp_path / "stolen", 9)
    manifest, _ = manifests.read_file(place / manifests.NAME)
    (place / manifests.NAME).write_bytes(manifests.written(replace(manifest, version="1.9.0")))

    def sign(draft: Draft) -> None:
        for file in place.rglob("*"):
            if file.is_file():
                name = file.relative_to(place).as_posix()
                draft.put_online(f"models/points/v1/1.9.0/tflite-float32/{name}", file.read_bytes())

    published.repository.change(sign)
    published.rollout("1.9.0")
    assert (updated.update().result, updated.active) == ("kept", "1.0.0")
    assert serves(updated)


@pytest.mark.parametrize(
    "hashes", [{"sha256": "../../../state.json"}, {"sha256": "/" + "a" * 63}, {"sha512": "a" * 128}], ids=str
)
def test_a_hash_that_is_the_name_of_another_file_is_refused(
    updated: Device, published: Published, hashes: dict[str, str]
) -> None:
    """The online role may sign anything for a rollout; what is fetched is written under its hash."""

    def sign(draft: Draft) -> None:
        draft.online[rollout_path(LINE)] = TargetFile(100, hashes, rollout_path(LINE))
        draft.resigned.add("rollout")

    published.repository.change(sign)
    with pytest.raises(UpdateRefused, match="without its SHA-256"):
        updated.update()
    assert serves(updated)
    assert not list(updated.place.folder.parent.rglob("*.part"))


@pytest.mark.parametrize("content", [b"", b"{}", b"<html>", b'{"signed": {}, "signatures": []}'])
def test_a_root_that_is_none_enrols_nobody(device: Device, content: bytes) -> None:
    with pytest.raises(InputError, match="no root of a repository"):
        trust.check_root(content)
    with pytest.raises(InputError):
        enrol(Place(device.place.folder.parent / "other"), device.config, content)
    assert not (device.place.folder.parent / "other").exists()


def test_other_metadata_than_a_root_enrol_nobody(updated: Device, published: Published) -> None:
    with pytest.raises(InputError, match="no root of a repository"):
        trust.check_root(metadata(published, "timestamp.json"))


def test_enrolling_again_changes_settings_and_no_trust(device: Device, published: Published, tmp_path: object) -> None:
    place, config = device.place, device.config
    before = place.install_id.read_text()
    assert not enrol(place, config, published.root)
    device.set(channel="canary")
    assert enrol(place, config, published.root)
    assert json.loads(place.config.read_text())["channel"] is None
    assert place.install_id.read_text() == before
    device.set(line="points/v2")
    with pytest.raises(InputError, match=r"follows points/v2 of .* already, by the same root"):
        enrol(place, config, published.root)
    device.set(line="points/v1")
    others = Published(place.folder.parent / "others").root
    with pytest.raises(InputError, match="already, by another root"):
        enrol(place, config, others)


def test_a_device_follows_its_repository_to_another_address(device: Device, published: Published) -> None:
    """The keys are what it follows; where they sign is a setting."""
    device.update()
    published.release("1.1.0", 2)
    published.rollout("1.1.0")
    moved = published.folder.rename(published.folder.with_name("moved"))
    with pytest.raises(RepositoryUnavailable):
        device.update()
    with served(moved / "repo") as server:
        assert enrol(device.place, replace(device.config, repository=server.url), published.root)
        assert (device.update().result, device.active) == ("updated", "1.1.0")
