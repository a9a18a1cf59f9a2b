"""What Keras 3 traces differently for a batch of one, as it is for any other.

Keras takes the second term of a sum for a bias where only one of its axes is longer than 1, and gives it to BiasAdd
without the others (`keras.src.backend.tensorflow.numpy.add`). With a batch axis of 1 that is any tensor with one other
axis: (1, 7, 1) would be added along the last axis of (1, 7, 7), or to a tensor of a rank that BiasAdd cannot take.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from edgeship_converters.graph.frozen import FrozenGraph

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tensorflow.core.framework.node_def_pb2 import NodeDef

#: Operators with one input beside the shape or the axes.
_RESHAPING = ("Cast", "ExpandDims", "Identity", "Reshape", "Transpose")


def with_sums(frozen: FrozenGraph) -> FrozenGraph:
    """The graph with sums in place of BiasAdd where the bias was computed, as it is where there is none."""
    graph_def = type(frozen.graph_def)()
    graph_def.CopyFrom(frozen.graph_def)
    changed = bool(_restore(graph_def.node))
    for function in graph_def.library.function:
        renamed = {f"{name}:output:0": f"{name}:z:0" for name in _restore(function.node_def)}
        for node in function.node_def:
            node.input[:] = [renamed.get(tensor, tensor) for tensor in node.input]
        for result, tensor in function.ret.items():
            function.ret[result] = renamed.get(tensor, tensor)
        changed |= bool(renamed)
    return replace(frozen, graph_def=graph_def) if changed else frozen


def _restore(nodes: Iterable[NodeDef]) -> list[str]:
    """Change the nodes of a graph or a function; the names of those."""
    named = {node.name: node for node in nodes}
    found = []
    for node in named.values():
        if node.op != "BiasAdd":
            continue
        squeeze = named.get(_node(node.input[1]))
        if squeeze is None or squeeze.op != "Squeeze" or _is_constant(squeeze.input[0], named):
            continue
        node.op, node.input[1] = "AddV2", squeeze.input[0]
        del node.attr["data_format"]
        found.append(node.name)
    return found


def _is_constant(tensor: str, named: dict[str, NodeDef]) -> bool:
    """Whether a tensor is a constant or made of one alone; then Keras means the bias for every batch."""
    node = named.get(_node(tensor))
    while node is not None and len(node.input) and node.op in _RESHAPING:
        node = named.get(_node(node.input[0]))
    return node is not None and node.op == "Const"


def _node(tensor: str) -> str:
    return tensor.partition(":")[0]
