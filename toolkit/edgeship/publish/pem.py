"""Private keys as PEM files (PKCS #8), encrypted by a passphrase: PBES2 with PBKDF2-HMAC-SHA-256 and AES-256-CBC."""

from __future__ import annotations

import hashlib
import os
from base64 import encodebytes
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.padding import PKCS7
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from edgeship.errors import RepositoryError

#: OWASP's number for PBKDF2-HMAC-SHA-256; `cryptography` itself writes 2,048, which a graphics card tries in no time.
ITERATIONS = 600_000

# RFC 8018, appendices A and B: object identifiers, DER.
_PBES2 = bytes.fromhex("06092a864886f70d01050d")
_PBKDF2 = bytes.fromhex("06092a864886f70d01050c")
_HMAC_SHA256 = bytes.fromhex("06082a864886f70d0209")
_AES_256_CBC = bytes.fromhex("060960864801650304012a")
_SEQUENCE, _INTEGER, _OCTETS, _NULL = b"\x30", b"\x02", b"\x04", b"\x05\x00"


def encrypted(plain: bytes, passphrase: str | None) -> bytes:
    """A plain PEM file of a private key, encrypted; None: as it is."""
    if passphrase is None:
        return plain
    private = load_pem_private_key(plain, None)
    content = private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    salt, start = os.urandom(16), os.urandom(16)
    key = hashlib.pbkdf2_hmac("sha256", passphrase.encode(), salt, ITERATIONS)
    padder, cipher = PKCS7(128).padder(), Cipher(AES(key), CBC(start)).encryptor()
    sealed = cipher.update(padder.update(content) + padder.finalize()) + cipher.finalize()
    count = _der(_INTEGER, ITERATIONS.to_bytes(ITERATIONS.bit_length() // 8 + 1))
    derivation = _der(_SEQUENCE, _der(_OCTETS, salt) + count + _der(_SEQUENCE, _HMAC_SHA256 + _NULL))
    scheme = _der(_SEQUENCE, _PBKDF2 + derivation) + _der(_SEQUENCE, _AES_256_CBC + _der(_OCTETS, start))
    algorithm = _der(_SEQUENCE, _PBES2 + _der(_SEQUENCE, scheme))
    body = encodebytes(_der(_SEQUENCE, algorithm + _der(_OCTETS, sealed)))
    return b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n" + body + b"-----END ENCRYPTED PRIVATE KEY-----\n"


def load(content: bytes, passphrase: str | None, path: Path) -> PrivateKeyTypes:
    """Read a private key. Raises RepositoryError for a damaged file, and for a wrong passphrase or none."""
    secret = passphrase.encode() if passphrase is not None and b"ENCRYPTED" in content[:64] else None
    try:
        return load_pem_private_key(content, secret)
    except TypeError as error:
        raise RepositoryError(
            f"{path} is encrypted, and no passphrase was given",
            remedy="Give it by EDGESHIP_PASSPHRASE or --passphrase-file.",
        ) from error
    except ValueError as error:
        raise RepositoryError(f"{path} cannot be read: the passphrase is wrong, or the file is damaged") from error


def _der(tag: bytes, content: bytes) -> bytes:
    """A value by ITU-T X.690: tag, length, content."""
    length = len(content)
    if length < 0x80:
        return tag + bytes([length]) + content
    digits = length.to_bytes((length.bit_length() + 7) // 8)
    return tag + bytes([0x80 | len(digits)]) + digits + content
