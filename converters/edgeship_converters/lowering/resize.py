"""Resampling of images as one matrix product per axis: every method of TensorFlow is linear and separable.

The matrices are computed by TensorFlow's own operator from the columns of an identity matrix, so that they hold its
rules for borders, rounding and antialiasing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeship_converters.lowering.branches import value_of

if TYPE_CHECKING:
    from tensorflow.core.framework.node_def_pb2 import NodeDef

    from edgeship.types import Array


def resized_by_products(node: NodeDef, inputs: list[Any]) -> Any:
    """ResizeArea and ResizeBicubic between sizes that are known."""
    import tensorflow as tf

    images, size = inputs
    target = value_of(size)
    if target is None or not images.dtype.is_floating:
        return None
    operator = getattr(tf.raw_ops, node.op)
    options = {name: node.attr[name].b for name in ("align_corners", "half_pixel_centers") if name in node.attr}

    def resize(columns: Any, length: int) -> Any:
        return operator(images=columns, size=[length, 1], **options)

    return _resampled(images, [int(n) for n in target], (resize, resize))


def scaled_by_products(node: NodeDef, inputs: list[Any]) -> Any:
    """ScaleAndTranslate (antialiased and Lanczos resizing) between sizes that are known."""
    import tensorflow as tf

    images, *found = inputs
    size, scale, translation = (value_of(tensor) for tensor in found)
    if size is None or scale is None or translation is None:
        return None
    options = {"kernel_type": node.attr["kernel_type"].s.decode(), "antialias": node.attr["antialias"].b}

    def along(axis: int) -> Callable[[Any, int], Any]:
        def resize(columns: Any, length: int) -> Any:
            return tf.raw_ops.ScaleAndTranslate(
                images=columns,
                size=[length, 1],
                scale=[scale[axis], 1.0],
                translation=[translation[axis], 0.0],
                **options,
            )

        return resize

    return _resampled(tf.cast(images, tf.float32), [int(n) for n in size], (along(0), along(1)))


def nearest_by_selection(node: NodeDef, inputs: list[Any]) -> Any:
    """ResizeNearestNeighbor between sizes that are known, other than by a whole factor: rows and columns by number.

    Which neighbour is nearest hangs on the last bit where a position lies between two, and scales are rounded.
    """
    import tensorflow as tf

    images, size = inputs
    target = value_of(size)
    if target is None or None in images.shape[1:3]:
        return None
    given, wanted = images.shape[1:3], [int(n) for n in target]
    if all(after % before == 0 for before, after in zip(given, wanted, strict=True)):
        return None
    options = {name: node.attr[name].b for name in ("align_corners", "half_pixel_centers")}
    found = images
    for axis, (before, after) in enumerate(zip(given, wanted, strict=True)):
        numbers = np.arange(before, dtype=np.int32).reshape(1, before, 1, 1)
        with tf.Graph().as_default(), tf.compat.v1.Session() as session:
            chosen = session.run(tf.raw_ops.ResizeNearestNeighbor(images=numbers, size=[after, 1], **options))
        if before != after or (chosen.reshape(-1) != numbers.reshape(-1)).any():
            found = tf.gather(found, chosen.reshape(-1), axis=axis + 1)
    return found


def _resampled(images: Any, target: list[int], resizers: tuple[Callable[[Any, int], Any], ...]) -> Any:
    """(N, H, W, C) to (N, *target, C) in float32; None where a size is not known."""
    import tensorflow as tf

    _, height, width, channels = images.shape.as_list()
    if None in (height, width, channels):
        return None
    rows = _matrix(resizers[0], height, target[0])
    columns = _matrix(resizers[1], width, target[1])
    found = tf.cast(images, tf.float32)
    if height != target[0] or not np.array_equal(rows, np.eye(height)):
        found = tf.matmul(tf.constant(rows), tf.reshape(found, [-1, height, width * channels]))
    if width != target[1] or not np.array_equal(columns, np.eye(width)):
        found = tf.matmul(tf.constant(columns), tf.reshape(found, [-1, width, channels]))
    return tf.reshape(found, [-1, *target, channels])


def _matrix(resize: Callable[[Any, int], Any], length: int, target: int) -> Array:
    """(target, length): what each position of one axis contributes to each position of the result."""
    import tensorflow as tf

    columns = np.eye(length, dtype=np.float32).reshape(1, length, 1, length)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        return np.asarray(session.run(resize(columns, target)).reshape(target, length), np.float32)
