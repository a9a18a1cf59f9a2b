"""A model file that was taken apart: its description, and the values of its constants while it is open."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from edgeship.inspection.description import Description, Op, Tensor

if TYPE_CHECKING:
    from edgeship.types import Array

#: Names of dtypes that weights have; constants of others (int32, int64, bool) are shapes, axes, indices and biases.
_WEIGHTS = ("float", "bfloat", "int8", "uint8", "int4", "uint4", "int2", "int16", "uint16")


@dataclass(frozen=True)
class Opened:
    """A file and its numbers.

    Attributes:
        values: name of a constant -> its real values (dequantized, float32 or float64) in its shape; None where they
            are not in the file, or no numbers.
    """

    description: Description
    values: Callable[[str], Array | None]


def dequantize(stored: Array, tensor: Tensor) -> Array:
    """Real values of stored ones, in float64 where they are quantized."""
    import numpy as np

    q = tensor.quantization
    if q is None or not q.scales:
        return stored
    scales, zeros = np.asarray(q.scales, np.float64), np.asarray(q.zero_points or (0.0,), np.float64)
    if q.axis is not None and len(scales) > 1:
        shape = [1] * stored.ndim
        shape[q.axis] = len(scales)
        scales = scales.reshape(shape)
        zeros = zeros.reshape(shape) if zeros.size > 1 else zeros
    return (stored.astype(np.float64) - zeros) * scales


def is_weight(tensor: Tensor, used_as_weight: bool) -> bool:
    """Whether the numbers of a constant count as parameters."""
    return used_as_weight or tensor.dtype.startswith(_WEIGHTS)


def counted(ops: Iterable[Op], tensors: Mapping[str, Tensor], weights: Mapping[str, int]) -> tuple[Op, ...]:
    """The ops with the parameters and bytes of the constants that each uses first.

    Args:
        ops: in the order of execution.
        tensors: by name.
        weights: constants that are weights -> how many numbers they have.
    """
    taken: set[str] = set()
    found = []
    for op in ops:
        mine = [name for name in dict.fromkeys(op.inputs) if name in tensors and tensors[name].constant]
        mine = [name for name in mine if name not in taken]
        taken.update(mine)
        found.append(
            replace(
                op,
                parameters=sum(weights.get(name, 0) for name in mine),
                stored_bytes=sum(tensors[name].stored_bytes for name in mine),
            )
        )
    return tuple(found)


def total_macs(ops: Sequence[Op]) -> tuple[int | None, tuple[str, ...]]:
    """The sum over the ops, and the types of those that could not be counted (then there is no sum)."""
    unknown = tuple(sorted({op.type for op in ops if op.macs is None}))
    return (None if unknown else sum(op.macs or 0 for op in ops)), unknown
