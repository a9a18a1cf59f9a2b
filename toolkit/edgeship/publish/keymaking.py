"""Making keys: for a new repository, and those that take the place of others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from securesystemslib.signer import CryptoSigner, Signer, SSlibKey
from tuf.api.metadata import Metadata, Root

from edgeship.errors import EdgeshipError, InputError, OutputError, RepositoryError
from edgeship.files import storage_errors, write_text
from edgeship.publish import pem, tokens
from edgeship.publish.keys import (
    FILE,
    ONLINE,
    ROLES,
    ROOT,
    KeyEntry,
    KeyFolder,
    KeySet,
    entry_of,
    load,
    signer_of,
    write_folder,
    write_private,
)
from edgeship.publish.signing import LIFE

SCHEMES: Mapping[str, Callable[[], CryptoSigner]] = {
    "ed25519": CryptoSigner.generate_ed25519,
    "p256": CryptoSigner.generate_ecdsa,
}
#: What clients verify.
_CLIENT_SCHEMES = ("ed25519", "ecdsa-sha2-nistp256")
_SHORTEST_PASSPHRASE = 12


@dataclass(frozen=True)
class GivenKey:
    """A key that is not made here, because its private half never leaves where it is.

    Attributes:
        role: that it is of.
        uri: as securesystemslib's signers read it.
        public_pem: file with its public half.
    """

    role: str
    uri: str
    public_pem: Path


@dataclass(frozen=True)
class Making:
    """How keys are made.

    Attributes:
        scheme: of `SCHEMES`.
        passphrase: of the PEM files; None: they are not encrypted, which is for keys to throw away.
        given: keys that are not made.
        online_passphrase: of those of the online roles, where they have a folder of their own; None: the same.
    """

    scheme: str = "ed25519"
    passphrase: str | None = None
    given: Sequence[GivenKey] = ()
    online_passphrase: str | None = None


PLAIN = Making()


def create(folder: Path, making: Making = PLAIN, *, online: Path | None = None, dev: bool = False) -> KeySet:
    """Make the keys of all roles, and the first root.

    Args:
        folder: new or empty.
        making: how.
        online: another new folder, for the keys of the online roles; None: the same.
        dev: keys to throw away, which need no passphrase.

    Raises:
        InputError: no passphrase is given and it is not `dev`, or a given key is none that clients verify.
        OutputError: a folder has something in it.
        RepositoryError: a given key does not sign.
    """
    apart = making if making.online_passphrase is None else replace(making, passphrase=making.online_passphrase)
    check(making, {role: count for role, (count, _) in ROLES.items()}, dev=dev)
    check(replace(apart, given=()), {}, dev=dev)
    places = {role: online if online is not None and role in ONLINE else folder for role in ROLES}
    for place in dict.fromkeys(places.values()):
        _check_new(place)
    signers: dict[str, list[Signer]] = {}
    entries: dict[str, tuple[KeyEntry, ...]] = {}
    for role, (count, _) in ROLES.items():
        made = make(places[role], role, count, apart if places[role] == online else making)
        entries[role], signers[role] = tuple(entry for entry, _ in made), [signer for _, signer in made]
    root = _first_root(signers).to_bytes()
    for place in dict.fromkeys(places.values()):
        write_folder(place, KeyFolder({role: entries[role] for role in ROLES if places[role] == place}, dev))
        write_root(place, root)
    folders = list(dict.fromkeys(places.values()))
    return load(folders, [(apart if place == online else making).passphrase for place in folders])


def make(folder: Path, role: str, count: int, making: Making) -> list[tuple[KeyEntry, Signer]]:
    """Keys of a role: those given first, the rest made and written. `check` comes first. Raises as `create`."""
    given = [found for found in making.given if found.role == role]
    made = [_take(folder, found) for found in given]
    for _ in range(count - len(given)):
        signer = SCHEMES[making.scheme]()
        name = f"{role}-{signer.public_key.keyid[:8]}.pem"
        write_private(folder / name, pem.encrypted(signer.private_bytes, making.passphrase))
        made.append((entry_of(signer.public_key, FILE + name), signer))
    return made


def check(making: Making, wanted: Mapping[str, int], *, dev: bool) -> None:
    """Raise InputError before any key is made.

    That is where a given key is of a role that gets none, or one too many, and where a key that is made would be
    written unencrypted, or as good as.

    Args:
        making: how.
        wanted: role -> how many keys it gets.
        dev: keys to throw away.
    """
    given = Counter(found.role for found in making.given)
    for role, count in given.items():
        uris = ", ".join(found.uri for found in making.given if found.role == role)
        if role not in wanted:
            raise InputError(
                f"{uris} is given as a key of {role}, and new keys are wanted of {', '.join(wanted)}",
                remedy="Give it by --key with the role that it shall sign for.",
            )
        if count > wanted[role]:
            raise InputError(f"{count} keys are given for {role}, which gets {wanted[role]}: {uris}")
    made = any(count > given[role] for role, count in wanted.items())
    if making.passphrase is None and not dev and made:
        raise InputError(
            "private keys are not written unencrypted",
            remedy="Give a passphrase by EDGESHIP_PASSPHRASE or --passphrase-file; --dev makes keys to throw away.",
        )
    if making.passphrase is not None and len(making.passphrase) < _SHORTEST_PASSPHRASE:
        raise InputError(f"the passphrase is too short: {_SHORTEST_PASSPHRASE} characters are the least")


def write_root(folder: Path, root: bytes) -> None:
    """Write the root that devices are enrolled with, and publishers trust."""
    write_text(folder / ROOT, root.decode())


def _check_new(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise OutputError(f"{folder} is not empty", remedy="Keys are never overwritten: choose a new folder.")
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)


def _take(folder: Path, given: GivenKey) -> tuple[KeyEntry, Signer]:
    """A given key; it signs something once, so that a wrong one is found now and not when it is needed."""
    try:
        public = SSlibKey.from_crypto(load_pem_public_key(given.public_pem.read_bytes()))
    except OSError as error:
        raise InputError(f"cannot read {given.public_pem}: {error.strerror}") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InputError(f"{given.public_pem} is no public key in PEM that can be used: {error}") from error
    if public.scheme not in _CLIENT_SCHEMES:
        raise InputError(f"clients do not verify {public.scheme}", remedy=f"They take {' and '.join(_CLIENT_SCHEMES)}.")
    entry = entry_of(public, given.uri)
    signer = signer_of(folder, entry, None)
    if signer is None:
        raise RepositoryError(f"{given.uri}: there is no such file in {folder}")
    try:
        tokens.try_out(signer)
    except EdgeshipError as error:
        raise RepositoryError(f"{given.uri} does not sign for {given.public_pem}: {error.message}") from error
    return entry, signer


def _first_root(signers: Mapping[str, Sequence[Signer]]) -> Metadata[Root]:
    root = Metadata(Root(expires=datetime.now(UTC) + LIFE["root"], consistent_snapshot=True))
    for role in root.signed.roles:
        root.signed.roles[role].threshold = ROLES[role][1]
        for signer in signers[role]:
            root.signed.add_key(signer.public_key, role)
    for signer in signers["root"]:
        root.sign(signer, append=True)
    return root
