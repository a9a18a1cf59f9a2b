"""Choosing among the values of a tensor by other operators: bands of matrices, elements of each sample, the largest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgeship_converters.lowering.branches import value_of

if TYPE_CHECKING:
    from tensorflow.core.framework.node_def_pb2 import NodeDef


def band_by_selection(node: NodeDef, inputs: list[Any]) -> Any:  # noqa: ARG001 - a Rule
    """MatrixBandPart of matrices of known size (masks of attention)."""
    import numpy as np
    import tensorflow as tf

    values, lower, upper = inputs
    bounds = [value_of(bound) for bound in (lower, upper)]
    rows, columns = values.shape[-2:]
    if None in (rows, columns) or any(bound is None for bound in bounds):
        return None
    apart = np.arange(rows)[:, None] - np.arange(columns)
    inside = [bound < 0 or sign * apart <= bound for sign, bound in zip((1, -1), bounds, strict=True)]
    mask = np.broadcast_to(np.logical_and(*inside), (rows, columns))
    if values.dtype == tf.bool:
        return tf.logical_and(values, mask)
    return tf.where(mask, values, tf.zeros_like(values))


def gather_by_position(node: NodeDef, inputs: list[Any]) -> Any:
    """GatherV2 of rows for each sample: one choice among the rows of all samples."""
    import tensorflow as tf

    rows, chosen, axis = inputs
    if node.attr["batch_dims"].i != 1 or value_of(axis) != 1:
        return None
    if None in rows.shape[1:] or None in chosen.shape[1:]:
        return None
    count, *inner = rows.shape[1:]
    first = tf.range(tf.shape(rows)[0], dtype=tf.int32) * count
    offsets = tf.reshape(first, [-1] + [1] * (chosen.shape.rank - 1))
    numbers = tf.cast(chosen, tf.int32) + offsets
    found = tf.gather(tf.reshape(rows, [-1, *inner]), tf.reshape(numbers, [-1]))
    return tf.reshape(found, [-1, *chosen.shape[1:], *inner])


def place_by_value(node: NodeDef, inputs: list[Any]) -> Any:
    """ArgMax and ArgMin of Keras 3, which makes -0.0 less than 0.0 first, by bits that no format has: without that."""
    import tensorflow as tf

    values, axis = inputs
    plain = _before_signs_of_zeros(values)
    if plain is None:
        return None
    find = tf.argmax if node.op == "ArgMax" else tf.argmin
    return find(plain, axis, output_type=tf.dtypes.as_dtype(node.attr["output_type"].type))


def _before_signs_of_zeros(values: Any) -> Any:
    """What a tensor was before a choice by `x == 0 and signbit(x)`; None where it is no such choice."""
    if values.op.type != "SelectV2":
        return None
    condition, _, kept = values.op.inputs
    tests = condition.op.inputs if condition.op.type == "LogicalAnd" else ()
    bits = [tensor for test in tests for tensor in test.op.inputs if tensor.op.type == "BitwiseAnd"]
    return kept if bits and bits[0].op.inputs[0].op.type == "Bitcast" else None
