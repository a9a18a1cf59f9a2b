"""Metadata of .tflite files: who made it, what its tensors mean, normalization, labels; see `edgeship.usage`."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgeship.archives import check_zip
from edgeship.errors import ArtifactError
from edgeship.inspection.bounds import Budget, text
from edgeship.types import Preprocessing
from edgeship.usage import tflite
from edgeship.usage.tables import Table
from edgeship.usage.values import MAX_LABELS, MAX_TEXT, clean

#: Fields by their numbers in the schema.
_MODEL = {"name": 0, "description": 1, "version": 2, "author": 4, "license": 5, "min_parser_version": 7}
#: What TensorFlow's converter writes beside it.
_LEAST = "min_runtime_version"
#: Files and numbers that are shown.
_SHOWN = 64


@dataclass(frozen=True)
class Metadata:
    """What a file says about itself.

    Attributes:
        texts: key -> text: `name`, `author`, `input image: description`, `input image: mean`.
        labels: class names of the first output that has some.
        least_runtime: the TFLite that its converter says it needs.
        preprocessing: what to do to raw values before.
    """

    texts: Mapping[str, str] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    least_runtime: str = ""
    preprocessing: Preprocessing = field(default_factory=Preprocessing)


def buffers_of(model: Any, budget: Budget) -> dict[str, bytes]:
    """The metadata buffers of a model (schema.fbs) by name."""
    found = {}
    for index in range(budget.spend(model.MetadataLength())):
        entry = model.Metadata(index)
        if 0 <= entry.Buffer() < model.BuffersLength():
            buffer = model.Buffers(entry.Buffer())
            found[text(entry.Name())] = buffer.DataAsNumpy().tobytes() if buffer.DataLength() else b""
    return found


def read_metadata(path: Path, content: bytes, buffers: Mapping[str, bytes]) -> Metadata:
    """The metadata of a file from its metadata buffers and the archive behind it. Raises ArtifactError, ValueError."""
    raw = buffers.get(tflite.NAME, b"")
    told = tflite.tell(raw)
    texts = _texts(raw, told.descriptions) if told.descriptions or raw[4:8] == tflite.MARK else {}
    least = text(buffers.get(_LEAST, b"").rstrip(b"\0"))[:32]
    for name in sorted(buffers):
        if name not in (tflite.NAME, _LEAST):
            texts[f"buffer {name}"] = f"{len(buffers[name]):,} bytes"
    sizes, lists = _associated(path, content, told.label_files)
    texts.update({f"file {name}": f"{size:,} bytes" for name, size in sizes.items()})
    labels = next((lists[name] for name in told.label_files if name in lists), ())
    return Metadata(texts, labels, least, told.preprocessing)


def _texts(raw: bytes, descriptions: Sequence[tuple[str, Table]]) -> dict[str, str]:
    model = Table.root(raw)
    texts = {key: found for key, number in _MODEL.items() if (found := model.text(number))}
    for where, tensor in descriptions:
        said, files = tflite.described(tensor)
        numbers = tflite.normalization(tensor) or ([], [])
        texts |= {f"{where}: description": said} if said else {}
        texts |= {f"{where}: {key}": _listed(found) for key, found in zip(("mean", "std"), numbers, strict=True)}
        texts |= {f"{where}: file": name for name in files}
    return {key: value for key, value in texts.items() if value}


def _listed(numbers: Sequence[float]) -> str:
    return ", ".join(f"{number:.6g}" for number in numbers[:_SHOWN] if math.isfinite(number))


def _associated(path: Path, content: bytes, wanted: Sequence[str]) -> tuple[dict[str, int], dict[str, tuple[str, ...]]]:
    """Files of the archive at the end of the file: sizes in bytes by name, and the lines of those that are wanted."""
    if content.rfind(b"PK\x05\x06", max(0, len(content) - (1 << 16))) < 0 or not zipfile.is_zipfile(
        io.BytesIO(content)
    ):
        return {}, {}
    sizes: dict[str, int] = {}
    lists: dict[str, tuple[str, ...]] = {}
    members = check_zip(path, ArtifactError)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for member in members[:_SHOWN]:
            sizes[member.filename] = member.file_size
            if member.filename in wanted:
                lists[member.filename] = _lines(path, archive, member)
    return sizes, lists


def _lines(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> tuple[str, ...]:
    if member.file_size > MAX_TEXT:
        raise ArtifactError(f"{path}: the labels in {member.filename!r} have {member.file_size:,} bytes")
    try:
        with archive.open(member) as file:
            body = file.read(MAX_TEXT)
    except (zipfile.BadZipFile, EOFError, OSError, RuntimeError, NotImplementedError) as error:
        raise ArtifactError(f"{path}: the file {member.filename!r} in it is damaged: {error}") from error
    lines = body.decode("utf-8", "replace").removeprefix("\ufeff").split("\n")
    if not lines[-1]:
        lines.pop()
    if len(lines) > MAX_LABELS:
        raise ArtifactError(f"{path}: {member.filename!r} has {len(lines):,} labels")
    return tuple(clean(line.removesuffix("\r")) for line in lines)
