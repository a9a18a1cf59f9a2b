"""Metadata of .tflite files: who made it, what its tensors mean, normalization, labels.

Schema: metadata_schema.fbs of tflite-support, file identifier M001; associated files (labels) are a ZIP archive at the
end of the .tflite file. Tables are read by the numbers of their fields, because no dependency ships this schema.
"""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edgeship.archives import check_zip
from edgeship.errors import ArtifactError
from edgeship.inspection.bounds import MAX_TEXT, Budget, text

_MARK = b"M001"
#: Fields by their numbers in the schema.
_MODEL = {"name": 0, "description": 1, "version": 2, "author": 4, "license": 5, "min_parser_version": 7}
_NAME, _DESCRIPTION, _SUBGRAPHS, _INPUTS, _OUTPUTS, _UNITS, _FILES = 0, 1, 3, 2, 3, 4, 6
#: ProcessUnitOptions: NormalizationOptions.
_NORMALIZATION = 1
#: AssociatedFileType: TENSOR_AXIS_LABELS.
_LABELS, _AXIS_LABELS = 2, 2
_MAX_LABELS = 100_000


@dataclass(frozen=True)
class Metadata:
    """What a file says about itself.

    Attributes:
        texts: key -> text: `name`, `author`, `input image: description`, `input image: mean`.
        labels: class names of the first output that has some.
        least_runtime: the TFLite that its converter says it needs.
    """

    texts: Mapping[str, str] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    least_runtime: str = ""


def read_metadata(path: Path, content: bytes, buffers: Mapping[str, bytes]) -> Metadata:
    """The metadata of a file from its metadata buffers and the archive behind it. Raises ArtifactError, ValueError."""
    texts: dict[str, str] = {}
    named: list[str] = []
    raw = buffers.get("TFLITE_METADATA", b"")
    if raw[4:8] == _MARK:
        _read_model(raw, texts, named)
    least = text(buffers.get("min_runtime_version", b"").rstrip(b"\0"))[:32]
    for name in sorted(buffers):
        if name not in ("TFLITE_METADATA", "min_runtime_version"):
            texts[f"buffer {name}"] = f"{len(buffers[name]):,} bytes"
    files = _associated(path, content)
    labels = next((tuple(files[name].splitlines()) for name in named if name in files), ())
    texts.update({f"file {name}": f"{len(body):,} characters" for name, body in files.items()})
    return Metadata(texts, labels[:_MAX_LABELS], least)


class _Table:
    """A flatbuffer table whose fields are known by number."""

    def __init__(self, raw: bytes, position: int, budget: Budget) -> None:
        import flatbuffers  # type: ignore[import-untyped] # it ships no stubs

        self._raw, self._budget = raw, budget
        self._table = flatbuffers.table.Table(bytearray(raw), position)

    def _offset(self, number: int) -> int:
        return int(self._table.Offset(4 + 2 * number))

    def text(self, number: int) -> str:
        offset = self._offset(number)
        return text(self._table.String(offset + self._table.Pos)) if offset else ""

    def byte(self, number: int) -> int:
        import flatbuffers

        offset = self._offset(number)
        return int(self._table.Get(flatbuffers.number_types.Uint8Flags, offset + self._table.Pos)) if offset else 0

    def floats(self, number: int) -> list[float]:
        import flatbuffers

        offset = self._offset(number)
        if not offset:
            return []
        start, length = self._table.Vector(offset), self._budget.spend(self._table.VectorLen(offset))
        return [float(self._table.Get(flatbuffers.number_types.Float32Flags, start + 4 * i)) for i in range(length)]

    def table(self, number: int) -> _Table | None:
        offset = self._offset(number)
        return self._at(self._table.Indirect(offset + self._table.Pos)) if offset else None

    def tables(self, number: int) -> Iterator[_Table]:
        offset = self._offset(number)
        if offset:
            start = self._table.Vector(offset)
            for i in range(self._budget.spend(self._table.VectorLen(offset))):
                yield self._at(self._table.Indirect(start + 4 * i))

    def _at(self, position: int) -> _Table:
        return _Table(self._raw, int(position), self._budget)


def _read_model(raw: bytes, texts: dict[str, str], labels: list[str]) -> None:
    model = _Table(raw, int.from_bytes(raw[:4], "little"), Budget(len(raw)))
    texts.update({key: found for key, number in _MODEL.items() if (found := model.text(number))})
    for graph in model.tables(_SUBGRAPHS):
        for side, number in (("input", _INPUTS), ("output", _OUTPUTS)):
            for index, tensor in enumerate(graph.tables(number)):
                _read_tensor(tensor, f"{side} {tensor.text(_NAME) or index}", texts, labels)


def _read_tensor(tensor: _Table, where: str, texts: dict[str, str], labels: list[str]) -> None:
    if said := tensor.text(_DESCRIPTION):
        texts[f"{where}: description"] = said
    for unit in tensor.tables(_UNITS):
        options = unit.table(1) if unit.byte(0) == _NORMALIZATION else None
        if options is not None:
            for key, number in (("mean", 0), ("std", 1)):
                texts[f"{where}: {key}"] = ", ".join(
                    f"{v:.6g}" for v in options.floats(number)[:64] if math.isfinite(v)
                )
    for file in tensor.tables(_FILES):
        texts[f"{where}: file"] = file.text(_NAME)
        if file.byte(_LABELS) == _AXIS_LABELS and where.startswith("output"):
            labels.append(file.text(_NAME))


def _associated(path: Path, content: bytes) -> dict[str, str]:
    """Texts of the archive at the end of the file, by name; empty where there is none."""
    if content.rfind(b"PK\x05\x06", max(0, len(content) - (1 << 16))) < 0 or not zipfile.is_zipfile(
        io.BytesIO(content)
    ):
        return {}
    found = {}
    members = check_zip(path, ArtifactError)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for member in members[:64]:
            try:
                with archive.open(member) as file:
                    found[member.filename] = text(file.read(16 * MAX_TEXT))
            except (zipfile.BadZipFile, EOFError, OSError, RuntimeError, NotImplementedError) as error:
                raise ArtifactError(f"{path}: the file {member.filename!r} in it is damaged: {error}") from error
    return found
