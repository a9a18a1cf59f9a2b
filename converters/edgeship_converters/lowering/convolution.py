"""Convolutions that formats lack - transposed ones of volumes, dilated ones, groups - by those they have."""

from __future__ import annotations

from collections.abc import Sequence
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


def dilated_in_one(node: NodeDef, inputs: list[Any]) -> Any:  # noqa: ARG001 - a Rule
    """BatchToSpaceND, a Conv3D and SpaceToBatchND before it, which is how TensorFlow dilates a kernel over volumes.

    In one convolution, which TFLite has, and TensorFlow itself does not compute on a CPU.
    """
    import tensorflow as tf

    convolution = inputs[0].op
    if convolution.type != "Conv3D" or convolution.inputs[0].op.type != "SpaceToBatchND":
        return None
    wanted = {"padding": b"VALID", "strides": [1] * 5, "data_format": b"NDHWC"}
    if any(convolution.get_attr(name) != value for name, value in wanted.items()):
        return None
    volume, *given = convolution.inputs[0].op.inputs
    rates, own, paddings, crops = (tf.get_static_value(tensor) for tensor in (inputs[1], *given, inputs[2]))
    if any(value is None for value in (rates, own, paddings, crops)) or [*rates] != [*own] or len(rates) != 3:
        return None
    # Without strides, an end that is cut from the result is one less to pad.
    ends = (paddings - crops).tolist()
    if min(min(pair) for pair in ends) < 0:
        return None
    kernel = convolution.inputs[1]
    # An axis with one weight has no gaps. TFLite in TensorFlow 2.21 computes with what it finds in memory there.
    rates = [rate if length != 1 else 1 for rate, length in zip(rates.tolist(), kernel.shape, strict=False)]
    if rates[1] != rates[2]:  # of which TensorFlow 2.21 takes one for the other when it infers the shape of the result
        kernel, rates = _spread_kernel(tf.get_static_value(kernel), rates), [1] * 3
    if kernel is None:
        return None
    padded = tf.pad(volume, [[0, 0], *ends, [0, 0]])
    options = {"strides": [1] * 5, "padding": "VALID", "dilations": [1, *rates, 1]}
    return tf.raw_ops.Conv3D(input=padded, filter=kernel, **options)


def _spread_kernel(kernel: Any, rates: Sequence[int]) -> Any:
    """Zeros between the weights of a kernel, a NumPy array or None."""
    import numpy as np

    if kernel is None:
        return None
    spatial = [(length - 1) * rate + 1 for length, rate in zip(kernel.shape, rates, strict=False)]
    found = np.zeros((*spatial, *kernel.shape[len(rates) :]), kernel.dtype)
    found[tuple(slice(None, None, rate) for rate in rates)] = kernel
    return found


def groups_by_parts(node: NodeDef, inputs: list[Any]) -> Any:
    """Conv3D in groups: one convolution for each."""
    volume, kernel = inputs
    return None if _groups(node, volume, kernel) == 1 else _by_parts(node, volume, kernel)


def within_volumes(node: NodeDef, inputs: list[Any]) -> Any:
    """Conv3D for TF.js: one for each group; padded before it where TF.js pads less than nothing (see `is_short`)."""
    import tensorflow as tf

    volume, kernel = inputs
    dilated = set(node.attr["dilations"].list.i) > {1}  # for a GPU alone, and refused for TF.js
    if dilated or not is_short(node, volume, kernel.shape[:3]):
        return groups_by_parts(node, inputs)
    paddings = [[0, 0]]
    for length, window, step in zip(volume.shape[1:4], kernel.shape[:3], node.attr["strides"].list.i[1:4], strict=True):
        total = max(uncovered(length, window, step), 0)
        paddings.append([total // 2, total - total // 2])
    return _by_parts(node, tf.pad(volume, [*paddings, [0, 0]]), kernel, "VALID")


def is_short(node: NodeDef, volume: Any, window: Sequence[int]) -> bool:
    """Whether windows with SAME leave out the end of a volume, its steps being longer than they are.

    TF.js 4.22 takes the difference for a padding: it reads from before the volume.
    """
    if node.attr["padding"].s != b"SAME" or node.attr["data_format"].s not in (b"", b"NDHWC"):
        return False
    if volume.shape.rank is None or None in (*volume.shape[1:4], *window):
        return False
    steps = node.attr["strides"].list.i[1:4]
    return any(uncovered(*one) < 0 for one in zip(volume.shape[1:4], window, steps, strict=True))


def uncovered(length: int, window: int, step: int) -> int:
    """How far the windows that SAME asks for, one for each step that is begun, reach beyond the data."""
    return (-(-length // step) - 1) * step + window - length


def _groups(node: NodeDef, volume: Any, kernel: Any) -> int:
    """1 also where it is not known."""
    channels, per_group = volume.shape[-1], kernel.shape[-2]
    if channels is None or per_group is None or node.attr["data_format"].s not in (b"", b"NDHWC"):
        return 1
    return int(channels // per_group)


def _by_parts(node: NodeDef, volume: Any, kernel: Any, padding: str = "") -> Any:
    import tensorflow as tf

    options = {
        "strides": list(node.attr["strides"].list.i),
        "padding": padding or node.attr["padding"].s.decode(),
        "dilations": list(node.attr["dilations"].list.i) or [1] * 5,
    }
    groups = _groups(node, volume, kernel)
    if groups == 1:
        return tf.raw_ops.Conv3D(input=volume, filter=kernel, **options)
    pairs = zip(tf.split(volume, groups, -1), tf.split(kernel, groups, -1), strict=True)
    return tf.concat([tf.raw_ops.Conv3D(input=part, filter=own, **options) for part, own in pairs], -1)
