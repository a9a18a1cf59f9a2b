"""What others' tools read about a bundle. It lies beside the bundle: devices have no use for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from edgeship import manifest as manifests
from edgeship.bundle.bom import bill_of_materials
from edgeship.bundle.provenance import statement
from edgeship.errors import OutputError
from edgeship.files import write_text
from edgeship.types import Bundle


def write_documents(bundle: Bundle, *, bom: Path | None, provenance: Path | None, force: bool = False) -> None:
    """Write a bill of materials and a statement of provenance of a bundle to the files that are given.

    Raises:
        ArtifactError: the bundle changed meanwhile.
        OutputError: a file is in the bundle, or holds something else and `force` is not given.
    """
    manifest, _ = manifests.read_file(bundle.path / manifests.NAME)
    for place, make in ((bom, bill_of_materials), (provenance, statement)):
        if place is not None:
            _write(bundle, place, make(manifest, bundle.sha256), force=force)


def _write(bundle: Bundle, place: Path, document: dict[str, Any], *, force: bool) -> None:
    text = json.dumps(document, indent=2, allow_nan=False) + "\n"
    if place.resolve().is_relative_to(bundle.path.resolve()):
        raise OutputError(f"{place} is in the bundle, which holds nothing but its own files", remedy="Choose another.")
    if place.is_dir() or (place.exists() and not force and place.read_bytes() != text.encode()):
        raise OutputError(f"{place} holds something else", remedy="Choose another file, or replace it with --force.")
    write_text(place, text)
