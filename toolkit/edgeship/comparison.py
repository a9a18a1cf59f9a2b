"""How far two outputs are apart, in figures that a wrong file cannot hide in; large outputs are read in pieces.

A *column* is one index of an output's last axis: one class, one coordinate, one channel. Figures are taken for each
column against what that column itself does, because an output of large numbers would hide a wrong one of small numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from edgeship.types import Array

#: Values that are held in memory at a time, and columns that are told apart (more are taken together as one).
_PIECE, _MAX_COLUMNS = 1 << 22, 4096


@dataclass(frozen=True)
class Comparison:
    """`found` against `expected`, both (N, ...) of numbers; NaN anywhere makes the figure NaN.

    Attributes:
        max_abs: worst column's largest difference, relative to the column's range in `expected`.
        error: worst column's error: norm of the difference over norm of `expected` around its mean over the samples.
            0 = equal, about 1.4 = unrelated.
        cosine: of both around the mean of `expected`, over everything; 1 = equal up to a factor.
        columns: errors by column, (C,); inf where a column of `expected` never changes and `found` differs.
    """

    max_abs: float
    error: float
    cosine: float
    columns: Array


def compare(expected: Array, found: Array, floor: float, shift: int = 0) -> Comparison:
    """Compare two outputs of the same shape.

    Args:
        expected: (N, ...) of the original.
        found: (N, ...) of the file.
        floor: columns that change less than this share of the widest one are measured as if they changed so much: what
            rounding leaves of them is no information.
        shift: compare sample i of `expected` with sample i + shift of `found` (to see what wrong outputs would give).
    """
    if not expected.size:  # nothing can differ, and nothing is the worst
        return Comparison(0.0, 0.0, 1.0, np.zeros(1))
    n = len(expected)
    columns = _columns(expected)
    mean = np.zeros((expected[0].size // columns, columns))
    low, high = np.full(columns, np.inf), np.full(columns, -np.inf)
    for rows in _pieces(n, expected[0].size):
        a = _rows(expected, rows, columns)
        mean += a.sum(axis=0) / n
        low, high = np.minimum(low, a.min(axis=(0, 1))), np.maximum(high, a.max(axis=(0, 1)))
    worst, aa, bb, ab, dd = (np.zeros(columns) for _ in range(5))
    for rows in _pieces(n, expected[0].size):
        a, b = _rows(expected, rows, columns), _rows(found, (rows + shift) % n, columns)
        difference = a - b
        worst = np.maximum(worst, np.abs(difference).max(axis=(0, 1)))
        a, b = a - mean, b - mean
        aa, bb, ab = aa + (a * a).sum((0, 1)), bb + (b * b).sum((0, 1)), ab + (a * b).sum((0, 1))
        dd += (difference * difference).sum(axis=(0, 1))
    spread, norm = high - low, np.sqrt(aa)
    errors = _relative(np.sqrt(dd), np.maximum(norm, floor * norm.max()))
    norms = float(np.sqrt(aa.sum() * bb.sum()))
    return Comparison(
        max_abs=float(_relative(worst, np.maximum(spread, floor * spread.max())).max()),
        error=float(errors.max()),
        cosine=float(ab.sum()) / norms if norms > 0 else float("nan"),
        columns=errors,
    )


def _columns(output: Array) -> int:
    last = output.shape[-1] if output.ndim > 1 else 1
    return last if 0 < last <= _MAX_COLUMNS else 1


def _pieces(n: int, size: int) -> Iterator[Array]:
    step = max(1, _PIECE // max(1, size))
    for start in range(0, n, step):
        yield np.arange(start, min(n, start + step))


def _rows(output: Array, rows: Array, columns: int) -> Array:
    """Some samples as (rows, positions, columns) of float64."""
    return np.asarray(output[rows], np.float64).reshape(len(rows), -1, columns)


def _relative(difference: Array, scale: Array) -> Array:
    """`difference / scale`; equal constants are 0 apart, unequal ones inf."""
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = difference / scale
    return np.where((difference == 0) & (scale == 0), 0.0, relative)


def top1_agreement(expected: Array, found: Array, shift: int = 0) -> float:
    """Share of samples whose largest output has the same index; (N, K) twice. NaN never agrees."""
    found = np.roll(found, -shift, axis=0)
    same = expected.argmax(axis=1) == found.argmax(axis=1)
    return float((same & ~np.isnan(found).any(axis=1)).mean())


def equality(expected: Array, found: Array, shift: int = 0) -> float:
    """Share of equal values, for outputs of integers: class indices and the like."""
    return float((expected == np.roll(found, -shift, axis=0)).mean()) if expected.size else 1.0
