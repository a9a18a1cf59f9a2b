"""Where a repository lies. Files are created once; one of them is replaced, if it is still the one that was read."""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from edgeship.errors import InputError, RepositoryError, RepositoryUnavailable
from edgeship.files import storage_errors, sync_folder

if TYPE_CHECKING:
    from tuf.api.metadata import TargetFile

#: The one file of a repository that is ever replaced.
TIMESTAMP = "metadata/timestamp.json"
#: Bytes of a file.
LARGEST = 2 << 30

#: How often a target is written to a store that says that it is there, and does not show it.
_ATTEMPTS = 10
#: Of no file.
_NOBODYS_TAG = f'"{"0" * 32}"'


@dataclass(frozen=True)
class Stored:
    """A file of a repository, and the tag that tells it from any other that was ever under its name."""

    content: bytes
    tag: str


class Store(Protocol):
    """Files by path (`metadata/1.root.json`). Each operation happens whole or not at all, and is on disk after it.

    Attributes:
        address: for people.
        identity: the same for the same place, however it was addressed.
    """

    address: str
    identity: str

    def read(self, path: str, limit_bytes: int) -> Stored | None:
        """The file; None: there is none. Raises RepositoryError if it is larger than the limit."""
        ...

    def create(self, path: str, content: bytes) -> bool:
        """Write a file that is not there; False: it is there, and was left as it is."""
        ...

    def replace(self, path: str, content: bytes, tag: str) -> bool:
        """Write over a file if it is still the one with this tag; False: it is not, and was left as it is."""
        ...


def open_store(address: str, *, endpoint_url: str | None = None, reading: bool = False) -> Store:
    """A folder, or `s3://bucket/prefix`. Nothing is read or written yet.

    Args:
        address: of the repository.
        endpoint_url: of a store that speaks S3 and is not Amazon's; None: what the environment says.
        reading: nothing will be written, so that it may be `https://...` too.

    Raises:
        InputError: it is neither.
        MissingPackageError: boto3 is needed and not installed.
    """
    scheme, separator, _ = address.partition("://")
    if separator and scheme == "s3":
        from edgeship.publish.s3 import S3Store

        return S3Store(address, endpoint_url)
    if reading and scheme in ("http", "https"):
        from edgeship.publish.web import WebStore

        return WebStore(address)
    if separator and scheme != "file":
        raise InputError(f"nothing can be published to {address!r}", remedy="Give a folder, or s3://BUCKET/PREFIX.")
    return FolderStore(Path(address.removeprefix("file://")))


def target_path(target: TargetFile) -> str:
    """Where a target lies: under the name of its content."""
    return f"targets/{target.get_prefixed_paths()[0]}"


def put_target(store: Store, target: TargetFile, content: bytes) -> None:
    """Write a target under the name of its content; a damaged one that is there is put right."""
    path = target_path(target)
    for _ in range(_ATTEMPTS):
        if store.create(path, content):
            return
        found = store.read(path, LARGEST)
        if found is not None and (found.content == content or store.replace(path, content, found.tag)):
            return
    raise RepositoryUnavailable(
        f"{store.address}/{path} could not be written: {_ATTEMPTS} times the store said that it was there, or changed",
        remedy="Try again; if it stays so, the store does not do what it says: choose another one.",
    )


def check_conditions(store: Store, path: str) -> None:
    """Raise RepositoryError if the store writes over a file that is there, whatever the condition.

    Publishers at the same time would lose each other's work without a word. Nothing changes: what would be written is
    what is there.
    """
    found = store.read(path, LARGEST)
    if found is None:
        raise RepositoryUnavailable(f"{store.address}/{path} was there, and is not any more")
    if store.create(path, found.content) or store.replace(path, found.content, _NOBODYS_TAG):
        raise RepositoryError(
            f"{store.address} does not know conditional writes: publishers would lose each other's work",
            remedy="Choose a store that heeds If-None-Match and If-Match on PUT, as S3 does; or publish to a folder, "
            "and copy it there, timestamp.json last.",
        )


class FolderStore:
    """A folder of this machine. Publishers at the same time wait for each other, for one operation each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.address = str(folder)
        self.identity = str(folder.resolve())

    def read(self, path: str, limit_bytes: int) -> Stored | None:
        """The file; None: there is none. Raises RepositoryError if it is larger than the limit."""
        try:
            with (self.folder / path).open("rb") as file:
                content = file.read(limit_bytes + 1)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise RepositoryError(f"cannot read {self.folder / path}: {error.strerror}") from error
        if len(content) > limit_bytes:
            raise RepositoryError(f"{self.folder / path} is larger than {limit_bytes:,} bytes")
        return Stored(content, hashlib.sha256(content).hexdigest())

    def create(self, path: str, content: bytes) -> bool:
        """Write a file that is not there; False: it is there, and was left as it is."""
        with self._locked():
            if (self.folder / path).exists():
                return False
            self._write(path, content)
        return True

    def replace(self, path: str, content: bytes, tag: str) -> bool:
        """Write over a file if it is still the one with this tag; False: it is not, and was left as it is."""
        with self._locked():
            target = self.folder / path
            if not target.is_file() or hashlib.sha256(target.read_bytes()).hexdigest() != tag:
                return False
            self._write(path, content)
        return True

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with storage_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX)
                yield
            finally:
                os.close(handle)

    def _write(self, path: str, content: bytes) -> None:
        """A file under its name is complete and on disk: web servers send what they see, and power fails."""
        place = self.folder / path
        _make_folders(place.parent)
        handle, name = tempfile.mkstemp(prefix=".new.", dir=place.parent)
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.chmod(0o644)
            temporary.replace(place)
            sync_folder(place.parent)
        finally:
            temporary.unlink(missing_ok=True)


def _make_folders(folder: Path) -> None:
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for place in missing:
        sync_folder(place.parent)
