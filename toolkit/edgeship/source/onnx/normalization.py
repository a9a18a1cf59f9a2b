"""Normalization: computed with channels last where the input is an image."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from edgeship.source.onnx.graph import Call, Result, Rule
from edgeship.source.onnx.values import Tensor, aligned, channels_last, plain


def _batch_normalization(call: Call) -> Result:
    if call.node.get("training_mode", 0):
        raise ValueError("it was exported for training")
    arrays = [call.known(index, "scale, bias, mean and variance") for index in range(1, 5)]
    scale, bias, mean, variance = (np.asarray(array) for array in arrays)
    factor = scale / np.sqrt(variance.astype(np.float64) + call.node.get("epsilon", 1e-5))
    shift = bias - mean * factor
    x = channels_last(call[0])
    if len(x.shape) < 2:
        raise ValueError("it normalizes a tensor without channels")
    found = x * factor.astype(x.dtype.as_numpy_dtype) + shift.astype(x.dtype.as_numpy_dtype)
    return Tensor(found, last=len(found.shape) > 2)


def _instance_normalization(call: Call) -> Result:
    import tensorflow as tf

    x = channels_last(call[0])
    mean, variance = tf.nn.moments(x, list(range(1, len(x.shape) - 1)), keepdims=True)
    found = (x - mean) * tf.math.rsqrt(variance + call.node.get("epsilon", 1e-5))
    return Tensor(found * plain(call[1]) + plain(call[2]), last=True)


def _group_normalization(call: Call) -> Result:
    import tensorflow as tf

    groups, x = int(call.node.get("num_groups", 1)), plain(call[0])
    sizes = [-1 if n is None else n for n in x.shape.as_list()]
    parts = tf.reshape(x, [sizes[0], groups, sizes[1] // groups, *sizes[2:]])
    mean, variance = tf.nn.moments(parts, list(range(2, len(parts.shape))), keepdims=True)
    found = tf.reshape((parts - mean) * tf.math.rsqrt(variance + call.node.get("epsilon", 1e-5)), sizes)
    by_group = call.node.opset < 21  # then scale and bias are those of groups
    scale, bias = (
        tf.reshape(
            tf.repeat(plain(call[i]), sizes[1] // groups) if by_group else plain(call[i]), [-1] + [1] * (len(sizes) - 2)
        )
        for i in (1, 2)
    )
    return found * scale + bias


def _layer_normalization(call: Call) -> Result:
    import tensorflow as tf

    x = plain(call[0])
    axis = int(call.node.get("axis", -1)) % len(x.shape)
    axes = list(range(axis, len(x.shape)))
    mean = tf.reduce_mean(x, axes, keepdims=True)
    variance = tf.reduce_mean(tf.square(x - mean), axes, keepdims=True)
    scale = tf.math.rsqrt(variance + call.node.get("epsilon", 1e-5))
    found = (x - mean) * scale * plain(call[1])
    return [found if call.optional(2) is None else found + plain(call[2]), mean, scale]


def _rms_normalization(call: Call) -> Result:
    import tensorflow as tf

    x = plain(call[0])
    axes = list(range(int(call.node.get("axis", -1)) % len(x.shape), len(x.shape)))
    power = tf.reduce_mean(tf.square(x), axes, keepdims=True)
    return x * tf.math.rsqrt(power + call.node.get("epsilon", 1e-5)) * plain(call[1])


def _lp_normalization(call: Call) -> Result:
    import tensorflow as tf

    (x,), last = aligned([call[0]])
    axis = (
        call[0].axis(int(call.node.get("axis", -1))) if isinstance(call[0], Tensor) else int(call.node.get("axis", -1))
    )
    if int(call.node.get("p", 2)) == 1:
        norm = tf.reduce_sum(tf.abs(x), axis, keepdims=True)
    else:
        norm = tf.sqrt(tf.reduce_sum(tf.square(x), axis, keepdims=True))
    return Tensor(tf.math.divide_no_nan(x, norm), last)


def _local_response(call: Call) -> Result:
    import tensorflow as tf

    x, size = channels_last(call[0]), int(call.node.get("size", 1))
    if size % 2 == 0 or len(x.shape) != 4:
        raise ValueError("its neighbourhood is not centered, or its input no image")
    alpha, beta = call.node.get("alpha", 1e-4) / size, call.node.get("beta", 0.75)
    return Tensor(tf.nn.local_response_normalization(x, size // 2, call.node.get("bias", 1.0), alpha, beta), last=True)


RULES: Mapping[str, Rule] = {
    "BatchNormalization": _batch_normalization,
    "GroupNormalization": _group_normalization,
    "InstanceNormalization": _instance_normalization,
    "LRN": _local_response,
    "LayerNormalization": _layer_normalization,
    "LpNormalization": _lp_normalization,
    "RMSNormalization": _rms_normalization,
}
