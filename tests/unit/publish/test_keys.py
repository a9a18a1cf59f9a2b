"""Key folders: what is written, what is refused, and which key is said to be lacking."""

from __future__ import annotations

import json
import shutil
import stat
from base64 import b64decode
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from publishing import Client, Site, publish
from securesystemslib.signer import SIGNER_FOR_URI_SCHEME, CryptoSigner, Key, SecretsHandler, Signature, Signer
from tests.device_repository import Server
from tuf.api.metadata import Metadata, Root

from edgeship.errors import InputError, MissingPackageError, OutputError, RepositoryError
from edgeship.publish import keymaking, keys, pem
from edgeship.publish.keymaking import GivenKey, Making
from edgeship.publish.repository import Repository
from edgeship.publish.stores import FolderStore

SECRET = "correct horse battery"


def test_unencrypted_keys_are_only_written_for_development(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not written unencrypted"):
        keymaking.create(tmp_path / "keys")
    assert not (tmp_path / "keys").exists()
    with pytest.raises(InputError, match="too short"):
        keymaking.create(tmp_path / "keys", Making(passphrase="hunter2"))


def test_nothing_is_written_unencrypted_whatever_keys_are_given(tmp_path: Path, vault: GivenKey) -> None:
    """As many given keys as there are roles say nothing about each role."""
    with pytest.raises(InputError, match="7 keys are given for targets, which gets 1"):
        keymaking.create(tmp_path / "keys", Making(given=[vault] * 7))
    with pytest.raises(InputError, match="vault-of-tests:release is given as a key of king"):
        keymaking.create(tmp_path / "keys", Making(given=[replace(vault, role="king")]), dev=True)
    with pytest.raises(InputError, match="not written unencrypted"):
        keymaking.create(tmp_path / "keys", Making(given=[vault]))
    assert not (tmp_path / "keys").exists()


def test_online_keys_may_have_a_passphrase_of_their_own(tmp_path: Path) -> None:
    """Who reads that of the machine that is online has not read that of the other."""
    making = Making(passphrase=SECRET, online_passphrase="another one, for the machine")
    made = keymaking.create(tmp_path / "offline", making, online=tmp_path / "online")
    for role in keys.ROLES:
        assert all(made.signer(role, entry.keyid) for _, entry in made.entries(role))
    folders = [tmp_path / "offline", tmp_path / "online"]
    wrong = keys.load(folders, [SECRET])
    assert wrong.signer("targets", made.entries("targets")[0][1].keyid)
    with pytest.raises(RepositoryError, match="passphrase is wrong"):
        wrong.signer("rollout", made.entries("rollout")[0][1].keyid)
    with pytest.raises(InputError, match="too short"):
        keymaking.create(tmp_path / "x", Making(passphrase=SECRET, online_passphrase="short"), online=tmp_path / "y")


def test_a_key_set_has_a_root_signed_by_three_of_which_two_must(tmp_path: Path) -> None:
    made = keymaking.create(tmp_path / "keys", dev=True)
    root = Metadata[Root].from_bytes(made.root)
    assert (root.signed.version, root.signed.consistent_snapshot, len(root.signatures)) == (1, True, 3)
    found = {role: (len(each.keyids), each.threshold) for role, each in root.signed.roles.items()}
    assert found == {"root": (3, 2), "targets": (1, 1), "snapshot": (1, 1), "timestamp": (1, 1)}
    root.signed.verify_delegate("root", root.signed_bytes, root.signatures)


def test_private_files_are_for_their_owner_only_and_encrypted(tmp_path: Path) -> None:
    made = keymaking.create(tmp_path / "keys", Making(passphrase=SECRET))
    assert not made.dev
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700
    files = sorted((tmp_path / "keys").glob("*.pem"))
    assert len(files) == 7
    for path in [*files, tmp_path / "keys" / "keys.json"]:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for path in files:
        assert b"ENCRYPTED" in path.read_bytes()
        with pytest.raises(TypeError):
            load_pem_private_key(path.read_bytes(), None)


def test_any_program_can_read_an_encrypted_key_with_its_passphrase() -> None:
    for signer in (CryptoSigner.generate_ed25519(), CryptoSigner.generate_ecdsa()):
        sealed = pem.encrypted(signer.private_bytes, SECRET)
        assert CryptoSigner(load_pem_private_key(sealed, SECRET.encode()), signer.public_key)
        assert pem.ITERATIONS.to_bytes(3) in b64decode(b"".join(sealed.splitlines()[1:-1]))


@pytest.mark.parametrize(
    ("given", "message"),
    [(["wrong horse battery"], "passphrase is wrong"), ([None], "no passphrase was given"), (["a", "b"], "2 passphr")],
)
def test_a_wrong_passphrase_is_said(tmp_path: Path, given: list[str | None], message: str) -> None:
    made = keymaking.create(tmp_path / "keys", Making(passphrase=SECRET))
    keyid = made.entries("targets")[0][1].keyid
    with pytest.raises((RepositoryError, InputError), match=message):
        keys.load([tmp_path / "keys"], given).signer("targets", keyid)


def test_the_passphrase_comes_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = keymaking.create(tmp_path / "keys", Making(passphrase=SECRET))
    monkeypatch.setenv("EDGESHIP_PASSPHRASE", SECRET)
    assert keys.load([tmp_path / "keys"]).signer("targets", made.entries("targets")[0][1].keyid) is not None


def test_keys_are_never_overwritten(tmp_path: Path) -> None:
    keymaking.create(tmp_path / "keys", dev=True)
    before = {path: path.read_bytes() for path in (tmp_path / "keys").iterdir()}
    with pytest.raises(OutputError, match="not empty"):
        keymaking.create(tmp_path / "keys", dev=True)
    assert {path: path.read_bytes() for path in (tmp_path / "keys").iterdir()} == before


def test_p256_keys_make_a_repository_that_clients_follow(tmp_path: Path) -> None:
    from tests.device_repository import served

    site = Site(tmp_path, scheme="p256")
    site.publish(1)
    assert {entry.scheme for _, entry in site.keys.entries("root")} == {"ecdsa-sha2-nistp256"}
    with served(tmp_path / "repo") as server:
        assert Client(tmp_path / "client", server.url, site.keys.root).rollout()["stable"] == "1.0.0"


def test_online_keys_live_apart(tmp_path: Path) -> None:
    keymaking.create(tmp_path / "offline", online=tmp_path / "online", dev=True)
    assert set(keys.read_folder(tmp_path / "offline").roles) == {"root", "targets"}
    assert set(keys.read_folder(tmp_path / "online").roles) == {"snapshot", "timestamp", "rollout"}
    assert (tmp_path / "offline" / "root.json").read_bytes() == (tmp_path / "online" / "root.json").read_bytes()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "damaged"),
        (b'{"roles": {}, "schema": "edgeship.keys/2"}', "edgeship.keys/2"),
        (b'{"roles": {"king": []}}', "edgeship.keys/1"),
        (b'{"roles": {"root": [{"keyid": "a", "keytype": "x", "scheme": "y", "uri": "z", "keyval": {}}]}}', "damaged"),
    ],
)
def test_a_damaged_folder_is_said(tmp_path: Path, content: bytes, message: str) -> None:
    keymaking.create(tmp_path / "keys", dev=True)
    (tmp_path / "keys" / "keys.json").write_bytes(content)
    with pytest.raises(RepositoryError, match=message):
        keys.load([tmp_path / "keys"])


