"""Operators in other words for TensorFlow's converter to TFLite."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgeship_converters.graph.frozen import FrozenGraph
from edgeship_converters.lowering.rules import MOST_AXES, TFLITE, lowered

if TYPE_CHECKING:
    from tensorflow.core.framework.graph_pb2 import GraphDef
    from tensorflow.core.framework.node_def_pb2 import NodeDef


def for_tflite(frozen: FrozenGraph) -> FrozenGraph:
    """The graph in operators that TensorFlow's converter has, and converts right."""
    return lowered(frozen, {**TFLITE, "Neg": Negations(frozen.graph_def).of_volumes})


class Negations:
    """Rules for Neg, which ask who reads it: the converter takes one and what follows for GELU or PRELU.

    A GELU is computed right as a whole, and only so, because TFLite has no Erfc.
    """

    def __init__(self, graph_def: GraphDef) -> None:
        self._readers: dict[str, list[NodeDef]] = {}
        for node in graph_def.node:
            for tensor in node.input:
                self._readers.setdefault(_full(tensor), []).append(node)

    def of_volumes(self, node: NodeDef, inputs: list[Any]) -> Any:
        """A product where there are more than four axes, which PRELU does not have."""
        return inputs[0] * -1 if self._free(node, inputs[0]) and _large(inputs[0]) else None

    def by_products(self, node: NodeDef, inputs: list[Any]) -> Any:
        """A product wherever it is no part of a PRELU either: the quantizer leaves NEG in float."""
        rectifier = self._leads_to(node, "Relu", "Mul", "AddV2") and inputs[0].shape.rank is not None
        return None if not self._free(node, inputs[0]) or (rectifier and not _large(inputs[0])) else inputs[0] * -1

    def _free(self, node: NodeDef, tensor: Any) -> bool:
        return bool(tensor.dtype.is_floating) and not self._leads_to(node, "Erfc")

    def _leads_to(self, node: NodeDef, *kinds: str) -> bool:
        """Whether such operators follow one after another, the first of them at once or after one of another kind."""
        after = self._readers.get(f"{node.name}:0", [])
        beyond = [reader for one in after for reader in self._readers.get(f"{one.name}:0", [])]
        found = [reader for reader in (*after, *beyond) if reader.op == kinds[0]]
        return any(len(kinds) == 1 or self._leads_to(reader, *kinds[1:]) for reader in found)


def _large(tensor: Any) -> bool:
    return tensor.shape.rank is not None and tensor.shape.rank > MOST_AXES


def _full(tensor: str) -> str:
    return tensor if ":" in tensor else f"{tensor}:0"
