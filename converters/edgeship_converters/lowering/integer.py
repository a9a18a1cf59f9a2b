"""Operators in other words for TensorFlow's quantizer: those that it leaves in float, or that lose much in integers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from edgeship_converters.graph.frozen import FrozenGraph
from edgeship_converters.lowering.rules import TFLITE, Rule, lowered
from edgeship_converters.lowering.tflite import ByReaders, rectified

if TYPE_CHECKING:
    from tensorflow.core.framework.graph_pb2 import GraphDef
    from tensorflow.core.framework.node_def_pb2 import NodeDef


def for_integers(frozen: FrozenGraph) -> FrozenGraph:
    """The graph in operators that TensorFlow's quantizer has in integers, and that lose little by it."""
    centered = replace(frozen, graph_def=centered_norms(frozen.graph_def))
    return lowered(centered, _rules(centered.graph_def))


def _rules(graph_def: GraphDef) -> Mapping[str, Rule]:
    return {
        **TFLITE,
        "Elu": linear_unit_by_exponential,
        "Neg": ByReaders(graph_def).by_products,
        "Square": square_by_product,
        "SquaredDifference": squared_difference_by_product,
        **rectified(graph_def),
    }


def square_by_product(node: NodeDef, inputs: list[Any]) -> Any:  # noqa: ARG001 - a Rule
    """Square."""
    return inputs[0] * inputs[0] if inputs[0].dtype.is_floating else None


def squared_difference_by_product(node: NodeDef, inputs: list[Any]) -> Any:  # noqa: ARG001 - a Rule
    """SquaredDifference, which LiteRT does not run with int16."""
    difference = inputs[0] - inputs[1]
    return difference * difference if difference.dtype.is_floating else None


def linear_unit_by_exponential(node: NodeDef, inputs: list[Any]) -> Any:  # noqa: ARG001 - a Rule
    """Elu: max(x, 0) + exp(x - max(x, 0)) - 1."""
    import tensorflow as tf

    above = tf.nn.relu(inputs[0])
    return above + (tf.exp(inputs[0] - above) - 1)


def centered_norms(graph_def: GraphDef) -> GraphDef:
    """Normalizations that compute `x * s + (beta - mean * s)`, as Keras 3 does, by `(x - mean) * s + beta`.

    Of the two products, each is as large as the mean over the spread of a sample makes it, and the result is their
    small difference: little of it is left when both were rounded to 8 bits. Constant ones (batch normalization) stay:
    the converter folds them into the layer before.
    """
    nodes = {node.name: node for node in graph_def.node}
    found = type(graph_def)()
    found.CopyFrom(graph_def)
    del found.node[:]
    constant: set[str] = set()
    for node in graph_def.node:  # in topological order
        if node.op == "Const" or (node.input and constant.issuperset(_node(tensor) for tensor in node.input)):
            constant.add(node.name)
        match = next(_normalizations(node, nodes), None)
        if match is None or _node(match[1]) in constant:
            found.node.add().CopyFrom(node)
            continue
        values, mean, scale, offset = match
        names = [f"{node.name}_{part}" for part in ("centered", "scaled")]
        if offset is None:
            names[1] = node.name
        steps = [("Sub", names[0], values, mean), ("Mul", names[1], names[0], scale)]
        steps += [] if offset is None else [("AddV2", node.name, names[1], offset)]
        for kind, name, first, second in steps:
            found.node.add(op=kind, name=name, input=[first, second]).attr["T"].CopyFrom(node.attr["T"])
    return found


def _normalizations(node: NodeDef, nodes: Mapping[str, NodeDef]) -> Iterator[tuple[str, str, str, str | None]]:
    """(x, mean, s, beta or None) where a node is the last of such a normalization."""
    for product, rest in _pairs(node, "AddV2"):
        for values, scale in _pairs(nodes.get(product), "Mul"):
            for shift, offset in ((rest, None), *_pairs(nodes.get(rest), "AddV2")):
                for negative, again in _pairs(nodes.get(shift), "Mul"):
                    head = nodes.get(negative)
                    if again == scale and head is not None and head.op == "Neg":
                        yield values, head.input[0], scale, offset


def _pairs(node: NodeDef | None, kind: str) -> Iterator[tuple[str, str]]:
    """Both orders of the two inputs of a node, if it is of the kind."""
    if node is not None and node.op == kind:
        first, second = node.input[:2]
        yield from ((first, second), (second, first))


def _node(tensor: str) -> str:
    return tensor.partition(":")[0]
