"""Any model file, ours or foreign: which reader takes it apart, and the child that does it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from edgeship import artifact as sidecar
from edgeship.child import Limits, Worker, limited
from edgeship.errors import ArtifactError, EdgeshipError
from edgeship.inspection.description import Description
from edgeship.inspection.opened import Opened
from edgeship.preprocessing import in_words
from edgeship.types import Artifact

#: How the exported formats are told apart by the file's name.
_SUFFIXES = {".tflite": "tflite", ".onnx": "onnx", ".json": "tfjs"}
#: Bound of the child's memory where the user gives none: the largest file that is read, with what is built from it.
MEMORY_MIB = 8192


def inspect(
    path: Path | str,
    *,
    custom_objects: tuple[str, ...] = (),
    allow_unsafe: bool = False,
    limits: Limits | None = None,
    ask: bool = True,
    signature: str | None = None,
) -> Description:
    """What is in a model file, ours or foreign.

    Args:
        path: .tflite, .onnx, the model.json of a TF.js model, .keras, .h5, a frozen graph (.pb), the folder of a
            SavedModel, or the folder of an exported file of ours.
        custom_objects: `module:name` references to the user's own layers, for .keras and .h5.
        allow_unsafe: load .keras, .h5, SavedModels and graphs that carry code.
        limits: of the child that reads the file, and of those that run it. Default: 15 minutes, 8 GiB.
        ask: also say what runtimes and devices would do with it, by running it on zeros in each
            runtime that is installed.
        signature: of a SavedModel which one, of a frozen graph the names of its outputs, divided by commas.

    Raises:
        ArtifactError: missing, damaged, larger than 1 GiB, or not what its `artifact.json` says.
        SourceError, UnsafeModelError: a trained model cannot be read, or carries code.
        MissingPackageError: the package that reads the format is not installed.
        ChildError: the reader crashed, hung or ran out of memory.
    """
    from edgeship.inspection.support import asked

    path = Path(path)
    limits = limits or Limits(memory_mib=MEMORY_MIB)
    with limited(limits), Worker(limits) as worker:
        opening: dict[str, Any] = {
            "custom_objects": custom_objects,
            "allow_unsafe": allow_unsafe,
            "signature": signature,
        }
        found = worker.call(describe, path=path, **opening)
        artifact = worker.call(exported, path=path) if ask else None
        if artifact is None:
            return found
        return replace(found, support=(*asked(found, artifact), *found.support))


def describe(
    path: Path, custom_objects: tuple[str, ...] = (), allow_unsafe: bool = False, signature: str | None = None
) -> Description:
    """A file taken apart, with what is predicted for devices; no runtime was asked [child]. Raises as `inspect`."""
    from edgeship.inspection.support import predicted

    found = opened(path, custom_objects, allow_unsafe=allow_unsafe, signature=signature).description
    return replace(found, support=predicted(found))


def opened(
    path: Path, custom_objects: tuple[str, ...] = (), *, allow_unsafe: bool = False, signature: str | None = None
) -> Opened:
    """A file taken apart, with the values of its constants [child]. Raises as `inspect`."""
    artifact = exported(path)
    if artifact is None:
        from edgeship.inspection.trained import open_trained

        found = open_trained(path, custom_objects, allow_unsafe=allow_unsafe, signature=signature)
        return replace(found, description=_with_parameters(found.description))
    if artifact.format in ("tflite", "micro"):
        from edgeship.inspection.tflite import open_tflite

        found = open_tflite(artifact.entry)
    elif artifact.format == "savedmodel":
        from edgeship.inspection.trained import open_trained

        found = open_trained(artifact.path, (), allow_unsafe=allow_unsafe, signature=signature)
    elif artifact.format == "onnx":
        from edgeship.inspection.onnx import open_onnx

        found = open_onnx(artifact.entry)
    elif artifact.format == "tfjs":
        from edgeship.inspection.tfjs import open_tfjs

        found = open_tfjs(artifact.entry)
    else:
        raise ArtifactError(f"{path} is of format {artifact.format}, which is not looked into")
    return replace(found, description=_with_sidecar(found.description, artifact))


def exported(path: Path) -> Artifact | None:
    """The exported file at a path, with what its sidecar says [child]; None for trained models.

    Raises ArtifactError.
    """
    if path.is_dir() and (path / "artifacts").is_dir():
        names = sorted(str(p.parent.relative_to(path)) for p in (path / "artifacts").glob(f"*/*/{sidecar.SIDECAR}"))
        raise ArtifactError(f"{path} is a build folder", remedy=f"Give one of its files: {', '.join(names)}.")
    if not path.exists():
        raise ArtifactError(f"no such file: {path}", remedy="Give a trained model or an exported file.")
    if path.is_dir() and not (path / sidecar.SIDECAR).is_file() and (path / "model.json").is_file():
        path /= "model.json"  # the folder of a TF.js model
    if path.suffix.lower() in _SUFFIXES or (path / sidecar.SIDECAR).is_file():
        return sidecar.read_artifact(path)
    return None


def _with_parameters(found: Description) -> Description:
    head = {key: found.facts[key] for key in ("kind", "read by") if key in found.facts}
    facts = {"file": found.file, **head, "parameters": f"{found.parameters:,}", **found.facts, "sha256": found.sha256}
    return replace(found, facts=facts)


def _with_sidecar(found: Description, artifact: Artifact) -> Description:
    """What `artifact.json` beside the file adds: the names of inputs and outputs, labels, what was verified."""
    from edgeship.report.layers import layer_bytes

    foreign = artifact.variant == "foreign"
    facts = {
        "file": str(artifact.entry),
        "format": artifact.format,
        "variant": artifact.variant,
        "bytes": f"{artifact.size_bytes:,}",
        "parameters": f"{found.parameters:,}",
        "sha256": artifact.sha256,
        "verification": f"{artifact.verification}: there is no {sidecar.SIDECAR}"
        if foreign
        else f"{artifact.verification}, says its {sidecar.SIDECAR}",
        "labels": ", ".join((artifact.labels or found.labels)[:20]) or "none",
        "preprocessing": ", ".join(in_words(artifact.preprocessing)) or "nothing is recorded",
        **{key: value for key, value in found.facts.items() if value},
    }
    notes = found.notes
    try:
        layers = tuple(layer_bytes(artifact))
    except EdgeshipError as error:
        layers, notes = (), (*notes, f"bytes by layer are not known: {error.message}")
    return replace(
        found,
        file=str(artifact.entry),
        facts=facts,
        size_bytes=artifact.size_bytes,
        sha256=artifact.sha256,
        inputs=artifact.inputs or found.inputs,
        outputs=artifact.outputs or found.outputs,
        layers=layers,
        labels=artifact.labels or found.labels,
        notes=notes,
    )
