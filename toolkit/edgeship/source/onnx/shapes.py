"""Operators that move, cut and join; axes are those of ONNX."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

import numpy as np

from edgeship.source.onnx.graph import Call, Result, Rule
from edgeship.source.onnx.values import Known, Tensor, Value, moved_last, numbers, plain, shape_of, tensor_of_sizes

#: Slices go to this end for "all of it".
_FAR = 2**31 - 1


def _is_sizes(value: Value) -> TypeGuard[Known]:
    return isinstance(value, np.ndarray) and value.dtype == object


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
    if _is_sizes(data):
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
    if _is_sizes(value):
        return np.squeeze(value, None if axes is None else tuple(axes))
    return tf.squeeze(plain(value), axes)


def _unsqueeze(call: Call) -> Result:
    import tensorflow as tf

    axes = _axes(call, 1, 13)
    assert axes is not None
    value = call[0]
    rank = (value.ndim if isinstance(value, np.ndarray) else value.rank) + len(axes)
    places = sorted(axis % rank for axis in axes)
    if _is_sizes(value):
        return np.expand_dims(value, tuple(places))
    tensor = plain(value)
    for place in places:
        tensor = tf.expand_dims(tensor, place)
    return tensor


def _concat(call: Call) -> Result:
    import tensorflow as tf

    axis = int(call.node.get("axis", 1))
    values = call.given()
    if any(map(_is_sizes, values)):
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
    if _is_sizes(value):
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


def _slice(call: Call) -> Result:
    old = call.node.opset < 10
    if old:
        starts, ends = (list(call.node.get(name, [])) for name in ("starts", "ends"))
        axes, steps = call.node.get("axes", None), None
    else:
        starts, ends = (list(_bounds(call, index, name)) for index, name in ((1, "starts"), (2, "ends")))
        axes, steps = (call.known(index, name) for index, name in ((3, "axes"), (4, "steps")))
    value = call[0]
    places = list(range(len(starts))) if axes is None else [int(axis) for axis in axes]
    jumps = [1] * len(starts) if steps is None else [int(step) for step in steps]
    rank = value.ndim if isinstance(value, np.ndarray) else value.rank
    cuts = [slice(None)] * rank
    for axis, start, end, step in zip(places, starts, ends, jumps, strict=True):
        place = axis % rank if isinstance(value, np.ndarray) else value.axis(axis)
        cuts[place] = slice(_start(start, step), _end(end, step), step)
    if isinstance(value, np.ndarray):
        return value[tuple(cuts)]
    return Tensor(value.stored[tuple(cuts)], value.last)


def _bounds(call: Call, index: int, what: str) -> Known:
    value = call[index]
    if isinstance(value, np.ndarray):
        return value.reshape(-1)
    raise ValueError(f"its {what} are only known when the model runs")


def _start(start: Any, step: int) -> Any:
    if not isinstance(start, int | np.integer):
        return start
    return None if step < 0 and start >= _FAR else max(-_FAR, min(int(start), _FAR))


def _end(end: Any, step: int) -> Any:
    if not isinstance(end, int | np.integer):
        return end
    if end >= _FAR or (step < 0 and end <= -_FAR):
        return None
    return max(-_FAR, int(end))


def _gather(call: Call) -> Result:
    import tensorflow as tf

    value, indices, axis = call[0], call[1], int(call.node.get("axis", 0))
    if _is_sizes(value):
        if not isinstance(indices, np.ndarray):
            raise ValueError("it takes a size by an index that is only known when the model runs")
        return np.asarray(np.take(value, indices.astype(np.int64), axis), object)
    tensor = plain(value)
    size = tensor.shape[axis]
    index = indices if isinstance(indices, np.ndarray) else plain(indices)
    if isinstance(index, np.ndarray):
        if size is not None:
            index = np.where(index < 0, index + size, index)
        index = tf.constant(index.astype(np.int32))
    elif size is not None:
        index = tf.where(index < 0, index + size, index)
    return tf.gather(tensor, index, axis=axis)


def _gather_elements(call: Call) -> Result:
    import tensorflow as tf

    tensor, index, axis = plain(call[0]), plain(call[1]), int(call.node.get("axis", 0))
    axis %= len(tensor.shape)
    size = tf.cast(tf.shape(tensor)[axis], index.dtype)
    index = tf.where(index < 0, index + size, index)
    places = tf.meshgrid(*(tf.range(n) for n in tf.unstack(tf.shape(index, index.dtype))), indexing="ij")
    places[axis] = index
    return tf.gather_nd(tensor, tf.stack(places, -1))


def _gather_nd(call: Call) -> Result:
    import tensorflow as tf

    return tf.gather_nd(plain(call[0]), plain(call[1]), batch_dims=int(call.node.get("batch_dims", 0)))


def _scatter_nd(call: Call) -> Result:
    import tensorflow as tf

    if call.node.get("reduction", "none") != "none":
        raise ValueError("it combines what meets at one place")
    return tf.tensor_scatter_nd_update(plain(call[0]), plain(call[1]), plain(call[2]))


def _expand(call: Call) -> Result:
    import tensorflow as tf

    data, wanted = plain(call[0]), call[1]
    shape = tensor_of_sizes(wanted) if _is_sizes(wanted) else plain(wanted)
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


def _one_hot(call: Call) -> Result:
    import tensorflow as tf

    depth, ends = numbers(call[1], "depth")[0], plain(call[2])
    indices = tf.cast(plain(call[0]), tf.int64)
    indices = tf.where(indices < 0, indices + depth, indices)
    axis = int(call.node.get("axis", -1)) % (len(indices.shape) + 1)
    return tf.one_hot(indices, depth, ends[1], ends[0], axis=axis)


def _trilu(call: Call) -> Result:
    import tensorflow as tf

    tensor, k = plain(call[0]), call.known(1, "diagonal")
    shift = 0 if k is None else int(k)
    rows, columns = tensor.shape[-2:]
    if rows is None or columns is None:
        raise ValueError("the size of its matrices is unknown")
    mask = (
        np.tri(rows, columns, shift - 1, dtype=bool)
        if call.node.get("upper", 1)
        else ~np.tri(rows, columns, shift, dtype=bool)
    )
    return tf.where(mask, tf.zeros_like(tensor), tensor)


RULES: Mapping[str, Rule] = {
    "Concat": _concat,
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "DepthToSpace": _depth_to_space,
    "Expand": _expand,
    "Flatten": _flatten,
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "GatherND": _gather_nd,
    "OneHot": _one_hot,
    "Pad": _pad,
    "Range": _range,
    "Reshape": _reshape,
    "ScatterND": _scatter_nd,
    "Shape": _shape,
    "Size": _size,
    "Slice": _slice,
    "SpaceToDepth": _space_to_depth,
    "Split": _split,
    "Squeeze": _squeeze,
    "Tile": _tile,
    "Transpose": _transpose,
    "Trilu": _trilu,
    "Unsqueeze": _unsqueeze,
}
