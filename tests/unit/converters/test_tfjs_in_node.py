"""What the writer writes, run by the real TF.js on both backends: every op it may write, every form it fuses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tfjs_graphs import frozen, numbers, ops

from edgeship.types import Array, Artifact
from edgeship_benchmarks.runtimes.tfjs import TFJSCpuRuntime, TFJSWasmRuntime
from edgeship_converters.graph import FrozenGraph
from edgeship_converters.tfjs.ops import SUPPORTED
from edgeship_converters.tfjs.optimize import optimize
from edgeship_converters.tfjs.read import read
from edgeship_converters.tfjs.write import write

raw = tf.raw_ops


@pytest.fixture(params=[TFJSWasmRuntime, TFJSCpuRuntime], ids=lambda r: r.name)
def runtime(request: pytest.FixtureRequest) -> TFJSWasmRuntime:
    found: TFJSWasmRuntime = request.param()
    if found.missing():
        pytest.skip(f"needs {', '.join(found.missing())}: {found.remedy}")
    return found


def exported(graph: FrozenGraph, folder: Path) -> Artifact:
    from edgeship.artifact import hash_files

    made_by = {"tensorflow": tf.__version__, "edgeship": "0"}
    files = write(optimize(read(graph)), "float32", folder, made_by)
    return Artifact(folder, "tfjs", "float32", hash_files(folder, files), graph.inputs, graph.outputs, "0" * 64)


def check(runtime: TFJSWasmRuntime, graph: FrozenGraph, feeds: Mapping[str, Array], folder: Path) -> None:
    """Every output is what TensorFlow computes."""
    found = runtime.run(exported(graph, folder), feeds)
    expected = graph.function()(*(tf.constant(feeds[spec.name]) for spec in graph.inputs))
    wrong = {}
    for spec, wanted in zip(graph.outputs, expected, strict=True):
        value = found[spec.name]
        if value.shape != tuple(wanted.shape) or not np.allclose(value, wanted.numpy(), rtol=2e-5, atol=2e-5):
            wrong[spec.name] = (value, wanted.numpy())
    assert wrong == {}


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


def test_every_fused_form(runtime: TFJSWasmRuntime, tmp_path: Path) -> None:
    def function(image: Any, row: Any) -> dict[str, Any]:
        depthwise = tf.nn.depthwise_conv2d(image, 9 * numbers(3, 3, 4, 2, seed=2), [1, 1, 1, 1], "SAME")
        linear = {
            "conv": lambda: tf.nn.conv2d(image, 9 * numbers(3, 3, 4, 6, seed=1), 2, "SAME") + numbers(6, seed=3),
            "depthwise": lambda: tf.identity(depthwise) * numbers(8, seed=4),
            "dense": lambda: tf.matmul(row, 9 * numbers(5, 6, seed=5)) + numbers(6, seed=6),
            "flat": lambda: tf.matmul(tf.reshape(image, (-1, 324)), numbers(324, 6, seed=7)) + numbers(6, seed=3),
        }
        return {f"{op}_{name}": act(make()) for op, make in linear.items() for name, act in ACTIVATIONS.items()}

    specs = {"image": tf.TensorSpec((None, 9, 9, 4), tf.float32), "row": tf.TensorSpec((None, 5), tf.float32)}
    check(runtime, frozen(function, **specs), {"image": numbers(3, 9, 9, 4), "row": numbers(3, 5)}, tmp_path)


def test_convolutions_of_every_form(runtime: TFJSWasmRuntime, tmp_path: Path) -> None:
    def function(x: Any) -> dict[str, Any]:
        kernel, pad = numbers(3, 3, 4, 6, seed=1), [[0, 0], [0, 1], [2, 1], [0, 0]]
        up = tf.nn.conv2d_transpose(x, numbers(3, 3, 5, 4, seed=2), tf.stack([tf.shape(x)[0], 18, 18, 5]), 2)
        return {
            "padded": tf.nn.relu(tf.nn.conv2d(tf.pad(x, pad), kernel, 2, "VALID")),
            "padded_depthwise": tf.nn.depthwise_conv2d(tf.pad(x, pad), kernel[..., :2], [1, 2, 2, 1], "VALID"),
            "dilated": tf.nn.relu(tf.nn.convolution(x, kernel, 1, "SAME", dilations=2)),
            "dilated_valid": tf.nn.convolution(x, kernel, 1, "VALID", dilations=3),
            "normalized": tf.nn.relu(tf.nn.tanh(x) * numbers(4, seed=3) + numbers(4, seed=4)),
            "scaled": tf.nn.conv2d(x / 127.5 - 1.0, kernel, 1, "SAME"),
            "transposed": tf.nn.relu(up * numbers(5, seed=5) + numbers(5, seed=6)),
            "mean": tf.reduce_mean(x, [1, 2]),
            "max": tf.reduce_max(x, [1, 2], keepdims=True),
            "sequence": tf.nn.relu(tf.matmul(tf.reshape(x, (-1, 81, 4)), numbers(4, 3, seed=7)) + numbers(3, seed=8)),
        }

    graph = frozen(function, x=tf.TensorSpec((None, 9, 9, 4), tf.float32))
    check(runtime, graph, {"x": numbers(3, 9, 9, 4)}, tmp_path)


def test_products_of_several_axes(runtime: TFJSWasmRuntime, tmp_path: Path) -> None:
    def function(x: Any) -> dict[str, Any]:
        heads = tf.einsum("abc,cde->abde", x, numbers(6, 2, 3, seed=1))
        scores = tf.einsum("aecd,abcd->acbe", heads, tf.nn.tanh(heads))
        return {"scores": tf.nn.softmax(scores), "values": tf.einsum("acbe,aecd->abcd", scores, heads)}

    graph = frozen(function, x=tf.TensorSpec((None, 5, 6), tf.float32))
    check(runtime, graph, {"x": numbers(3, 5, 6)}, tmp_path)


def words(text: str) -> list[str]:
    return text.split()


UNARY = words(
    "Abs Asin Asinh Acos Atan Atanh Ceil Cos Cosh Elu Erf Exp Expm1 Floor LeakyRelu Neg Reciprocal Relu Relu6 Round"
    " Selu Sigmoid Sign Sin Sinh Softplus Square Tan Tanh Softmax LogSoftmax OnesLike ZerosLike Identity"
)
POSITIVE = words("Acosh Log Log1p Rsqrt Sqrt")
BINARY = words("AddV2 Sub RealDiv Mul Maximum Minimum Pow SquaredDifference FloorDiv FloorMod DivNoNan Atan2")
COMPARE = words("Equal NotEqual Greater GreaterEqual Less LessEqual")
REDUCE = words("Max Mean Min Sum Prod EuclideanNorm")


def elementwise(x: Any) -> dict[str, Any]:
    """`x` has values within -1 and 1 in shape (N, 4, 6)."""
    one, two = tf.abs(x) + 1.25, x[:, ::-1] * 0.9 + 1.5
    found = {op: getattr(raw, op)(**{_first(op): x}) for op in UNARY}
    found |= {op: getattr(raw, op)(x=one) for op in POSITIVE}
    found |= {op: _binary(op)(one, two) for op in BINARY}
    found |= {
        f"Is{what}": tf.cast(getattr(raw, f"Is{what}")(x=x / (x - x)), tf.float32) for what in ("Nan", "Inf", "Finite")
    }
    truth = {op: getattr(raw, op)(x=x, y=two - 1.5) for op in COMPARE}
    found |= {op: tf.cast(value, tf.float32) for op, value in truth.items()}
    found["LogicalAnd"] = tf.where(tf.logical_and(truth["Less"], truth["NotEqual"]), x, two)
    found["LogicalOr"] = tf.where(tf.logical_or(truth["Less"], truth["Greater"]), x, two)
    found["LogicalNot"] = tf.where(tf.logical_not(truth["Less"]), x, two)
    found["AddN"] = raw.AddN(inputs=[x, one, two])
    found["ClipByValue"] = raw.ClipByValue(t=x, clip_value_min=-0.5, clip_value_max=0.25)
    found |= {op: getattr(raw, op)(input=x, axis=[1], keep_dims=False) for op in REDUCE}
    found["All"] = tf.cast(tf.reduce_all(truth["Less"], 2), tf.float32)
    found["Any"] = tf.cast(tf.reduce_any(truth["Less"], 2), tf.float32)
    found["Cumsum"] = tf.cumsum(x, 1, exclusive=True, reverse=True)
    found["Cumprod"] = tf.math.cumprod(x, 1)
    found["ArgMax"] = tf.argmax(x, 2, tf.int32)
    found["ArgMin"] = tf.argmin(x, 1, tf.int32)
    return found


def _first(op: str) -> str:
    return {
        **dict.fromkeys(("Elu", "LeakyRelu", "Relu", "Relu6", "Selu", "Softplus"), "features"),
        **dict.fromkeys(("Softmax", "LogSoftmax"), "logits"),
        "Identity": "input",
    }.get(op, "x")


def _binary(op: str) -> Callable[[Any, Any], Any]:
    names = ("y", "x") if op == "Atan2" else ("x", "y")
    return lambda a, b: getattr(raw, op)(**dict(zip(names, (a, b), strict=True)))


def layout(x: Any) -> dict[str, Any]:
    """`x` has shape (N, 4, 6)."""
    image, count = tf.reshape(x, (-1, 4, 3, 2)), tf.shape(x)[0]
    top = tf.math.top_k(x, 2)
    parts, several = tf.split(x, 3, axis=2), tf.split(x, [1, 3], axis=1)
    indices = tf.cast(x[:, 0, :2] > 0, tf.int32)
    return {
        "Transpose": tf.transpose(x, (0, 2, 1)),
        "ConcatV2": tf.concat([x, parts[0], parts[2]], 2),
        "Split": parts[1],
        "SplitV": several[1],
        "Pack": tf.stack([x, -x, x], 2),
        "Unpack": tf.unstack(x, axis=1)[2],
        "Slice": tf.slice(x, [0, 1, 2], [-1, 2, 3]),
        "StridedSlice": x[:, ::-1, 1:-1:2],
        "shrink": x[:, -1, tf.newaxis, 2:],
        "Tile": tf.tile(x, [1, 2, 1]),
        "Pad": tf.pad(x, [[0, 0], [1, 2], [0, 1]]),
        "PadV2": tf.pad(x, [[0, 0], [1, 2], [0, 1]], constant_values=3.0),
        "MirrorPad": tf.pad(x, [[0, 0], [1, 2], [0, 1]], "REFLECT"),
        "ReverseV2": tf.reverse(x, [1]),
        "GatherV2": tf.gather(x, [3, 0], axis=2),
        "gather_indices": tf.gather(tf.constant(numbers(2, 3)), indices),
        "GatherNd": tf.gather_nd(tf.constant(numbers(2, 3)), indices),
        "BroadcastTo": tf.broadcast_to(x[:, :1], tf.stack([count, 4, 6])),
        "Fill": x + tf.fill(tf.stack([count, 4, 6]), 2.5),
        "OneHot": tf.one_hot(indices, 3),
        "Range": x + tf.range(tf.cast(tf.shape(x)[2], tf.float32)),
        "Cast": tf.cast(tf.cast(x * 3, tf.int32), tf.float32),
        "BiasAdd": tf.nn.bias_add(x, numbers(6, seed=1)),
        "TopKV2": top.values,
        "indices": top.indices,
        "AvgPool": tf.nn.avg_pool2d(image, 2, 1, "SAME"),
        "MaxPool": tf.nn.max_pool2d(image, 2, 1, "VALID"),
        "ResizeBilinear": tf.image.resize(image, (7, 5)),
        "ResizeNearestNeighbor": tf.image.resize(image, (8, 6), "nearest"),
        "align": tf.compat.v1.image.resize_bilinear(image, (7, 5), align_corners=True),
        "DepthToSpace": tf.nn.depth_to_space(tf.reshape(x, (-1, 2, 3, 4)), 2),
        "SpaceToBatchND": tf.batch_to_space(
            tf.space_to_batch(image, [2, 1], [[0, 0], [0, 0]]) * 2, [2, 1], [[0, 1], [0, 0]]
        ),
        "LRN": tf.nn.local_response_normalization(tf.reshape(x, (-1, 2, 2, 6)), 2, 1.5, 0.3, 0.7),
        "Conv3D": tf.nn.conv3d(tf.reshape(x, (-1, 2, 2, 2, 3)), numbers(2, 1, 2, 3, 4), [1] * 5, "SAME"),
        "AvgPool3D": tf.nn.avg_pool3d(tf.reshape(x, (-1, 2, 2, 2, 3)), 2, 1, "VALID"),
        "MaxPool3D": tf.nn.max_pool3d(tf.reshape(x, (-1, 2, 2, 2, 3)), 2, 1, "VALID"),
        "BatchMatMulV2": tf.matmul(x, x, transpose_b=True),
        "FusedBatchNormV3": raw.FusedBatchNormV3(
            x=image, scale=[1.0, 2], offset=[0.5, 0], mean=[0.1, 0], variance=[1.0, 2], epsilon=0.01, is_training=False
        ).y,
    }


def dynamic(x: Any) -> dict[str, Any]:
    """`x` has shape (N, T, 6): shapes that no constant can say."""
    return {
        "ExpandDims": tf.expand_dims(x, 2) * 2.0,
        "Squeeze": tf.squeeze(tf.expand_dims(x, 1) * tf.constant(numbers(2, 6))[:1], 1),
        "Reshape": tf.reshape(x, tf.stack([tf.shape(x)[0], tf.shape(x)[1] * 2, 3])) + 1.0,
        "Size": x + tf.cast(tf.size(x), tf.float32),
    }


FUNCTIONS = {elementwise: (None, 4, 6), layout: (None, 4, 6), dynamic: (None, None, 6)}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_op_computes_what_tensorflow_computes(function: Any, runtime: TFJSWasmRuntime, tmp_path: Path) -> None:
    graph = frozen(function, x=tf.TensorSpec(FUNCTIONS[function], tf.float32))
    check(runtime, graph, {"x": numbers(3, 4, 6, low=-0.99, high=0.99)}, tmp_path)


def test_no_op_is_listed_without_having_been_run() -> None:
    written = Counter[str]()
    for function, shape in FUNCTIONS.items():
        written += ops(optimize(read(frozen(function, x=tf.TensorSpec(shape, tf.float32)))))
    forms = (
        "_FusedConv2D FusedDepthwiseConv2dNative _FusedMatMul Conv2D DepthwiseConv2dNative MatMul Conv2DBackpropInput"
    )
    assert set(SUPPORTED) - set(written) == {*words(forms), "Prelu", "Placeholder"}
