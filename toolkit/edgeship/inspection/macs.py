"""Multiply-accumulates of an operation of any format, counted from shapes as `edgeship.compress.graph.macs` does.

A multiplication of a weight (or of one computed number with another, in matrix products) counts as one, as in
arXiv 1704.04861, section 3.1; biases, sums, activations, poolings and scalings by channel count none.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from edgeship.inspection.description import Shape

#: Kinds whose multiplications depend on what only a run shows, or that contain other graphs.
_UNKNOWN = ("control", "attention", "separable")
#: Products whose operands are packed, or whose axes only their settings say.
_UNKNOWN_TYPES = ("STABLEHLO_DOT_GENERAL", "STABLEHLO_CONVOLUTION", "XlaDotV2", "XlaConvV2", "MatMulNBits", "Einsum")


def count(
    kind: str, op_type: str, kernel: tuple[Shape, str] | None, given: Sequence[Shape | None], out: Shape | None
) -> int | None:
    """MACs of one call, a dynamic first axis counted as 1.

    Args:
        kind: of the operation, in the words of `kinds`.
        op_type: its name in the format; CUSTOM ops and calls of functions are unknown.
        kernel: shape and layout (see `description.Op`) of the constant that it multiplies with.
        given: shapes of its inputs.
        out: shape of its first output.

    Returns:
        None where a size is unknown, or what the operation does.
    """
    if kind in _UNKNOWN or op_type in _UNKNOWN_TYPES or (kind == "other" and op_type.startswith("CUSTOM")):
        return None
    if kernel is not None and kind in ("conv", "depthwise", "dense", "matmul", "transpose_conv"):
        return _with_kernel(kind, kernel, given[0] if given else None, out)
    if kind in ("matmul", "dense"):
        return _product(op_type, given, out)
    if kind == "recurrent" or kind in ("conv", "depthwise", "transpose_conv"):
        return None
    return 0


def sizes(shape: Shape | None) -> tuple[int, ...] | None:
    """All sizes, a dynamic first one as 1; None where another is dynamic."""
    if shape is None:
        return None
    found = tuple(1 if size is None and axis == 0 else size for axis, size in enumerate(shape))
    return None if None in found else tuple(size for size in found if size is not None)


def _with_kernel(kind: str, kernel: tuple[Shape, str], given: Shape | None, out: Shape | None) -> int | None:
    shape, layout = kernel
    numbers = [size for size in shape if size is not None]
    if len(numbers) != len(layout) or 0 in numbers:
        return None
    seen = sizes(given if kind == "transpose_conv" else out)
    if seen is None:
        return None
    letters = "I" if kind == "transpose_conv" else "BCMO"
    channels = math.prod(size for size, letter in zip(numbers, layout, strict=True) if letter in letters)
    return math.prod(numbers) * math.prod(seen) // channels


def _product(op_type: str, given: Sequence[Shape | None], out: Shape | None) -> int | None:
    """Of two computed matrices: each number of the result is a sum over the last axis of the first."""
    first, result = (sizes(given[0]) if given else None), sizes(out)
    second = sizes(given[1]) if len(given) > 1 else None
    if not first or not second or result is None or op_type.startswith("Q"):  # the quantized ones have scales between
        return None
    if op_type == "FULLY_CONNECTED":
        return math.prod(result) * second[-1]
    # Each number of the result is a sum over the axis that the factors share: |A| |B| = (rows k)(k columns).
    batch = math.prod(result[:-2])
    rows, columns = (*result, 1, 1)[len(result) - 2 : len(result)] if len(result) > 1 else (1, math.prod(result))
    if rows * columns == 0:
        return 0
    inner = math.isqrt(math.prod(first[-2:]) * math.prod(second[-2:]) // (rows * columns))
    return batch * rows * inner * columns
