"""Operators that reduce or normalize along axes, and products of matrices."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from edgeship.source.onnx.graph import Call, Result, Rule
from edgeship.source.onnx.values import Tensor, numbers, plain


def _reduction(compute: Callable[[Any, Any, bool], Any], since: int) -> Rule:
    """`since`: the operator set in which its axes became an input."""

    def rule(call: Call) -> Result:
        axes = call.node.get("axes", None)
        if call.node.opset >= since and call.optional(1) is not None:
            axes = numbers(call[1], "axes")
        keep = bool(call.node.get("keepdims", 1))
        if not axes and call.node.get("noop_with_empty_axes", 0):
            return call[0]
        value = call[0]
        if isinstance(value, Tensor) and value.last and axes:
            spatial = {axis % value.rank for axis in axes} == set(range(2, value.rank))
            if keep or spatial:  # what is left of spatial sizes: batch and channels, in one order in both layouts
                stored = [value.axis(int(axis)) for axis in axes]
                return Tensor(compute(value.stored, stored, keep), last=keep)
        return compute(plain(value), [int(axis) for axis in axes] if axes else None, keep)

    return rule


def _tf(name: str) -> Callable[[Any, Any, bool], Any]:
    def compute(tensor: Any, axes: Any, keep: bool) -> Any:
        import tensorflow as tf

        return getattr(tf, name)(tensor, axis=axes, keepdims=keep)

    return compute


def _l1(tensor: Any, axes: Any, keep: bool) -> Any:
    import tensorflow as tf

    return tf.reduce_sum(tf.abs(tensor), axis=axes, keepdims=keep)


def _sum_square(tensor: Any, axes: Any, keep: bool) -> Any:
    import tensorflow as tf

    return tf.reduce_sum(tf.square(tensor), axis=axes, keepdims=keep)


def _l2(tensor: Any, axes: Any, keep: bool) -> Any:
    import tensorflow as tf

    return tf.sqrt(_sum_square(tensor, axes, keep))


def _log_sum(tensor: Any, axes: Any, keep: bool) -> Any:
    import tensorflow as tf

    return tf.math.log(tf.reduce_sum(tensor, axis=axes, keepdims=keep))


def _softmax(compute: str) -> Rule:
    def rule(call: Call) -> Result:
        import tensorflow as tf

        value, function = call[0], getattr(tf.nn, compute)
        if call.node.opset >= 13:
            axis = int(call.node.get("axis", -1))
            if isinstance(value, Tensor) and value.last:
                return Tensor(function(value.stored, axis=value.axis(axis)), last=True)
            return function(plain(value), axis=axis)
        # Before, all axes from this one on were one.
        tensor, axis = plain(value), int(call.node.get("axis", 1))
        axis %= len(tensor.shape)
        if axis == len(tensor.shape) - 1:
            return function(tensor)
        inner = tensor.shape.as_list()[axis:]
        if None in inner:
            raise ValueError("the sizes that it takes together are unknown")
        flat = tf.reshape(tensor, tf.concat([tf.shape(tensor)[:axis], [int(np.prod(inner))]], 0))
        return tf.reshape(function(flat), [-1 if n is None else n for n in tensor.shape.as_list()])

    return rule


def _arg(name: str) -> Rule:
    def rule(call: Call) -> Result:
        import tensorflow as tf

        tensor, axis = plain(call[0]), int(call.node.get("axis", 0))
        if call.node.get("select_last_index", 0):
            turned = getattr(tf, name)(tf.reverse(tensor, [axis % len(tensor.shape)]), axis, tf.int64)
            found = tf.cast(tf.shape(tensor)[axis], tf.int64) - 1 - turned
        else:
            found = getattr(tf, name)(tensor, axis, tf.int64)
        return tf.expand_dims(found, axis) if call.node.get("keepdims", 1) else found

    return rule


def _top_k(call: Call) -> Result:
    import tensorflow as tf

    tensor = plain(call[0])
    count = numbers(call[1], "count")[0] if call.node.opset >= 10 else int(call.node.get("k", 1))
    axis = int(call.node.get("axis", -1)) % len(tensor.shape)
    order = [i for i in range(len(tensor.shape)) if i != axis] + [axis]
    turned = tf.transpose(tensor, order)
    largest = bool(call.node.get("largest", 1))
    values, indices = tf.math.top_k(turned if largest else -turned, count)
    back = list(np.argsort(order))
    values = values if largest else -values
    return [tf.transpose(values, back), tf.transpose(tf.cast(indices, tf.int64), back)]


def _cumulative_sum(call: Call) -> Result:
    import tensorflow as tf

    axis = numbers(call[1], "axis")[0]
    options = {"exclusive": bool(call.node.get("exclusive", 0)), "reverse": bool(call.node.get("reverse", 0))}
    return tf.cumsum(plain(call[0]), axis, **options)


def _gemm(call: Call) -> Result:
    import tensorflow as tf

    flags = {"transpose_a": bool(call.node.get("transA", 0)), "transpose_b": bool(call.node.get("transB", 0))}
    found = tf.matmul(plain(call[0]), _scaled(plain(call[1]), call.node.get("alpha", 1.0)), **flags)
    bias = call.optional(2)
    if isinstance(bias, np.ndarray) and bias.ndim == 2 and len(bias) == 1:
        bias = bias[0]  # one row for all samples, as a bias of dense layers is
    return found if bias is None else found + _scaled(plain(bias), call.node.get("beta", 1.0))


def _scaled(tensor: Any, factor: float) -> Any:
    return tensor if factor == 1 else tensor * factor


def _matmul(call: Call) -> Result:
    import tensorflow as tf

    a, b = plain(call[0]), plain(call[1])
    if len(a.shape) == 1 or len(b.shape) == 1:
        return (
            tf.linalg.matvec(a, b)
            if len(b.shape) == 1 and len(a.shape) > 1
            else tf.tensordot(a, b, [[0], [-2 if len(b.shape) > 1 else 0]])
        )
    if len(a.shape) > 2 and len(b.shape) == 2:
        return tf.tensordot(a, b, 1)
    return tf.matmul(a, b)


def _einsum(call: Call) -> Result:
    import tensorflow as tf

    return tf.einsum(call.node.get("equation", ""), *(plain(value) for value in call.given()))


RULES: Mapping[str, Rule] = {
    "ArgMax": _arg("argmax"),
    "ArgMin": _arg("argmin"),
    "CumSum": _cumulative_sum,
    "Einsum": _einsum,
    "Gemm": _gemm,
    "LogSoftmax": _softmax("log_softmax"),
    "MatMul": _matmul,
    "ReduceL1": _reduction(_l1, 18),
    "ReduceL2": _reduction(_l2, 18),
    "ReduceLogSum": _reduction(_log_sum, 18),
    "ReduceLogSumExp": _reduction(_tf("reduce_logsumexp"), 18),
    "ReduceMax": _reduction(_tf("reduce_max"), 18),
    "ReduceMean": _reduction(_tf("reduce_mean"), 18),
    "ReduceMin": _reduction(_tf("reduce_min"), 18),
    "ReduceProd": _reduction(_tf("reduce_prod"), 18),
    "ReduceSum": _reduction(_tf("reduce_sum"), 13),
    "ReduceSumSquare": _reduction(_sum_square, 18),
    "Softmax": _softmax("softmax"),
    "TopK": _top_k,
}
