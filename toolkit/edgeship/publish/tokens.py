"""Keys in hardware and in a cloud's key management: securesystemslib's signers, and what is registered with it."""

from __future__ import annotations

import os

from securesystemslib.exceptions import UnsupportedLibraryError
from securesystemslib.signer import Key, Signer

from edgeship.errors import EdgeshipError, MissingPackageError, RepositoryError

_MESSAGE = b"edgeship"


def signer(uri: str, public: Key) -> Signer:
    """What signs with the key at a URI. Raises RepositoryError if none can be made; it has not been asked yet."""
    try:
        return Signer.from_priv_key_uri(uri, public, _secret)
    except EdgeshipError:
        raise
    except UnsupportedLibraryError as error:
        raise MissingPackageError(
            f"the key {uri} needs a package: {error}",
            remedy="Get it: pip install 'securesystemslib[hsm]' (or awskms, gcpkms, azurekms, vault).",
        ) from error
    except Exception as error:
        raise RepositoryError(
            f"the key {uri} cannot be used: {error}",
            remedy="Known are the URIs of securesystemslib's signers: hsm:, awskms:, gcpkms:, azurekms:, hv:.",
        ) from error


def try_out(found: Signer) -> None:
    """Have it sign something: only that tells whether a token or a service is there. Raises RepositoryError."""
    try:
        found.public_key.verify_signature(found.sign(_MESSAGE), _MESSAGE)
    except EdgeshipError:
        raise
    except Exception as error:
        raise did_not_sign(found, error) from error


def did_not_sign(found: Signer, cause: BaseException) -> RepositoryError:
    """The error of a key that did not sign."""
    why = f"{type(cause).__name__} {cause}".strip()  # errors of tokens have nothing but a name
    remedy = "Mend EDGESHIP_PIN: a few wrong ones lock a token." if is_wrong_pin(cause) else ""
    return RepositoryError(f"the key {found.public_key.keyid[:8]} did not sign: {why}", remedy=remedy)


def is_wrong_pin(cause: BaseException | None) -> bool:
    """Whether a token counted a wrong PIN."""
    return type(cause).__name__ == "PinIncorrect"  # of python-pkcs11, which may not be installed


def _secret(name: str) -> str:
    """What a signer asks for, such as the PIN of a token, from the environment."""
    variable = f"EDGESHIP_{name.upper()}"
    found = os.environ.get(variable)
    if not found:
        raise RepositoryError(f"a signer needs its {name}", remedy=f"Give it by the environment: {variable}.")
    return found
