"""An ONNX graph computed in TensorFlow, node by node.

What depends on no input is computed at once, so that shapes and axes are known where operators need them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edgeship.errors import UnsupportedModelError, first_line
from edgeship.source.onnx.file import fed
from edgeship.source.onnx.values import Known, Tensor, Value, is_known, plain

#: Operators that draw random numbers: known inputs do not make their results known.
_RANDOM = ("Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike")
#: The oldest and newest operator sets whose operators mean what is computed here.
OPSETS = (7, 28)


@dataclass(frozen=True)
class Node:
    """A node and its attributes as plain Python and NumPy values.

    Attributes:
        outputs: names; empty ones are not wanted.
        opset: the version of the operator set that says what the operator means.
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]
    opset: int

    def get(self, name: str, default: Any) -> Any:
        """An attribute, or its default."""
        return self.attributes.get(name, default)


@dataclass
class Call:
    """A node with the values of its inputs; those that are left out are None."""

    node: Node
    values: list[Value | None] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: int) -> Value:
        value = self.optional(index)
        if value is None:
            raise ValueError(f"it has no input {index}")
        return value

    def optional(self, index: int) -> Value | None:
        """An input, or None where it is left out."""
        return self.values[index] if index < len(self.values) else None

    def given(self) -> list[Value]:
        """The inputs that are there."""
        return [value for value in self.values if value is not None]

    def known(self, index: int, what: str) -> Known | None:
        """An input that must be known before the model runs; None where it is left out."""
        value = self.optional(index)
        if value is None or (isinstance(value, np.ndarray) and value.dtype != object):
            return value
        raise ValueError(f"its {what} is only known when the model runs")


Result = Value | Any | list[Any]
#: Computes a node: one result or a list of them, tensors of TensorFlow in the order of ONNX, or values.
Rule = Callable[[Call], Result]


class Computation:
    """A model that TensorFlow can trace. `call` takes tensors in the order of the model's inputs."""

    def __init__(self, model: Any) -> None:
        from onnx import numpy_helper

        opsets = {entry.domain: entry.version for entry in model.opset_import}
        self._inputs = [value.name for value in fed(model)]
        self._outputs = [value.name for value in model.graph.output]
        self._nodes = [_node(node, opsets) for node in model.graph.node]
        self._weights = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}

    def call(self, *tensors: Any) -> list[Any]:
        """Outputs in the order of the model. Raises UnsupportedModelError naming the node."""
        import tensorflow as tf

        values: dict[str, Value] = dict(self._weights)
        for name, tensor in zip(self._inputs, tensors, strict=True):
            values[name] = Tensor(tf.convert_to_tensor(tensor))
        for node in self._nodes:
            call = Call(node, [values[name] if name else None for name in node.inputs])
            values.update((name, result) for name, result in zip(node.outputs, _run(call), strict=False) if name)
        return [tf.identity(plain(values[name])) for name in self._outputs]


def _run(call: Call) -> list[Value]:
    import tensorflow as tf

    from edgeship.source.onnx.rules import RULES

    node = call.node
    rule = RULES.get(node.op)
    if rule is None:
        raise _unsupported(node, "there is no rule that computes it in TensorFlow")
    if not OPSETS[0] <= node.opset <= OPSETS[1]:
        raise _unsupported(node, f"it is of operator set {node.opset}; those from {OPSETS[0]} to {OPSETS[1]} are read")
    try:
        if is_known(call.given()) and node.op not in _RANDOM:
            with tf.init_scope():
                return [np.asarray(plain(result)) for result in _values(rule(call))]
        with tf.name_scope(_scope(node.name)):
            return _values(rule(call))
    except UnsupportedModelError:
        raise
    except (ValueError, TypeError, NotImplementedError, tf.errors.OpError) as error:
        raise _unsupported(node, first_line(error)) from error


def _values(result: Result) -> list[Value]:
    results = result if isinstance(result, list) else [result]
    return [_sizes(item) if isinstance(item, Tensor | np.ndarray) else Tensor(item) for item in results]


def _sizes(value: Value) -> Value:
    """Sizes that are all known as plain integers."""
    if not isinstance(value, np.ndarray) or value.dtype != object:
        return value
    return value.astype(np.int64) if all(isinstance(n, int | np.integer) for n in value.reshape(-1)) else value


def _unsupported(node: Node, why: str) -> UnsupportedModelError:
    return UnsupportedModelError(
        f"{node.name} ({node.op}) of the ONNX file cannot be computed in TensorFlow: {why}",
        remedy="Replace the operator, choose --to onnx, or give the model that the file was exported from.",
    )


def _scope(name: str) -> str:
    clean = "".join(c if c.isascii() and (c.isalnum() or c in "_./-") else "_" for c in name).strip("/_-.")
    return clean or "node"


def _node(node: Any, opsets: Mapping[str, int]) -> Node:
    name = node.name or (node.output[0] if node.output else node.op_type)
    domain = "" if node.domain == "ai.onnx" else node.domain
    if domain:
        raise UnsupportedModelError(
            f"{name} ({domain}.{node.op_type}) is no operator of ONNX's own set",
            remedy="Export the model without operators of other domains, or choose --to onnx.",
        )
    attributes = {attribute.name: _attribute(attribute) for attribute in node.attribute}
    opset = opsets.get("", opsets.get("ai.onnx", 1))
    return Node(name, node.op_type, tuple(node.input), tuple(node.output), attributes, opset)


def _attribute(attribute: Any) -> Any:
    from onnx import AttributeProto, helper, numpy_helper

    if attribute.type == AttributeProto.TENSOR:
        return numpy_helper.to_array(attribute.t)
    if attribute.type in (AttributeProto.GRAPH, AttributeProto.GRAPHS):
        return None
    value = helper.get_attribute_value(attribute)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return [v.decode("utf-8", "replace") if isinstance(v, bytes) else v for v in value] if _is_list(value) else value


def _is_list(value: Any) -> bool:
    return not isinstance(value, str | int | float) and hasattr(value, "__iter__")
