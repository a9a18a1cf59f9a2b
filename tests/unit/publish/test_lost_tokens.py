"""Keys in hardware of which one is lost: the others go on, and replace it."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from publishing import Client, Site
from securesystemslib.signer import SIGNER_FOR_URI_SCHEME, CryptoSigner, Key, SecretsHandler, Signature, Signer
from tests.device_repository import served

from edgeship.cli import cli
from edgeship.cli.failures import run
from edgeship.errors import RepositoryError
from edgeship.publish import keys
from edgeship.publish.keymaking import GivenKey
from edgeship.publish.rotation import rotate


class PinIncorrect(Exception):
    """Named as that of python-pkcs11."""


class Token(Signer):
    """A key in a token; `absent` are not plugged in, `unreachable` are found missing before they are asked."""

    held: ClassVar[dict[str, CryptoSigner]] = {}
    absent: ClassVar[set[str]] = set()
    unreachable: ClassVar[set[str]] = set()
    wrong_pins: ClassVar[list[str]] = []
    pin_is_wrong: ClassVar[bool] = False

    def __init__(self, name: str, public: Key) -> None:
        self._name, self._public = name, public

    @classmethod
    def from_priv_key_uri(cls, priv_key_uri: str, public_key: Key, _: SecretsHandler | None = None) -> Token:
        name = priv_key_uri.partition(":")[2]
        if name in cls.unreachable:
            raise ConnectionError("no route to the service")
        return cls(name, public_key)

    @property
    def public_key(self) -> Key:
        return self._public

    def sign(self, payload: bytes) -> Signature:
        if self._name in self.absent:
            raise ValueError(f"No PKCS#11 token found for label {self._name}")
        if self.pin_is_wrong:
            self.wrong_pins.append(self._name)
            raise PinIncorrect
        return self.held[self._name].sign(payload)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """With the keys of root, and that of the timestamp, in tokens."""
    monkeypatch.setitem(SIGNER_FOR_URI_SCHEME, "token-of-tests", Token)
    for name, start in {"absent": set, "unreachable": set, "wrong_pins": list, "held": dict}.items():
        monkeypatch.setattr(Token, name, start())
    given = []
    for role, name in (("root", "a"), ("root", "b"), ("root", "c"), ("timestamp", "t")):
        Token.held[name] = signer = CryptoSigner.generate_ecdsa()
        public = signer._private_key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        (tmp_path / f"{name}.pem").write_bytes(public)
        given.append(GivenKey(role, f"token-of-tests:{name}", tmp_path / f"{name}.pem"))
    made = Site(tmp_path, given=given)
    made.publish(1)
    return made


def later(site: Site) -> None:
    """Another command, which asks its tokens anew."""
    site.keys = keys.load([site.folder / "keys"])
    site.repository = site.with_keys(site.keys)


def keyid(name: str) -> str:
    return Token.held[name].public_key.keyid


@pytest.fixture(params=["absent", "unreachable"])
def lost(request: pytest.FixtureRequest) -> set[str]:
    found: set[str] = getattr(Token, request.param)
    return found


def test_a_lost_token_of_root_is_replaced_by_the_two_others(site: Site, lost: set[str]) -> None:
    with served(site.folder / "repo") as server:
        client = Client(site.folder / "client", server.url, site.keys.root)
        client.updater()
        lost.add("b")
        later(site)
        after, new = rotate(site.repository, "root", replaced=[keyid("b")])
        assert list(after.keys.failures) == [keyid("b")]
        held = {entry.keyid for _, entry in after.keys.entries("root")}
        assert held == {keyid("a"), keyid("c"), *new}
        later(site)
        rotate(site.repository, "targets")  # with the new one
        assert client.rollout()["stable"] == "1.0.0"


def test_a_lost_token_of_the_timestamp_is_replaced(site: Site, lost: set[str]) -> None:
    with served(site.folder / "repo") as server:
        client = Client(site.folder / "client", server.url, site.keys.root)
        client.updater()
        lost.add("t")
        later(site)
        before = site.files()
        with pytest.raises(RepositoryError, match=r"No PKCS#11 token found for label t|no route to the service"):
            site.repository.refresh()
        assert site.files() == before  # nothing is written before all keys were seen to sign
        later(site)
        site.repository, new = rotate(site.repository, "timestamp")
        assert [entry.keyid for _, entry in site.repository.keys.entries("timestamp")] == list(new)
        assert site.repository.refresh().signed == ("rollout", "snapshot", "timestamp")
        assert client.rollout()["stable"] == "1.0.0"


def test_with_too_few_tokens_each_lost_one_is_named(site: Site, lost: set[str]) -> None:
    lost.update("ab")
    later(site)
    with pytest.raises(RepositoryError, match="root cannot sign: 2 of its keys") as caught:
        rotate(site.repository, "root", replaced=[keyid("a")])
    why = "did not sign: ValueError No PKCS#11 token found for label" if lost is Token.absent else "no route to the"
    assert caught.value.message.count(why) == 2
    assert len(list((site.folder / "keys").glob("root-*.pem"))) == 0  # no key was made in vain


def test_a_token_that_is_plugged_in_again_signs(site: Site, lost: set[str]) -> None:
    lost.add("t")
    later(site)
    with pytest.raises(RepositoryError):
        site.repository.refresh()
    lost.clear()
    assert site.repository.refresh().signed == ("rollout", "snapshot", "timestamp")


def test_a_wrong_pin_is_tried_once(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root has three keys, and three wrong PINs lock many tokens."""
    later(site)
    monkeypatch.setattr(Token, "pin_is_wrong", True)
    with pytest.raises(RepositoryError, match="did not sign: PinIncorrect") as caught:
        rotate(site.repository, "root")
    assert len(Token.wrong_pins) == 1
    assert "EDGESHIP_PIN" in caught.value.remedy


def test_a_command_says_that_it_went_on_without_a_token(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    Token.absent.add("b")
    where = ["--repo", str(site.folder / "repo"), "--keys", str(site.folder / "keys")]
    assert run(cli, ["keys", "rotate", "root", "--replace", keyid("b"), *where]) == 0
    assert f"warning: went on without the key {keyid('b')[:8]}: " in capsys.readouterr().err
