"""The part of `tfjs_cases` that networks are made of: convolutions, products, pooling, resizing, volumes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf
from tfjs_graphs import numbers


def convolutions(image: Any) -> dict[str, Any]:
    """`image` has shape (N, 9, 7, 5)."""
    kernel, deep, pad = numbers(3, 2, 5, 6, seed=1), numbers(3, 3, 5, 2, seed=2), [[0, 0], [0, 1], [2, 1], [0, 0]]
    bias = numbers(6, seed=3)

    def up(window: tuple[int, int], step: tuple[int, int], padding: str) -> Any:
        more = [max(w - s, 0) if padding == "VALID" else 0 for w, s in zip(window, step, strict=True)]
        sizes = [n * s + m for n, s, m in zip((9, 7), step, more, strict=True)]
        shape = tf.stack([tf.shape(image)[0], *sizes, 3])
        return tf.nn.conv2d_transpose(image, numbers(*window, 3, 5, seed=4), shape, step, padding)

    def conv(strides: Any, padding: str, dilations: Any = 1, image: Any = image) -> Any:
        return tf.nn.conv2d(image, kernel, strides, padding, dilations=dilations)

    def depthwise(strides: int, padding: str, dilations: int = 1, image: Any = image) -> Any:
        return tf.nn.depthwise_conv2d(image, deep, [1, strides, strides, 1], padding, dilations=[dilations] * 2)

    return {
        "Conv2D": conv(1, "VALID"),
        "Conv2D.strides": conv((2, 3), "SAME"),
        "Conv2D.even": conv((3, 2), "VALID"),
        "Conv2D.dilated": conv(1, "SAME", (2, 3)),
        "Conv2D.dilated_valid": conv(1, "VALID", (3, 2)),
        "Conv2D.explicit": conv((2, 1), "VALID", image=tf.pad(image, pad)),
        "Conv2D.small": tf.nn.conv2d(image[:, :, :1], kernel[:1], (2, 1), "SAME"),
        "Conv2D.small_window": tf.nn.conv2d(image, kernel[:1], (3, 1), "SAME"),
        "FusedConv2D.small": tf.nn.relu(tf.nn.conv2d(image, kernel[:, :1], (2, 4), "SAME") + bias),
        "DepthwiseConv2dNative.small": tf.nn.depthwise_conv2d(image[:, :6], deep[:1], [1, 2, 2, 1], "SAME"),
        "Conv2D.pointwise": tf.nn.conv2d(image, kernel[:1, :1], (2, 3), "SAME"),
        "Conv2D.padded_pointwise": tf.nn.conv2d(tf.pad(image + 1, pad), kernel[:1, :1], 1, "VALID"),
        "Conv2D.whole": tf.nn.conv2d(image, numbers(9, 7, 5, 4, seed=5), 1, "VALID"),
        "DepthwiseConv2dNative": depthwise(1, "SAME"),
        "DepthwiseConv2dNative.strides": depthwise(3, "VALID"),
        "DepthwiseConv2dNative.same_strides": depthwise(2, "SAME"),
        "DepthwiseConv2dNative.dilated": depthwise(1, "SAME", 2),
        "DepthwiseConv2dNative.explicit": depthwise(2, "VALID", image=tf.pad(image, pad)),
        "Conv2DBackpropInput": up((3, 3), (2, 2), "SAME"),
        "Conv2DBackpropInput.valid": up((4, 2), (3, 2), "VALID"),
        "Conv2DBackpropInput.small": up((1, 2), (3, 3), "VALID"),
        "Conv2DBackpropInput.uneven": up((2, 5), (2, 3), "SAME"),
        "FusedConv2D.normalized": tf.nn.relu(conv(1, "SAME") * bias + numbers(6, seed=9)),
        "FusedDepthwiseConv2dNative.normalized": tf.nn.relu6(depthwise(1, "SAME") * numbers(10, seed=4) + 0.5),
    }


ACTIVATIONS: Mapping[str, Callable[[Any], Any]] = {
    "linear": lambda y: y,
    "relu": tf.nn.relu,
    "relu6": tf.nn.relu6,
    "elu": tf.nn.elu,
    "sigmoid": tf.nn.sigmoid,
    "leaky": lambda y: tf.nn.leaky_relu(y, 0.37),
    "prelu": lambda y: tf.nn.relu(y) + numbers(y.shape[-1], seed=8) * tf.nn.relu(-y),
    "softmax": tf.nn.softmax,
}


def fused(image: Any, row: Any) -> dict[str, Any]:
    """`image` has shape (N, 9, 9, 4), `row` (N, 5)."""

    def depthwise() -> Any:
        return tf.nn.depthwise_conv2d(image, 9 * numbers(3, 3, 4, 2, seed=2), [1, 1, 1, 1], "SAME")

    linear = {
        "FusedConv2D": lambda: tf.nn.conv2d(image, 9 * numbers(3, 3, 4, 6, seed=1), 2, "SAME") + numbers(6, seed=3),
        "FusedDepthwiseConv2dNative": lambda: depthwise() + numbers(8, seed=4),
        "FusedMatMul": lambda: tf.matmul(row, 9 * numbers(5, 6, seed=5)) + numbers(6, seed=6),
        "FusedConv2D.flat": lambda: (
            tf.matmul(tf.reshape(image, (-1, 324)), numbers(324, 6, seed=7)) + numbers(6, seed=3)
        ),
    }
    return {
        f"{op}.{name}".replace(".flat.", ".flat_"): act(y())
        for op, y in linear.items()
        for name, act in ACTIVATIONS.items()
    }


def products(x: Any, y: Any) -> dict[str, Any]:
    """`x` has shape (N, 4, 7), `y` (N, 7, 3)."""
    rows = tf.reshape(x, (-1, 28))
    heads = tf.einsum("abc,cde->abde", x, numbers(7, 2, 3, seed=1))
    scores = tf.einsum("aecd,abcd->acbe", heads, tf.nn.tanh(heads))
    return {
        "MatMul": tf.matmul(rows, numbers(28, 5, seed=1)),
        "MatMul.transposed": tf.matmul(rows[:, :3], rows[:, :2], transpose_a=True),
        "MatMul.rows": tf.matmul(rows, rows, transpose_b=True),
        "BatchMatMulV2": tf.matmul(x, y),
        "BatchMatMulV2.transposed": tf.matmul(x, x, transpose_b=True),
        "BatchMatMulV2.left": tf.matmul(x, x, transpose_a=True),
        "BatchMatMulV2.broadcast": tf.matmul(tf.constant(numbers(5, 4, seed=3)), x),
        "BatchMatMulV2.heads": tf.matmul(x[:, tf.newaxis], tf.constant(numbers(2, 7, 3, seed=4))),
        "Softmax.scores": tf.nn.softmax(scores),
        "BatchMatMulV2.values": tf.einsum("acbe,aecd->abcd", scores, heads),
    }


def images(image: Any) -> dict[str, Any]:
    """`image` has shape (N, 9, 7, 5)."""
    even = image[:, :8, :6, :4]
    return {
        "AvgPool": tf.nn.avg_pool2d(image, (3, 2), (2, 3), "SAME"),
        "AvgPool.valid": tf.nn.avg_pool2d(image, (2, 4), (3, 1), "VALID"),
        "AvgPool.global": tf.reduce_mean(image, [1, 2]),
        "MaxPool": tf.nn.max_pool2d(image - 2.0, (3, 2), (2, 3), "SAME"),
        "MaxPool.valid": tf.nn.max_pool2d(image - 2.0, (2, 4), (3, 1), "VALID"),
        "MaxPool.global": tf.reduce_max(image - 2.0, [1, 2], keepdims=True),
        "ResizeBilinear": tf.image.resize(image, (7, 11)),
        "ResizeBilinear.align": tf.compat.v1.image.resize_bilinear(image, (4, 15), align_corners=True),
        "ResizeBilinear.plain": tf.compat.v1.image.resize_bilinear(image, (18, 5)),
        "ResizeNearestNeighbor": tf.image.resize(image, (18, 14), "nearest"),
        "GatherV2.nearest": tf.compat.v1.image.resize_nearest_neighbor(image, (5, 14)),
        "ResizeNearestNeighbor.align": tf.compat.v1.image.resize_nearest_neighbor(image, (18, 14), align_corners=True),
        "ResizeNearestNeighbor.plain": tf.compat.v1.image.resize_nearest_neighbor(image, (9, 21)),
        "DepthToSpace": tf.nn.depth_to_space(even, 2),
        "SpaceToBatchND": tf.space_to_batch(even, [2, 3], [[0, 0], [1, 2]]),
        "BatchToSpaceND": tf.batch_to_space(
            tf.space_to_batch(even, [2, 1], [[0, 0], [0, 0]]) * 2, [2, 1], [[1, 0], [0, 0]]
        ),
        "LRN": tf.nn.local_response_normalization(image, 2, 1.5, 0.3, 0.7),
    }


def volumes(volume: Any) -> dict[str, Any]:
    """`volume` has shape (N, 4, 5, 3, 2)."""
    kernel = numbers(2, 3, 2, 2, 4, seed=1)
    return {
        "Conv3D": tf.nn.conv3d(volume, kernel, [1] * 5, "SAME"),
        "Conv3D.strides": tf.nn.conv3d(volume, kernel, [1, 2, 1, 3, 1], "VALID"),
        "Conv3D.same_strides": tf.nn.conv3d(volume, kernel, [1, 3, 2, 2, 1], "SAME"),
        "Conv3D.short": tf.nn.conv3d(volume, numbers(2, 1, 2, 2, 4, seed=3), [1, 3, 3, 2, 1], "SAME"),
        "AvgPool.short_volume": tf.nn.avg_pool3d(volume, [1, 1, 2], [2, 3, 2], "SAME"),
        "AvgPool3D": tf.nn.avg_pool3d(volume, [2, 3, 1], [1, 2, 2], "VALID"),
        "AvgPool3D.same": tf.nn.avg_pool3d(volume, [2, 3, 2], [2, 1, 2], "SAME"),
        "Transpose.volume": tf.transpose(volume, [0, 4, 2, 1, 3]),
        "Pad.volume": tf.pad(volume, [[0, 0], [1, 0], [0, 2], [1, 1], [0, 0]]),
        "ConcatV2.volume": tf.concat([volume, volume * 2], 3),
        "StridedSlice.volume": volume[:, ::2, 1:, :, 1],
        "Mul.volume": volume * tf.constant(numbers(5, 1, 2, seed=2)),
        "Mean.volume": tf.reduce_mean(volume, [1, 2, 3]),
        "Max.volume": tf.reduce_max(volume, [2, 3]),
    }
