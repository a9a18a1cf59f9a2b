"""Apply a patch `ESD1` (docs/updates/delta-format.md): the whole decoder, on NumPy and the standard library alone.

Numbers of the new file are written as differences to predictions from the old one. How large a difference is comes
from an adaptive model and an rANS coder of many lanes that advance together (arXiv:1311.2540, arXiv:1402.3392); the
low bits of a difference are noise, and stored as they are. Everything is integer arithmetic, or one IEEE operation in
double precision, so that any language comes to the same bytes.
"""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from edgeship.errors import PatchError

if TYPE_CHECKING:
    from edgeship.types import Array

MAGIC = b"ESD1"
#: Largest file that a patch may make, if the caller sets no other limit.
MAX_BYTES = 1 << 30
#: Classes of numbers: float32, float16, int8, uint8 (and bytes), int32, float32 as steps on a grid.
F32, F16, I8, U8, I32, GRID = range(6)
TYPES = ("<u4", "<u2", "u1", "u1", "<u4", "<u4")
MANTISSA = (23, 10, 0, 0, 0, 0)
COPY, LITERAL, NUMBERS = range(3)
#: Symbols: 0; +1 -1 +2 -2 +3 -3; zero; two for each octave of larger differences; the sign turned, by octaves.
ZERO, BUCKETS, FLIPS, SYMBOLS = 7, 8, 68, 77
_SMALL = np.array([0, 1, -1, 2, -2, 3, -3])
CONTEXTS, _OFFSET, _INCREMENT = 64, 8, 24
#: Of an rANS coder: bits of a probability, and the smallest state.
PRECISION, LOWEST = 14, 1 << 16
#: Numbers that are computed at a time.
_PIECE = 1 << 16


def most_operations(size: int) -> int:
    """Operations that a file of so many bytes may have: each takes memory, and a description packs to nothing."""
    return size // 128 + 4096


@dataclass(frozen=True, slots=True)
class Operation:
    """A stretch of the new file: copied from `start` of the old one, literal, or `count` numbers predicted from it.

    Attributes:
        factor: what numbers of the old file are multiplied with; of GRID the width of a step; 0: nothing.
        signed: floats that became zero have a sign, as masks leave them.
    """

    kind: int
    count: int
    start: int = 0
    type: int = U8
    factor: float = 0.0
    signed: bool = False

    @property
    def size(self) -> int:
        """Bytes of the new file."""
        return self.count * np.dtype(TYPES[self.type]).itemsize if self.kind == NUMBERS else self.count

    def pieces(self) -> list[Operation]:
        """The same numbers in operations that take little memory at a time."""
        each = self.size // self.count
        return [
            replace(self, count=min(_PIECE, self.count - at), start=self.start + at * each)
            for at in range(0, self.count, _PIECE)
        ]


class Reader:
    """A cursor over untrusted bytes. Raises PatchError where they end too early."""

    def __init__(self, content: bytes, at: int = 0) -> None:
        self.content, self.at = content, at

    def take(self, count: int) -> bytes:
        """The next bytes."""
        if count > len(self.content) - self.at:
            raise PatchError("the patch is cut off")
        self.at += count
        return self.content[self.at - count : self.at]

    def number(self) -> int:
        """An unsigned number of at most 35 bits, 7 to a byte, lowest first."""
        value = 0
        for shift in range(0, 35, 7):
            byte = self.take(1)[0]
            value |= (byte & 127) << shift
            if byte < 128:
                return value
        raise PatchError("the patch has a number that is too large")


def decode(old: bytes, patch: bytes, *, limit: int = MAX_BYTES) -> bytes:
    """The new file. Beside both files it takes some 6 bytes for each number (measured, int8).

    Args:
        old: the file that the patch was made for.
        patch: what `edgeship.delta.encode` gave.
        limit: bytes that the new file may have.

    Raises:
        PatchError: the patch is broken, for another file, or makes a larger one. Nothing is returned then.
    """
    reader = Reader(patch)
    if reader.take(4) != MAGIC:
        raise PatchError("it is no patch: it does not begin with ESD1")
    kind, before, after, size = reader.take(1)[0], reader.take(4), reader.take(4), reader.number()
    if size > limit:
        raise PatchError(f"the patch makes {size:,} bytes, {limit:,} are allowed")
    if before != hashlib.sha256(old).digest()[:4]:
        raise PatchError("the patch was made for another file")
    if kind == 0:
        new = _whole(patch[reader.at :], size)
    elif kind == 1:
        new = _patched(old, reader, size)
    else:
        raise PatchError(f"patches of kind {kind} are unknown")
    if len(new) != size or after != hashlib.sha256(new).digest()[:4]:
        raise PatchError("the patch is damaged: it does not make the file that it was made for")
    return new


