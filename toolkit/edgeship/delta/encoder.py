"""Make the smallest patch: candidates are made, decoded, and compared."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from difflib import SequenceMatcher
from typing import TYPE_CHECKING

import numpy as np

from edgeship import encodings
from edgeship.delta import rans
from edgeship.delta.decoder import (
    COPY,
    F16,
    F32,
    GRID,
    I8,
    I32,
    LITERAL,
    MAGIC,
    NUMBERS,
    TYPES,
    U8,
    Operation,
    decode,
    most_operations,
    predicted,
)
from edgeship.delta.segments import Segment, segments
from edgeship.errors import MissingPackageError, PatchError

if TYPE_CHECKING:
    from edgeship.types import Array

#: Equal stretches that are shorter cost more as a copy than as literals.
_SHORTEST = 8
#: Numbers of a file of unknown format that are predicted in one way.
_PART = 1024
#: Numbers that stay the same, for which naming them is less than counting them.
_LONG = 64
#: Changes between bytes that stay the same, from which on all of them together may cost less as numbers.
_MANY = 64
#: What a number costs beside its difference, about.
_SYMBOL_BITS = 2
#: Bits that a prediction has to save before it is taken.
_WORTH = 100
#: Steps of a grid: more of them are as good as none.
_GRID_STEPS = 16
#: Bytes of a file of unknown format up to which equal bytes are searched for where the length stayed the same.
_SMALL = 1 << 16
#: How far from its old place a stretch that is no tensor is looked for.
_NEAR = 4096


def encode(old: bytes, new: bytes) -> bytes:
    """The smallest patch found that turns `old` into `new`; each candidate was decoded before it counted.

    Candidates: the file in brotli, differences of its numbers by its format, and differences of bytes.
    """
    whole = _sealed(0, old, new, encodings.encode(new, "br"))
    return min([whole, *(patch_of(old, new, found) for found in pairings(old, new))], key=len)


def _sealed(kind: int, old: bytes, new: bytes, body: bytes) -> bytes:
    checks = hashlib.sha256(old).digest()[:4] + hashlib.sha256(new).digest()[:4]
    made = MAGIC + bytes([kind]) + checks + _number(len(new)) + body
    if decode(old, made) != new:
        raise PatchError("a patch did not make the file that it was made for", remedy="This is a bug: report it.")
    return made


def _number(value: int) -> bytes:
    parts = []
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes([*parts, value])


def pairings(old: bytes, new: bytes) -> Iterator[list[tuple[Segment | None, Segment]]]:
    """Ways to see the new file as numbers of the old one, the likeliest first; an empty one sees bytes only."""
    a, b = segments(old), segments(new)
    if b:
        yield _paired(a, b)
        return
    if 0 < len(old) == len(new):  # shards of weights say nothing of what they hold
        wholes = [Segment(0, len(new) // np.dtype(TYPES[kind]).itemsize, kind, "") for kind in (F32, F16, U8)]
        ways = [list(_parts(whole)) for whole in wholes if whole.count]
        best = min(ways, key=lambda parts: sum(_cost(old, new, part) for part in parts))
        yield [(part, part) for part in best]
    if len(old) != len(new) or len(new) <= _SMALL:
        yield []


def _parts(whole: Segment) -> Iterator[Segment]:
    """A stretch that may be of many tensors, in parts that each have their own prediction."""
    each = np.dtype(TYPES[whole.type]).itemsize
    for at in range(0, whole.count, _PART):
        yield Segment(whole.start + at * each, min(_PART, whole.count - at), whole.type, whole.name)


def _cost(old: bytes, new: bytes, part: Segment) -> float:
    """Bits that the differences of a stretch at the same place take, about."""
    a, b = (np.frombuffer(content, TYPES[part.type], part.count, part.start) for content in (old, new))
    return _bits(a, b, _prediction(a, b, Operation(NUMBERS, part.count, part.start, part.type)))


def _paired(a: list[Segment], b: list[Segment]) -> list[tuple[Segment | None, Segment]]:
    """New tensors with the old ones they came from: of the same name, else of the same size in the same order."""
    sizes = [[(s.type, s.count) for s in side] for side in (a, b)]
    if sizes[0] == sizes[1]:
        return list(zip(a, b, strict=True))
    named = {(s.name, s.type, s.count): s for s in a}
    found: list[Segment | None] = [named.get((s.name, s.type, s.count)) for s in b]
    for block in SequenceMatcher(None, sizes[0], sizes[1], autojunk=False).get_matching_blocks():
        for i in range(block.size):
            found[block.b + i] = found[block.b + i] or a[block.a + i]
    return list(zip(found, b, strict=True))


def patch_of(old: bytes, new: bytes, pairs: Sequence[tuple[Segment | None, Segment]]) -> bytes:
    """The patch that sees these numbers of the old file become those of the new one, by offset; the rest is bytes."""
    operations: list[Operation] = []
    at = before = 0
    for source, target in pairs:
        if source is None:
            continue
        _bytes(old, new, at, target.start, before, operations)
        found = list(_numbers(old, new, source, target))
        operations += found
        size = sum(operation.size for operation in found)
        at, before = target.start + size, source.start + size
    _bytes(old, new, at, len(new), before, operations)
    return _written(old, new, _few(_merged(operations), len(new)))


def _few(operations: list[Operation], size: int) -> list[Operation]:
    """As many operations as the format allows: where there are more, the shortest become literals."""
    shortest = _SHORTEST
    while len(operations) > most_operations(size):
        shortest *= 2
        operations = _merged([o if o.size >= shortest else Operation(LITERAL, o.size) for o in operations])
    return operations


def _merged(operations: list[Operation]) -> list[Operation]:
    """Neighbours in both files as one."""
    found: list[Operation] = []
    for operation in operations:
        last = found[-1] if found else None
        if last is not None and _continues(last, operation):
            found[-1] = replace(last, count=last.count + operation.count)
        else:
            found.append(operation)
    return found


def _continues(last: Operation, operation: Operation) -> bool:
    begun = replace(operation, count=last.count, start=last.start)
    return begun == last and (operation.kind == LITERAL or operation.start == last.start + last.size)


def _bytes(old: bytes, new: bytes, start: int, end: int, before: int, operations: list[Operation]) -> None:
    """What is not numbers: stretches that are the same as in the old file, and literals."""
    if start == end:
        return
    if new[start:end] == old[before : before + end - start]:
        operations.append(Operation(COPY, end - start, before))
        return
    low, high = max(0, before - _NEAR), min(len(old), before + end - start + _NEAR)
    literal = start
    for here, there, count in _alignments(old[low:high], new[start:end]):
        same = list(_equal(old, new, start + here, low + there, count))
        scattered = len(same) > _MANY and len(same) * _LONG > count
        for first, last in [(start + here, start + here + count)] if scattered else same:
            if first > literal:
                operations.append(Operation(LITERAL, first - literal))
            kind = NUMBERS if scattered else COPY
            operations.append(Operation(kind, last - first, first - (start + here) + low + there))
            literal = last
    if end > literal:
        operations.append(Operation(LITERAL, end - literal))


def _alignments(old: bytes, new: bytes) -> Iterator[tuple[int, int, int]]:
    """Stretches that are nearly the same, as bsdiff finds them: offset in the new bytes, in the old ones, length."""
    try:
        from bsdiff4 import core
    except ImportError as error:
        raise MissingPackageError("making patches needs bsdiff4", remedy="pip install 'edgeship[publish]'") from error
    control, _, _ = core.diff(old, new)
    moves = [core.decode_int64(control[at : at + 8]) for at in range(0, len(control), 8)]
    here = there = 0
    for same, more, seek in zip(moves[::3], moves[1::3], moves[2::3], strict=True):
        yield here, there, same
        here, there = here + same + more, there + same + seek


def _equal(old: bytes, new: bytes, here: int, there: int, count: int) -> Iterator[tuple[int, int]]:
    """Ends of the stretches, long enough to be worth naming, that are the same from here and there on."""
    a, b = np.frombuffer(old, np.uint8, count, there), np.frombuffer(new, np.uint8, count, here)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], a == b, [False]]).astype(np.int8)))
    for first, last in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        if last - first >= _SHORTEST:
            yield here + first, here + last


def _numbers(old: bytes, new: bytes, source: Segment, target: Segment) -> Iterator[Operation]:
    """A tensor: stretches that stay the same, and numbers predicted from the old ones."""
    a = np.frombuffer(old, TYPES[target.type], source.count, source.start)
    b = np.frombuffer(new, TYPES[target.type], target.count, target.start)
    half = 1 << (8 * b.itemsize - 1)
    signed = target.type in (F32, F16) and bool((b == half).any())
    if (a == b).all():
        yield Operation(COPY, a.nbytes, source.start)
        return
    best = _prediction(a, b, Operation(NUMBERS, target.count, source.start, target.type, signed=signed))
    edges = np.flatnonzero(np.diff(np.concatenate([[False], a == b, [False]]).astype(np.int8)))
    same = [(i, j) for i, j in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True) if j - i >= _LONG]
    at = 0
    for first, last in [*same, (len(b), len(b))]:
        if first > at:
            yield replace(best, count=first - at, start=source.start + at * a.itemsize)
        if last > first:
            yield Operation(COPY, (last - first) * a.itemsize, source.start + first * a.itemsize)
        at = last


def _prediction(a: Array, b: Array, plain: Operation) -> Operation:
    """Of the ways to predict numbers, the one that leaves the fewest bits; the plain one if none leaves far fewer."""
    found = [plain]
    if plain.type == F32:
        width = _grid(a.view("<f4"), b.view("<f4"))
        found += [replace(plain, type=GRID, factor=width)] if width else []
    factor = _factor(a, b, plain.type)
    found += [replace(plain, factor=factor)] if factor else []
    bits = [_bits(a, b, operation) + _WORTH * (operation is not plain) for operation in found]
    return found[int(np.argmin(bits))]


def _bits(a: Array, b: Array, operation: Operation) -> float:
    apart = rans.differences(b, predicted(a.tobytes(), replace(operation, start=0)), operation)
    sign = 1 << (8 * b.itemsize - 1) if operation.type in (F32, F16) else 0
    gone = (b & ~b.dtype.type(sign)) == 0  # has a symbol of its own, whatever it was
    sizes = np.log2(1 + 2 * np.abs(apart.astype(np.float64))) + _SYMBOL_BITS * (apart != 0)
    return float(np.where(gone & (apart != 0), 1, sizes).sum())


def _factor(a: Array, b: Array, kind: int) -> float:
    """What old numbers are multiplied with to be nearest to the new ones; 0 where nothing is."""
    real = {F32: "<f4", I8: "i1", I32: "<i4"}.get(kind)
    if real is None:
        return 0.0
    with np.errstate(invalid="ignore"):  # of a NaN that signals
        x, y = a.view(real).astype(np.float64), b.view(real).astype(np.float64)
    if not (np.isfinite(x).all() and np.isfinite(y).all()) or not (x != 0).any():
        return 0.0
    # Of scales that all changed by one factor, the median ratio is that factor whatever a few others did.
    ratio = float(np.median(y[x != 0] / x[x != 0]))
    return ratio if np.isfinite(ratio) and ratio != 1 else 0.0


def _grid(x: Array, y: Array) -> float:
    """The widest step, a power of two, of which all changes are multiples; 0 where there is none worth the name."""
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        return 0.0
    apart = y.astype(np.float64) - x
    largest = float(np.abs(apart).max(initial=0))
    if largest == 0:
        return 0.0
    top = int(np.floor(np.log2(largest)))
    for exponent in range(top, top - _GRID_STEPS, -1):
        width = 2.0**exponent
        made = (x + np.rint(apart / width) * width).astype(np.float32)
        if (made.view(np.uint32) == y.view(np.uint32)).all():  # zeros have signs
            return width
    return 0.0


def _written(old: bytes, new: bytes, operations: list[Operation]) -> bytes:
    described, literals = bytearray(), bytearray()
    pieces: list[Operation] = []
    numbers: list[Array] = []
    at = reached = 0
    for operation in operations:
        described += _header(operation, reached)
        reached = operation.start + operation.size if operation.kind != LITERAL else reached + operation.count
        if operation.kind == LITERAL:
            literals += new[at : at + operation.count]
        elif operation.kind == NUMBERS:
            own = operation.pieces()
            pieces += own
            whole = np.frombuffer(new, TYPES[operation.type], operation.count, at)
            numbers += np.split(whole, np.cumsum([piece.count for piece in own])[:-1])
        at += operation.size
    levels, words, stored = bytes(len(TYPES)), b"", b""
    if pieces:
        levels, words, stored = rans.coded(numbers, [predicted(old, piece) for piece in pieces], pieces)
    plain = bytes(described + literals)
    squeezer = zlib.compressobj(9, zlib.DEFLATED, -15, 9)
    packed = squeezer.compress(plain) + squeezer.flush()
    body = _number(len(plain)) + _number(len(packed)) + packed + _number(len(words) // 2) + levels + words + stored
    return _sealed(1, old, new, body)


def _header(operation: Operation, reached: int) -> bytes:
    """An operation as it is described; where it starts, from where the one before ended."""
    code = operation.kind | operation.type << 2 | (operation.factor != 0) << 6 | operation.signed << 7
    begun = bytes([code]) + _number(operation.count)
    if operation.kind == LITERAL:
        return begun
    seek = operation.start - reached
    begun += _number(seek << 1 if seek >= 0 else (-seek << 1) - 1)
    return begun + (np.array(operation.factor, "<f8").tobytes() if operation.factor else b"")
