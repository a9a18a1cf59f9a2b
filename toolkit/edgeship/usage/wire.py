"""Fields of protocol buffers, read where their generated classes are not at hand (encoding: protobuf.dev)."""

from __future__ import annotations

from collections.abc import Iterator
from mmap import mmap

from edgeship.inspection.bounds import Budget

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
#: Bytes of a number of 64 bits.
_LONGEST = 10


def fields(content: mmap, start: int, end: int, budget: Budget) -> Iterator[tuple[int, int, int]]:
    """(number, first byte, byte after the last) of the fields with a length in a message; others are passed over.

    Raises ValueError, IndexError for what is no message, or has more fields than the budget.
    """
    while start < end:
        budget.spend(1)
        tag, start = _varint(content, start)
        kind = tag & 7
        if kind == _BYTES:
            length, start = _varint(content, start)
            if length > end - start:
                raise ValueError("a field is longer than the file")
            yield tag >> 3, start, start + length
            start += length
        elif kind == _VARINT:
            _, start = _varint(content, start)
        elif kind in (_FIXED64, _FIXED32):
            start += 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f"a field is encoded in a way ({kind}) that there is not")


def _varint(content: mmap, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 7 * _LONGEST, 7):
        byte = content[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, place
    raise ValueError("a number is longer than ten bytes")
