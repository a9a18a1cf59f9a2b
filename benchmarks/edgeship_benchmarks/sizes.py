"""What an artifact weighs: as it is, and as a web server or an update would send it."""

from __future__ import annotations

from dataclasses import dataclass

from edgeship.encodings import encode
from edgeship.errors import ArtifactError
from edgeship.types import Artifact, on_the_wire


@dataclass(frozen=True)
class Sizes:
    """Bytes summed over all files, each file compressed on its own (gzip level 9, brotli quality 11, zstd level 19)."""

    raw_bytes: int
    gzip_bytes: int
    brotli_bytes: int
    zstd_bytes: int

    @property
    def wire_bytes(self) -> int:
        """As it is delivered; see `edgeship.types.on_the_wire`."""
        return on_the_wire(self.raw_bytes, self.brotli_bytes, self.zstd_bytes)


def sizes(artifact: Artifact) -> Sizes:
    """Measure all files of an artifact. Raises ArtifactError for an unreadable file."""
    found = [0, 0, 0, 0]
    for entry in artifact.files:
        try:
            content = (artifact.path / entry.name).read_bytes()
        except OSError as error:
            raise ArtifactError(f"{artifact.id}: cannot read {entry.name}: {error}") from error
        forms = (content, *(encode(content, way) for way in ("gzip", "br", "zstd")))
        found = [before + len(form) for before, form in zip(found, forms, strict=True)]
    return Sizes(*found)
