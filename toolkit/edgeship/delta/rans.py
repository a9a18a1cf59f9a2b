"""The encoder's half of the entropy coder: numbers to symbols and stored bits, by the model of the decoder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgeship.delta.decoder import (
    BUCKETS,
    F16,
    F32,
    FLIPS,
    GRID,
    LOWEST,
    MANTISSA,
    PRECISION,
    TYPES,
    ZERO,
    Model,
    Operation,
    magnitude,
    widths,
)

if TYPE_CHECKING:
    from edgeship.types import Array


def coded(new: list[Array], expected: list[Array], operations: list[Operation]) -> tuple[bytes, bytes, bytes]:
    """Numbers as a decoder reads them.

    Args:
        new: of each operation its numbers, as unsigned integers of their width.
        expected: what the decoder predicts for them.
        operations: those of kind NUMBERS, in `pieces`.

    Returns:
        The size that differences of each class begin with, the words of the coder, and the stored bits.
    """
    pairs = [_symbols(*given) for given in zip(new, expected, operations, strict=True)]
    symbols = np.concatenate([found for found, _ in pairs])
    low = np.concatenate([found for _, found in pairs])
    levels = _levels(symbols, expected, operations)
    model = Model(operations, expected, levels)
    width = np.concatenate([widths(found, own) for (found, _), own in zip(pairs, operations, strict=True)])
    return bytes(levels.astype(np.uint8)), _words(model, symbols), _packed(low, width)


def _levels(symbols: Array, expected: list[Array], operations: list[Operation]) -> Array:
    """The median size of differences by class, with which every lane begins."""
    sizes = Model(operations, expected, np.zeros(len(TYPES), np.int64)).sizes(symbols)
    kinds = np.repeat([operation.type for operation in operations], [len(values) for values in expected])
    found = [sizes[(kinds == kind) & (symbols != ZERO)] for kind in range(len(TYPES))]
    return np.array([int(np.clip(np.median(own), 0, 255)) if len(own) else 0 for own in found])


def _symbols(new: Array, expected: Array, operation: Operation) -> tuple[Array, Array]:
    difference = differences(new, expected, operation)
    size = np.abs(difference)
    octave = np.frexp(size.astype(np.float64))[1].astype(np.int64) - 1
    shift = np.maximum(octave - 1, 0)
    upper = (size >> shift) & 1
    small = 2 * size - (difference > 0)
    symbols = np.where(size > 3, BUCKETS + 2 * (octave - 2) + upper, np.maximum(small, 0))
    low = np.where(size > 3, (size - ((2 + upper) << shift)) << 1 | (difference < 0), 0)
    if operation.type in (F32, F16):
        symbols, low = _turned(symbols, low, new, expected, operation.type)
    negative = new == 1 << (8 * new.dtype.itemsize - 1)
    gone = (new == 0) | (negative & operation.signed)
    gone &= (size > 0) & (operation.type != GRID)
    return np.where(gone, ZERO, symbols), np.where(gone, negative, low).astype(np.int64)


def differences(new: Array, expected: Array, operation: Operation) -> Array:
    """New numbers less the expected ones; floats as integers in the same order, a step for each float."""
    kind, bits = operation.type, 8 * new.dtype.itemsize
    if kind == GRID:
        steps = (new.view("<f4").astype(np.float64) - expected.view("<f4")) / operation.factor
        whole: Array = np.rint(steps).astype(np.int64)
        return whole
    a, b = new.astype(np.int64), expected.astype(np.int64)
    half = 1 << (bits - 1)
    if kind in (F32, F16):
        a, b = (np.where(x >= half, half - 1 - x, x) for x in (a, b))
    wrapped: Array = (a - b + half & (1 << bits) - 1) - half
    return wrapped


def _turned(symbols: Array, low: Array, new: Array, expected: Array, kind: int) -> tuple[Array, Array]:
    """Where the sign is another one: the difference of magnitudes, in octaves."""
    mantissa, half = MANTISSA[kind], 1 << (8 * new.dtype.itemsize - 1)
    apart = magnitude(new, kind).astype(np.int64) - magnitude(expected, kind)
    size = np.abs(apart)
    octave = np.maximum(np.frexp(size.astype(np.float64))[1].astype(np.int64) - 1 - (mantissa - 3), 0)
    usable = ((new ^ expected) & half != 0) & (octave <= 8) & (symbols >= BUCKETS)
    rest = size - np.where(octave > 0, 1 << (mantissa - 3 + octave), 0)
    flipped = rest << 1 | (apart < 0)
    return np.where(usable, FLIPS + np.minimum(octave, 8), symbols), np.where(usable, flipped, low)


def _words(model: Model, symbols: Array) -> bytes:
    """Of rANS (arXiv:1311.2540): the decoder's steps backwards, with the shares that it has at each."""
    starts, shares = np.zeros(model.count, np.int32), np.zeros(model.count, np.int32)
    for step in range(model.steps):
        index, row, table = model.step(step)
        own = symbols[index]
        starts[index] = table[row, own]
        shares[index] = table[row, own + 1] - starts[index]
        model.learn(own)
    state = np.full(model.lanes, LOWEST, np.int64)
    blocks = []
    for step in reversed(range(model.steps)):
        index = np.arange(step, model.count, model.steps)
        now, share = state[: len(index)], shares[index].astype(np.int64)
        full = now >= share << (32 - PRECISION)
        blocks.append((now[full] & 0xFFFF).astype("<u2"))
        now[full] >>= 16
        state[: len(index)] = (now // share << PRECISION) + now % share + starts[index]
    first = np.stack([state & 0xFFFF, state >> 16], 1).astype("<u2").reshape(-1)
    return b"".join(block.tobytes() for block in [first, *reversed(blocks)])


def _packed(low: Array, width: Array) -> bytes:
    """Stored bits, the lowest first."""
    total = int(width.sum())
    bits = np.zeros(total, np.uint8)
    places = np.cumsum(width) - width
    for bit in range(int(width.max(initial=0))):
        has = width > bit
        bits[places[has] + bit] = (low[has] >> bit) & 1
    return np.packbits(bits, bitorder="little").tobytes()
