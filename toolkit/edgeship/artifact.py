"""`artifact.json`, which lies beside an exported model and says what its files are.

    {"schema": "edgeship.artifact/1", "format": ..., "variant": ..., "files": [...], "inputs": [...], ...}

It holds every field of `edgeship.types.Artifact` but the path, so that the folder can be moved. Reading trusts nothing:
names stay inside the folder, sizes and SHA-256 of all files are checked.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from edgeship.codec import from_data, to_data
from edgeship.errors import ArtifactError, InputError, MissingPackageError
from edgeship.files import write_text
from edgeship.preprocessing import check as check_preprocessing
from edgeship.types import Artifact, FileEntry, TensorSpec

if TYPE_CHECKING:
    from edgeship.usage import Usage

SCHEMA = "edgeship.artifact/1"
SIDECAR = "artifact.json"

#: How the formats are told apart by the entry file's name, where there is no sidecar.
_SAVED_MODEL = "saved_model.pb"
_SUFFIXES = {".tflite": "tflite", ".onnx": "onnx", ".json": "tfjs"}
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
#: Limits of what is read before it can be checked: a sidecar or model.json, and the number of files it may name.
_MAX_JSON_BYTES = 64 << 20
_MAX_FILES = 4096


def write_sidecar(artifact: Artifact) -> Path:
    """Write `artifact.json` into the artifact's folder, whole or not at all; returns its path.

    Raises ArtifactError for an artifact that `read_artifact` would refuse, StorageFullError, OutputError.
    """
    _check(artifact, str(artifact.path))
    data = {key: value for key, value in to_data(artifact).items() if key != "path"}
    path = artifact.path / SIDECAR
    write_text(path, json.dumps({"schema": SCHEMA, **data}, indent=2, allow_nan=False) + "\n")
    return path


def read_artifact(path: Path) -> Artifact:
    """Read an exported model: its folder, its entry file, or a file from elsewhere that has no sidecar.

    A file without sidecar gets its format from its name, the variant `foreign`, labels and preprocessing from what is
    in it, no specs (the runtime knows them) and verification UNVERIFIED.

    Raises:
        ArtifactError: missing, not a model file, or not what the sidecar says (name, size, SHA-256).
    """
    if path.is_dir():
        if not (path / SIDECAR).is_file():
            if (path / _SAVED_MODEL).is_file():
                return _read_foreign(path / _SAVED_MODEL)
            raise ArtifactError(
                f"{path} has no {SIDECAR}", remedy="Give the model file itself (model.tflite, model.json, model.onnx)."
            )
        return _read_sidecar(path)
    if not path.is_file():
        raise ArtifactError(f"{path} does not exist", remedy="Give an exported file, or the folder it lies in.")
    if (path.parent / SIDECAR).is_file():
        artifact = _read_sidecar(path.parent)
        if artifact.files[0].name == path.name or path.name == SIDECAR:
            return artifact
    return _read_foreign(path)


def hash_files(folder: Path, names: Iterable[str]) -> tuple[FileEntry, ...]:
    """Entries for files below `folder`, in the order of `names` (POSIX paths relative to it).

    Raises ArtifactError for a name that leaves the folder or is no regular file.
    """
    entries = []
    for name in names:
        _check_name(name, str(folder))
        file = _inside(folder, name)
        with file.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        entries.append(FileEntry(name, digest, file.stat().st_size))
    return tuple(entries)


def _read_sidecar(folder: Path) -> Artifact:
    where = str(folder / SIDECAR)
    data = _read_json(folder / SIDECAR)
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        found = data.get("schema") if isinstance(data, dict) else type(data).__name__
        raise ArtifactError(f"{where}: the schema is {found!r}", remedy=f"This edgeship reads {SCHEMA!r}.")
    fields = {key: value for key, value in data.items() if key not in ("schema", "path")}
    try:
        artifact = from_data(Artifact, {**fields, "path": str(folder)})
    except InputError as error:
        raise ArtifactError(f"{where}: {error.message}", remedy="Convert the model again.") from error
    _check(artifact, where)
    entries = (*artifact.files, *artifact.sources)
    for entry in entries:
        size = _inside(folder, entry.name).stat().st_size
        if size != entry.size_bytes:
            raise _changed(folder, entry, f"it has {size:,} bytes and not {entry.size_bytes:,}")
    for entry, found_entry in zip(entries, hash_files(folder, (f.name for f in entries)), strict=True):
        if found_entry.sha256 != entry.sha256:
            raise _changed(folder, entry, "its SHA-256 is another one")
    return artifact


def _changed(folder: Path, entry: FileEntry, what: str) -> ArtifactError:
    return ArtifactError(
        f"{folder / entry.name} is not the file that {SIDECAR} describes: {what}",
        remedy=f"Convert the model again, or remove {SIDECAR} to use the file as it is.",
    )


def _read_foreign(path: Path) -> Artifact:
    format_name = "savedmodel" if path.name == _SAVED_MODEL else _SUFFIXES.get(path.suffix)
    if format_name is None:
        raise ArtifactError(
            f"{path} is no exported model",
            remedy="Allowed: .tflite, .onnx, the model.json of a TF.js graph model, the folder of a SavedModel.",
        )
    others = {"tfjs": _tfjs_shards, "savedmodel": _saved_model_files}.get(format_name)
    names = [path.name, *(others(path) if others else ())]
    files = hash_files(path.parent, names)
    said, notes = _usage(format_name, path)
    return Artifact(
        path=path.parent,
        format=format_name,
        variant="foreign",
        files=files,
        inputs=(),
        outputs=(),
        source_sha256="",
        labels=said.labels,
        preprocessing=said.preprocessing,
        notes=notes,
    )


def _usage(format_name: str, path: Path) -> tuple[Usage, tuple[str, ...]]:
    """What a file without sidecar says about its use; a note where that is damaged: it may run all the same."""
    from edgeship.usage import Usage, read  # they look into files, which writing artifacts does not need

    try:
        return read(format_name, path), ()
    except (ArtifactError, MissingPackageError) as error:
        return Usage(), (f"its labels and preprocessing could not be read: {error.message}",)


def _tfjs_shards(path: Path) -> list[str]:
    """Names of the weight files that a TF.js model.json refers to."""
    data = _read_json(path)
    try:
        shards = [name for group in data["weightsManifest"] for name in group["paths"]]
    except (KeyError, TypeError) as error:
        raise ArtifactError(
            f"{path} is not the model.json of a TF.js model: it has no weights manifest",
            remedy="Give the model.json that a TF.js converter wrote.",
        ) from error
    if len(shards) > _MAX_FILES or not all(isinstance(name, str) for name in shards):
        raise ArtifactError(f"{path}: the weights manifest is not a list of at most {_MAX_FILES} file names")
    return shards


def _saved_model_files(path: Path) -> list[str]:
    """What TensorFlow reads beside saved_model.pb."""
    parts = (file for part in ("assets", "variables") for file in (path.parent / part).rglob("*") if file.is_file())
    names = sorted(file.relative_to(path.parent).as_posix() for file in itertools.islice(parts, _MAX_FILES + 1))
    if len(names) > _MAX_FILES:
        raise ArtifactError(f"{path.parent} holds more than {_MAX_FILES} files")
    return names


def _read_json(path: Path) -> Any:
    if path.stat().st_size > _MAX_JSON_BYTES:
        raise ArtifactError(f"{path} has more than {_MAX_JSON_BYTES >> 20} MiB, which no file of its kind has")
    try:
        return json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{path} is not JSON: {error}", remedy="Convert the model again.") from error


def _refuse_constant(word: str) -> float:
    raise ValueError(f"{word} is not a JSON number")


def _check(artifact: Artifact, where: str) -> None:
    """Raise ArtifactError for a value that no converter of ours makes."""
    for word in (artifact.format, artifact.variant):
        if not _WORD.fullmatch(word):
            raise ArtifactError(f"{where}: {word!r} is not the name of a format or variant")
    entries = (*artifact.files, *artifact.sources)
    names = [entry.name for entry in entries]
    if not artifact.files or len(names) > _MAX_FILES or len(set(names)) != len(names):
        raise ArtifactError(f"{where}: files is empty, too long, or names a file twice")
    for entry in entries:
        _check_name(entry.name, where)
        if not _SHA256.fullmatch(entry.sha256) or entry.size_bytes < 0:
            raise ArtifactError(f"{where}: the hash or size of {entry.name} is none")
    for spec in (*artifact.inputs, *artifact.outputs):
        _check_spec(spec, where)
    if any(size < 0 for size in artifact.layers.values()):
        raise ArtifactError(f"{where}: a layer has a negative size")
    check_preprocessing(artifact.preprocessing, where, ArtifactError)


def _check_name(name: str, where: str) -> None:
    parts = PurePosixPath(name).parts
    plain = bool(parts) and not name.startswith("/") and not {"..", "."} & set(name.split("/"))
    if not plain or "\\" in name or ":" in name or not name.isprintable() or name == SIDECAR:
        raise ArtifactError(f"{where}: {name!r} is not the name of a file inside the artifact's folder")


def _check_spec(spec: TensorSpec, where: str) -> None:
    if not spec.name or any(size is not None and size < 0 for size in spec.shape):
        raise ArtifactError(f"{where}: {spec.name!r} has no name, or a negative size in its shape {spec.shape}")
    if spec.quantization is not None and not 0 < spec.quantization.scale < math.inf:
        raise ArtifactError(f"{where}: the scale of {spec.name} is {spec.quantization.scale}")


def _inside(folder: Path, name: str) -> Path:
    """The file, after a symbolic link has been followed no further than the folder."""
    file = folder / name
    if not file.is_file() or not file.resolve().is_relative_to(folder.resolve()):
        raise ArtifactError(
            f"{file} does not exist, or is no regular file inside {folder}", remedy="Copy or convert the model again."
        )
    return file
