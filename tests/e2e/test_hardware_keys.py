"""A key in a PKCS#11 token signs releases: SoftHSM, driven as hardware is."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from tests.device_repository import bundle

from .conftest import Script

LIBRARIES = ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so")
PIN = "123456"


@pytest.fixture
def token(tmp_path: Path) -> dict[str, str]:
    """The environment in which a token `release` holds a P-256 key; `public.pem` is its public half."""
    library = next((path for path in LIBRARIES if Path(path).is_file()), None)
    if library is None or shutil.which("softhsm2-util") is None or importlib.util.find_spec("pkcs11") is None:
        pytest.skip("needs SoftHSM and the package python-pkcs11")
    (tmp_path / "tokens").mkdir()
    (tmp_path / "softhsm2.conf").write_text(f"directories.tokendir = {tmp_path / 'tokens'}\n")
    key = ec.generate_private_key(ec.SECP256R1())
    (tmp_path / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "public.pem").write_bytes(public)
    env = {"SOFTHSM2_CONF": str(tmp_path / "softhsm2.conf"), "PYKCS11LIB": library, "EDGESHIP_PIN": PIN}
    create = ("--init-token", "--free", "--label", "release", "--pin", PIN, "--so-pin", "12345678")
    add = ("--import", str(tmp_path / "key.pem"), "--token", "release", "--label", "k", "--id", "02", "--pin", PIN)
    for words in (create, add):
        subprocess.run(["softhsm2-util", *words], env=env, check=True, capture_output=True, timeout=60)
    return env


def test_a_release_is_signed_in_the_token(token: dict[str, str], tmp_path: Path, edgeship: Script) -> None:
    given = ("--key", "targets", "hsm:2?label=release", "public.pem")
    made = edgeship("keys", "init", "keys", "--dev", *given, cwd=tmp_path, **token)
    assert made.code == 0, made.err
    assert not list((tmp_path / "keys").glob("targets-*.pem"))
    bundle(tmp_path / "bundle", 1)
    where = ("--repo", "updates", "--keys", "keys")
    wrong = edgeship("publish", "bundle", *where, cwd=tmp_path, **{**token, "EDGESHIP_PIN": "000000"})
    assert (wrong.code, "did not sign: PinIncorrect" in wrong.err) == (2, True), wrong.err
    done = edgeship("publish", "bundle", *where, cwd=tmp_path, **token)
    assert "published: points 1.0.0" in done.out, done.err
    shown = edgeship("rollout", "status", *where, "--json", cwd=tmp_path, **token)
    assert shown.json["lines"][0]["rollout"]["stable"] == "1.0.0"


def test_a_token_that_is_gone_is_replaced(token: dict[str, str], tmp_path: Path, edgeship: Script) -> None:
    given = ("--key", "targets", "hsm:2?label=release", "public.pem")
    assert edgeship("keys", "init", "keys", "--dev", *given, cwd=tmp_path, **token).code == 0
    for number in (1, 2):
        bundle(tmp_path / f"b{number}", number)
    where = ("--repo", "updates", "--keys", "keys")
    assert edgeship("publish", "b1", *where, cwd=tmp_path, **token).code == 0
    shutil.rmtree(tmp_path / "tokens")
    (tmp_path / "tokens").mkdir()
    without = edgeship("publish", "b2", *where, cwd=tmp_path, **token)
    assert (without.code, "No PKCS#11 token found for label release" in without.err) == (2, True), without.err
    rotated = edgeship("keys", "rotate", "targets", *where, cwd=tmp_path, **token)
    assert (rotated.code, "went on without the key" in rotated.err) == (0, True), rotated.err
    done = edgeship("publish", "b2", *where, cwd=tmp_path, **token)
    assert "published: points 1.1.0" in done.out, done.err
