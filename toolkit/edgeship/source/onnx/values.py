"""Values while an ONNX graph is computed in TensorFlow: numbers that are known, and tensors with their layout.

ONNX has the channels first, TensorFlow's convolutions on a CPU and all edge runtimes have them last. A tensor that came
out of a convolution is kept as it is stored there, and is only brought back where an operator asks for its order: a
network of convolutions so has one transposition at its start and one at its end.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

import numpy as np

#: A known value is an array; one of dtype object holds sizes, of which some are scalars of TensorFlow.
Known = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Tensor:
    """A tensor of TensorFlow. `last`: stored with axis 1 (channels) moved to the end."""

    stored: Any
    last: bool = False

    @property
    def rank(self) -> int:
        """Number of axes."""
        return len(self.stored.shape)

    @property
    def sizes(self) -> tuple[int | None, ...]:
        """Sizes in the order of ONNX, None where unknown."""
        found = tuple(self.stored.shape.as_list())
        return (found[0], found[-1], *found[1:-1]) if self.last else found

    def axis(self, axis: int) -> int:
        """Where an axis of ONNX is stored."""
        axis %= self.rank
        if not self.last or axis == 0:
            return axis
        return self.rank - 1 if axis == 1 else axis - 1


Value = Tensor | Known


def is_sizes(value: Value) -> TypeGuard[Known]:
    """Whether a value is an array of sizes."""
    return isinstance(value, np.ndarray) and value.dtype == object


def moved_last(rank: int) -> list[int]:
    """The permutation that moves axis 1 to the end."""
    return [0, *range(2, rank), 1]


def moved_first(rank: int) -> list[int]:
    """The permutation that moves the last axis to place 1."""
    return [0, rank - 1, *range(1, rank - 1)]


def plain(value: Value) -> Any:
    """A value as TensorFlow takes it, in the order of ONNX."""
    import tensorflow as tf

    if isinstance(value, np.ndarray):
        return tensor_of_sizes(value) if value.dtype == object else tf.constant(value)
    if not value.last:
        return value.stored
    spatial = value.sizes[2:]
    if all(size == 1 for size in spatial):  # nothing moves
        return tf.reshape(value.stored, [-1 if s is None else s for s in value.sizes[:2]] + [1] * len(spatial))
    return tf.transpose(value.stored, moved_first(value.rank))


def channels_last(value: Value) -> Any:
    """A value with its channels at the end."""
    import tensorflow as tf

    if isinstance(value, Tensor) and value.last:
        return value.stored
    tensor = plain(value)
    return tensor if len(tensor.shape) < 3 else tf.transpose(tensor, moved_last(len(tensor.shape)))


def tensor_of_sizes(value: Known) -> Any:
    """Sizes, of which some are only known when the model runs, as one tensor."""
    import tensorflow as tf

    flat = [tf.cast(item, tf.int64) for item in value.reshape(-1)]
    return tf.reshape(tf.stack(flat), value.shape) if flat else tf.zeros(value.shape, tf.int64)


def aligned(values: Sequence[Value]) -> tuple[list[Any], bool]:
    """Values that are combined element by element, in one layout: channels last where one of them is so."""
    rank = max((v.rank for v in values if isinstance(v, Tensor) and v.last), default=0)
    largest = max(v.ndim if isinstance(v, np.ndarray) else v.rank for v in values)
    if not rank or largest > rank:
        return [plain(value) for value in values], False
    return [_as_last(value, rank) for value in values], True


def _as_last(value: Value, rank: int) -> Any:
    import tensorflow as tf

    if isinstance(value, Tensor) and value.last and value.rank == rank:
        return value.stored
    if isinstance(value, np.ndarray) and value.dtype != object:
        if value.size == 1:
            return tf.constant(value.reshape(()))
        wide = value.reshape((1,) * (rank - value.ndim) + value.shape)
        return tf.constant(np.transpose(wide, moved_last(rank)))
    tensor = plain(value)
    for _ in range(rank - len(tensor.shape)):
        tensor = tf.expand_dims(tensor, 0)
    return tf.transpose(tensor, moved_last(rank))


def numbers(value: Value, what: str) -> list[int]:
    """Integers that an operator must know before the model runs. Raises ValueError with `what`."""
    if isinstance(value, np.ndarray) and value.dtype != object:
        return [int(item) for item in value.reshape(-1)]
    raise ValueError(f"its {what} are only known when the model runs")


def shape_of(value: Value) -> Known:
    """Sizes as far as they are known; the others as scalars of TensorFlow."""
    import tensorflow as tf

    if isinstance(value, np.ndarray):
        return np.asarray(value.shape, np.int64)
    sizes = value.sizes
    if None not in sizes:
        return np.asarray(sizes, np.int64)
    asked = tf.shape(value.stored, out_type=tf.int64)
    found = np.empty(len(sizes), object)
    for axis, size in enumerate(sizes):
        found[axis] = asked[value.axis(axis)] if size is None else int(size)
    return found


def is_known(values: Iterable[Value]) -> bool:
    """Whether all are numbers, no tensors."""
    return all(isinstance(value, np.ndarray) and value.dtype != object for value in values)
