"""Operators that take and put single places; axes are those of ONNX."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from edgeship.source.onnx.graph import Call, Result, Rule
from edgeship.source.onnx.values import Known, Tensor, is_sizes, numbers, plain

#: Slices go to this end for "all of it".
_FAR = 2**31 - 1


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
    if is_sizes(value):
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
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "GatherND": _gather_nd,
    "OneHot": _one_hot,
    "ScatterND": _scatter_nd,
    "Slice": _slice,
    "Trilu": _trilu,
}