def test_a_folder_without_keys_or_root_is_said(tmp_path: Path) -> None:
    with pytest.raises(RepositoryError, match=r"no keys\.json"):
        keys.load([tmp_path])
    keymaking.create(tmp_path / "keys", dev=True)
    (tmp_path / "keys" / "root.json").write_text("no root")
    with pytest.raises(RepositoryError, match=r"root\.json is damaged"):
        keys.load([tmp_path / "keys"])
    (tmp_path / "keys" / "root.json").unlink()
    with pytest.raises(RepositoryError, match=r"no root\.json"):
        keys.load([tmp_path / "keys"])


def test_a_private_key_of_another_is_said(site: Site) -> None:
    (path,) = (site.folder / "keys").glob("targets-*.pem")
    path.write_bytes(CryptoSigner.generate_ed25519().private_bytes)
    with pytest.raises(RepositoryError, match=r"is not the key that keys\.json names"):
        publish(site.with_keys(keys.load([site.folder / "keys"])), [site.bundle(2)])


def test_which_key_is_lacking_is_said(site: Site) -> None:
    (path,) = (site.folder / "keys").glob("targets-*.pem")
    path.unlink()
    before = site.files()
    with pytest.raises(RepositoryError, match=rf"targets cannot sign: 1 of its keys .*{path.name}.* is missing"):
        publish(site.with_keys(keys.load([site.folder / "keys"])), [site.bundle(2)])
    assert site.files() == before  # nothing is written before all keys are there


