"""`--snap-to`: float32 files once more, with their weights on a grid around those of the files that devices have.

A patch from the old file to such a one is a fraction of another's (`edgeship.delta.snap`). It is a variant of its own,
verified and gated like every other; to devices it is the float32 file of a release.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from edgeship import artifact as sidecar
from edgeship import cache, codec
from edgeship.delta import encode, snap
from edgeship.errors import InputError
from edgeship.pipeline.exports import Export, ExportPlan
from edgeship.types import SNAPPED, Artifact

#: What is snapped.
_EXACT = "float32"
#: Sizes of a patch are said for files up to this one; making it takes a second for a megabyte.
_MOST_PATCHED = 32_000_000

#: Makes an export as any other.
Convert = Callable[[Export], Artifact]


def read(files: Sequence[Path]) -> dict[str, Artifact]:
    """The files that devices have, by format.

    Raises InputError for two of a format, ArtifactError for what is no exported file.
    """
    found: dict[str, Artifact] = {}
    for path in files:
        old = sidecar.read_artifact(path)
        if old.format in found:
            raise InputError(
                f"--snap-to was given two {old.format} files: {found[old.format].entry} and {old.entry}",
                remedy="Give the one that most devices have.",
            )
        found[old.format] = old
    return found


def with_snapped(plan: ExportPlan, old: dict[str, Artifact]) -> ExportPlan:
    """The plan with a snapped file for each old one. Raises InputError where its format is not made in float32."""
    exact = {export.format: export for export in plan.exports if export.variant == _EXACT}
    for format_name, artifact in old.items():
        if format_name not in exact:
            raise InputError(
                f"--snap-to {artifact.entry}: no file {format_name}/{_EXACT} is made, which would be snapped to it",
                remedy=f"Add --to {format_name} --quantize {_EXACT}, or leave this file out.",
            )
    made = tuple(replace(exact[format_name], variant=SNAPPED) for format_name in old)
    as_given = {export.id for export in made if exact[export.format].id in plan.as_given}
    return replace(plan, exports=(*plan.exports, *made), as_given=plan.as_given | as_given)


def snapped(export: Export, old: Artifact, convert: Convert) -> Artifact:
    """The artifact of a snapped export, in the cache.

    Raises:
        InputError: the old file has no weights that the new one has too.
    """
    exact = convert(replace(export, variant=_EXACT))

    def run(place: Path) -> None:
        note = f"weights on a grid around those of {old.entry.name}{_write(exact, old, place)}"
        files = sidecar.hash_files(place, (entry.name for entry in exact.files))
        made = replace(exact, path=place, variant=SNAPPED, files=files, notes=(*exact.notes, note))
        if made.sha256 == exact.sha256:
            raise InputError(
                f"{old.entry} has no weights to snap {exact.id} to: other sizes, other types, or the same values",
                remedy="Give the float32 file of the release that devices have, of the same network.",
            )
        sidecar.write_sidecar(made)

    described = codec.to_data(replace(exact, path=Path()))
    key = cache.key_with_code("snapped", exact=described, old=old.sha256, name=old.entry.name)
    return sidecar.read_artifact(cache.entry("snapped", key, run))


def _write(exact: Artifact, old: Artifact, place: Path) -> str:
    """Write the snapped files; what patches of them take, in words."""
    before = dict(zip(_weights(exact), _weights(old), strict=False))
    patch = whole = 0
    for name in (entry.name for entry in exact.files):
        made = (exact.path / name).read_bytes()
        if name in before:
            given = (old.path / before[name]).read_bytes()
            made = snap(given, made)
            if len(made) <= _MOST_PATCHED:
                patch, whole = patch + len(encode(given, made)), whole + len(made)
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(made)
    return f"; a patch from it takes {patch:,} of {whole:,} bytes" if patch else ""


def _weights(artifact: Artifact) -> list[str]:
    """Names of the files with weights, in order: the shards of a TF.js model, else the file itself."""
    names = [entry.name for entry in artifact.files]
    return names[1:] if artifact.format == "tfjs" else names
