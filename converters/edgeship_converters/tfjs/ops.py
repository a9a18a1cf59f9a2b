"""Which TensorFlow ops TF.js runs, and what it reads of them: facts of @tensorflow/tfjs 4.22.

An op is listed when the graph executor of @tensorflow/tfjs-converter knows it (its `operations/op_list`), all kernels
that it calls exist in @tensorflow/tfjs-backend-wasm, its result does not depend on chance or have a shape known only
while running, and it computes what TensorFlow computes. `Mod` and `Div` on integers, for instance, round differently,
and `FakeQuantWithMinMaxVars` is silently an identity: they are not listed. A test compares this list with the
installed packages; another runs every op on both backends and compares the results with TensorFlow's. That is how
these were found: `Dilation2D` (the WebAssembly kernel starts its maximum at the smallest positive number), `OneHot` of
floats (its kernel writes integers, see `rewrites`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from edgeship_converters.tfjs.ir import Graph, Node

#: Stands for an attribute without a default.
REQUIRED = None

_SPATIAL: Mapping[str, Any] = {"strides": REQUIRED, "padding": REQUIRED, "explicit_paddings": [], "data_format": "NHWC"}
_FUSED = {"fused_ops": [], "num_args": 0}
_POOL = {"strides": REQUIRED, "padding": REQUIRED, "ksize": REQUIRED}
_RESIZE = {"align_corners": False, "half_pixel_centers": False}

#: Attributes that the executor reads, with the default that may be left out.
_ATTRIBUTES: Mapping[str, Mapping[str, Any]] = {
    "Placeholder": {"dtype": REQUIRED, "shape": REQUIRED},
    "LeakyRelu": {"alpha": 0.2},
    "AvgPool": _POOL,
    "MaxPool": _POOL,
    "AvgPool3D": _POOL,
    "MaxPool3D": _POOL,
    "Conv2D": {**_SPATIAL, "dilations": REQUIRED},
    "DepthwiseConv2dNative": {**_SPATIAL, "dilations": REQUIRED},
    "_FusedConv2D": {**_SPATIAL, **_FUSED, "dilations": [1, 1, 1, 1], "leakyrelu_alpha": 0.2},
    "FusedDepthwiseConv2dNative": {**_SPATIAL, **_FUSED, "dilations": [1, 1, 1, 1]},
    "Conv2DBackpropInput": {"strides": REQUIRED, "padding": REQUIRED, "explicit_paddings": []},
    "Conv3D": {"strides": REQUIRED, "padding": REQUIRED, "data_format": "NHWC", "dilations": REQUIRED},
    "_FusedMatMul": {**_FUSED, "transpose_a": False, "transpose_b": False, "leakyrelu_alpha": 0.2},
    "MatMul": {"transpose_a": False, "transpose_b": False},
    "BatchMatMulV2": {"adj_x": False, "adj_y": False},
    "Fill": {"T": REQUIRED},
    "OneHot": {"T": REQUIRED},
    "Range": {"Tidx": REQUIRED},
    "Cast": {"DstT": REQUIRED},
    "TopKV2": {"sorted": REQUIRED},
    "ResizeBilinear": _RESIZE,
    "ResizeNearestNeighbor": _RESIZE,
    "FusedBatchNormV3": {"epsilon": 0.001},
    "LRN": {"depth_radius": 5, "bias": 1.0, "alpha": 1.0, "beta": 0.5},
    **{op: {"keep_dims": False} for op in ("Max", "Mean", "Min", "Sum", "All", "Any", "Prod", "EuclideanNorm")},
    **{op: {"exclusive": False, "reverse": False} for op in ("Cumprod", "Cumsum")},
    "ConcatV2": {"N": 2},
    "GatherV2": {"batch_dims": 0},
    "StridedSlice": dict.fromkeys(("begin_mask", "end_mask", "ellipsis_mask", "new_axis_mask", "shrink_axis_mask"), 0),
    "Pack": {"axis": 0},
    "Unpack": {"axis": 0},
    "Split": {"num_split": 1},
    "Squeeze": {"squeeze_dims": []},
    "MirrorPad": {"mode": REQUIRED},
    "DepthToSpace": {"block_size": REQUIRED, "data_format": REQUIRED},
}


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_PLAIN = _words(
    """
    AddV2 AddN BiasAdd Sub RealDiv DivNoNan FloorDiv FloorMod Mul Maximum Minimum Pow SquaredDifference Abs Acos
    Acosh Asin Asinh Atan Atan2 Atanh Ceil ClipByValue Cos Cosh Elu Erf Exp Expm1 Floor IsFinite IsInf IsNan Log
    Log1p LogSoftmax Neg Prelu Reciprocal Relu Relu6 Round Rsqrt Selu Sigmoid Sign Sin Sinh Softmax Softplus
    Sqrt Square Tan Tanh Equal Greater GreaterEqual Less LessEqual LogicalAnd LogicalNot LogicalOr NotEqual
    SelectV2 ArgMax ArgMin Identity OnesLike Shape Size ZerosLike BatchToSpaceND BroadcastTo ExpandDims GatherNd
    Pad PadV2 Reshape ReverseV2 Slice SpaceToBatchND SplitV Tile Transpose
    """
)

#: Every op that may stand in a model.json of ours -> the attributes it needs there.
SUPPORTED: Mapping[str, Mapping[str, Any]] = {**{op: {} for op in _PLAIN}, **_ATTRIBUTES}

#: Ops that only move values: harmless on integers narrower than the int32 in which TF.js holds them.
_MOVING = _words(
    "Placeholder Identity Reshape Transpose Slice StridedSlice Squeeze ExpandDims Pack Unpack Split SplitV ConcatV2"
    " GatherV2 GatherNd Tile MaxPool Max Min Pad PadV2 ReverseV2 BroadcastTo"
)
_NARROW = frozenset(("DT_INT8", "DT_UINT8", "DT_INT16", "DT_UINT16", "DT_UINT32", "DT_UINT64"))

_NO_WASM = "its WebAssembly backend has no kernel for it"
_WHY: Mapping[str, str] = {
    "Einsum": _NO_WASM,
    "FFT": _NO_WASM,
    "RFFT": _NO_WASM,
    "IRFFT": _NO_WASM,
    "While": "its WebAssembly backend cannot run loops",
    "StatelessWhile": "its WebAssembly backend cannot run loops",
    "StatefulPartitionedCall": "it is a call of a compiled function (in Keras, a convolution in groups)",
    "Where": "the shape of its result is known only while running",
    "NonMaxSuppressionV3": "the shape of its result is known only while running",
    "FakeQuantWithMinMaxVars": "TF.js leaves it out silently",
}
_TRY: Mapping[str, str] = {
    "Einsum": "Write it as matmul, reshape and transpose, or convert to tflite or onnx.",
    "While": "Give the Keras model (not a SavedModel) with a fixed number of time steps: its loops are then unrolled.",
    "NonMaxSuppressionV3": "Leave it out of the model and call tf.image.nonMaxSuppressionAsync on the outputs.",
}
_TRY_ANY = "Replace the layer, compute this step outside the model, or convert to tflite or onnx."


def why_unsupported(op: str) -> str:
    """Why an op that is not in `SUPPORTED` is not."""
    return _WHY.get(op, "it is not among the ops that TF.js runs as TensorFlow does")


def refusal(graph: Graph, node: Node) -> tuple[str, str] | None:
    """Why TF.js would not run a node, or run it wrongly, and what to try; None where it runs."""
    if node.op not in SUPPORTED:
        why = why_unsupported(node.op)
        return f"TF.js cannot run {node.op}: {why}", _TRY.get(node.op.removeprefix("Stateless"), _TRY_ANY)
    for check in (_refuse_layout, _refuse_groups, _refuse_narrow, _refuse_modes):
        why_not = check(graph, node)
        if why_not:
            return f"TF.js cannot run {node.op}: {why_not}", _TRY_ANY
    return None


def _refuse_layout(_: Graph, node: Node) -> str | None:
    layout = node.attrs.get("data_format", "NHWC")
    ignored = layout in ("NCHW", "NCDHW") and node.op != "BiasAdd"
    return f"only channels-last data is supported, not {layout}" if ignored else None


def _refuse_groups(graph: Graph, node: Node) -> str | None:
    if node.op not in ("Conv2D", "_FusedConv2D", "Conv3D"):
        return None
    image, kernel = graph.shape(node.inputs[0]), graph.shape(node.inputs[1])
    if image is None or kernel is None or image[-1] == kernel[-2]:
        return None
    return f"convolution in groups ({image[-1]} channels in, {kernel[-2]} per group) is not supported"


def _refuse_narrow(graph: Graph, node: Node) -> str | None:
    known = graph.types.get(node.name)
    if known is None or known.dtype not in _NARROW or node.op in _MOVING:
        return None
    return f"arithmetic in {known.dtype.removeprefix('DT_').lower()} would not wrap or saturate as in TensorFlow"


#: Op, when it is refused, why.
_MODES: tuple[tuple[str, Callable[[Mapping[str, Any]], bool], str], ...] = (
    ("FusedBatchNormV3", lambda attrs: attrs.get("is_training", True), "training mode is not supported"),
    ("OneHot", lambda attrs: attrs.get("axis", -1) != -1, "only the last axis is supported"),
    ("OneHot", lambda attrs: attrs.get("T") != "DT_INT32", "only the values 1 and 0 in int32 or float32 are supported"),
    ("Conv2DBackpropInput", lambda attrs: {1} != set(attrs.get("dilations", [1])), "dilation is not supported"),
    ("BiasAdd", lambda attrs: attrs.get("data_format", "NHWC") != "NHWC", "only channels-last data is supported"),
    ("MaxPool", lambda attrs: attrs.get("padding") == "EXPLICIT", "explicit padding is not supported"),
)


def _refuse_modes(_: Graph, node: Node) -> str | None:
    return next((why for op, refused, why in _MODES if op == node.op and refused(node.attrs)), None)
