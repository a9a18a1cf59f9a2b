"""Loops of a frozen graph written out, step by step, where their number of steps follows from the graph itself.

Keras layers unroll themselves; the loops of a SavedModel, or of TensorFlow code, are part of the graph. The lists of
tensors, in which TensorFlow collects what steps give, become the tensors themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from edgeship_converters.graph.frozen import FrozenGraph
from edgeship_converters.lowering.branches import known_sizes, value_of
from edgeship_converters.lowering.rules import Copy, Rule, lowered

if TYPE_CHECKING:
    from tensorflow.core.framework.function_pb2 import FunctionDef
    from tensorflow.core.framework.graph_pb2 import GraphDef
    from tensorflow.core.framework.node_def_pb2 import NodeDef

#: Longer loops would make graphs that nobody wants to run.
MOST_STEPS = 1000
#: What counts steps is no larger than this.
_MOST_NUMBERS = 16
_ARITHMETIC = ("Add", "AddV2", "Sub", "Mul", "Less", "LessEqual", "Greater", "GreaterEqual", "LogicalAnd", "Minimum")


class _CannotUnroll(Exception):
    """How long a loop runs hangs on the data, or it does something else that cannot be written out."""


@dataclass(frozen=True)
class _List:
    """A TensorList: its tensors, None for those that were not set yet."""

    items: tuple[Any, ...]


def unrolled(frozen: FrozenGraph) -> FrozenGraph:
    """The graph without loops; as it is where one of them cannot be unrolled."""
    try:
        found = lowered(frozen, _Unrolling(frozen.graph_def.library.function).rules)
    except _CannotUnroll:
        return frozen
    if not any(attribute.HasField("func") for node in found.graph_def.node for attribute in node.attr.values()):
        del found.graph_def.library.function[:]
    return replace(found)


class _Unrolling:
    """The rules, and the functions that they inline."""

    def __init__(self, functions: Sequence[FunctionDef]) -> None:
        self._functions = {function.signature.name: function for function in functions}
        self._bodies: dict[str, tuple[GraphDef, list[str], list[str]]] = {}
        self.rules: Mapping[str, Rule] = {
            "If": self._branch,
            "StatelessIf": self._branch,
            "StatelessWhile": self._loop,
            "StridedSlice": known_sizes,
            "TensorListFromTensor": _from_tensor,
            "TensorListGetItem": _get,
            "TensorListLength": _length,
            "TensorListReserve": _reserve,
            "TensorListSetItem": _set,
            "TensorListStack": _stack,
            "While": self._loop,
            **dict.fromkeys(_ARITHMETIC, _folded),
        }

    def _loop(self, node: NodeDef, inputs: list[Any]) -> Any:
        """As many copies of the body as the condition, which must be known, is true."""
        import tensorflow as tf

        values = inputs
        for step in range(MOST_STEPS + 1):
            with tf.name_scope(f"step_{step}"):
                (going,) = self._inlined(node.attr["cond"].func.name, values)
                known = None if isinstance(going, _List) else value_of(going)
                if known is None:
                    raise _CannotUnroll
                if not known:
                    return values
                values = self._inlined(node.attr["body"].func.name, values)
        raise _CannotUnroll

    def _branch(self, node: NodeDef, inputs: list[Any]) -> Any:
        taken = value_of(inputs[0])
        if taken is None:
            return None
        return self._inlined(node.attr["then_branch" if taken else "else_branch"].func.name, inputs[1:])

    def _inlined(self, name: str, arguments: Sequence[Any]) -> list[Any]:
        """The results of a function, computed in the graph that is being written."""
        graph_def, parameters, results = self._body(name)
        given = dict(zip(parameters, arguments, strict=True))
        copy = Copy(graph_def, {**self.rules, "Placeholder": _given(given)})
        copy.run()
        return [copy.tensor(result) for result in results]

    def _body(self, name: str) -> tuple[GraphDef, list[str], list[str]]:
        from tensorflow.python.framework.function_def_to_graph import function_def_to_graph_def

        if name not in self._bodies:
            function = self._functions.get(name)
            if function is None:
                raise _CannotUnroll
            graph_def, flat = function_def_to_graph_def(function)
            del graph_def.library.function[:]
            parameters = [argument.name for argument in function.signature.input_arg]
            results = [flat[function.ret[result.name]] for result in function.signature.output_arg]
            known = self.rules.keys()
            if any(a.HasField("func") and node.op not in known for node in graph_def.node for a in node.attr.values()):
                raise _CannotUnroll
            self._bodies[name] = graph_def, parameters, results
        return self._bodies[name]


def _given(arguments: Mapping[str, Any]) -> Rule:
    return lambda node, _: arguments[node.name]


def _folded(node: NodeDef, inputs: list[Any]) -> Any:
    """Arithmetic on a few known numbers, such as the count of steps, done now."""
    import numpy as np
    import tensorflow as tf

    values = [None if isinstance(tensor, _List) else tf.get_static_value(tensor) for tensor in inputs]
    if any(value is None or np.size(value) > _MOST_NUMBERS for value in values):
        return None
    compute: Mapping[str, Callable[..., Any]] = {
        "Add": np.add,
        "AddV2": np.add,
        "Greater": np.greater,
        "GreaterEqual": np.greater_equal,
        "Less": np.less,
        "LessEqual": np.less_equal,
        "LogicalAnd": np.logical_and,
        "Minimum": np.minimum,
        "Mul": np.multiply,
        "Sub": np.subtract,
    }
    return tf.constant(compute[node.op](*values))


def _index(tensor: Any) -> int:
    found = value_of(tensor)
    if found is None:
        raise _CannotUnroll
    return int(found)


def _items(held: Any) -> tuple[Any, ...]:
    if not isinstance(held, _List):
        raise _CannotUnroll
    return held.items


def _from_tensor(node: NodeDef, inputs: list[Any]) -> Any:  # noqa: ARG001 - a Rule
    import tensorflow as tf

    if inputs[0].shape.rank is None or inputs[0].shape[0] is None:
        raise _CannotUnroll
    return _List(tuple(tf.unstack(inputs[0])))


def _reserve(node: NodeDef, inputs: list[Any]) -> Any:  # noqa: ARG001 - a Rule
    return _List((None,) * _index(inputs[1]))


def _get(node: NodeDef, inputs: list[Any]) -> Any:  # noqa: ARG001 - a Rule
    items, index = _items(inputs[0]), _index(inputs[1])
    if not 0 <= index < len(items) or items[index] is None:
        raise _CannotUnroll
    return items[index]


def _set(node: NodeDef, inputs: list[Any]) -> Any:  # noqa: ARG001 - a Rule
    items, index = list(_items(inputs[0])), _index(inputs[1])
    if not 0 <= index < len(items):
        raise _CannotUnroll
    items[index] = inputs[2]
    return _List(tuple(items))


def _length(node: NodeDef, inputs: list[Any]) -> Any:  # noqa: ARG001 - a Rule
    import tensorflow as tf

    return tf.constant(len(_items(inputs[0])), tf.int32)


def _stack(node: NodeDef, inputs: list[Any]) -> Any:  # noqa: ARG001 - a Rule
    import tensorflow as tf

    items = _items(inputs[0])
    if not items or any(item is None for item in items):
        raise _CannotUnroll
    return tf.stack(list(items))
