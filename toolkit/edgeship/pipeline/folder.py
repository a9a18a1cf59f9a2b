"""A build folder: claimed by the inputs that make it, filled with whole files, relocatable.

provenance.json                       what made it; the key of the claim
artifacts/<format>/<variant>/         the exported files and their artifact.json
predictions/<artifact>__<runtime>/    per-sample results on the test split
golden/                               a few test inputs and each artifact's outputs for them
measurements/*.json                   one for each artifact and target
report.json  report.md  report.html
lineage.json                          how all of it came to be (in-toto)
summary.md                            for a pull request, where a baseline was given
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgeship.artifact import SIDECAR
from edgeship.errors import OutputError
from edgeship.files import storage_errors, whole_folder, write_text
from edgeship.types import Artifact

PROVENANCE = "provenance.json"
SCHEMA = "edgeship.provenance/1"
#: All that edgeship puts in a build folder beside the claim, and all that `--force` removes from a build of ours.
OURS = (
    "artifacts",
    "predictions",
    "golden",
    "measurements",
    "model.keras",
    "report.json",
    "report.md",
    "report.html",
    "lineage.json",
    "summary.md",
)


def check(out: Path, key: str, *, force: bool, inputs: Sequence[Path] = ()) -> None:
    """Raise OutputError if `out` cannot become the build of `key`; changes nothing.

    Args:
        out: the folder.
        key: of the inputs.
        force: replace a build of other inputs, or add one to a folder that has other content. What edgeship did not
            make is never replaced.
        inputs: files that the build reads; they must not lie where it writes.
    """
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise OutputError(f"{out} is not a folder", remedy="Choose another place with --out.")
    _check_writable(out)
    if not out.exists():
        return
    found = _claimed_by(out)
    _check_inputs(out, inputs)
    if found == key:
        return
    if found is None:
        _check_unclaimed(out, force=force)
    elif not force:
        raise OutputError(
            f"{out} holds a build made from other inputs (model, data or training recipe)",
            remedy="Choose another --out, or replace it with --force (in Python: out=, force=True).",
        )


def _check_unclaimed(out: Path, *, force: bool) -> None:
    in_the_way = [name for name in (*OURS, PROVENANCE) if (out / name).exists() or (out / name).is_symlink()]
    if in_the_way:
        raise OutputError(
            f"{out} was not made by edgeship and holds {', '.join(in_the_way)}, which a build would overwrite",
            remedy="Choose another --out: --force replaces only what edgeship made.",
        )
    if not force and any(out.iterdir()):
        raise OutputError(
            f"{out} is not empty and was not made by edgeship",
            remedy="Choose another --out, or add the build to it with --force (other files there are kept).",
        )


def _check_inputs(out: Path, inputs: Sequence[Path]) -> None:
    """Refuse to replace a build that the new one is made from."""
    for path in inputs:
        for name in OURS:
            if path.resolve().is_relative_to((out / name).resolve()):
                raise OutputError(
                    f"{path} lies in {out}, where the build would replace it", remedy="Choose another place with --out."
                )


def _check_writable(out: Path) -> None:
    place = next(p for p in (out.absolute(), *out.absolute().parents) if p.exists())
    if not place.is_dir():
        raise OutputError(f"cannot write {out}: {place} is not a folder", remedy="Choose a folder of yours with --out.")
    if not os.access(place, os.W_OK | os.X_OK):
        raise OutputError(f"cannot write {out}: permission denied", remedy="Choose a folder of yours with --out.")


def _claimed_by(out: Path) -> str | None:
    try:
        data = json.loads((out / PROVENANCE).read_text())
    except (OSError, ValueError):
        return None
    return data.get("key") if isinstance(data, dict) and data.get("schema") == SCHEMA else None


def claim(out: Path, key: str, provenance: Mapping[str, Any], *, force: bool, inputs: Sequence[Path] = ()) -> None:
    """Make `out` the folder of the build `key`. Raises OutputError as `check` does."""
    check(out, key, force=force, inputs=inputs)
    with storage_errors(out):
        try:
            out.mkdir(parents=True, exist_ok=True)
        except FileNotFoundError as error:  # what file systems without real folders, such as /proc, answer
            raise OutputError(f"cannot write {out}", remedy="Choose a folder of yours with --out.") from error
        if _claimed_by(out) != key:
            for name in OURS:
                remove(out / name)
        write_text(out / PROVENANCE, json.dumps({"schema": SCHEMA, "key": key, **provenance}, indent=2) + "\n")


def remove(path: Path) -> None:
    """Remove a file or folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def add_artifact(out: Path, artifact: Artifact) -> Artifact:
    """Copy an artifact's files from the cache into its place in the build; returns it as it lies there."""
    place = out / "artifacts" / artifact.format / artifact.variant
    with whole_folder(place) as folder:
        for file in (*artifact.files, *artifact.sources):
            target = folder / file.name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(artifact.path / file.name, target)
        shutil.copyfile(artifact.path / SIDECAR, folder / SIDECAR)  # which says UNVERIFIED
    return replace(artifact, path=place)


def drop_artifact(out: Path, artifact_id: str) -> None:
    """Remove the folder of an artifact (`format/variant`), if there is one from an earlier run."""
    remove(out / "artifacts" / artifact_id)


def start(out: Path, planned: Sequence[str]) -> None:
    """Begin a run in a claimed folder: remove the report of an earlier run, and files (ids) that this one has not."""
    for name in ("lineage.json", "summary.md", "report.json", "report.md", "report.html", "predictions", "golden"):
        remove(out / name)
    for place in (out / "artifacts").glob("*/*"):
        if f"{place.parent.name}/{place.name}" not in planned:
            remove(place)
