"""Keys of a repository: folders with `keys.json` (schema `edgeship.keys/1`), PEM files, and the root that is trusted.

A folder names only keys whose private halves it leads to, so that offline and online keys can live apart.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from securesystemslib.signer import CryptoSigner, Key, Signer, SSlibKey
from tuf.api.metadata import Metadata, Root
from tuf.api.serialization import DeserializationError

from edgeship.codec import from_json, to_json
from edgeship.errors import EdgeshipError, InputError, RepositoryError
from edgeship.files import storage_errors, sync_folder, write_text
from edgeship.publish import pem, tokens

SCHEMA = "edgeship.keys/1"
KEYS, ROOT = "keys.json", "root.json"
#: Role -> how many keys it has, and how many of them must sign.
ROLES = {"root": (3, 2), "targets": (1, 1), "snapshot": (1, 1), "timestamp": (1, 1), "rollout": (1, 1)}
OFFLINE, ONLINE = ("root", "targets"), ("snapshot", "timestamp", "rollout")
#: What a URI of a file begins with; its name is relative to the folder.
FILE = f"{CryptoSigner.SCHEME}:"
_LIMIT_BYTES = 1 << 20


@dataclass(frozen=True)
class KeyEntry:
    """A key: its public half as TUF writes it, and where securesystemslib finds the private one.

    Attributes:
        uri: `file2:NAME.pem` for a file beside keys.json; else what securesystemslib's signers read: `hsm:`,
            `awskms:`, `gcpkms:`, `azurekms:`, `hv:` and others.
    """

    keyid: str
    keytype: str
    scheme: str
    keyval: Mapping[str, str]
    uri: str

    @property
    def public(self) -> Key:
        """The public key."""
        data = {"keytype": self.keytype, "scheme": self.scheme, "keyval": dict(self.keyval)}
        return Key.from_dict(self.keyid, data)


@dataclass(frozen=True)
class KeyFolder:
    """What `keys.json` says.

    Attributes:
        roles: role -> keys whose private halves this folder leads to.
        dev: made to be thrown away; not encrypted.
    """

    roles: Mapping[str, tuple[KeyEntry, ...]]
    dev: bool = False
    schema: str = SCHEMA


@dataclass(frozen=True)
class KeySet:
    """Keys from one or more folders.

    Attributes:
        root: the newest root that the folders have, as its file's bytes: what is trusted.
        folders: folder -> what its keys.json says.
        passphrases: folder -> what its PEM files are encrypted with.
        failures: key id -> why its token or service did not sign; it counts as not here, so that it can be replaced.
    """

    root: bytes
    folders: Mapping[Path, KeyFolder]
    passphrases: Mapping[Path, str] = field(default_factory=dict, repr=False)
    failures: dict[str, EdgeshipError] = field(default_factory=dict, repr=False, compare=False)
    _signers: dict[str, Signer] = field(default_factory=dict, repr=False, compare=False)

    @property
    def dev(self) -> bool:
        """Whether any folder is one of `--dev`."""
        return any(found.dev for found in self.folders.values())

    def entries(self, role: str) -> list[tuple[Path, KeyEntry]]:
        """The keys of a role, each with the folder that it is in."""
        return [(place, entry) for place, found in self.folders.items() for entry in found.roles.get(role, ())]

    def signer(self, role: str, keyid: str) -> Signer | None:
        """What signs with this key; None: it is not here, or is one of `failures`.

        Raises RepositoryError if its file cannot be used, or its token says that the PIN is wrong.
        """
        for place, entry in self.entries(role):
            if entry.keyid == keyid and keyid in self._signers:
                return self._signers[keyid]
            if entry.keyid == keyid and keyid not in self.failures and (made := self._tried(place, entry)) is not None:
                return self._signers.setdefault(keyid, made)
        return None

    def _tried(self, place: Path, entry: KeyEntry) -> Signer | None:
        """A signer; one that is no file has signed once."""
        in_file = entry.uri.startswith(FILE)
        try:
            made = signer_of(place, entry, self.passphrases.get(place))
            if made is not None and not in_file:
                tokens.try_out(made)
        except EdgeshipError as error:
            if in_file or tokens.is_wrong_pin(error.__cause__):  # the next key may be on the same token
                raise
            self.failures[entry.keyid] = error
            return None
        return made


def load(folders: Sequence[Path], passphrases: Sequence[str | None] = ()) -> KeySet:
    """Read key folders; private keys are read when something is signed.

    Args:
        folders: one or more.
        passphrases: one for each folder, or one for all; none: that of the environment.

    Raises:
        RepositoryError: a folder is none of keys, there is no root in any, or they are of different repositories.
        InputError: the passphrases do not fit the folders.
    """
    given = list(passphrases) or [os.environ.get("EDGESHIP_PASSPHRASE") or None]
    if len(given) not in (1, len(folders)):
        raise InputError(
            f"{len(given)} passphrases for {len(folders)} key folders", remedy="Give one, or one for each."
        )
    secrets = zip(folders, given * len(folders) if len(given) == 1 else given, strict=False)
    found = {folder: read_folder(folder) for folder in folders}
    roots = [(_root_version(content, folder), content) for folder in folders if (content := _read(folder / ROOT))]
    if not roots:
        places = ", ".join(map(str, folders))
        raise RepositoryError(f"there is no {ROOT} in {places}", remedy=f"Copy {ROOT} of the other keys beside them.")
    if len({version for version, _ in roots}) < len(set(roots)):  # a version has one content in all its copies
        places = " and ".join(map(str, folders))
        raise RepositoryError(
            f"the keys in {places} are of different repositories: their {ROOT} differ",
            remedy="Give the folders of one repository; edgeship keys show FOLDER tells which keys its root names.",
        )
    return KeySet(max(roots)[1], found, {folder: secret for folder, secret in secrets if secret is not None})


@dataclass(frozen=True)
class KeyRow:
    """A key that is here, or that the root wants.

    Attributes:
        uri, folder: of the private half; None: it is not here.
        trusted: whether the root names it for this role; None: that is for the metadata of targets to say.
    """

    role: str
    keyid: str
    scheme: str
    uri: str | None
    folder: Path | None
    trusted: bool | None


def rows(keys: KeySet) -> list[KeyRow]:
    """All keys that are here, and those that the root wants and that are not, by role."""
    root = Metadata[Root].from_bytes(keys.root).signed
    found = []
    for role in ROLES:
        wanted = root.roles[role].keyids if role in root.roles else None
        here = keys.entries(role)
        for place, entry in here:
            believed = None if wanted is None else entry.keyid in wanted
            found.append(KeyRow(role, entry.keyid, entry.scheme, entry.uri, place, believed))
        lacking = set(wanted or ()) - {entry.keyid for _, entry in here}
        found += [KeyRow(role, keyid, root.keys[keyid].scheme, None, None, True) for keyid in sorted(lacking)]
    return found


def read_folder(folder: Path) -> KeyFolder:
    """What `keys.json` of a folder says. Raises RepositoryError where there is none, or it is damaged."""
    content = _read(folder / KEYS)
    if content is None:
        raise RepositoryError(f"{folder} has no {KEYS}", remedy=f"Make keys: edgeship keys init {folder}")
    try:
        found = from_json(KeyFolder, content.decode("utf-8", "replace"))
        for entry in (entry for entries in found.roles.values() for entry in entries):
            entry.public  # noqa: B018 - it is checked by being made
    except (InputError, ValueError, KeyError, TypeError) as error:
        raise RepositoryError(f"{folder / KEYS} is damaged: {error}") from error
    if found.schema != SCHEMA or set(found.roles) - set(ROLES):
        raise RepositoryError(f"{folder / KEYS} is of {found.schema!r}", remedy=f"This edgeship reads {SCHEMA!r}.")
    return found


def write_folder(folder: Path, content: KeyFolder) -> None:
    """Write `keys.json`: whole or not at all. It names no secret, but where they are."""
    write_text(folder / KEYS, to_json(content))
    (folder / KEYS).chmod(0o600)


def write_private(path: Path, content: bytes) -> None:
    """Write a new file that only its owner reads, down to the disk."""
    with storage_errors(path):
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        sync_folder(path.parent)


def entry_of(key: Key, uri: str) -> KeyEntry:
    """A public key and where its private half is, for keys.json."""
    data = key.to_dict()
    return KeyEntry(key.keyid, data["keytype"], data["scheme"], data["keyval"], uri)


def signer_of(folder: Path, entry: KeyEntry, passphrase: str | None) -> Signer | None:
    """What signs with a key; None: its file is elsewhere. Raises RepositoryError where it cannot be used."""
    if not entry.uri.startswith(FILE):
        return tokens.signer(entry.uri, entry.public)
    path = folder / entry.uri.removeprefix(FILE)
    content = _read(path)
    if content is None:
        return None
    private = pem.load(content, passphrase, path)
    public = entry.public
    assert isinstance(public, SSlibKey)
    try:
        return CryptoSigner(private, public)
    except Exception as error:
        raise RepositoryError(f"{path} is not the key that {KEYS} names: {error}") from error


def _root_version(content: bytes, folder: Path) -> int:
    try:
        found = Metadata[Root].from_bytes(content).signed
    except DeserializationError as error:
        raise RepositoryError(f"{folder / ROOT} is damaged: {error}") from error
    if not isinstance(found, Root):
        raise RepositoryError(f"{folder / ROOT} is no root")
    return found.version


def _read(path: Path) -> bytes | None:
    """A small file; None: there is none. Raises RepositoryError if it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(_LIMIT_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RepositoryError(f"cannot read {path}: {error.strerror}") from error
