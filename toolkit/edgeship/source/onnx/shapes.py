"""Operators that move, cut and join; axes are those of ONNX."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edgeship.source.onnx.graph import Call, Result, Rule
from edgeship.source.onnx.values import (
    Tensor,
    Value,
    is_sizes,
    moved_last,
    numbers,
    plain,
    shape_of,
    tensor_of_sizes,
)


def _axes(call: Call, index: int, since: int, default: list[int] | None = None) -> list[int] | None:
    """Axes, which moved from an attribute to an input in operator set `since`."""
    if call.node.opset < since:
        found = call.node.get("axes", default)
        return None if found is None else [int(axis) for axis in found]
    value = call.known(index, "axes")
    return default if value is None else numbers(value, "axes")


def _reshape(call: Call) -> Result:
    import tensorflow as tf

    data = call[0]
    wanted: Value = call[1] if call.node.opset >= 5 else np.asarray(call.node.get("shape", []), np.int64)
    if is_sizes(data):
        return data.reshape(numbers(wanted, "shape"))
    if not isinstance(wanted, np.ndarray):
        return tf.reshape(plain(data), wanted.stored)
    target: list[Any] = list(wanted.reshape(-1))
    sizes = shape_of(data)
    if not call.node.get("allowzero", 0):
        target = [
            sizes[axis] if not isinstance(size, tf.Tensor) and size == 0 and axis < len(sizes) else size
            for axis, size in enumerate(target)
        ]
    return tf.reshape(plain(data), _with_one_unknown(data, target))


def _with_one_unknown(data: Value, target: list[Any]) -> Any:
    """Sizes for tf.reshape: where but one is only known later it is -1, so that the others stay known."""
    import tensorflow as tf

    known = [None if isinstance(size, tf.Tensor) else int(size) for size in target]
    given = list(np.shape(data)) if isinstance(data, np.ndarray) else list(data.sizes)
    if -1 in known and known.count(None) == 1 and None in given:
        # The size that is asked for is the batch: what is -1 follows from the other sizes.
        rest = [size for size in given if size is not None]
        others = [size for size in known if size not in (None, -1)]
        if len(rest) == len(given) - 1 and given[0] is None and known[0] is None:
            known[known.index(-1)] = int(np.prod(rest)) // max(1, int(np.prod(others)))
    if known.count(None) == 0:
        return known
    if known.count(None) == 1 and -1 not in known:
        return [-1 if size is None else size for size in known]
    return tensor_of_sizes(np.asarray(target, object))


def _flatten(call: Call) -> Result:
    import tensorflow as tf

    tensor = plain(call[0])
    axis = int(call.node.get("axis", 1))
    axis += len(tensor.shape) if axis < 0 else 0
    sizes = tensor.shape.as_list()
    halves = [-1 if None in half else int(np.prod(half)) for half in (sizes[:axis], sizes[axis:])]
    if halves.count(-1) == 2:
        raise ValueError("more than one size is unknown")
    return tf.reshape(tensor, halves)


def _transpose(call: Call) -> Result:
    import tensorflow as tf

    value = call[0]
    if isinstance(value, np.ndarray):
        return np.transpose(value, call.node.get("perm", None))
    order = [int(axis) for axis in call.node.get("perm", None) or reversed(range(value.rank))]
    stored = [value.axis(axis) for axis in order]
    if stored == list(range(value.rank)):
        return value.stored
    if value.rank > 2 and [stored[axis] for axis in moved_last(value.rank)] == list(range(value.rank)):
        return Tensor(value.stored, last=True)  # already stored as convolutions want it
    return tf.transpose(value.stored, stored)


def _squeeze(call: Call) -> Result:
    import tensorflow as tf

    axes = _axes(call, 1, 13)
    value = call[0]
    if is_sizes(value):
        return np.squeeze(value, None if axes is None else tuple(axes))
    return tf.squeeze(plain(value), axes)


def _unsqueeze(call: Call) -> Result:
    import tensorflow as tf

    axes = _axes(call, 1, 13)
    assert axes is not None
    value = call[0]
    rank = (value.ndim if isinstance(value, np.ndarray) else value.rank) + len(axes)
    places = sorted(axis % rank for axis in axes)
    if is_sizes(value):
        return np.expand_dims(value, tuple(places))
    tensor = plain(value)
    for place in places:
        tensor = tf.expand_dims(tensor, place)
    return tensor


def _concat(call: Call) -> Result:
    import tensorflow as tf

    axis = int(call.node.get("axis", 1))
    values = call.given()
    if any(map(is_sizes, values)):
        if all(isinstance(value, np.ndarray) for value in values):
            return np.concatenate([np.asarray(value, object) for value in values], axis)
        return tf.concat([tf.cast(plain(value), tf.int64) for value in values], axis)
    tensors = [value for value in values if isinstance(value, Tensor)]
    if tensors and all(value.last for value in tensors):
        first = tensors[0]
        stored = [
            v.stored if isinstance(v, Tensor) else tf.constant(np.transpose(v, moved_last(v.ndim))) for v in values
        ]
        return Tensor(tf.concat(stored, first.axis(axis)), last=True)
    return tf.concat([plain(value) for value in values], axis)


def _split(call: Call) -> Result:
    import tensorflow as tf

    value, axis = call[0], int(call.node.get("axis", 0))
    sizes = call.node.get("split", None) if call.node.opset < 13 else call.known(1, "sizes")
    count = len(call.node.outputs)
    if is_sizes(value):
        return list(np.array_split(value, count, axis))
    tensor, place = (value.stored, value.axis(axis)) if isinstance(value, Tensor) else (plain(value), axis)
    if sizes is None:
        total = tensor.shape[place]
        if total is None:
            raise ValueError("the axis that it splits has no known size")
        part = -(-total // count)
        sizes = [part] * (count - 1) + [total - part * (count - 1)]
    parts = tf.split(tensor, [int(size) for size in sizes], place)
    return [Tensor(part, isinstance(value, Tensor) and value.last) for part in parts]


def _expand(call: Call) -> Result:
    import tensorflow as tf

    data, wanted = plain(call[0]), call[1]
    shape = tensor_of_sizes(wanted) if is_sizes(wanted) else plain(wanted)
    both = tf.broadcast_dynamic_shape(tf.shape(data, tf.int64), tf.cast(shape, tf.int64))
    static = tf.get_static_value(both)
    return tf.broadcast_to(data, both if static is None else static)


def _tile(call: Call) -> Result:
    import tensorflow as tf

    return tf.tile(plain(call[0]), numbers(call[1], "repeats"))


def _shape(call: Call) -> Result:
    found = shape_of(call[0])
    return found[call.node.get("start", None) : call.node.get("end", None)]


def _size(call: Call) -> Result:
    import tensorflow as tf

    return tf.size(plain(call[0]), tf.int64)


def _constant(call: Call) -> Result:
    for name in ("value_float", "value_floats"):
        if name in call.node.attributes:
            return np.asarray(call.node.attributes[name], np.float32)
    for name in ("value_int", "value_ints"):
        if name in call.node.attributes:
            return np.asarray(call.node.attributes[name], np.int64)
    if "value" not in call.node.attributes:
        raise ValueError("it holds neither a tensor nor numbers")
    return np.asarray(call.node.attributes["value"])


def _constant_of_shape(call: Call) -> Result:
    import tensorflow as tf

    value = np.asarray(call.node.get("value", np.zeros(1, np.float32))).reshape(())
    wanted = call[0]
    if isinstance(wanted, np.ndarray) and wanted.dtype != object:
        return np.full([int(n) for n in wanted], value)
    return tf.fill(plain(wanted), tf.constant(value))


def _range(call: Call) -> Result:
    import tensorflow as tf

    return tf.range(*(plain(call[index]) for index in range(3)))


def _pad(call: Call) -> Result:
    import tensorflow as tf

    mode = call.node.get("mode", "constant")
    old = call.node.opset < 11
    pads = [int(p) for p in call.node.get("pads", [])] if old else numbers(call[1], "sizes")
    value = call[0]
    rank = value.ndim if isinstance(value, np.ndarray) else value.rank
    axes = list(range(rank)) if old or call.optional(3) is None else numbers(call[3], "axes")
    tensor = value.stored if isinstance(value, Tensor) else plain(value)
    widths = [[0, 0] for _ in range(rank)]
    for number, axis in enumerate(axes):
        place = value.axis(axis) if isinstance(value, Tensor) else axis % rank
        widths[place] = [pads[number], pads[number + len(axes)]]
    cuts = tuple(slice(max(0, -a), -b if b < 0 else None) for a, b in widths)  # negative: cut off
    if any(min(pair) < 0 for pair in widths):
        tensor, widths = tensor[cuts], [[max(0, a), max(0, b)] for a, b in widths]
    if mode not in ("constant", "reflect", "edge"):
        raise ValueError(f"the mode {mode} is not known")
    fill = call.node.get("value", 0.0) if old else call.known(2, "value")
    last = isinstance(value, Tensor) and value.last
    if mode == "edge":
        return Tensor(_edge(tensor, widths), last)
    constant = np.asarray(0 if fill is None else fill).reshape(()).astype(tensor.dtype.as_numpy_dtype)
    return Tensor(tf.pad(tensor, widths, mode, constant) if mode == "constant" else tf.pad(tensor, widths, mode), last)


def _edge(tensor: Any, widths: Sequence[Sequence[int]]) -> Any:
    import tensorflow as tf

    for axis, (before, after) in enumerate(widths):
        size = tensor.shape[axis]
        if before or after:
            if size is None:
                raise ValueError("it repeats the edge of an axis of unknown size")
            index = np.clip(np.arange(-before, size + after), 0, size - 1)
            tensor = tf.gather(tensor, index.astype(np.int32), axis=axis)
    return tensor


def _depth_to_space(call: Call) -> Result:
    import tensorflow as tf

    block = int(call.node.get("blocksize", 1))
    tensor = plain(call[0])
    batch, channels, height, width = (-1 if size is None else size for size in tensor.shape.as_list())
    depth = channels // block**2
    if call.node.get("mode", "DCR") == "CRD":
        parts = tf.reshape(tensor, [batch, depth, block, block, height, width])
        moved = tf.transpose(parts, [0, 1, 4, 2, 5, 3])
    else:
        parts = tf.reshape(tensor, [batch, block, block, depth, height, width])
        moved = tf.transpose(parts, [0, 3, 4, 1, 5, 2])
    return tf.reshape(moved, [batch, depth, height * block, width * block])


def _space_to_depth(call: Call) -> Result:
    import tensorflow as tf

    block = int(call.node.get("blocksize", 1))
    tensor = plain(call[0])
    batch, channels, height, width = (-1 if size is None else size for size in tensor.shape.as_list())
    parts = tf.reshape(tensor, [batch, channels, height // block, block, width // block, block])
    depth_first = call.node.get("mode", "DCR") == "CRD"
    moved = tf.transpose(parts, [0, 1, 3, 5, 2, 4] if depth_first else [0, 3, 5, 1, 2, 4])
    return tf.reshape(moved, [batch, channels * block**2, height // block, width // block])


RULES: Mapping[str, Rule] = {
    "Concat": _concat,
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "DepthToSpace": _depth_to_space,
    "Expand": _expand,
    "Flatten": _flatten,
    "Pad": _pad,
    "Range": _range,
    "Reshape": _reshape,
    "Shape": _shape,
    "Size": _size,
    "SpaceToDepth": _space_to_depth,
    "Split": _split,
    "Squeeze": _squeeze,
    "Tile": _tile,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