def test_rows_tell_what_is_here_and_what_the_root_wants(tmp_path: Path) -> None:
    keymaking.create(tmp_path / "offline", online=tmp_path / "online", dev=True)
    rows = keys.rows(keys.load([tmp_path / "online"]))
    assert {(row.role, row.uri is None, row.trusted) for row in rows} == {
        ("root", True, True),
        ("targets", True, True),
        ("snapshot", False, True),
        ("timestamp", False, True),
        ("rollout", False, None),
    }


class Vault(Signer):
    """A signer that is registered for a scheme of its own, as those for hardware are; its PIN is asked for."""

    held: ClassVar[dict[str, CryptoSigner]] = {}

    def __init__(self, name: str, public: Key, secrets: SecretsHandler) -> None:
        self._name, self._public, self._secrets = name, public, secrets

    @classmethod
    def from_priv_key_uri(
        cls, priv_key_uri: str, public_key: Key, secrets_handler: SecretsHandler | None = None
    ) -> Vault:
        assert secrets_handler is not None
        return cls(priv_key_uri.partition(":")[2], public_key, secrets_handler)

    @property
    def public_key(self) -> Key:
        return self._public

    def sign(self, payload: bytes) -> Signature:
        if self._secrets("pin") != "1234":
            raise ValueError("the PIN is wrong")
        return self.held[self._name].sign(payload)


@pytest.fixture
def vault(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> GivenKey:
    """A key in a vault, for the role targets."""
    signer = CryptoSigner.generate_ecdsa()
    monkeypatch.setattr(Vault, "held", {"release": signer})
    monkeypatch.setitem(SIGNER_FOR_URI_SCHEME, "vault-of-tests", Vault)
    monkeypatch.setenv("EDGESHIP_PIN", "1234")
    public = signer._private_key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "public.pem").write_bytes(public)
    return GivenKey("targets", "vault-of-tests:release", tmp_path / "public.pem")


def test_a_key_of_another_signer_signs_releases(tmp_path: Path, vault: GivenKey) -> None:
    from tests.device_repository import served

    site = Site(tmp_path, given=[vault])
    assert not list((tmp_path / "keys").glob("targets-*.pem"))
    site.publish(1)
    with served(tmp_path / "repo") as server:
        assert Client(tmp_path / "client", server.url, site.keys.root).rollout()["stable"] == "1.0.0"


