"""Folding into linear ops.

Scales, offsets, batch normalization, padding and activations around convolutions and matrix products disappear into
their weights, their bias and their fused form.

Batch normalization in inference is an affine map per channel (Ioffe & Szegedy, "Batch Normalization", arXiv
1502.03167, algorithm 2). Weights are multiplied in float64, so that a chain of folds is rounded once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeship_converters.tfjs.ir import Graph, Node, TensorType
from edgeship_converters.tfjs.simplify import reshapable, reshape

if TYPE_CHECKING:
    from edgeship.types import Array


@dataclass(frozen=True)
class _Kind:
    """Where a linear op has its data and its channels.

    Attributes:
        x: index of the data among the inputs; the weights are input 1.
        into, out: axes of the weights that belong to channels of the data and of the result.
        fused: the op that adds bias and activation; empty where TF.js has none.
        activations: what that op applies, on every backend (executors of @tensorflow/tfjs-converter 4.22; the
            depthwise one does not read leakyrelu_alpha).
    """

    out: tuple[int, ...]
    into: int
    x: int = 0
    fused: str = ""
    activations: frozenset[str] = frozenset()


_AFFINE_OPS = frozenset(
    ("Add", "AddV2", "BiasAdd", "FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3", "Mul", "RealDiv", "Sub")
)

_ACTIVATIONS = frozenset(("Relu", "Relu6", "Elu", "Prelu", "Sigmoid"))
_KINDS = {
    "Conv2D": _Kind((3,), 2, 0, "_FusedConv2D", _ACTIVATIONS | {"LeakyRelu"}),
    "DepthwiseConv2dNative": _Kind((2, 3), 2, 0, "FusedDepthwiseConv2dNative", _ACTIVATIONS),
    "MatMul": _Kind((1,), 0, 0, "_FusedMatMul", _ACTIVATIONS | {"LeakyRelu"}),
    "Conv3D": _Kind((4,), 3),
    "Conv2DBackpropInput": _Kind((2,), 3, 2),
}


class _Linear:
    """A linear op with constant weights, and what was folded into it so far."""

    def __init__(self, graph: Graph, node: Node) -> None:
        self.node = node
        self.kind = _KINDS[node.op]
        self.given: Array = graph.constants[node.inputs[1]]
        self.weights: Array = self.given
        self.bias: Array | None = None
        self.activation: Node | None = None
        self.channels = int(np.prod([self.given.shape[axis] for axis in self.kind.out]))

    def scale(self, factor: Array) -> None:
        """Multiply the result by `factor`, of shape () or (channels,)."""
        shape = [n if axis in self.kind.out else 1 for axis, n in enumerate(self.weights.shape)]
        self.weights = self.weights * np.broadcast_to(factor, self.channels).astype(np.float64).reshape(shape)
        if self.bias is not None:
            self.bias = self.bias * factor

    def shift(self, offset: Array) -> None:
        """Add `offset`, of shape () or (channels,), to the result."""
        before = 0.0 if self.bias is None else self.bias
        self.bias = before + np.broadcast_to(offset, self.channels).astype(np.float64)

    def scale_data(self, factor: Array) -> None:
        """Multiply the data by `factor`, of shape () or (channels of the data,)."""
        shape = [n if axis == self.kind.into else 1 for axis, n in enumerate(self.weights.shape)]
        self.weights = self.weights * np.broadcast_to(factor, max(shape)).astype(np.float64).reshape(shape)

    def shift_data(self, offset: Array) -> None:
        """Add `offset` to the data; right only where no padding adds zeros to it."""
        shape = [n if axis == self.kind.into else 1 for axis, n in enumerate(self.weights.shape)]
        moved = self.weights * np.broadcast_to(offset, max(shape)).astype(np.float64).reshape(shape)
        self.shift(moved.sum(tuple(a for a in range(moved.ndim) if a not in self.kind.out)).reshape(-1))


def fold(graph: Graph) -> None:
    """Fold everything foldable around every linear op and write the ops of TF.js."""
    for node in list(graph.ordered()):
        if node.op not in _KINDS or graph.constant(node.inputs[1]) is None or node.attrs.get("transpose_a"):
            continue
        if node.attrs.get("data_format", "NHWC") not in ("NHWC", "NDHWC"):
            continue  # refused later, with its name
        _upright(graph, node)
        linear = _Linear(graph, node)
        while _fold_after(graph, linear) or _sink(graph, linear):
            pass
        _fold_before(graph, linear)
        _lower(graph, linear)
    graph.prune()


def _upright(graph: Graph, node: Node) -> None:
    """Transpose a constant matrix now: the fast kernels of the WebAssembly backend want it upright."""
    if node.op == "MatMul" and node.attrs.get("transpose_b"):
        upright = np.ascontiguousarray(graph.constants[node.inputs[1]].T)
        name = graph.add_constant(node.inputs[1], upright, graph.types[node.inputs[1]].dtype)
        graph.set_inputs(node, (node.inputs[0], name))
        node.attrs["transpose_b"] = False


def _channelwise(graph: Graph, tensor: str, rank: int, channels: int | None) -> Array | None:
    """A constant that gives one number per channel (the last axis) or one for all; shape (channels,) or ()."""
    array = graph.constant(tensor)
    if array is None or array.ndim > rank or array.dtype.kind != "f":
        return None
    if array.size == 1:
        return array.reshape(()).astype(np.float64)
    if channels is None or array.size != channels or array.shape[-1] != channels:
        return None
    return array.reshape(-1).astype(np.float64)


def affine(graph: Graph, node: Node, x: str, channels: int | None) -> tuple[Array | float, Array | float] | None:
    """`node` as x * scale + offset per channel, or None. `x` must be its only input that is not constant."""
    shape = graph.shape(node.name)
    if (
        shape is None
        or shape != graph.shape(x)
        or node.inputs.count(x) != 1
        or graph.types[node.name].dtype != "DT_FLOAT"
    ):
        return None
    if node.op.startswith("FusedBatchNorm"):
        return _normalization(graph, node, x)
    if node.op not in _AFFINE_OPS or node.attrs.get("data_format", "NHWC") != "NHWC":
        return None
    first = node.inputs[0] == x
    value = _channelwise(graph, node.inputs[1 if first else 0], len(shape), channels)
    return None if value is None else _arithmetic(node.op, value, first)


def _arithmetic(op: str, value: Array, first: bool) -> tuple[Array | float, Array | float] | None:
    """`x op value`, or where not `first` `value op x`, as scale and offset."""
    if op == "Mul":
        return value, 0.0
    if op == "RealDiv":
        return (1.0 / value, 0.0) if first and value.all() else None
    if op == "Sub":
        return (1.0, -value) if first else (-1.0, value)
    return 1.0, value


def _normalization(graph: Graph, node: Node, x: str) -> tuple[Array, Array] | None:
    if node.inputs[0] != x or node.attrs.get("is_training", True) or node.attrs.get("data_format", "NHWC") != "NHWC":
        return None
    if any(graph.consumers(f"{node.name}:{index}") for index in range(1, 6)):
        return None  # batch statistics are used: not inference
    found = [graph.constant(tensor) for tensor in node.inputs[1:5]]
    if any(array is None for array in found):
        return None
    gamma, beta, mean, variance = (np.asarray(array, np.float64) for array in found)
    scale = gamma / np.sqrt(variance + node.attrs["epsilon"])
    return scale, beta - mean * scale


def _fold_after(graph: Graph, linear: _Linear) -> bool:
    """Fold the one op that uses the result, if it is an affine map per channel or a fusable activation."""
    node = linear.node
    after = graph.only_consumer(node.name)
    if after is None or linear.activation is not None:
        return False
    found = affine(graph, after, node.name, linear.channels)
    if found is not None:
        scale, offset = (np.asarray(part, np.float64) for part in found)
        if (scale != 1).any():
            linear.scale(scale)
        if offset.any():
            linear.shift(offset)
    elif after.op in linear.kind.activations and after.inputs[0] == node.name and _alpha_fits(graph, after, linear):
        linear.activation = after
    else:
        return False
    graph.redirect(after.name, node.name)
    if linear.activation is None:
        graph.remove(after)
    return True


def _alpha_fits(graph: Graph, activation: Node, linear: _Linear) -> bool:
    """The WebAssembly kernel of a fused PReLU takes one slope per channel."""
    if activation.op != "Prelu":
        return True
    alpha = graph.constant(activation.inputs[1])
    return alpha is not None and alpha.size == alpha.shape[-1] == linear.channels


_UNARY = frozenset(("Relu", "Relu6", "Elu", "Sigmoid", "LeakyRelu", "Tanh", "Softplus", "Selu"))


def _sink(graph: Graph, linear: _Linear) -> bool:
    """Move a reshape of the result behind the op that follows it, if that op treats every element or channel alike."""
    node = linear.node
    moved = graph.only_consumer(node.name)
    if moved is None or moved.op != "Reshape" or linear.activation is not None or not linear.kind.fused:
        return False
    after, inside, outside = graph.only_consumer(moved.name), graph.shape(node.name), graph.shape(moved.name)
    if after is None or inside is None or outside is None or not reshapable(outside) or inside[-1:] != outside[-1:]:
        return False
    found = affine(graph, after, moved.name, linear.channels)
    if found is None and not (after.op in _UNARY and after.op in linear.kind.activations):
        return False
    if found is not None:
        _flatten_constants(graph, after, moved.name)
    dtype = graph.types[after.name].dtype
    graph.set_inputs(after, [node.name if i == moved.name else i for i in after.inputs])
    graph.types[after.name] = TensorType(inside, dtype)
    users = graph.consumers(after.name)
    outputs = [name for name, tensor in graph.outputs.items() if tensor == after.name]
    again = reshape(graph, after.name, outside, moved.name)
    for user in users:
        graph.set_inputs(user, [again if i == after.name else i for i in user.inputs])
    for name in outputs:
        graph.outputs[name] = again
    graph.remove(moved)
    return True


def _flatten_constants(graph: Graph, node: Node, x: str) -> None:
    """Write per-channel constants as vectors, so that they fit data of another rank."""
    flat = []
    for tensor in node.inputs:
        array = graph.constant(tensor)
        if tensor != x and array is not None and array.ndim > 1:
            tensor = graph.add_constant(tensor, array.reshape(-1), graph.types[tensor].dtype)  # noqa: PLW2901 - replaced
        flat.append(tensor)
    graph.set_inputs(node, flat)


def _fold_before(graph: Graph, linear: _Linear) -> None:
    """Fold what happens to the data: zero padding, then scales and offsets per channel."""
    node, kind = linear.node, linear.kind
    _absorb_padding(graph, node)
    while True:
        x = node.inputs[kind.x]
        before = graph.producer(x)
        if before is None or graph.only_consumer(x) is not node or len(node.inputs) <= kind.x:
            return
        given = next((tensor for tensor in before.inputs if graph.constant(tensor) is None), None)
        found = None if given is None else affine(graph, before, given, linear.weights.shape[kind.into])
        if given is None or found is None:
            return
        scale, offset = (np.asarray(part, np.float64) for part in found)
        if offset.any() and not _unpadded(linear):
            return
        if offset.any():
            linear.shift_data(offset)
        if (scale != 1).any():
            linear.scale_data(scale)
        graph.set_inputs(node, [given if tensor == x else tensor for tensor in node.inputs])
        graph.remove(before)


def _unpadded(linear: _Linear) -> bool:
    node = linear.node
    if node.op == "MatMul":
        return True
    pointwise = node.attrs["padding"] == "SAME" and all(n == 1 for n in linear.given.shape[:2])
    return node.op in ("Conv2D", "DepthwiseConv2dNative") and (node.attrs["padding"] == "VALID" or pointwise)


def _absorb_padding(graph: Graph, node: Node) -> None:
    """Let a convolution pad with zeros by itself instead of copying its input into a larger tensor first."""
    before = graph.producer(node.inputs[0])
    if node.op not in ("Conv2D", "DepthwiseConv2dNative") or node.attrs["padding"] != "VALID" or before is None:
        return
    if before.op not in ("Pad", "PadV2") or graph.only_consumer(before.name) is not node:
        return
    amounts = graph.constant(before.inputs[1])
    filler = graph.constant(before.inputs[2]) if before.op == "PadV2" else np.zeros(())
    if amounts is None or amounts.shape != (4, 2) or amounts[[0, 3]].any() or filler is None or filler.any():
        return
    node.attrs.update(padding="EXPLICIT", explicit_paddings=[int(n) for n in amounts.flat])
    graph.set_inputs(node, (before.inputs[0], *node.inputs[1:]))
    graph.remove(before)


def _lower(graph: Graph, linear: _Linear) -> None:
    """Write what was folded as constants and, where there is a bias or an activation, as a fused op."""
    node, kind = linear.node, linear.kind
    inputs = list(node.inputs)
    if linear.weights is not linear.given:
        inputs[1] = graph.add_constant(inputs[1], linear.weights, "DT_FLOAT")
    if linear.bias is None and linear.activation is None:
        graph.set_inputs(node, inputs)
        return
    bias = np.zeros(linear.channels) if linear.bias is None else linear.bias
    added = graph.add_constant(f"{node.name}/bias", bias, "DT_FLOAT")
    if not kind.fused:
        graph.set_inputs(node, inputs)
        _add_bias(graph, node, added)
        return
    # The executors take the first of fused_ops for the bias and the second for the activation, so there are two or one.
    fused, extra = ["BiasAdd"], [added]
    if linear.activation is not None:
        fused.append(linear.activation.op)
        extra += _slopes(graph, node, linear)
        graph.remove(linear.activation)
    node.op = kind.fused
    node.attrs.update(fused_ops=fused, num_args=len(extra))
    graph.set_inputs(node, [*inputs, *extra])


def _slopes(graph: Graph, node: Node, linear: _Linear) -> list[str]:
    activation = linear.activation
    assert activation is not None
    if activation.op == "LeakyRelu":
        node.attrs["leakyrelu_alpha"] = activation.attrs["alpha"]
    if activation.op != "Prelu":
        return []
    alpha: Any = graph.constants[activation.inputs[1]]
    return [graph.add_constant(f"{node.name}/alpha", alpha.reshape(-1), "DT_FLOAT")]


def _add_bias(graph: Graph, node: Node, bias: str) -> None:
    """A separate addition, for ops that TF.js does not fuse."""
    add = Node(graph.free_name(f"{node.name}/BiasAdd"), "AddV2", (bias,))
    users = graph.consumers(node.name)
    name = graph.add(add, graph.types[node.name])
    for user in users:
        graph.set_inputs(user, [name if tensor == node.name else tensor for tensor in user.inputs])
    for output, tensor in graph.outputs.items():
        if tensor == node.name:
            graph.outputs[output] = name
    graph.set_inputs(add, (node.name, bias))
