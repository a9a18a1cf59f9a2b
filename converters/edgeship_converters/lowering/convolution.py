"""Convolutions that formats lack - transposed ones of volumes, dilated transposed ones, groups - by those they have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tensorflow.core.framework.node_def_pb2 import NodeDef


def transposed_by_spreading(node: NodeDef, inputs: list[Any]) -> Any:
    """Conv3DBackpropInputV2: a convolution with the mirrored kernel over data spread apart by zeros."""
    if node.attr["data_format"].s not in (b"", b"NDHWC"):
        return None
    return _transposed(node, inputs)


def transposed_dilated_by_padding(node: NodeDef, inputs: list[Any]) -> Any:
    """Conv2DBackpropInput with dilation, which Keras allows without strides only."""
    if set(node.attr["dilations"].list.i) <= {1} or node.attr["data_format"].s not in (b"", b"NHWC"):
        return None
    return _transposed(node, inputs)


def _transposed(node: NodeDef, inputs: list[Any]) -> Any:
    """The gradient of a convolution with respect to its data is a convolution (arXiv 1603.07285, chapter 4)."""
    import tensorflow as tf

    size, kernel, given = inputs
    rank = kernel.shape.rank - 2
    target = _static_size(size, rank)
    if target is None or None in given.shape[1:] or None in kernel.shape:
        return None
    steps = list(node.attr["strides"].list.i)[1:-1]
    rates = list(node.attr["dilations"].list.i)[1:-1] or [1] * rank
    same = node.attr["padding"].s == b"SAME"
    if node.attr["padding"].s not in (b"SAME", b"VALID"):
        return None
    spread = given
    paddings = [[0, 0]]
    for axis in range(rank):
        spread = _spread(spread, axis + 1, steps[axis])
        reach = (kernel.shape[axis] - 1) * rates[axis]
        length = (given.shape[axis + 1] - 1) * steps[axis] + 1
        # What the convolution, whose gradient this is, pads before its data (TensorFlow's rule for SAME).
        before = max(length + reach - target[axis], 0) // 2 if same else 0
        paddings.append([reach - before, target[axis] - length + before])
    if min(min(pair) for pair in paddings) < 0:
        return None
    mirrored = tf.reverse(tf.transpose(kernel, [*range(rank), rank + 1, rank]), list(range(rank)))
    padded = tf.pad(spread, [*paddings, [0, 0]])
    found = tf.nn.convolution(padded, mirrored, padding="VALID", dilations=rates)
    return tf.ensure_shape(found, [given.shape[0], *target, kernel.shape[rank]])


def _static_size(size: Any, rank: int) -> list[int] | None:
    """Spatial sizes of a shape tensor whose batch may be dynamic."""
    from tensorflow.python.framework import tensor_util

    found = tensor_util.constant_value_as_shape(size).as_list()[1 : rank + 1]
    return None if None in found else found


def _spread(values: Any, axis: int, step: int) -> Any:
    """Zeros between neighbours along an axis."""
    import tensorflow as tf

    if step == 1:
        return values
    shape = values.shape.as_list()
    inner = 1
    for length in shape[axis + 1 :]:
        inner *= length
    apart = tf.pad(tf.reshape(values, [-1, 1, inner]), [[0, 0], [0, step - 1], [0, 0]])
    longer = tf.reshape(apart, [-1, *shape[1:axis], shape[axis] * step, *shape[axis + 1 :]])
    begin, size = [0] * len(shape), [-1] * len(shape)
    size[axis] = (shape[axis] - 1) * step + 1
    return tf.slice(longer, begin, size)


def groups_by_parts(node: NodeDef, inputs: list[Any]) -> Any:
    """Conv3D in groups: one convolution for each."""
    import tensorflow as tf

    volume, kernel = inputs
    channels, per_group = volume.shape[-1], kernel.shape[-2]
    if channels is None or per_group is None or channels == per_group:
        return None
    if node.attr["data_format"].s not in (b"", b"NDHWC"):
        return None
    options = {
        "strides": list(node.attr["strides"].list.i),
        "padding": node.attr["padding"].s.decode(),
        "dilations": list(node.attr["dilations"].list.i) or [1] * 5,
    }
    groups = channels // per_group
    pairs = zip(tf.split(volume, groups, -1), tf.split(kernel, groups, -1), strict=True)
    return tf.concat([tf.raw_ops.Conv3D(input=part, filter=own, **options) for part, own in pairs], -1)
