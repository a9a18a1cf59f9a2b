"""Passes that remove or replace nodes without touching weights: reshapes, no-ops."""

from __future__ import annotations

import numpy as np

from edgeship_converters.tfjs.ir import Graph, Node, Shape, TensorType

_RESHAPING = frozenset(("Reshape", "Squeeze", "ExpandDims"))


def simplify(graph: Graph) -> None:
    """Run all passes of this module, each over the nodes in order."""
    for rewrite in (_skip_noop, _to_reshape):
        for node in list(graph.ordered()):
            rewrite(graph, node)
    graph.prune()


def reshape(graph: Graph, tensor: str, shape: Shape, name: str) -> str:
    """A tensor in another shape (at most one axis dynamic); no node where it has that shape already."""
    if graph.shape(tensor) == shape:
        return tensor
    target = graph.add_constant(f"{name}/shape", _as_target(shape), "DT_INT32")
    free = graph.free_name(name)
    return graph.add(Node(free, "Reshape", (tensor, target)), TensorType(shape, graph.types[tensor].dtype))


def reshapable(shape: Shape | None) -> bool:
    """Whether a constant can say this shape: rank known, at most one dynamic axis, no empty one."""
    return shape is not None and shape.count(None) <= 1 and 0 not in shape


def _as_target(shape: Shape) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
    return np.array([-1 if d is None else d for d in shape], np.int32)


def _to_reshape(graph: Graph, node: Node) -> None:
    """Squeeze, ExpandDims and computed shapes become a Reshape to a constant; a chain becomes one; none where equal."""
    if node.op not in _RESHAPING:
        return
    given, shape = node.inputs[0], graph.shape(node.name)
    if shape is None or not reshapable(shape):
        return
    before = graph.producer(given)
    if before is not None and before.op == "Reshape":
        given = before.inputs[0]
    if graph.shape(given) == shape:
        graph.redirect(node.name, given)
        return
    target = graph.add_constant(f"{node.name}/shape", _as_target(shape), "DT_INT32")
    node.op, node.attrs = "Reshape", {}
    graph.set_inputs(node, (given, target))


def _skip_noop(graph: Graph, node: Node) -> None:
    """Remove what changes nothing: a cast to the same dtype, adding 0, multiplying by 1, an identical layout."""
    if not node.inputs or graph.types[node.inputs[0]] != graph.types.get(node.name):
        kept = _neutral(graph, node)
    elif node.op == "Cast" or (node.op in ("Transpose", "Pad", "PadV2", "Tile", "BroadcastTo") and _idle(graph, node)):
        kept = node.inputs[0]
    else:
        kept = _neutral(graph, node)
    if kept is not None:
        graph.redirect(node.name, kept)


def _idle(graph: Graph, node: Node) -> bool:
    """Whether an op on the layout leaves its input as it is; types are known to be equal."""
    argument = graph.constant(node.inputs[1])
    if node.op == "Transpose":
        return argument is not None and argument.tolist() == list(range(argument.size))
    if node.op in ("Pad", "PadV2"):
        return argument is not None and not argument.any()
    if node.op == "Tile":
        return argument is not None and bool((argument == 1).all())
    shape = graph.shape(node.name)
    return shape is not None and None not in shape


_NEUTRAL = {"AddV2": 0, "Add": 0, "BiasAdd": 0, "Sub": 0, "Mul": 1, "RealDiv": 1}
_COMMUTATIVE = frozenset(("AddV2", "Add", "Mul"))


def _neutral(graph: Graph, node: Node) -> str | None:
    if node.op not in _NEUTRAL:
        return None
    orders = [node.inputs, node.inputs[::-1]] if node.op in _COMMUTATIVE else [node.inputs]
    for value, other in orders:
        array = graph.constant(other)
        if array is not None and graph.types[value] == graph.types[node.name] and (array == _NEUTRAL[node.op]).all():
            return value
    return None
