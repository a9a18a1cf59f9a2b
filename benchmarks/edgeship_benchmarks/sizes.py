"""What an artifact weighs: as it is, and as a web server or an update would send it."""

from __future__ import annotations

import gzip
from dataclasses import dataclass

import brotli

from edgeship.errors import ArtifactError
from edgeship.types import Artifact


@dataclass(frozen=True)
class Sizes:
    """Bytes summed over all files, each file compressed on its own (gzip level 9, brotli quality 11)."""

    raw_bytes: int
    gzip_bytes: int
    brotli_bytes: int


def sizes(artifact: Artifact) -> Sizes:
    """Measure all files of an artifact. Raises ArtifactError for an unreadable file."""
    raw = zipped = brotlied = 0
    for entry in artifact.files:
        try:
            content = (artifact.path / entry.name).read_bytes()
        except OSError as error:
            raise ArtifactError(f"{artifact.id}: cannot read {entry.name}: {error}") from error
        raw += len(content)
        zipped += len(gzip.compress(content, compresslevel=9, mtime=0))
        brotlied += len(brotli.compress(content, quality=11))
    return Sizes(raw, zipped, brotlied)
