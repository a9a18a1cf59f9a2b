"""The table of TensorFlow ops that TF.js runs, and what it reads of them: facts of @tensorflow/tfjs 4.22.

An op is listed when the graph executor of @tensorflow/tfjs-converter knows it (its `operations/op_list`), all kernels
that it calls exist in all backends - WebAssembly, WebGL, WebGPU, JavaScript -, its result does not depend on chance or
have a shape known only while running, and it computes what TensorFlow computes. `Div` on integers, for instance, rounds
differently, and `FakeQuantWithMinMaxVars` is silently an identity: they are not listed. A test runs every op of the
table on all backends, in a browser, and compares the results with TensorFlow's (`tests/e2e/test_tfjs_ops.py`). That is
how these were found: `Dilation2D` and `MaxPool3D` (the WebAssembly kernels start their maximum at the smallest positive
number), `OneHot` of floats (its kernel writes integers, see `rewrites`), and what `workarounds` writes otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from edgeship_converters.tfjs import workarounds
from edgeship_converters.tfjs.ir import Graph, Node

#: That a tensor of TF.js can have.
_MOST_AXES = 6
#: Stands for an attribute without a default.
REQUIRED = None
#: What a graph model may run on; a file has to be right on all of them, or say where it is not.
BACKENDS = ("wasm", "webgl", "webgpu", "cpu")


@dataclass(frozen=True)
class Op:
    """What is known of one op.

    Attributes:
        kernels: names of the kernels that it may call, the same in every backend.
        attributes: those that the executor reads, with the default that may be left out.
        parameters: the places of its inputs that are no data but parameters, read by the executor itself.
        integers, booleans: whether tests compare it on such values; on floats they do all.
        faults: backend -> what it does wrong there with integers, that is not worked around.
    """

    kernels: tuple[str, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    parameters: tuple[int, ...] = ()
    integers: bool = False
    booleans: bool = False
    faults: Mapping[str, str] = field(default_factory=dict)


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

#: The kernels of an op where they are not one of the same name.
_KERNELS: Mapping[str, tuple[str, ...]] = {
    "AddV2": ("Add",),
    "AvgPool": ("AvgPool", "Cast"),
    "AvgPool3D": ("AvgPool3D", "Cast"),
    "BatchMatMulV2": ("BatchMatMul",),
    "BiasAdd": ("Add",),
    "BroadcastTo": ("Reshape", "Tile"),
    "ConcatV2": ("Concat",),
    "DivNoNan": ("Equal", "Identity", "RealDiv", "Select", "ZerosLike"),
    "EuclideanNorm": ("Abs", "Cast", "Pow", "Reshape", "Sqrt", "Square", "Sum"),
    "FloorMod": ("Mod",),
    "FusedBatchNormV3": ("FusedBatchNorm",),
    "FusedDepthwiseConv2dNative": ("FusedDepthwiseConv2D",),
    "GatherV2": ("Cast", "GatherV2"),
    "LogSoftmax": ("Cast", "Exp", "Log", "Max", "Sub", "Sum"),
    "MatMul": ("BatchMatMul",),
    "Mul": ("Multiply",),
    "Pack": ("Pack", "Reshape"),
    "Pad": ("PadV2",),
    "Placeholder": (),
    "ReverseV2": ("Reverse",),
    "SelectV2": ("Identity", "Reshape", "Select", "Tile"),
    "Shape": (),
    "Size": (),
    "Split": ("SplitV",),
    "Squeeze": ("Reshape",),
    "TopKV2": ("TopK",),
    "_FusedConv2D": ("FusedConv2D",),
    "_FusedMatMul": ("Reshape", "_FusedMatMul"),
}

#: Places of parameters among the inputs where there are any; below zero from the end.
_PARAMETERS: Mapping[str, tuple[int, ...]] = {
    **dict.fromkeys(_words("Max Mean Min Sum All Any Prod EuclideanNorm ArgMax ArgMin Cumprod Cumsum"), (1,)),
    **dict.fromkeys(_words("ReverseV2 Tile ExpandDims MirrorPad Pad Reshape BroadcastTo Transpose TopKV2"), (1,)),
    **dict.fromkeys(_words("ResizeBilinear ResizeNearestNeighbor"), (1,)),
    **dict.fromkeys(_words("ClipByValue Slice SplitV PadV2 SpaceToBatchND BatchToSpaceND"), (1, 2)),
    **dict.fromkeys(_words("OneHot StridedSlice"), (1, 2, 3)),
    "ConcatV2": (-1,),
    "Conv2DBackpropInput": (0,),
    "Fill": (0, 1),
    "GatherV2": (2,),
    "Range": (0, 1, 2),
    "Split": (0,),
}

_MOVING = _words(
    """
    Placeholder Identity Reshape Transpose Slice StridedSlice Squeeze ExpandDims Pack Unpack Split SplitV ConcatV2
    GatherV2 GatherNd Tile ReverseV2 BroadcastTo SelectV2 Cast
    """
)
_WHOLE = _words(
    """
    AddV2 AddN Sub Mul Maximum Minimum SquaredDifference FloorDiv FloorMod Abs Neg Sign Square Relu Max Min Sum Prod
    Equal NotEqual Greater GreaterEqual Less LessEqual Cumsum OneHot ArgMax ArgMin TopKV2 OnesLike ZerosLike
    Pad PadV2 MirrorPad SpaceToBatchND Fill Range Shape Size
    """
)
_LOGICAL = _words("LogicalAnd LogicalOr LogicalNot All Any Fill OnesLike ZerosLike Shape Size")
_ROUNDED = "remainders of integers beyond 2**24 are rounded"
_INVALID = "its shader for other types than float32 is not valid"
_MOVED = f"along axes that are not the last ones, {_INVALID}"
#: Of integers.
_FAULTS: Mapping[str, Mapping[str, str]] = {
    "FloorMod": {"webgl": _ROUNDED, "webgpu": _ROUNDED},
    "Transpose": {"webgpu": _INVALID},
    **{op: {"webgpu": _MOVED} for op in _words("ArgMax ArgMin Cumsum Max Min Prod Sum")},
}

#: Every op that may stand in a model.json of ours.
OPS: Mapping[str, Op] = {
    op: Op(
        _KERNELS.get(op, (op,)),
        _ATTRIBUTES.get(op, {}),
        _PARAMETERS.get(op, ()),
        op in _MOVING | _WHOLE,
        op in _MOVING - {"SelectV2", "Transpose"} | _LOGICAL,  # written otherwise, see `workarounds`
        _FAULTS.get(op, {}),
    )
    for op in sorted(_PLAIN | _ATTRIBUTES.keys())
}

#: Of integers narrower than the int32 in which TF.js holds them, what moves them or picks among them is right.
_ANY_WIDTH = _MOVING | _words("Max Min Pad PadV2")
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
    "While": "Give the model a fixed number of time steps: its loops are then unrolled.",
    "NonMaxSuppressionV3": "Leave it out of the model and call tf.image.nonMaxSuppressionAsync on the outputs.",
}
_TRY_ANY = "Replace the layer, compute this step outside the model, or convert to tflite or onnx."


def parameters(op: str, count: int) -> frozenset[int]:
    """The places of parameters among the `count` inputs of an op."""
    return frozenset(place % count for place in OPS[op].parameters) if count else frozenset()


def why_unsupported(op: str) -> str:
    """Why an op that is not in the table is not."""
    return _WHY.get(op, "it is not among the ops that TF.js runs as TensorFlow does")


def refusal(graph: Graph, node: Node) -> tuple[str, str] | None:
    """Why TF.js would not run a node, or run it wrongly, and what to try; None where it runs."""
    if node.op not in OPS:
        why = why_unsupported(node.op)
        return f"TF.js cannot run {node.op}: {why}", _TRY.get(node.op.removeprefix("Stateless"), _TRY_ANY)
    for check in (_refuse_layout, _refuse_groups, _refuse_dtypes, _refuse_modes, _refuse_shapes):
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


#: The place of the data among the inputs where it is not the first.
DATA: Mapping[str, int] = {"Conv2DBackpropInput": 2, "Fill": 1, "SelectV2": 1, "Split": 1}


def data_dtype(graph: Graph, node: Node) -> str | None:
    """The dtype of what an op computes with; None for a node without inputs."""
    return graph.types[node.inputs[DATA.get(node.op, 0)]].dtype if node.inputs else None


def _refuse_dtypes(graph: Graph, node: Node) -> str | None:
    known, data = graph.types.get(node.name), data_dtype(graph, node)
    if known is None or data is None:
        return None
    if known.dtype in _NARROW and node.op not in _ANY_WIDTH:
        return f"arithmetic in {_plain(known.dtype)} would not wrap or saturate as in TensorFlow"
    tested = OPS[node.op].booleans if data == "DT_BOOL" else OPS[node.op].integers or not _is_integer(data)
    return None if tested else f"its backends are not known to compute it right in {_plain(data)}"


def _is_integer(dtype: str) -> bool:
    return "INT" in dtype


def _plain(dtype: str) -> str:
    return dtype.removeprefix("DT_").lower()


#: Op, when it is refused, why.
_MODES: tuple[tuple[str, Callable[[Mapping[str, Any]], bool], str], ...] = (
    ("FusedBatchNormV3", lambda attrs: attrs.get("is_training", True), "training mode is not supported"),
    ("OneHot", lambda attrs: attrs.get("axis", -1) != -1, "only the last axis is supported"),
    ("OneHot", lambda attrs: attrs.get("T") != "DT_INT32", "only the values 1 and 0 in int32 or float32 are supported"),
    ("Conv2DBackpropInput", lambda attrs: {1} != set(attrs.get("dilations", [1])), "dilation is not supported"),
    ("BiasAdd", lambda attrs: attrs.get("data_format", "NHWC") != "NHWC", "only channels-last data is supported"),
    ("MaxPool", lambda attrs: attrs.get("padding") == "EXPLICIT", "explicit padding is not supported"),
    ("GatherV2", lambda attrs: attrs.get("batch_dims", 0) != 0, "choosing for each sample of a batch is not supported"),
)


def _refuse_modes(_: Graph, node: Node) -> str | None:
    return next((why for op, refused, why in _MODES if op == node.op and refused(node.attrs)), None)


def _refuse_shapes(graph: Graph, node: Node) -> str | None:
    """What `workarounds` could not write otherwise, because a size is not known."""
    shape = graph.shape(node.inputs[0]) if node.inputs else None
    if any(len(graph.shape(tensor) or ()) > _MOST_AXES for tensor in (node.name, *node.inputs)):
        return f"its tensors have more than {_MOST_AXES} axes"
    if node.op in ("Pad", "PadV2", "MirrorPad") and (shape is None or len(shape) > workarounds.MOST_AXES):
        return "padding of more than four axes of unknown size is not supported"
    return next((why for op, refused, why in _SHAPES if node.op in op and refused(graph, node)), None)


def _from_the_front(graph: Graph, node: Node) -> bool:
    axis = graph.constant(node.inputs[1])
    return axis is not None and int(axis) >= 0


#: Ops, when one is refused, why.
_SHAPES: tuple[tuple[frozenset[str], Callable[[Graph, Node], object], str], ...] = (
    (
        workarounds.CONVOLUTIONS | workarounds.VOLUMES,
        lambda graph, node: workarounds.same_paddings(graph, node) is None,
        "a window smaller than its step, on images or volumes of unknown size, with SAME is not supported",
    ),
    (
        _words("Cumsum Cumprod"),
        lambda graph, node: not _from_the_front(graph, node),
        "an axis that is counted from the end is not supported",
    ),
    (
        _words("BatchMatMulV2"),
        workarounds.repeats_both,
        "matrices of which each factor repeats the other are not supported",
    ),
    (
        _words("StridedSlice"),
        workarounds.strided,
        "steps through integers, or through more than four axes, of unknown size are not supported",
    ),
)