def _whole(packed: bytes, size: int) -> bytes:
    """Kind 0: no patch at all, but the new file in brotli."""
    from edgeship.encodings import decode as unpacked
    from edgeship.errors import ArtifactError

    try:
        return b"".join(unpacked(packed, "br", size))
    except ArtifactError as error:
        raise PatchError(f"the patch is damaged: {error.message}") from error


def _patched(old: bytes, reader: Reader, size: int) -> bytes:
    described, packed, words = reader.number(), reader.take(reader.number()), reader.number()
    if described > 2 * size + 4096:
        raise PatchError("the patch describes more than the file that it makes")
    levels = np.frombuffer(reader.take(len(TYPES)), np.uint8).astype(np.int64)
    plain = Reader(_unpacked(packed, described))
    operations = _operations(plain, old, size)
    found = [predicted(old, operation) for operation in operations if operation.kind == NUMBERS]
    coded = np.frombuffer(reader.take(2 * words), "<u2").astype(np.int64)
    if sum(len(values) for values in found) > 0:
        symbols = _symbols(Model([o for o in operations if o.kind == NUMBERS], found, levels), coded)
        found = _numbers(symbols, reader.take(len(reader.content) - reader.at), operations, found)
    parts, made = [], iter(found)
    for operation in operations:
        if operation.kind == COPY:
            parts.append(old[operation.start : operation.start + operation.count])
        else:
            parts.append(plain.take(operation.count) if operation.kind == LITERAL else next(made).tobytes())
    return b"".join(parts)


def _unpacked(packed: bytes, described: int) -> bytes:
    try:
        plain = zlib.decompressobj(-15).decompress(packed, described + 1)
    except zlib.error as error:
        raise PatchError(f"the patch is damaged: {error}") from error
    if len(plain) != described:
        raise PatchError("the description of the patch does not have the length that it says")
    return plain


def _operations(plain: Reader, old: bytes, size: int) -> list[Operation]:
    found: list[Operation] = []
    total = at = read = 0
    while total < size:
        read += 1
        if read > most_operations(size):
            raise PatchError("the patch has more operations than a file of its size may have")
        code, count = plain.take(1)[0], plain.number()
        kind, numbers, scaled = code & 3, code >> 2 & 15, code >> 6 & 1
        if kind > NUMBERS or numbers >= len(TYPES) or count == 0:
            raise PatchError("the patch has an unknown operation")
        start, factor = 0, 0.0
        if kind != LITERAL:
            zigzag = plain.number()
            start = at + (zigzag >> 1 ^ -(zigzag & 1))
            factor = float(np.frombuffer(plain.take(8), "<f8")[0]) if scaled else 0.0
        operation = Operation(kind, count, start, numbers, factor, code > 127)
        total += operation.size
        at = start + operation.size if kind != LITERAL else at + count  # it replaces as much, mostly
        if total > size or start < 0 or (kind != LITERAL and at > len(old)) or not np.isfinite(factor):
            raise PatchError("the patch reaches beyond the files")
        found += operation.pieces() if kind == NUMBERS else [operation]
    return found


def predicted(old: bytes, operation: Operation) -> Array:
    """What the numbers of an operation are expected to be, as unsigned integers of their width."""
    kind, factor = operation.type, operation.factor
    given = np.frombuffer(old, TYPES[kind], operation.count, operation.start)
    if factor == 0 or kind in (GRID, F16, U8):
        return given
    if kind == F32:
        with np.errstate(all="ignore"):
            return (given.view("<f4").astype(np.float64) * factor).astype("<f4").view("<u4")
    signed = given.view("<i4" if kind == I32 else "i1")
    limits = np.iinfo(signed.dtype)
    return np.clip(np.floor(signed * factor + 0.5), limits.min, limits.max).astype(signed.dtype).view(TYPES[kind])


