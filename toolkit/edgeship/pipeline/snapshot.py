"""The model as it was when a build began: a copy in the cache, which no training run overwrites meanwhile."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from edgeship.errors import SourceError
from edgeship.source import files_of


def file_sha256(path: Path) -> str:
    """Hash of a file, or of a folder with the names in it."""
    digest = hashlib.sha256()
    for file in _files(path):
        digest.update(file.relative_to(path.parent).as_posix().encode() + b"\0")
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


def content(place: Path) -> list[str]:
    """Hashes of what a model at a place (see `edgeship.source.place_of`) is made of."""
    return [file_sha256(part) for part in files_of(place)]


def copy(place: Path, expected: list[str], folder: Path) -> None:
    """Copy a model into a folder, under its own name. Raises SourceError where the copy has not the `content` expected.

    All that is made of a model is filed under its hashes, so it must be made of the bytes that were hashed: files that
    are read many times over a build are not the same ones each time while somebody writes checkpoints.
    """
    try:
        for part in files_of(place):
            for file in _files(part):
                target = folder / file.relative_to(place.parent)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, target)
        whole = content(folder / place.name) == expected
    except FileNotFoundError:
        whole = False
    if not whole:
        raise SourceError(
            f"{place.name} was changed while it was read",
            remedy="Run again when it is written, or give a copy that nobody writes to.",
        )


def _files(path: Path) -> Iterator[Path]:
    yield from [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
