"""Choosing among the kernels of TF.js that compute the same: those that its WebAssembly backend runs fastest.

Measured with @tensorflow/tfjs-backend-wasm 4.22, one thread: a mean over height and width transposes first (7 us for
8x8x64, pooling 3 us); a fused matrix product reshapes three times (5.5 us for 64x10, a pointwise convolution 2.9 us);
a product with a vector of channels takes 14 us for 32x32x16, a depthwise convolution that also adds and clamps 8 us.
"""

from __future__ import annotations

import math

import numpy as np

from edgeship_converters.tfjs.ir import Graph, Node, TensorType
from edgeship_converters.tfjs.linear import affine, fold
from edgeship_converters.tfjs.simplify import reshapable, reshape


def prepare(graph: Graph) -> None:
    """Rewrites that give `linear.fold` more to fold."""
    for rewrite in (_pool_globally, _split_dense):
        for node in list(graph.ordered()):
            rewrite(graph, node)
    graph.prune()


def choose(graph: Graph) -> None:
    """Rewrites of what is left after folding."""
    for node in list(graph.ordered()):
        _affine_to_depthwise(graph, node)
    fold(graph)
    for node in list(graph.ordered()):
        _dense_to_convolution(graph, node)
    graph.prune()


def _pool_globally(graph: Graph, node: Node) -> None:
    """Mean or Max over height and width as pooling: the WebAssembly reductions would transpose first."""
    if node.op not in ("Mean", "Max"):
        return
    image, axes = graph.shape(node.inputs[0]), graph.constant(node.inputs[1])
    if image is None or len(image) != 4 or axes is None or sorted(int(a) % 4 for a in axes.flat) != [1, 2]:
        return
    batch, height, width, channels = image
    if not height or not width or not channels or graph.types[node.name].dtype != "DT_FLOAT":
        return
    pooled, known = node.inputs[0], graph.types[node.name]
    if height * width > 1:
        window = {"ksize": [1, height, width, 1], "strides": [1, 1, 1, 1], "padding": "VALID"}
        pool = Node(
            graph.free_name(f"{node.name}/pool"), "AvgPool" if node.op == "Mean" else "MaxPool", (pooled,), window
        )
        pooled = graph.add(pool, TensorType((batch, 1, 1, channels), known.dtype))
    assert known.shape is not None
    graph.redirect(node.name, reshape(graph, pooled, known.shape, f"{node.name}/flat"))


def _split_dense(graph: Graph, node: Node) -> None:
    """A batched product with one constant matrix becomes one matrix product over all rows."""
    if node.op != "BatchMatMulV2" or node.attrs.get("adj_x") or graph.constant(node.inputs[1]) is None:
        return
    rows, matrix, out = graph.shape(node.inputs[0]), graph.shape(node.inputs[1]), graph.shape(node.name)
    if rows is None or out is None or matrix is None or len(matrix) != 2 or not reshapable(rows) or rows[-1] is None:
        return
    leading = rows[:-1]
    count = None if None in leading else math.prod(d for d in leading if d is not None)
    flat = reshape(graph, node.inputs[0], (count, rows[-1]), f"{node.name}/rows")
    product = Node(graph.free_name(f"{node.name}/MatMul"), "MatMul", (flat, node.inputs[1]))
    product.attrs["transpose_b"] = bool(node.attrs.get("adj_y"))
    name = graph.add(product, TensorType((count, out[-1]), graph.types[node.name].dtype))
    graph.redirect(node.name, reshape(graph, name, out, f"{node.name}/out"))


def _affine_to_depthwise(graph: Graph, node: Node) -> None:
    """Two or more maps per channel in a row (a batch normalization that follows no convolution) become one op."""
    shape, after = graph.shape(node.name), graph.only_consumer(node.name)
    if after is None or shape is None or len(shape) != 4 or not shape[3]:
        return
    x = _mapped(graph, node, shape[3])
    if x is None or _mapped(graph, after, shape[3]) != node.name:
        return
    before = graph.producer(x)
    if before is not None and graph.only_consumer(x) is node and _mapped(graph, before, shape[3]) is not None:
        return  # the chain began earlier
    ones = graph.add_constant(f"{node.name}/scale", np.ones((1, 1, shape[3], 1), np.float32), "DT_FLOAT")
    attrs = {"strides": [1, 1, 1, 1], "padding": "VALID", "dilations": [1, 1, 1, 1]}
    neutral = Node(graph.free_name(f"{node.name}/channels"), "DepthwiseConv2dNative", (x, ones), attrs)
    name = graph.add(neutral, TensorType(shape, "DT_FLOAT"))
    graph.set_inputs(node, [name if tensor == x else tensor for tensor in node.inputs])


def _mapped(graph: Graph, node: Node, channels: int) -> str | None:
    """The tensor of which a node is an affine map per channel."""
    x = next((tensor for tensor in node.inputs if graph.constant(tensor) is None), None)
    return x if x is not None and affine(graph, node, x, channels) is not None else None


_CONVOLUTION = {"MatMul": "Conv2D", "_FusedMatMul": "_FusedConv2D"}


def _dense_to_convolution(graph: Graph, node: Node) -> None:
    """A dense layer on a flattened image, or one of several in a row, as a convolution with one window."""
    if node.op not in _CONVOLUTION or node.attrs.get("transpose_a") or node.attrs.get("transpose_b"):
        return
    matrix, out = graph.constant(node.inputs[1]), graph.shape(node.name)
    image = None if matrix is None else _as_image(graph, node, matrix.shape[0])
    if matrix is None or image is None or out is None:
        return
    window = graph.shape(image)
    assert window is not None
    kernel = matrix.reshape((*window[1:], matrix.shape[1]))
    dtype = graph.types[node.name].dtype
    attrs = {"strides": [1, 1, 1, 1], "padding": "VALID", "dilations": [1, 1, 1, 1], **node.attrs}
    inputs = (image, graph.add_constant(node.inputs[1], kernel, dtype), *node.inputs[2:])
    free = graph.free_name(f"{node.name}/conv")
    name = graph.add(Node(free, _CONVOLUTION[node.op], inputs, attrs), TensorType((out[0], 1, 1, out[1]), dtype))
    graph.redirect(node.name, reshape(graph, name, out, f"{node.name}/flat"))
    graph.remove(node)


def _as_image(graph: Graph, node: Node, features: int) -> str | None:
    """The data of a dense layer as a tensor of rank 4 that holds `features` values per sample."""
    x = node.inputs[0]
    before, flat = graph.producer(x), graph.shape(x)
    if before is not None and before.op == "Reshape":
        image = graph.shape(before.inputs[0])
        if image is not None and len(image) == 4 and math.prod(d or 0 for d in image[1:]) == features:
            return before.inputs[0]
    after = graph.only_consumer(node.name)
    if flat is None or after is None or after.op not in _CONVOLUTION or graph.constant(after.inputs[1]) is None:
        return None
    return reshape(graph, x, (flat[0], 1, 1, features), f"{node.name}/image")
