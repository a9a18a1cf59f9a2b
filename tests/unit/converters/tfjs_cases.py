"""Every op that the TF.js writer may write, with awkward attributes: odd sizes, paddings, strides, broadcasts, dtypes.

`GRAPHS` holds functions of named inputs. The name of an output is the op that it is about, or `Op.what`; a test asks
that this op stands in the written graph on the way to this output.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from tfjs_graphs import numbers
from tfjs_network_cases import convolutions, fused, images, products, volumes

from edgeship.types import Array

raw = tf.raw_ops


def op_of(output: str) -> str:
    """The op that an output is about; names of nodes do not begin with an underscore, as some ops do."""
    op = output.partition(".")[0]
    return f"_{op}" if op in ("FusedConv2D", "FusedMatMul") else op


class Case(NamedTuple):
    """A function of its inputs, by name; axes that are None stay dynamic."""

    function: Callable[..., dict[str, Any]]
    feeds: Mapping[str, Array]
    shapes: Mapping[str, tuple[int | None, ...]]

    def specs(self) -> dict[str, tf.TensorSpec]:
        """What the inputs are declared as."""
        return {name: tf.TensorSpec(shape, self.feeds[name].dtype) for name, shape in self.shapes.items()}


def _case(function: Callable[..., dict[str, Any]], **feeds: Array) -> Case:
    return Case(function, feeds, {name: (None, *array.shape[1:]) for name, array in feeds.items()})


def _words(text: str) -> list[str]:
    return text.split()


UNARY = _words(
    "Abs Asin Asinh Acos Atan Atanh Ceil Cos Cosh Elu Erf Exp Expm1 Floor LeakyRelu Neg Reciprocal Relu Relu6 Round"
    " Selu Sigmoid Sign Sin Sinh Softplus Square Tan Tanh Softmax LogSoftmax OnesLike ZerosLike"
)
POSITIVE = _words("Acosh Log Log1p Rsqrt Sqrt")
BINARY = _words("AddV2 Sub RealDiv Mul Maximum Minimum Pow SquaredDifference FloorMod DivNoNan Atan2")
COMPARE = _words("Equal NotEqual Greater GreaterEqual Less LessEqual")
REDUCE = _words("Max Mean Min Sum Prod EuclideanNorm")
#: Arithmetic that TF.js does with integers as TensorFlow does.
INTEGER = _words("AddV2 Sub Mul Maximum Minimum SquaredDifference FloorDiv FloorMod")


def _first(op: str) -> str:
    return {
        **dict.fromkeys(("Elu", "LeakyRelu", "Relu", "Relu6", "Selu", "Softplus"), "features"),
        **dict.fromkeys(("Softmax", "LogSoftmax"), "logits"),
    }.get(op, "x")


def _binary(op: str, a: Any, b: Any) -> Any:
    names = ("y", "x") if op == "Atan2" else ("x", "y")
    return getattr(raw, op)(**dict(zip(names, (a, b), strict=True)))


def elementwise(x: Any) -> dict[str, Any]:
    """`x` has values within -1 and 1 in shape (N, 4, 7)."""
    one, row = tf.abs(x) + 1.25, tf.constant(numbers(4, 1, seed=3, low=1.1, high=2.0))
    found = {op: getattr(raw, op)(**{_first(op): x}) for op in UNARY}
    found["Sign.zero"] = raw.Sign(x=tf.nn.relu(x))
    found["LeakyRelu.slope"] = raw.LeakyRelu(features=x, alpha=0.37)
    found["Round.half"] = raw.Round(x=tf.floor(x * 8) / 2)
    found["Softplus.large"] = raw.Softplus(features=x * 80)
    found["Sigmoid.large"] = raw.Sigmoid(x=x * 200)
    found["Tanh.large"] = raw.Tanh(x=x * 100)
    found["Softmax.large"] = raw.Softmax(logits=x * 300)
    found["LogSoftmax.rank2"] = raw.LogSoftmax(logits=tf.reshape(x * 30, [-1, 28]))
    found |= {op: getattr(raw, op)(x=one) for op in POSITIVE}
    found |= {op: _binary(op, one, x[:, ::-1] * 0.9 + 1.5) for op in BINARY}
    found |= {f"{op}.row": _binary(op, one, row) for op in BINARY}
    found |= {f"{op}.first": _binary(op, row, one) for op in BINARY}
    found |= {f"{op}.negative": _binary(op, x * 5, row) for op in ("FloorMod", "RealDiv", "Atan2")}
    found |= {f"Floor.of_{name}": _binary("FloorDiv", 5 * a, b) for name, a, b in (("row", x, row), ("both", one, x))}
    found["DivNoNan.zero"] = raw.DivNoNan(x=x, y=tf.nn.relu(x))
    found |= {
        f"Is{what}": tf.cast(getattr(raw, f"Is{what}")(x=x / tf.nn.relu(x)), tf.float32) for what in _words("Nan Inf")
    }
    found["IsFinite"] = tf.cast(raw.IsFinite(x=x / tf.nn.relu(x)), tf.float32)
    found["AddN"] = raw.AddN(inputs=[x, one, tf.nn.tanh(x)])
    found["ClipByValue"] = raw.ClipByValue(t=x, clip_value_min=-0.5, clip_value_max=0.25)
    found["Prelu"] = tf.nn.relu(x) + numbers(7, seed=8) * tf.nn.relu(-x)
    found["BiasAdd"] = tf.nn.bias_add(x, numbers(7, seed=1))
    found["FusedBatchNormV3"] = _normalized(tf.reshape(x, [-1, 2, 2, 7]))
    return found


def _normalized(image: Any) -> Any:
    """Of what no convolution takes, and by numbers that are no constants."""
    spread = tf.reduce_mean(tf.abs(image), [0, 1, 2]) + 0.5
    moved = tf.reduce_mean(image, [0, 1, 2])
    return raw.FusedBatchNormV3(
        x=image, scale=spread, offset=moved, mean=moved * 2, variance=spread, epsilon=0.01, is_training=False
    ).y


def logical(x: Any) -> dict[str, Any]:
    """`x` has shape (N, 4, 7)."""
    other = tf.constant(numbers(4, 1, seed=2))
    truth = {op: getattr(raw, op)(x=x, y=other) for op in COMPARE}
    found = {op: tf.cast(value, tf.float32) for op, value in truth.items()}
    whole = tf.cast(x * 3, tf.int32)
    less, greater = truth["Less"], tf.constant(numbers(7, seed=5)) > 0
    found["LogicalAnd.bool"] = tf.cast(tf.logical_and(less, greater), tf.float32)
    found["LogicalOr.bool"] = tf.cast(tf.logical_or(less, greater), tf.float32)
    found["LogicalNot.bool"] = tf.cast(tf.logical_not(less), tf.float32)
    found["SelectV2"] = tf.where(less, x, tf.constant(numbers(7, seed=6)))
    found["SelectV2.scalar"] = tf.where(tf.reduce_sum(x) > 0, x, x + 1)
    found["SelectV2.row"] = tf.where(greater, x, -2.0)
    found["SelectV2.int"] = tf.where(less, whole, whole + 4)
    found["All.bool"] = tf.cast(tf.reduce_all(less, 2), tf.float32)
    found["Any.bool"] = tf.cast(tf.reduce_any(less, [-1], keepdims=True), tf.float32)
    found["NotEqual.any"] = tf.cast(tf.reduce_any(less, [1], keepdims=True), tf.float32)
    found["NotEqual.all"] = tf.cast(tf.reduce_all(less, 1), tf.float32)
    found["Cast"] = tf.cast(whole, tf.float32)
    found["Cast.down"] = tf.cast(x * 5, tf.int32)
    found["Cast.bool"] = tf.cast(tf.cast(x * tf.cast(less, tf.float32), tf.bool), tf.int32)
    return found


def integers(ids: Any) -> dict[str, Any]:
    """`ids` are int32 within -9 and 9 in shape (N, 4, 7)."""
    other = tf.constant(np.random.default_rng(1).integers(1, 6, (4, 1)), tf.int32)
    far = ids * 7 + tf.range(7)
    found = {op: _binary(op, ids, other) for op in INTEGER}
    exact = [op for op in INTEGER if op not in ("FloorMod", "SquaredDifference")]
    found |= {f"{op}.large": _binary(op, ids * 5_000_001, other) for op in exact}
    found |= {op: getattr(raw, op)(**{_first(op): ids}) for op in ("Abs", "Neg", "Sign", "Square", "Relu")}
    found |= {op: getattr(raw, op)(input=ids, axis=[2], keep_dims=False) for op in ("Max", "Min", "Sum", "Prod")}
    found |= {op: getattr(raw, op)(x=ids, y=ids[:, ::-1]) for op in COMPARE}
    found |= {f"{op}.row": getattr(raw, op)(x=ids * 5_000_001, y=other * 5_000_000) for op in COMPARE}
    found["AddN"] = raw.AddN(inputs=[ids, far, ids])
    found["Cumsum"] = tf.cumsum(ids, 2)
    found["Minimum.clip"] = raw.ClipByValue(t=ids, clip_value_min=-3, clip_value_max=5)
    found["OneHot"] = tf.one_hot(ids, 5)
    found["OneHot.whole"] = tf.one_hot(tf.abs(ids[:, 1]), 10, dtype=tf.int32)
    found["ArgMax"], found["ArgMin"] = tf.argmax(far, 2, tf.int32), tf.argmin(far, 2, tf.int32)
    found["TopKV2"] = tf.math.top_k(far, 3).values
    found["NotEqual.cast"] = tf.cast(ids, tf.bool)
    found["Cast.back"] = tf.cast(tf.cast(ids, tf.float32) * 0.5, tf.int32)
    found["ZerosLike"], found["OnesLike"] = tf.zeros_like(ids) + other, tf.ones_like(ids) + other
    return _labelled(found, "int")


def faults(ids: Any) -> dict[str, Any]:
    """What some backends do wrongly, by the table; `ids` are int32 in shape (N, 4, 7)."""
    other, far = tf.constant(np.random.default_rng(1).integers(1, 6, (4, 1)), tf.int32), ids * 7 + tf.range(7)
    found = {op: getattr(raw, op)(input=ids, axis=[1], keep_dims=False) for op in ("Max", "Min", "Sum", "Prod")}
    found["FloorMod"] = raw.FloorMod(x=ids * 5_000_001, y=other)
    found["ArgMax"], found["ArgMin"] = tf.argmax(far, 1, tf.int32), tf.argmin(far, 1, tf.int32)
    found["Cumsum"] = tf.cumsum(ids, 1)
    found["Transpose"] = tf.transpose(ids, (0, 2, 1))
    return _labelled(found, "int")


def reductions(x: Any) -> dict[str, Any]:
    """`x` has shape (N, 4, 7)."""
    found = {op: getattr(raw, op)(input=x, axis=[1], keep_dims=False) for op in REDUCE}
    found |= {f"{op}.two": getattr(raw, op)(input=x, axis=[2, 1], keep_dims=True) for op in REDUCE}
    found |= {f"{op}.batch": getattr(raw, op)(input=x, axis=[0], keep_dims=True) for op in ("Max", "Mean", "Sum")}
    found["Cumsum"] = tf.cumsum(x, 1, exclusive=True, reverse=True)
    found["Cumsum.last"] = tf.cumsum(x, -1)
    found["Cumprod"] = tf.math.cumprod(x, 1)
    found["Cumprod.reverse"] = tf.math.cumprod(x, 2, exclusive=True, reverse=True)
    found["ArgMax"] = tf.argmax(x, 2, tf.int32)
    found["ArgMin"] = tf.argmin(x, 1, tf.int32)
    top = tf.math.top_k(x, 3)
    found["TopKV2"], found["TopKV2.indices"] = top.values, top.indices
    found["TopKV2.whole"] = tf.math.top_k(tf.reshape(x, [-1, 28]), 28).values
    return found


def layout(x: Any) -> dict[str, Any]:
    """`x` has shape (N, 4, 7) and any dtype: what only moves values."""
    parts, several = tf.split(x, 2, axis=1), tf.split(x, [1, 4, 2], axis=2)
    image = tf.reshape(x, (-1, 2, 2, 7))
    indices = tf.cast(tf.abs(tf.cast(x[:, 0, :2], tf.float32)) * 2.99, tf.int32) % 3
    table = tf.cast(tf.constant(numbers(3, 5, seed=4, low=-3, high=3)), x.dtype)
    moved = {"Transpose": tf.transpose(x, (0, 2, 1)), "Transpose.batch": tf.transpose(image, (3, 1, 0, 2))}
    return {
        **(
            {"NotEqual.transpose": moved["Transpose"]} if x.dtype == tf.bool else moved if x.dtype == tf.float32 else {}
        ),
        "ConcatV2": tf.concat([x, parts[0], parts[1]], 1),
        "ConcatV2.last": tf.concat([several[2], x, several[0]], -1),
        "Split": parts[1],
        "SplitV": several[1],
        "Pack": tf.stack([x, x[:, ::-1], x], 2),
        "Pack.last": tf.stack([x, tf.reverse(x, [2])], -1),
        "Unpack": tf.unstack(x, axis=1)[2],
        "Slice": tf.slice(x, [0, 1, 2], [-1, 2, 3]),
        "StridedSlice": x[:, ::-1, 1:-1:2],
        "StridedSlice.axes": x[:, -1, tf.newaxis, 2:],
        "StridedSlice.ellipsis": x[..., 3:0:-2],
        "Tile": tf.tile(x, [1, 2, 3]),
        "ReverseV2": tf.reverse(x, [1]),
        "ReverseV2.two": tf.reverse(x, [2, -2]),
        "GatherV2": tf.gather(x, [3, 0, 0], axis=2),
        "GatherV2.table": tf.gather(table, indices),
        "GatherNd": tf.gather_nd(table, indices),
        "GatherNd.rows": tf.gather_nd(table, indices[:, :, tf.newaxis]),
        "BroadcastTo": tf.broadcast_to(x[:, :1], tf.stack([tf.shape(x)[0], 4, 7])),
        "LogicalOr.select" if x.dtype == tf.bool else "SelectV2": tf.where(
            tf.constant(numbers(4, 1, seed=2)) > 0, x, tf.reverse(x, [1])
        ),
    }


def padded(x: Any) -> dict[str, Any]:
    """`x` has shape (N, 4, 7) and any dtype that is a number."""
    image = tf.reshape(x, (-1, 2, 2, 7))
    return {
        "Pad": tf.pad(x, [[0, 0], [1, 2], [0, 1]]),
        "Pad.image": tf.pad(image, [[0, 0], [1, 0], [3, 1], [0, 2]]),
        "PadV2": tf.pad(x, [[0, 0], [1, 2], [0, 1]], constant_values=3),
        "MirrorPad": tf.pad(x, [[0, 0], [1, 2], [0, 1]], "REFLECT"),
        "MirrorPad.symmetric": tf.pad(x, [[0, 0], [4, 2], [3, 7]], "SYMMETRIC"),
        "MirrorPad.image": tf.pad(image, [[0, 0], [1, 0], [0, 1], [3, 2]], "REFLECT"),
        "SpaceToBatchND": tf.space_to_batch(image, [2, 3], [[0, 0], [1, 0]]),
        "Fill": x[:, :, :1] + tf.cast(tf.fill(tf.stack([tf.shape(x)[0], 4, 7]), 2.5), x.dtype),
        "Range": tf.cast(tf.range(tf.shape(x)[0] + 4)[-4:, tf.newaxis], x.dtype) + x,
        "Shape": tf.cast(tf.shape(x), x.dtype) + x[0, 0, 0],
    }


def _labelled(found: Mapping[str, Any], what: str) -> dict[str, Any]:
    return {f"{name}{'_' if '.' in name else '.'}{what}": value for name, value in found.items()}


def dynamic(x: Any) -> dict[str, Any]:
    """`x` has shape (N, T, 6) and any dtype: shapes that no constant can say."""
    steps = tf.shape(x)[1]
    return {
        "ExpandDims": tf.tile(tf.expand_dims(x, 2), [1, 1, 2, 1]),
        "Squeeze": tf.squeeze(tf.reverse(tf.expand_dims(x, 1), [3]), 1),
        "Reshape": tf.reverse(tf.reshape(x, tf.stack([tf.shape(x)[0], steps * 2, 3])), [2]),
        "Size": tf.reshape(tf.size(x), [1]),
        "Shape": tf.reverse(tf.shape(x), [0]),
        "StridedSlice.steps": tf.reverse(x[:, -1], [1]),
        "Tile.steps": tf.tile(x[:, :1], tf.stack([1, steps, 1])),
        "GatherV2.steps": tf.gather(x, tf.reverse(tf.range(steps), [0])[:2], axis=1),
    }


def fillings(flags: Any) -> dict[str, Any]:
    """`flags` has shape (N, 4, 7) and holds booleans."""
    full = tf.fill(tf.stack([tf.shape(flags)[0], 4, 7]), True)
    raw = tf.raw_ops
    return {
        "Fill.bool": full,
        "Fill.masked_bool": tf.logical_and(flags, full),
        "OnesLike.bool": raw.OnesLike(x=flags),
        "OnesLike.masked_bool": tf.logical_and(flags, raw.OnesLike(x=flags)),
        "ZerosLike.bool": raw.ZerosLike(x=flags),
        "ZerosLike.masked_bool": tf.logical_or(flags, raw.ZerosLike(x=flags)),
    }


def copies(x: Any, flags: Any, ids: Any) -> dict[str, Any]:
    """Inputs of each dtype, as they are."""
    same = {"Identity": x, "Identity.bool": flags, "Identity.int": ids}
    used = {"Placeholder": x + 1.0, "Placeholder.bool": tf.logical_not(flags), "Placeholder.int": ids + 1}
    return {**same, **used}


def _of(function: Callable[[Any], dict[str, Any]], what: str, x: Array) -> Case:
    return _case(lambda x: _labelled(function(x), what), x=x)


def _from(function: Callable[[Any], dict[str, Any]], what: str, x: Array) -> Case:
    """Of floats that were other numbers just before: WebGPU goes on with their memory."""
    return _case(lambda x: _labelled(function(tf.cast(x, tf.float32)), f"from_{what}"), x=x)


def _steps(what: str, x: Array) -> Case:
    def function(x: Any) -> dict[str, Any]:
        return _labelled(dynamic(x), what) if what else dynamic(x)

    return Case(function, {"x": x}, {"x": (None, None, 6)})


_X = numbers(3, 4, 7, low=-0.99, high=0.99)
_IDS = np.random.default_rng(0).integers(-9, 10, (3, 4, 7)).astype(np.int32)
_BYTES: Mapping[Any, Array] = {
    function: np.random.default_rng(2).integers(-9, 10, shape).astype(np.int32)
    for function, shape in ((convolutions, (2, 9, 7, 5)), (images, (2, 9, 7, 5)), (volumes, (2, 4, 5, 3, 2)))
}
GRAPHS: Mapping[str, Case] = {
    "elementwise": _case(elementwise, x=_X),
    "logical": _case(logical, x=_X),
    "integers": _case(integers, ids=_IDS),
    "faults": _case(faults, ids=_IDS),
    "reductions": _case(reductions, x=_X),
    "layout": _case(layout, x=_X),
    "layout_int": _of(layout, "int", _IDS),
    "layout_bool": _of(layout, "bool", _IDS > 0),
    "padded": _case(padded, x=_X),
    **{
        f"{function.__name__}_from_{what}": _from(function, what, x)
        for function in (layout, padded, reductions)
        for what, x in (("int", _IDS), ("bool", _IDS > 0))
    },
    **{
        f"{function.__name__}_from_int": _from(function, "int", _BYTES[function])
        for function in (convolutions, images, volumes)
    },
    "padded_int": _of(padded, "int", _IDS),
    "dynamic": _steps("", numbers(3, 4, 6)),
    "dynamic_int": _steps("int", _IDS[:, :, 1:]),
    "dynamic_bool": _steps("bool", _IDS[:, :, 1:] > 0),
    "convolutions": _case(convolutions, image=numbers(2, 9, 7, 5)),
    "fused": _case(fused, image=numbers(3, 9, 9, 4), row=numbers(3, 5)),
    "products": _case(products, x=_X, y=numbers(3, 7, 3, seed=1)),
    "images": _case(images, image=numbers(2, 9, 7, 5)),
    "volumes": _case(volumes, volume=numbers(2, 4, 5, 3, 2)),
    "fillings": _case(fillings, flags=_IDS > 0),
    "copies": _case(copies, x=_X, flags=numbers(3, 2) > 0, ids=np.arange(6, dtype=np.int32).reshape(3, 2)),
}