class Model:
    """How likely each symbol is: by the class of the number and the size that its difference is expected to have.

    That size, in half octaves, follows the differences before it in the same lane (an exponential mean, per class);
    of floats, relative to the exponent of the prediction. The element `i` is the `i % steps`-th of lane `i // steps`.
    """

    def __init__(self, operations: list[Operation], found: list[Array], levels: Array) -> None:
        self.count = sum(len(values) for values in found)
        self.lanes = 1 << max(0, min(9, (self.count >> 10).bit_length() - 1))
        self.steps = -(-self.count // self.lanes)
        self.kinds = np.repeat(np.array([o.type for o in operations], np.uint8), [len(values) for values in found])
        mantissa = np.array(MANTISSA)[[o.type for o in operations]]
        self._exponents = np.concatenate(
            [(magnitude(v, o.type) >> (m - 1)).astype(np.int16) if m else np.zeros(len(v), np.int16)
             for v, o, m in zip(found, operations, mantissa, strict=True)]
        )  # fmt: skip
        self._sizes = np.tile(levels * 16, (self.lanes, 1))
        self._counts = _prior()
        self._level = np.repeat([[-2, 0, 0, 2, 2, 3, 3, 0, *range(4, 64), *[0] * 9]], len(TYPES), 0)
        self._level[:, FLIPS:] = 2 * np.array(MANTISSA)[:, None]
        self._next = 0

    def sizes(self, symbols: Array) -> Array:
        """Of all differences, in half octaves; of floats, absolute ones."""
        found: Array = self._level[self.kinds, symbols] + self._exponents
        return found

    def step(self, at: int) -> tuple[Array, Array, Array]:
        """Of the `at`-th element of each lane: its index, its row of the table, and that table of cumulated shares."""
        if at >= self._next:
            self._next = at + max(1, min(32, at >> 3))
            self._cumulated = _cumulated(self._counts)
        index = np.arange(at, self.count, self.steps)
        self._kind, self._exponent = self.kinds[index], self._exponents[index]
        size = self._sizes[np.arange(len(index)), self._kind]
        context = np.clip((size >> 4) - self._exponent + _OFFSET, 0, CONTEXTS - 1)
        self._row = self._kind * CONTEXTS + context
        return index, self._row, self._cumulated

    def learn(self, symbols: Array) -> None:
        """What the elements of the last step were."""
        np.add.at(self._counts, (self._row, symbols), _INCREMENT)
        lanes = np.arange(len(symbols))
        sizes = self._sizes[lanes, self._kind]
        change = (16 * (self._level[self._kind, symbols] + self._exponent) - sizes) >> 3
        self._sizes[lanes, self._kind] = sizes + np.where(symbols == ZERO, 0, change)


def magnitude(values: Array, kind: int) -> Array:
    """Floats without their signs."""
    return values.astype(np.int32) & (0x7FFFFFFF if kind == F32 else 0x7FFF)


def _prior() -> Array:
    """Counts before anything is known: differences fall off fast above the expected size, slowly below it."""
    level = np.array([-2, 0, 0, 2, 2, 3, 3, 99, *range(4, 64), *[99] * 9])
    above = level[None, :] - (np.arange(CONTEXTS)[:, None] - _OFFSET)
    falling = 32 >> np.minimum((1 - above) >> 1, 5).clip(0)
    counts = np.where(above <= 1, falling, np.where(above == 2, 8, np.where(above == 3, 2, 1)))
    return np.tile(np.maximum(counts, 1), (len(TYPES), 1)).astype(np.int64)


def _cumulated(counts: Array) -> Array:
    """Shares of 2^PRECISION, none of them 0; what division leaves over goes to the most frequent symbol."""
    shares = 1 + counts * ((1 << PRECISION) - SYMBOLS) // counts.sum(1, keepdims=True)
    shares[np.arange(len(shares)), counts.argmax(1)] += (1 << PRECISION) - shares.sum(1)
    return np.concatenate([np.zeros((len(shares), 1), np.int64), shares.cumsum(1)], 1)


def _symbols(model: Model, words: Array) -> Array:
    if len(words) < 2 * model.lanes:
        raise PatchError("the patch is cut off")
    state = words[: 2 * model.lanes : 2] | words[1 : 2 * model.lanes : 2] << 16
    found, at = np.zeros(model.count, np.uint8), 2 * model.lanes
    for step in range(model.steps):
        index, row, table = model.step(step)
        now, shares = state[: len(index)], table[row]
        slot = now & ((1 << PRECISION) - 1)
        symbols = (shares[:, 1:] <= slot[:, None]).sum(1)
        lanes = np.arange(len(index))
        start = shares[lanes, symbols]
        now = (shares[lanes, symbols + 1] - start) * (now >> PRECISION) + slot - start
        low = np.flatnonzero(now < LOWEST)
        if len(low) > len(words) - at:
            raise PatchError("the patch is cut off")
        now[low] = now[low] << 16 | words[at : at + len(low)]
        at += len(low)
        state[: len(index)], found[index] = now, symbols
        model.learn(symbols)
    return found


def widths(symbols: Array, operation: Operation) -> Array:
    """Bits that each symbol leaves to be stored: the sign, and those below the highest two."""
    mantissa = max(2, MANTISSA[operation.type])  # whatever a broken patch says
    bits = np.where(symbols >= FLIPS, mantissa - 2 + np.maximum(symbols - FLIPS, 1), 2 + ((symbols - BUCKETS) >> 1))
    return np.where(symbols >= BUCKETS, bits, (symbols == ZERO) & operation.signed)


def _numbers(symbols: Array, stored: bytes, operations: list[Operation], found: list[Array]) -> list[Array]:
    numeric = [operation for operation in operations if operation.kind == NUMBERS]
    made, at, bit = [], 0, 0
    plain = np.frombuffer(stored + bytes(8), np.uint8)
    for operation, expected in zip(numeric, found, strict=True):
        own = symbols[at : at + len(expected)].astype(np.int64)
        width = widths(own, operation)
        places = bit + np.cumsum(width) - width
        at, bit = at + len(expected), bit + int(width.sum())
        if (width > 33).any() or bit > 8 * len(stored):
            raise PatchError("the patch is cut off")
        window = sum(plain[(places >> 3) + i].astype(np.int64) << (8 * i) for i in range(6))
        low = (window >> (places & 7)) & ((1 << width) - 1)
        made.append(_restored(own, low, expected, operation))
    return made


def _restored(symbols: Array, low: Array, expected: Array, operation: Operation) -> Array:
    """Numbers from their symbols, stored bits and predictions."""
    kind, bits = operation.type, 8 * expected.dtype.itemsize
    bucket = np.clip(symbols - BUCKETS, 0, 59)
    size = ((2 + (bucket & 1)) << (1 + (bucket >> 1))) + (low >> 1)
    difference = np.where(symbols < ZERO, _SMALL[np.minimum(symbols, 6)], np.where(low & 1, -size, size))
    if kind == GRID:
        with np.errstate(all="ignore"):
            given = expected.view("<f4").astype(np.float64)
            return (given + difference * operation.factor).astype("<f4").view("<u4")
    half, mask = 1 << (bits - 1), (1 << bits) - 1
    if kind > F16:
        return np.where(symbols == ZERO, 0, (expected + difference) & mask).astype(expected.dtype)
    ordered = np.where(expected >= half, half - 1 - expected.astype(np.int64), expected.astype(np.int64))
    ordered = (ordered + difference + half) & mask
    value = np.where(ordered >= half, ordered - half, mask - ordered)
    turned = magnitude(expected, kind) + np.where(low & 1, -1, 1) * _flip_size(symbols, low, MANTISSA[kind])
    flipped = (turned & (half - 1)) | np.where(expected >= half, 0, half)
    zero = (low & 1) * half
    return np.where(symbols == ZERO, zero, np.where(symbols >= FLIPS, flipped, value)).astype(expected.dtype)


def _flip_size(symbols: Array, low: Array, mantissa: int) -> Array:
    octave = symbols - FLIPS
    return (low >> 1) + np.where(octave > 0, 1 << np.maximum(mantissa - 3 + octave, 0), 0)
