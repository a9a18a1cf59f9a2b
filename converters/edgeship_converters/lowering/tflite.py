"""Operators in other words for TensorFlow's converter to TFLite."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from edgeship_converters.graph.frozen import FrozenGraph
from edgeship_converters.lowering.rules import MOST_AXES, TFLITE, Rule, lowered

if TYPE_CHECKING:
    from tensorflow.core.framework.graph_pb2 import GraphDef
    from tensorflow.core.framework.node_def_pb2 import NodeDef


def for_tflite(frozen: FrozenGraph) -> FrozenGraph:
    """The graph in operators that TensorFlow's converter has, and converts right."""
    asking = ByReaders(frozen.graph_def)
    own = {"Erf": asking.error_function, "Neg": asking.of_volumes, **rectified(frozen.graph_def)}
    return lowered(frozen, {**TFLITE, **own})


def rectified(graph_def: GraphDef) -> Mapping[str, Rule]:
    """Rules for Relu and Relu6 where a GELU may stand before them; none for other graphs."""
    has_gelu = any(node.op == "Erfc" for node in graph_def.node)
    return {"Relu": gelu_of_rectified, "Relu6": gelu_of_rectified} if has_gelu else {}


def gelu_of_rectified(node: NodeDef, inputs: list[Any]) -> Any:
    """Relu and Relu6 of a GELU, `h x erfc(-s x)`: that is positive where x is, so x is rectified instead.

    The converter makes one operator of a product and what rectifies it, and then does not see the GELU any more.
    """
    import tensorflow as tf

    for one, other in _factors(inputs[0]):
        halved = _by_number(one)
        scaled = _by_number(other.op.inputs[0]) if other.op.type == "Erfc" else None
        if halved is None or scaled is None or scaled[0].op.type != "Neg" or min(halved[1], scaled[1]) <= 0:
            continue
        if scaled[0].op.inputs[0] is halved[0]:
            above = tf.nn.relu(halved[0])
            found = (halved[1] * above) * tf.math.erfc(-above * scaled[1])
            return tf.minimum(found, 6.0) if node.op == "Relu6" else found
    return None


def _by_number(tensor: Any) -> tuple[Any, float] | None:
    """What a product with a constant number multiplies with it, and the number; None for anything else."""
    import tensorflow as tf

    for one, other in _factors(tensor):
        number = tf.get_static_value(one)
        if number is not None and number.ndim == 0:
            return other, float(number)
    return None


def _factors(tensor: Any) -> Iterator[tuple[Any, Any]]:
    """Both orders of the two factors of a product; nothing for anything else."""
    if tensor.op.type == "Mul":
        first, second = tensor.op.inputs
        yield from ((first, second), (second, first))


class ByReaders:
    """Rules for Neg and Erf, which ask who reads them: the converter takes one and what follows for GELU or PRELU.

    A GELU is computed right as a whole, and with Erfc only so, because TFLite does not have that.
    """

    def __init__(self, graph_def: GraphDef) -> None:
        self._readers: dict[str, list[NodeDef]] = {}
        self._nodes = {node.name: node for node in graph_def.node}
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

    def error_function(self, node: NodeDef, inputs: list[Any]) -> Any:
        """Erf by an exponential, but for one in a GELU.

        M. Abramowitz, I. Stegun: Handbook of Mathematical Functions, 7.1.26, which is within 1.5e-7 of it; in float32
        within 6e-7.
        """
        import tensorflow as tf

        (x,) = inputs
        if x.dtype != tf.float32 or self._in_gelu(node):
            return None
        size = tf.abs(x)
        t = 1 / (1 + 0.3275911 * size)
        found = t * 1.061405429
        for factor in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
            found = t * (factor + found)
        above = 1 - found * tf.exp(-(size * size))
        return tf.where(x < 0, -above, above)

    def _in_gelu(self, node: NodeDef) -> bool:
        """Whether one is added to it, and what it is taken of, unscaled, is multiplied with the sum."""
        scaled = self._nodes[node.input[0].partition(":")[0]]
        own = {_full(tensor) for tensor in scaled.input}
        sums = [reader for reader in self._after(node) if reader.op == "AddV2"]
        products = [reader for one in sums for reader in self._after(one) if reader.op == "Mul"]
        products += [reader for one in products for reader in self._after(one) if reader.op == "Mul"]
        factors = {_full(tensor) for one in products for tensor in one.input}
        before = [self._nodes[tensor.partition(":")[0]] for tensor in factors]
        factors |= {_full(tensor) for one in before if one.op == "Mul" for tensor in one.input}
        return scaled.op in ("Mul", "RealDiv") and bool(own & factors)

    def _after(self, node: NodeDef) -> list[NodeDef]:
        return self._readers.get(f"{node.name}:0", [])

    def _free(self, node: NodeDef, tensor: Any) -> bool:
        return bool(tensor.dtype.is_floating) and not self._leads_to(node, "Erfc")

    def _leads_to(self, node: NodeDef, *kinds: str) -> bool:
        """Whether such operators follow one after another, the first of them at once or after one of another kind."""
        after = self._after(node)
        beyond = [reader for one in after for reader in self._after(one)]
        found = [reader for reader in (*after, *beyond) if reader.op == kinds[0]]
        return any(len(kinds) == 1 or self._leads_to(reader, *kinds[1:]) for reader in found)


def _large(tensor: Any) -> bool:
    return tensor.shape.rank is not None and tensor.shape.rank > MOST_AXES


def _full(tensor: str) -> str:
    return tensor if ":" in tensor else f"{tensor}:0"
