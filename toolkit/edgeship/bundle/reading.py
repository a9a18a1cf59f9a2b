"""A bundle that may come from anywhere: whether it is one, and its files as a device uses them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from edgeship import manifest as manifests
from edgeship.artifact import hash_files
from edgeship.encodings import decode
from edgeship.errors import ArtifactError
from edgeship.types import Bundle, BundleFile, Manifest


def verify_bundle(path: Path) -> Bundle:
    """Check a bundle that may come from anywhere: its manifest, and that the folder holds exactly the files it names.

    Compressed files must decode to what the manifest says.

    Raises ArtifactError naming what is wrong; nothing outside the folder is read, and memory is bounded.
    """
    try:
        manifest, content = manifests.read_file(path / manifests.NAME)
    except ArtifactError as error:
        raise ArtifactError(f"{path} is not a bundle: {error.message}", remedy=error.remedy) from error
    files = manifest.files
    _check_listing(path, manifest)
    for entry in files:
        if (path / entry.wire.name).stat().st_size != entry.wire.size_bytes:
            raise ArtifactError(
                f"{path / entry.wire.name} has not the {entry.wire.size_bytes:,} bytes that {manifests.NAME} states"
            )
    for entry, found in zip(files, hash_files(path, [f.wire.name for f in files]), strict=True):
        if entry.wire.sha256 != found.sha256:
            raise ArtifactError(
                f"{path / entry.wire.name} is not the file that {manifests.NAME} names: its SHA-256 is another one"
            )
    for entry in files:
        if entry.stored is not None:
            for _ in _decoded(path, entry):
                pass
    digest = hashlib.sha256(content).hexdigest()
    return Bundle(path, manifest.kind, manifest.name, manifest.artifact, manifest.entry, digest, files)


def read_file(bundle: Bundle, name: str) -> bytes:
    """A file of a bundle as a device uses it, decoded.

    Raises ArtifactError where the bundle has no such file, or it is not what the manifest says.
    """
    entry = next((entry for entry in bundle.files if entry.name == name), None)
    if entry is None:
        named = ", ".join(entry.name for entry in bundle.files)
        raise ArtifactError(f"{bundle.path} holds no {name!r}", remedy=f"It holds {named}.")
    return b"".join(_decoded(bundle.path, entry))


def listing(folder: Path) -> list[str]:
    """Names of everything in a folder that is no plain folder itself; links are named, never followed."""
    found = []
    for place, folders, files in os.walk(folder):
        names = [*files, *(name for name in folders if (Path(place) / name).is_symlink())]
        found += [(Path(place) / name).relative_to(folder).as_posix() for name in names]
    return sorted(found)


def _decoded(path: Path, entry: BundleFile) -> Iterator[bytes]:
    """The pieces of a file. Raises ArtifactError, after the last one at the latest, if it is not the named one."""
    where = path / entry.wire.name
    if entry.stored is None:
        pieces: Iterable[bytes] = (where.read_bytes(),)
    else:
        pieces = decode(where.read_bytes(), entry.stored.encoding, entry.size_bytes)
    digest = hashlib.sha256()
    try:
        for piece in pieces:
            digest.update(piece)
            yield piece
    except ArtifactError as error:
        raise ArtifactError(f"{where}: {error.message}", remedy=error.remedy) from error
    if digest.hexdigest() != entry.sha256:
        raise ArtifactError(f"{where} is not {entry.name} as {manifests.NAME} names it: the SHA-256 is another one")


def _check_listing(path: Path, manifest: Manifest) -> None:
    """The manifest's names were checked; here they meet the folder."""
    stored = {entry.wire.name for entry in manifest.files}
    present = set(listing(path)) - {manifests.NAME}
    for missing in sorted(stored - present):
        raise ArtifactError(f"{path}: {missing} is missing")
    for extra in sorted(present - stored):
        raise ArtifactError(f"{path}: {extra!r} is not named in {manifests.NAME}")
    for name in stored:
        if (path / name).is_symlink() or not (path / name).is_file():
            raise ArtifactError(f"{path}: {name} is a link or no regular file")
