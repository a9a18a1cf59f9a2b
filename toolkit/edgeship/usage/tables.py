"""Flatbuffer tables whose schema nobody ships, known by the numbers of their fields: writing and reading."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import flatbuffers  # type: ignore[import-untyped] # it ships no stubs

from edgeship.inspection.bounds import MAX_TEXT, Budget, text


@dataclass(frozen=True)
class Byte:
    """The value of an enumeration."""

    value: int


#: Number of a field -> text, numbers (float32), a value of an enumeration, a table, or several tables.
Fields = Mapping[int, Any]


def encode(fields: Fields, mark: bytes) -> bytes:
    """A flatbuffer with these fields in its root table, and a file identifier of four bytes."""
    builder = flatbuffers.Builder(1024)
    builder.Finish(_table(builder, fields), mark)
    return bytes(builder.Output())


def _table(builder: Any, fields: Fields) -> int:
    offsets = {number: _offset(builder, value) for number, value in fields.items() if not isinstance(value, Byte)}
    builder.StartObject(max(fields, default=-1) + 1)
    for number, offset in offsets.items():
        builder.PrependUOffsetTRelativeSlot(number, offset, 0)
    for number, value in fields.items():
        if isinstance(value, Byte):
            builder.PrependUint8Slot(number, value.value, 0)
    return int(builder.EndObject())


def _offset(builder: Any, value: Any) -> int:
    if isinstance(value, str):
        return int(builder.CreateString(value))
    if isinstance(value, Mapping):
        return _table(builder, value)
    if value and isinstance(value[0], Mapping):
        offsets = [_table(builder, item) for item in value]
        builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            builder.PrependUOffsetTRelative(offset)
        return int(builder.EndVector())
    import numpy as np

    return int(builder.CreateNumpyVector(np.asarray(value, "<f4")))


class Table:
    """A flatbuffer table that is read; what it spends is bounded by a budget.

    Fields of a damaged file may point to the same place again and again, so texts and tables are counted wherever they
    lie, and none of them holds a copy of the whole.
    """

    def __init__(self, raw: bytes, position: int, budget: Budget, tables: Budget) -> None:
        self._raw, self._budget, self._tables = raw, budget, tables
        self._table = flatbuffers.table.Table(raw, position)

    @classmethod
    def root(cls, raw: bytes) -> Table:
        """The root table of a flatbuffer."""
        return cls(raw, int.from_bytes(raw[:4], "little"), Budget(len(raw)), Budget(0))

    def _offset(self, number: int) -> int:
        return int(self._table.Offset(4 + 2 * number))

    def text(self, number: int) -> str:
        """A text field, cut where it is too long; empty where it is not there."""
        offset = self._offset(number)
        if not offset:
            return ""
        start, length = self._table.Vector(offset), min(self._table.VectorLen(offset), MAX_TEXT)
        return text(self._raw[start : start + self._budget.spend(length)])

    def byte(self, number: int) -> int:
        """A field of one byte; 0 where it is not there."""
        offset = self._offset(number)
        return int(self._table.Get(flatbuffers.number_types.Uint8Flags, offset + self._table.Pos)) if offset else 0

    def floats(self, number: int) -> list[float]:
        """A field of float32 numbers."""
        offset = self._offset(number)
        if not offset:
            return []
        start, length = self._table.Vector(offset), self._budget.spend(self._table.VectorLen(offset))
        return [float(self._table.Get(flatbuffers.number_types.Float32Flags, start + 4 * i)) for i in range(length)]

    def table(self, number: int) -> Table | None:
        """A field that is a table."""
        offset = self._offset(number)
        return self._at(self._table.Indirect(offset + self._table.Pos)) if offset else None

    def tables(self, number: int) -> Iterator[Table]:
        """A field of several tables."""
        offset = self._offset(number)
        if offset:
            start = self._table.Vector(offset)
            for i in range(self._tables.spend(self._table.VectorLen(offset))):
                yield self._at(self._table.Indirect(start + 4 * i))

    def _at(self, position: int) -> Table:
        return Table(self._raw, int(position), self._budget, self._tables)
