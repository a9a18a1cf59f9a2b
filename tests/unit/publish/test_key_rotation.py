"""New keys of every role, with a client of python-tuf that follows them; lost keys, and deaths on the way."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from publishing import Client, Dying, Killed, Site, publish
from tuf.api.exceptions import UnsignedMetadataError

from edgeship.errors import InputError, RepositoryError
from edgeship.publish import keymaking, keys
from edgeship.publish.draft import Draft
from edgeship.publish.keymaking import GivenKey, Making
from edgeship.publish.repository import Repository, following
from edgeship.publish.rotation import rotate
from edgeship.publish.stores import FolderStore

ROLES = ("root", "targets", "snapshot", "timestamp", "rollout")


def trusted_root(client: Client) -> int:
    return int(json.loads((client.folder / "root.json").read_bytes())["signed"]["version"])


def lose(site: Site, role: str, count: int = 1) -> None:
    for path in sorted((site.folder / "keys").glob(f"{role}-*.pem"))[:count]:
        path.unlink()


def reload(site: Site) -> None:
    site.keys = keys.load([site.folder / "keys"])
    site.repository = site.with_keys(site.keys)


@pytest.mark.parametrize("role", ROLES)
def test_clients_follow_new_keys_and_the_old_ones_sign_no_more(role: str, site: Site, client: Client) -> None:
    client.updater()
    site.repository, new = rotate(site.repository, role)
    assert len(new) == (3 if role == "root" else 1)
    assert client.rollout()["stable"] == "1.0.0"
    assert trusted_root(client) == (1 if role == "rollout" else 2)
    assert site.publish(2).version == "1.1.0"
    assert client.read("models/points/v1/1.1.0/tflite-float32/manifest.json") is not None


@pytest.mark.parametrize("role", ROLES)
def test_old_keys_sign_nothing_after_a_rotation(role: str, site: Site) -> None:
    old = site.keys
    rotate(site.repository, role)

    def edit(draft: Draft) -> None:
        draft.resigned.update({"rollout", "targets"})
        draft.next_root = following(draft.state.root.signed, draft.now)

    with pytest.raises(RepositoryError, match=f"{role} cannot sign"):
        site.with_keys(old).change(edit)


@pytest.mark.parametrize("role", ROLES)
def test_a_fresh_client_with_the_first_root_follows_all_rotations(role: str, site: Site, client: Client) -> None:
    for each in (*ROLES, role):
        site.repository, _ = rotate(site.repository, each, Making(scheme="p256"))
    assert client.rollout()["stable"] == "1.0.0"
    assert trusted_root(client) == (5 if role == "rollout" else 6)


def test_the_folder_holds_the_new_keys_and_the_newest_root(site: Site) -> None:
    before = {entry.keyid for _, entry in site.keys.entries("root")}
    after, new = rotate(site.repository, "root")
    reload(site)
    assert {entry.keyid for _, entry in site.keys.entries("root")} == set(new)
    assert before.isdisjoint(new)
    assert after.keys.root == site.keys.root == site.files()["metadata/2.root.json"]
    assert all(row.trusted in (True, None) for row in keys.rows(site.keys))


@pytest.mark.parametrize("role", ["targets", "snapshot", "timestamp", "rollout"])
def test_a_lost_key_is_replaced(role: str, site: Site, client: Client) -> None:
    client.updater()
    lose(site, role)
    reload(site)
    with pytest.raises(RepositoryError, match=f"{role} cannot sign"):
        site.repository.change(lambda draft: draft.resigned.add(role))
    site.repository, _ = rotate(site.repository, role)
    assert client.rollout()["stable"] == "1.0.0"
    assert site.publish(2).version == "1.1.0"


def test_one_lost_root_key_is_replaced_by_the_two_others(site: Site, client: Client) -> None:
    lost = sorted((site.folder / "keys").glob("root-*.pem"))[0].stem.removeprefix("root-")
    lose(site, "root")
    reload(site)
    kept = {entry.keyid for _, entry in site.keys.entries("root") if not entry.keyid.startswith(lost)}
    site.repository, new = rotate(site.repository, "root", replaced=[lost])
    assert len(new) == 1
    assert {entry.keyid for _, entry in site.repository.keys.entries("root")} == kept | set(new)
    client.updater()
    assert trusted_root(client) == 2


def test_with_two_root_keys_lost_nobody_can_rotate(site: Site) -> None:
    lose(site, "root", 2)
    reload(site)
    before, folder = site.files(), sorted((site.folder / "keys").iterdir())
    for role in ("root", "timestamp"):
        with pytest.raises(RepositoryError, match="root cannot sign: 2 of its keys"):
            rotate(site.repository, role)
    assert site.files() == before
    assert sorted((site.folder / "keys").iterdir()) == folder


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("lost", [False, True])
@pytest.mark.parametrize("role", ROLES)
def test_a_rotation_may_die_before_any_write(role: str, lost: bool, named: bool, site: Site, client: Client) -> None:
    client.updater()
    first = sorted((site.folder / "keys").glob(f"{role}-*.pem"))[0].stem.removeprefix(f"{role}-")
    replaced = [first] if named else []
    if lost:
        lose(site, role)
        reload(site)
    pristine = site.copy()
    for writes in range(10):
        site.restore(pristine)
        try:
            rotate(site.with_keys(site.keys, Dying(site.folder / "repo", writes)), role, replaced=replaced)
        except Killed:
            if not lost:
                assert fresh(client, site, f"between-{writes}").rollout()["stable"] == "1.0.0"
            reload(site)
            site.repository, _ = rotate(site.repository, role, replaced=replaced)
            held = {entry.keyid for _, entry in site.repository.keys.entries(role)}
            assert not any(keyid.startswith(start) for keyid in held for start in replaced)
            assert fresh(client, site, f"after-{writes}").rollout()["stable"] == "1.0.0"
        else:
            break
    assert writes in (1, 3, 4, 5)


def fresh(client: Client, site: Site, name: str) -> Client:
    """Another client with the first root."""
    return Client(site.folder / name, client.url, site.files()["metadata/1.root.json"])


def test_a_client_refuses_what_an_old_key_signs_after_a_rotation(site: Site, client: Client) -> None:
    """A stolen key is worth nothing once a client has seen the new root."""
    client.updater()
    site.repository, _ = rotate(site.repository, "timestamp")
    stolen = shutil.copyfile(site.folder / "repo" / "metadata" / "timestamp.json", site.folder / "kept")
    forged = json.loads(Path(stolen).read_bytes())
    old = site.keys.entries("timestamp")[0][1].keyid
    forged["signatures"] = [each for each in forged["signatures"] if each["keyid"] == old]
    assert forged["signatures"]
    (site.folder / "repo" / "metadata" / "timestamp.json").write_text(json.dumps(forged))
    with pytest.raises(UnsignedMetadataError):
        client.updater()


class LateRoot(FolderStore):
    """Lets somebody else publish just before a new root appears."""

    def __init__(self, folder: Path, other: Callable[[], object]) -> None:
        super().__init__(folder)
        self._other = other

    def create(self, path: str, content: bytes) -> bool:
        if path == "metadata/2.root.json" and not (self.folder / path).exists():
            self._other()
        return super().create(path, content)


@pytest.mark.parametrize("role", ROLES)
def test_who_publishes_just_before_the_new_root_does_no_harm(role: str, site: Site, client: Client) -> None:
    client.updater()
    old = site.with_keys(site.keys)
    store = LateRoot(site.folder / "repo", lambda: publish(old, [site.bundle(2)]))
    site.repository, _ = rotate(site.with_keys(site.keys, store), role)
    assert client.rollout()["stable"] == "1.0.0"
    assert site.publish(3).version == ("1.1.0" if role == "rollout" else "1.2.0")


def test_an_unknown_key_and_a_repository_that_is_none_are_said(site: Site, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'zz' is 0 of the role's keys"):
        rotate(site.repository, "root", replaced=["zz"])
    with pytest.raises(RepositoryError, match="is no repository yet"):
        rotate(site.with_keys(site.keys, FolderStore(tmp_path / "none")), "root")


def test_new_keys_are_encrypted_as_the_others_of_their_folder(tmp_path: Path) -> None:
    secrets = ["correct horse battery", "another one altogether"]
    site = Site(tmp_path / "site")
    keymaking.create(tmp_path / "offline", Making(passphrase=secrets[0]), online=tmp_path / "online")
    for path in (tmp_path / "online").glob("*.pem"):
        plain = load_pem_private_key(path.read_bytes(), secrets[0].encode())
        path.write_bytes(
            plain.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(secrets[1].encode()))
        )
    folders, store = [tmp_path / "offline", tmp_path / "online"], FolderStore(tmp_path / "repo")
    publish(site.with_keys(keys.load(folders, secrets), store), [site.bundle(1)])
    for role in ("timestamp", "targets"):
        rotate(site.with_keys(keys.load(folders, secrets), store), role)
    assert all(b"ENCRYPTED" in path.read_bytes() for place in folders for path in place.glob("*.pem"))
    assert site.with_keys(keys.load(folders[1:], secrets[1:]), store).refresh().signed
    assert publish(site.with_keys(keys.load(folders, secrets), store), [site.bundle(2)]).version == "1.1.0"


def test_without_its_passphrase_a_folder_gets_no_new_key(tmp_path: Path) -> None:
    site = Site(tmp_path / "site")
    secret = "correct horse battery"
    made = keymaking.create(tmp_path / "keys", Making(passphrase=secret))
    store = FolderStore(tmp_path / "repo")
    publish(site.with_keys(made, store), [site.bundle(1)])
    before = sorted(path.name for path in (tmp_path / "keys").iterdir())
    with pytest.raises(RepositoryError, match="no passphrase was given"):
        rotate(site.with_keys(keys.load([tmp_path / "keys"], [None]), store), "timestamp")
    assert sorted(path.name for path in (tmp_path / "keys").iterdir()) == before


def test_root_keys_of_two_persons_rotate_together(site: Site, client: Client, tmp_path: Path) -> None:
    """Each has a copy of the folder with one key of root; who has the third was not asked."""
    folders = [Path(shutil.copytree(site.folder / "keys", tmp_path / name)) for name in ("alice", "bob")]
    for number, place in enumerate(folders):
        for path in sorted(place.glob("root-*.pem"))[:number] + sorted(place.glob("root-*.pem"))[number + 1 :]:
            path.unlink()
    for place in folders:
        with pytest.raises(RepositoryError, match="root cannot sign: 2 of its keys"):
            rotate(site.with_keys(keys.load([place])), "targets")
    rotate(site.with_keys(keys.load(folders)), "targets")
    assert client.rollout()["stable"] == "1.0.0"
    assert trusted_root(client) == 2


@pytest.mark.parametrize("dev", [True, False])
def test_a_key_given_for_another_role_is_refused(tmp_path: Path, dev: bool) -> None:
    """It was left out without a word, and counted as if no key had to be encrypted."""
    secret = None if dev else "correct horse battery"
    made = keymaking.create(tmp_path / "keys", Making(passphrase=secret), dev=dev)
    store = FolderStore(tmp_path / "repo")
    bundle = Site(tmp_path / "other").bundle(1)
    publish(Repository(store, made), [bundle])
    before = {path: path.read_bytes() for path in (tmp_path / "keys").iterdir() if path.name != "seen.json"}
    given = GivenKey("snapshot", "hsm:2?label=online", tmp_path / "public.pem")
    with pytest.raises(InputError, match=r"hsm:2.label=online is given as a key of snapshot, and .* of timestamp"):
        rotate(Repository(store, made), "timestamp", Making(given=[given]))
    assert {path: path.read_bytes() for path in (tmp_path / "keys").iterdir() if path.name != "seen.json"} == before
