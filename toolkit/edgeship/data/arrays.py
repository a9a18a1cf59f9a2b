"""Arrays on disk: written in pieces, hashed by content. Imports NumPy only."""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, Self

import numpy as np

if TYPE_CHECKING:
    from edgeship.types import Array

#: Rows are copied and hashed in pieces of about this size.
_PIECE_BYTES = 16 << 20


class RowWriter:
    """Writes a .npy file of `rows` rows in pieces, through the file and not a memory map.

    A full disk is then an error of `write`, not a signal that kills the process.
    """

    def __init__(self, path: Path, rows: int) -> None:
        self._path = path
        self._rows = rows
        self._written = 0
        self._form: tuple[tuple[int, ...], np.dtype[np.generic]] | None = None
        self._file: BinaryIO = path.open("wb")

    def write(self, piece: Array) -> None:
        """Append rows; all pieces have one dtype and one shape after the first axis (ValueError otherwise)."""
        form = (piece.shape[1:], piece.dtype)
        if self._form is None:
            self._form = form
            header = {
                "descr": np.lib.format.dtype_to_descr(piece.dtype),
                "fortran_order": False,
                "shape": (self._rows, *piece.shape[1:]),
            }
            np.lib.format.write_array_header_1_0(self._file, header)
        if form != self._form:
            raise ValueError(f"{self._path.name}: rows of shape {form[0]} after rows of shape {self._form[0]}")
        self._file.write(np.ascontiguousarray(piece).data)
        self._written += len(piece)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        if kind is None and self._written != self._rows:
            raise ValueError(f"{self._path.name}: {self._written} of {self._rows} rows were written")


def pieces(rows: int, row_bytes: int) -> list[slice]:
    """Slices that cover `rows` rows in pieces of some MiB."""
    step = max(1, _PIECE_BYTES // max(1, row_bytes))
    return [slice(start, min(rows, start + step)) for start in range(0, rows, step)]


def save_rows(path: Path, source: Array, index: Array) -> None:
    """Write `source[index]` as .npy without holding the copy in memory; `index` is (M,) integers."""
    row_bytes = source.dtype.itemsize * int(np.prod(source.shape[1:], dtype=np.int64))
    with RowWriter(path, len(index)) as writer:
        for piece in pieces(len(index), row_bytes):
            writer.write(source[index[piece]])


def update_hash(digest: hashlib._Hash, name: str, array: Array) -> None:
    """Add an array's name, dtype, shape and values (little-endian, C order) to a hash."""
    little = array.dtype.newbyteorder("<")
    digest.update(f"{name}|{little.str}|{array.shape}|".encode())
    if array.ndim == 0:
        digest.update(np.asarray(array, little).tobytes())
        return
    row_bytes = array.dtype.itemsize * int(np.prod(array.shape[1:], dtype=np.int64))
    for piece in pieces(len(array), row_bytes):
        digest.update(np.ascontiguousarray(array[piece], little).tobytes())
