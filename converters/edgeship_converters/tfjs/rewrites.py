"""What TF.js lacks, or has in a better form, written with the ops that it has; one function per pattern."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from edgeship_converters.tfjs.einsum import rewrite_einsum
from edgeship_converters.tfjs.ir import Graph, Node, TensorType

if TYPE_CHECKING:
    from edgeship.types import Array

#: Same op, another name in TF.js.
_RENAMED: Mapping[str, str] = {
    "Add": "AddV2",
    "BatchMatMul": "BatchMatMulV2",
    "BatchMatMulV3": "BatchMatMulV2",
    "FusedBatchNorm": "FusedBatchNormV3",
    "FusedBatchNormV2": "FusedBatchNormV3",
    "Rint": "Round",
}


def rewrite(graph: Graph) -> None:
    """Apply every pattern to every node."""
    patterns = (
        _rename,
        _softsign,
        _erfc,
        _one_hot,
        rewrite_einsum,
        _dilation,
        _groups,
        _prelu,
    )
    for node in list(graph.ordered()):
        for pattern in patterns:
            if node.name in graph.nodes:
                pattern(graph, node)
    graph.prune()


def _rename(_: Graph, node: Node) -> None:
    node.op = _RENAMED.get(node.op, node.op)


def _scalar(graph: Graph, node: Node, value: float) -> str:
    return graph.add_constant(f"{node.name}/{value:g}", np.full((), value, np.float32), graph.types[node.name].dtype)


def _softsign(graph: Graph, node: Node) -> None:
    """Write it as x / (1 + |x|)."""
    if node.op == "Softsign":
        known, x = graph.types[node.name], node.inputs[0]
        below = graph.add_step(
            node, "AddV2", (graph.add_step(node, "Abs", (x,), known), _scalar(graph, node, 1.0)), known
        )
        node.op = "RealDiv"
        graph.set_inputs(node, (x, below))


def _erfc(graph: Graph, node: Node) -> None:
    """Write it as 1 - erf(x); in float32 it loses the relative precision of very small results only."""
    if node.op == "Erfc":
        erf = graph.add_step(node, "Erf", node.inputs, graph.types[node.name])
        node.op = "Sub"
        graph.set_inputs(node, (_scalar(graph, node, 1.0), erf))


def _one_hot(graph: Graph, node: Node) -> None:
    """Make integers of it, then cast: the WebAssembly kernel writes integers whatever the dtype (seen in 4.22)."""
    if node.op != "OneHot" or node.attrs.get("T") != "DT_FLOAT":
        return
    on, off = (graph.constant(tensor) for tensor in node.inputs[2:4])
    if on is None or off is None or (float(on), float(off)) != (1.0, 0.0):
        return  # refused later
    known = graph.types[node.name]
    values = [graph.add_constant(f"{node.name}/{v}", np.array(v, np.int32), "DT_INT32") for v in (1, 0)]
    whole = TensorType(known.shape, "DT_INT32")
    attrs = {**node.attrs, "T": "DT_INT32"}
    counted = graph.add_step(node, "OneHot", (*node.inputs[:2], *values), whole, **attrs)
    node.op, node.attrs = "Cast", {"DstT": "DT_FLOAT"}
    graph.set_inputs(node, (counted,))


def _prelu(graph: Graph, node: Node) -> None:
    """Make one Prelu of relu(x) - alpha * relu(-x), as Keras writes it, where it has one slope per channel."""
    if node.op not in ("AddV2", "Add"):
        return
    for positive, negative in (node.inputs, node.inputs[::-1]):
        relu, product = graph.producer(positive), graph.producer(negative)
        if relu is None or product is None or relu.op != "Relu" or product.op != "Mul":
            continue
        x = relu.inputs[0]
        slope = _slope(graph, product, x)
        if slope is not None:
            alpha = graph.add_constant(f"{node.name}/alpha", slope, graph.types[node.name].dtype)
            node.op = "Prelu"
            graph.set_inputs(node, (x, alpha))
            return


def _slope(graph: Graph, product: Node, x: str) -> Array | None:
    """Alpha of -alpha * relu(-x) as a vector over channels."""
    shape = graph.shape(x)
    channels = shape[-1] if shape else None
    for factor, rest in (product.inputs, product.inputs[::-1]):
        value, relu = graph.constant(factor), graph.producer(rest)
        negated = graph.producer(relu.inputs[0]) if relu is not None and relu.op == "Relu" else None
        if value is None or negated is None or negated.op != "Neg" or negated.inputs[0] != x or not channels:
            continue
        if (
            graph.shape(product.name) == shape
            and value.size in (1, channels)
            and value.shape[-1:] in ((), (value.size,))
        ):
            return np.broadcast_to(-value.reshape(-1), channels).copy()
    return None


_CONVOLUTIONS = frozenset(("Conv2D", "DepthwiseConv2dNative"))


def _dilation(graph: Graph, node: Node) -> None:
    """SpaceToBatchND, a convolution, BatchToSpaceND: how TensorFlow traces a dilated convolution; make it one again."""
    if node.op != "BatchToSpaceND":
        return
    convolution = graph.producer(node.inputs[0])
    if convolution is None or convolution.op not in _CONVOLUTIONS or convolution.attrs["padding"] != "VALID":
        return
    spread = graph.producer(convolution.inputs[0])
    if spread is None or spread.op != "SpaceToBatchND" or graph.only_consumer(convolution.name) is not node:
        return
    found = [graph.constant(tensor) for tensor in (*spread.inputs[1:], *node.inputs[1:])]
    if any(array is None for array in found):
        return
    rates, pads, blocks, crops = (np.asarray(array) for array in found)
    plain = set(convolution.attrs["strides"]) == {1} and set(convolution.attrs.get("dilations", [1])) == {1}
    if (
        not plain
        or rates.shape != (2,)
        or (rates != blocks).any()
        or crops[:, 0].any()
        or (pads[:, 1] < crops[:, 1]).any()
    ):
        return
    after = pads[:, 1] - crops[:, 1]
    padding = [0, 0, int(pads[0, 0]), int(after[0]), int(pads[1, 0]), int(after[1]), 0, 0]
    attrs = {**convolution.attrs, "dilations": [1, int(rates[0]), int(rates[1]), 1]}
    if any(padding):
        attrs.update(padding="EXPLICIT", explicit_paddings=padding)
    inputs = (spread.inputs[0], *convolution.inputs[1:])
    graph.redirect(node.name, graph.add_step(node, convolution.op, inputs, graph.types[node.name], **attrs))


def _groups(graph: Graph, node: Node) -> None:
    """A convolution in groups as one convolution per group; with one channel per group, as a depthwise one."""
    image, kernel = (graph.shape(tensor) for tensor in node.inputs[:2]) if node.op == "Conv2D" else (None, None)
    weights = graph.constant(node.inputs[1]) if node.op == "Conv2D" else None
    if image is None or kernel is None or weights is None or not image[-1] or not kernel[2] or image[-1] == kernel[2]:
        return
    if node.attrs.get("data_format", "NHWC") != "NHWC":
        return
    known, groups = graph.types[node.name], image[-1] // kernel[2]
    if kernel[2] == 1:
        depthwise = weights.reshape((*weights.shape[:2], groups, -1))
        node.op = "DepthwiseConv2dNative"
        graph.set_inputs(node, (node.inputs[0], graph.add_constant(node.inputs[1], depthwise, known.dtype)))
        return
    part = TensorType((*image[:-1], kernel[2]), known.dtype)
    assert known.shape is not None
    result = TensorType((*known.shape[:-1], weights.shape[3] // groups), known.dtype)
    axis = graph.add_constant(f"{node.name}/axis", np.array(3, np.int32), "DT_INT32")
    split = Node(graph.free_name(f"{node.name}/Split"), "Split", (axis, node.inputs[0]), {"num_split": groups})
    graph.add(split, *[part] * groups)
    results = []
    for index, piece in enumerate(np.split(weights, groups, axis=3)):
        own = graph.add_constant(node.inputs[1], piece, known.dtype)
        source = split.name if index == 0 else f"{split.name}:{index}"
        results.append(graph.add_step(node, "Conv2D", (source, own), result, **node.attrs))
    graph.redirect(node.name, graph.add_step(node, "ConcatV2", (*results, axis), known, N=groups))