def test_a_token_that_does_not_sign_is_found_when_keys_are_made(
    tmp_path: Path, vault: GivenKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = CryptoSigner.generate_ecdsa()
    monkeypatch.setattr(Vault, "held", {"release": other})
    with pytest.raises(RepositoryError, match="does not sign for"):
        Site(tmp_path, given=[vault])


def test_a_wrong_or_absent_pin_is_said(tmp_path: Path, vault: GivenKey, monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site(tmp_path, given=[vault])
    monkeypatch.setenv("EDGESHIP_PIN", "4321")
    with pytest.raises(RepositoryError, match=r"did not sign: .*the PIN is wrong"):
        site.publish(1)
    monkeypatch.delenv("EDGESHIP_PIN")
    with pytest.raises(RepositoryError, match="needs its pin"):
        site.publish(1)


def test_a_signer_that_is_unknown_is_said(tmp_path: Path, vault: GivenKey) -> None:
    given = GivenKey("targets", "unheard-of:key", vault.public_pem)
    with pytest.raises(RepositoryError, match="unheard-of:key cannot be used"):
        Site(tmp_path, given=[given])


def test_a_signer_whose_package_is_absent_says_what_to_install(tmp_path: Path, vault: GivenKey) -> None:
    given = GivenKey("targets", "azurekms:vault/key", vault.public_pem)
    with pytest.raises(MissingPackageError, match="azurekms:vault/key needs a package") as caught:
        Site(tmp_path, given=[given])
    assert "pip install 'securesystemslib[hsm]' (or awskms, gcpkms, azurekms" in caught.value.remedy


def test_given_keys_must_be_such_as_clients_verify(tmp_path: Path, vault: GivenKey) -> None:
    vault.public_pem.write_bytes(
        CryptoSigner.generate_rsa()
        ._private_key.public_key()
        .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    with pytest.raises(InputError, match="clients do not verify rsassa"):
        keymaking.create(tmp_path / "rsa", Making(given=[vault]), dev=True)
    vault.public_pem.write_text("no key")
    with pytest.raises(InputError, match="no public key"):
        keymaking.create(tmp_path / "none", Making(given=[vault]), dev=True)
    with pytest.raises(InputError, match="2 keys are given for targets, which gets 1"):
        keymaking.create(tmp_path / "two", Making(given=[vault, vault]), dev=True)


def test_keys_of_another_repository_sign_nothing_here(site: Site, tmp_path: Path) -> None:
    others = keymaking.create(tmp_path / "others", dev=True)
    before = site.files()
    with pytest.raises(RepositoryError, match="belongs to other keys"):
        site.with_keys(others).refresh()
    shutil.copyfile(site.folder / "keys" / "root.json", tmp_path / "others" / "root.json")
    with pytest.raises(RepositoryError, match=r"rollout cannot sign.*in none of the folders") as caught:
        site.with_keys(keys.load([tmp_path / "others"])).refresh()
    assert "of another repository, or rotated away" in caught.value.remedy
    assert site.files() == before


def test_online_keys_alone_keep_a_repository_alive_and_publish_nothing(tmp_path: Path) -> None:
    made = keymaking.create(tmp_path / "offline", online=tmp_path / "online", dev=True)
    site = Site(tmp_path / "site")
    store = FolderStore(tmp_path / "repo")
    with pytest.raises(RepositoryError, match="needs the key of rollout"):
        publish(Repository(store, keys.load([tmp_path / "offline"])), [site.bundle(1)])
    publish(Repository(store, made), [site.bundle(1)])
    online = Repository(store, keys.load([tmp_path / "online"]))
    assert online.refresh().signed == ("rollout", "snapshot", "timestamp")
    with pytest.raises(RepositoryError, match="targets cannot sign"):
        publish(online, [site.bundle(2)])


def test_the_newest_root_of_several_folders_is_trusted(tmp_path: Path, site: Site, server: Server) -> None:
    from edgeship.publish.rotation import rotate

    shutil.copytree(site.folder / "keys", tmp_path / "copy")
    rotate(site.repository, "timestamp")
    both = keys.load([tmp_path / "copy", site.folder / "keys"])
    assert json.loads(both.root)["signed"]["version"] == 2


def test_keys_of_another_repository_are_called_that_whatever_their_age(site: Site, tmp_path: Path) -> None:
    from edgeship.publish.rotation import rotate

    older = Site(tmp_path / "older")
    older.publish(1)
    rotate(site.repository, "timestamp")
    site.keys = keys.load([site.folder / "keys"])
    with pytest.raises(RepositoryError, match="belongs to other keys: it has no root 2"):
        older.with_keys(site.keys).read()
    with pytest.raises(RepositoryError, match="belongs to other keys: its root 1"):
        site.with_keys(older.keys).read()
    copy = keymaking.create(tmp_path / "copy", dev=True)
    assert copy.root != older.keys.root
    with pytest.raises(RepositoryError, match=r"copy and .*older/keys are of different repositories"):
        keys.load([tmp_path / "copy", tmp_path / "older" / "keys"])
