"""Getting a release: what is here already, then patches, then stored files; each held to the manifest."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from edgeship import manifest as manifests
from edgeship.device import durable, slots
from edgeship.device.config import Config, Place
from edgeship.device.download import download
from edgeship.device.network import Http
from edgeship.device.trust import Repository, Target
from edgeship.encodings import decode
from edgeship.errors import ArtifactError, EdgeshipError, StorageFullError, UpdateRefused
from edgeship.files import sync_folder
from edgeship.releases.names import Version, patch_path, release_folder
from edgeship.types import BundleFile, Manifest

#: Left free for whoever else writes on the disk.
_SPARE_BYTES = 4 << 20


@dataclass(frozen=True)
class _Offer:
    """A patch, and the file here that it is for."""

    target: Target
    base: Path
    base_sha256: str
    base_bytes: int


class Fetching:
    """Gets files of one repository for one enrolment."""

    def __init__(self, place: Place, config: Config, http: Http, repository: Repository) -> None:
        self._place, self._config, self._http, self._repository = place, config, http, repository
        self._line = config.of()
        self._used: set[str] = set()

    def document(self, target: Target, limit_bytes: int) -> bytes:
        """A document as it was signed; one that was fetched before is not fetched again.

        Raises UpdateRefused where it is larger than documents are, or another one is served.
        """
        if target.length > limit_bytes:
            raise UpdateRefused(f"{target.path} has {target.length:,} bytes, {limit_bytes:,} are allowed")
        with durable.storage(self._place.documents):
            self._place.documents.mkdir(exist_ok=True)
        url = self._repository.url(target)
        found = download(self._http, url, target.sha256, target.length, self._place.documents)
        self._used.add(found.name)
        return found.read_bytes()

    def tidy(self) -> None:
        """Drop what was fetched and is needed no more."""
        with durable.storage(self._place.folder):
            for file in (*self._place.downloads.glob("*"), *self._place.documents.glob("*")):
                if file.name not in self._used:
                    file.unlink()

    def manifest(self, target: Target, release: Version, variant: str) -> tuple[Manifest, bytes]:
        """The manifest of a release, and its bytes. Raises UpdateRefused where it is that of another one."""
        content = self.document(target, manifests.LIMIT_BYTES)
        try:
            found = manifests.read(content, target.path)
        except ArtifactError as error:
            raise UpdateRefused(error.message, remedy=error.remedy) from error
        said = found.kind, found.name, found.version, f"{found.format}-{found.variant}"
        if said != ("device", self._line.model, str(release), variant):
            raise UpdateRefused(f"{target.path} is the manifest of {' '.join(map(str, said))}")
        total = sum(entry.size_bytes for entry in found.files)
        if total > self._config.limits.release_bytes:
            raise UpdateRefused(
                f"{release} takes {total:,} bytes, {self._config.limits.release_bytes:,} are allowed here",
                remedy="Allow more with release_bytes in config.json.",
            )
        return found, content

    def files(self, found: Manifest, release: Version, variant: str) -> dict[str, Path]:
        """Name -> a file with the content that the manifest names, for each file of a release.

        Raises StorageFullError before anything is fetched where there is not enough space.
        """
        with durable.storage(self._place.downloads):
            self._place.downloads.mkdir(exist_ok=True)
        self._keep(found)
        missing = [entry for entry in found.files if self._here(entry) is None]
        self._check_space(missing)
        folder = release_folder(self._line.model, release, variant)
        return {entry.name: self._here(entry) or self._get(entry, folder) for entry in found.files}

    def _keep(self, found: Manifest) -> None:
        """Drop what was fetched for other releases."""
        wanted = {name for entry in found.files for name in (entry.sha256, f"{entry.wire.sha256}.part")}
        wanted |= {f"{offer.target.sha256}.part" for entry in found.files for offer in self._offers(entry)}
        with durable.storage(self._place.downloads):
            for file in self._place.downloads.iterdir():
                if file.name not in wanted:
                    file.unlink()

    def _here(self, entry: BundleFile) -> Path | None:
        """Where the file is already: fetched, or in a slot."""
        fetched = self._place.downloads / entry.sha256
        if slots.is_file(fetched, entry.sha256, entry.size_bytes):
            return fetched
        for sha256, _, path in slots.held_files(self._place):
            if sha256 == entry.sha256 and slots.is_file(path, entry.sha256, entry.size_bytes):
                return path
        return None

    def _check_space(self, missing: Iterable[BundleFile]) -> None:
        needed = sum(self._bytes_to_come(entry) for entry in missing)
        free = shutil.disk_usage(self._place.folder).free
        if needed and free < needed + _SPARE_BYTES:
            raise StorageFullError(
                f"an update needs {needed + _SPARE_BYTES:,} bytes in {self._place.folder}, {free:,} are free",
                remedy="Free some space; the model goes on meanwhile.",
            )

    def _bytes_to_come(self, entry: BundleFile) -> int:
        """What the stored file still takes on the disk, and unpacked."""
        part = self._place.downloads / f"{entry.wire.sha256}.part"
        there = part.stat().st_size if part.is_file() else 0
        return max(entry.wire.size_bytes - there, 0) + (entry.size_bytes if entry.stored is not None else 0)

    def _get(self, entry: BundleFile, folder: str) -> Path:
        try:
            patched = self._patched(entry)
        except (EdgeshipError, MemoryError):
            patched = None  # whatever goes wrong with a patch, the stored file is there
        if patched is not None:
            return patched
        wire = entry.wire
        target = self._repository.offline(f"{folder}/{wire.name}")
        if target is None or (target.sha256, target.length) != (wire.sha256, wire.size_bytes):
            raise UpdateRefused(f"the manifest in {folder} names {wire.name}, which was not signed as that")
        fetched = download(
            self._http, self._repository.url(target), wire.sha256, wire.size_bytes, self._place.downloads
        )
        if entry.stored is None:
            return fetched
        try:
            return self._put(entry, decode(fetched.read_bytes(), entry.stored.encoding, entry.size_bytes))
        except ArtifactError as error:
            raise UpdateRefused(f"{target.path}: {error.message}") from error
        finally:
            fetched.unlink(missing_ok=True)

    def _offers(self, entry: BundleFile) -> list[_Offer]:
        """Patches that make a file of one that is here, the shortest first."""
        found = []
        for sha256, size_bytes, path in slots.held_files(self._place):
            target = self._repository.offline(patch_path(self._line, sha256, entry.sha256))
            if target is not None and target.length < entry.wire.size_bytes:
                found.append(_Offer(target, path, sha256, size_bytes))
        return sorted(found, key=lambda offer: offer.target.length)

    def _patched(self, entry: BundleFile) -> Path | None:
        """The file made from one that is here; None where nobody published how."""
        for offer in self._offers(entry):
            if not slots.is_file(offer.base, offer.base_sha256, offer.base_bytes):
                continue
            from edgeship.delta import decode as apply

            target, folder = offer.target, self._place.downloads
            patch = download(self._http, self._repository.url(target), target.sha256, target.length, folder)
            try:
                made = apply(offer.base.read_bytes(), patch.read_bytes(), limit=entry.size_bytes)
            finally:
                patch.unlink(missing_ok=True)
            return self._put(entry, [made])
        return None

    def _put(self, entry: BundleFile, pieces: Iterable[bytes]) -> Path:
        """Keep a plain file under its SHA-256. Raises UpdateRefused for one that is not what the manifest names."""
        whole = self._place.downloads / entry.sha256
        new = whole.with_suffix(".new")
        with durable.storage(new):
            with new.open("wb") as file:
                for piece in pieces:
                    file.write(piece)
            if not slots.is_file(new, entry.sha256, entry.size_bytes):
                new.unlink()
                raise UpdateRefused(f"{entry.wire.name} does not decode to {entry.name} as the manifest names it")
            durable.sync(new)
            new.replace(whole)
            sync_folder(whole.parent)
        return whole
