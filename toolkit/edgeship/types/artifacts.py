"""What goes out: exported files and bundles of them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from edgeship.types.models import Preprocessing, TensorSpec


@dataclass(frozen=True)
class FileEntry:
    """One delivered file; `name` is relative to the artifact's folder and never leaves it."""

    name: str
    sha256: str
    size_bytes: int


Verification = Literal["UNVERIFIED", "passed", "inconclusive", "failed"]


@dataclass(frozen=True)
class Artifact:
    """An exported model in its folder `artifacts/<format>/<variant>/`, described by `artifact.json` there.

    Attributes:
        files: what runs, and is measured and delivered; the entry file first (`model.tflite`, `model.json`,
            `model.onnx`).
        labels: class names by output index; empty where outputs are not classes.
        made_by: package -> version of what determined the bytes.
        verification: UNVERIFIED until `verify` has run the file in its own runtime.
        preprocessing: of the data that it was made and verified with; what it expects of others.
        layers: bytes of constants by layer, in the order of the graph, for a file that does not name its layers.
        notes: what a person should know about the file.
        sources: `files` once more as source code, to build into a program; no part of any size.
    """

    path: Path
    format: str
    variant: str
    files: tuple[FileEntry, ...]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    source_sha256: str
    labels: tuple[str, ...] = ()
    made_by: Mapping[str, str] = field(default_factory=dict)
    verification: Verification = "UNVERIFIED"
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    layers: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    sources: tuple[FileEntry, ...] = ()

    @property
    def id(self) -> str:
        """`format/variant`, unique within a build."""
        return f"{self.format}/{self.variant}"

    @property
    def entry(self) -> Path:
        """The file that a runtime opens."""
        return self.path / self.files[0].name

    @property
    def sha256(self) -> str:
        """Of a single file its own; of several that of the lines `<sha256>  <name>`, as sha256sum prints them."""
        if len(self.files) == 1:
            return self.files[0].sha256
        return hashlib.sha256("".join(f"{f.sha256}  {f.name}\n" for f in self.files).encode()).hexdigest()

    @property
    def size_bytes(self) -> int:
        """Sum over all delivered files, uncompressed."""
        return sum(f.size_bytes for f in self.files)


@dataclass(frozen=True)
class Stored:
    """How a file of a bundle lies there compressed.

    Attributes:
        name: of the compressed file.
        encoding: `br` or `zstd` (see `edgeship.encodings`).
        sha256, size_bytes: of the compressed file.
    """

    name: str
    encoding: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class BundleFile:
    """One file of a bundle.

    Attributes:
        name, sha256, size_bytes: of the file that a device uses.
        stored: what lies in the bundle instead; None: the file itself.
    """

    name: str
    sha256: str
    size_bytes: int
    stored: Stored | None

    @property
    def wire(self) -> Stored | BundleFile:
        """What lies in the bundle: its name, SHA-256 and size."""
        return self.stored or self


@dataclass(frozen=True)
class Bundle:
    """What is delivered: a folder whose `manifest.json` (schema `edgeship.manifest/1`) names and hashes all the rest.

    Attributes:
        kind: what it is for: `device`.
        artifact: `format/variant` of the model in it.
        entry: name of the file that a runtime opens, once decoded.
        sha256: of manifest.json, and through it of the whole bundle.
        files: everything but the manifest.
    """

    path: Path
    kind: str
    name: str
    artifact: str
    entry: str
    sha256: str
    files: tuple[BundleFile, ...]

    @property
    def size_bytes(self) -> int:
        """Sum over all files but the manifest, uncompressed."""
        return sum(f.size_bytes for f in self.files)

    @property
    def wire_bytes(self) -> int:
        """Sum over all files but the manifest, as they lie in the bundle."""
        return sum(f.wire.size_bytes for f in self.files)
