"""The same computation as a GraphDef that depends on nothing but the model.

TensorFlow numbers functions by a counter of the process, wraps nodes into the scopes of the calls that traced them, and
orders them by when they were made. Here nodes are put in an order that follows from the outputs alone, scopes of calls
are taken off, functions are named by their content, and what only says where a node runs is dropped.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgeship.names import unique

if TYPE_CHECKING:
    from tensorflow.core.framework.function_pb2 import FunctionDef
    from tensorflow.core.framework.graph_pb2 import GraphDef
    from tensorflow.core.framework.node_def_pb2 import NodeDef

#: Attributes that say where and how TensorFlow would run a node, not what it computes.
_RUN_ATTRIBUTES = frozenset(
    {
        "_XlaMustCompile",
        "_class",
        "_collective_manager_ids",
        "_construction_context",
        "_has_manual_control_dependencies",
        "_lower_using_switch_merge",
        "_num_original_outputs",
        "_output_shapes",
        "_read_only_resource_inputs",
        "_stateful_parallelism",
    }
)

Rename = Callable[[str], str]


@dataclass(frozen=True)
class Output:
    """A result of the graph: the tensor (`node` or `node:1`), its dtype number in TensorFlow, and its final name."""

    tensor: str
    dtype: int
    name: str


def canonical_graph(
    graph_def: GraphDef, inputs: Mapping[str, str], outputs: Sequence[Output], clean: Rename
) -> GraphDef:
    """Rewrite a frozen graph without side effects (control dependencies are dropped).

    Args:
        graph_def: placeholders, constants, computation, functional control flow.
        inputs: name of a placeholder node -> its final name, in the order to be written.
        outputs: each becomes an Identity node of its name.
        clean: takes scopes of calls off a node's name; what is no longer unique then gets a number.

    Returns:
        Placeholders first, then nodes in depth-first order from the outputs; dead nodes are gone.
    """
    from tensorflow.core.framework import graph_pb2

    functions = _Functions({function.signature.name: function for function in graph_def.library.function}, clean)
    graph = _Names(graph_def.node, inputs, clean)
    graph.reach((output.tensor for output in outputs), reserved={output.name for output in outputs})
    result = graph_pb2.GraphDef()
    result.versions.CopyFrom(graph_def.versions)
    for name in (*inputs, *graph.order):
        functions.copy_node(graph.nodes[name], graph, result.node.add())
    for output in outputs:
        identity = result.node.add(name=output.name, op="Identity", input=[graph.tensor(output.tensor)])
        identity.attr["T"].type = output.dtype
    functions.write(result)
    return result


class _Functions:
    """The functions that nodes refer to, named by what they compute: a TensorFlow process knows one per name."""

    def __init__(self, library: Mapping[str, FunctionDef], clean: Rename) -> None:
        self._library = library
        self._clean = clean
        self._written: dict[str, FunctionDef] = {}

    def copy_node(self, node: NodeDef, graph: _Names, into: NodeDef) -> None:
        """Copy what the node computes, under the new names."""
        into.name = graph.names[node.name]
        into.op = node.op
        into.input.extend(graph.tensor(tensor) for tensor in _inputs(node))
        for key in sorted(node.attr):
            if key in _RUN_ATTRIBUTES:
                continue
            into.attr[key].CopyFrom(node.attr[key])
            value = into.attr[key]
            for function in [*([value.func] if value.HasField("func") else []), *value.list.func]:
                function.name = self._function(function.name)

    def write(self, result: GraphDef) -> None:
        """Add all functions that were used, those that others use before them."""
        for function in {f.signature.name: f for f in self._written.values()}.values():
            result.library.function.add().CopyFrom(function)

    def _function(self, name: str) -> str:
        if name not in self._written:
            copied = self._copy_function(self._library[name])
            digest = hashlib.sha256(copied.SerializeToString(deterministic=True)).hexdigest()
            copied.signature.name = f"function_{digest[:16]}"
            self._written[name] = copied
        return str(self._written[name].signature.name)

    def _copy_function(self, function: FunctionDef) -> FunctionDef:
        into = type(function)()
        into.signature.is_stateful = function.signature.is_stateful
        arguments = {argument.name: f"argument_{i}" for i, argument in enumerate(function.signature.input_arg)}
        for argument in function.signature.input_arg:
            into.signature.input_arg.add().CopyFrom(argument)
            into.signature.input_arg[-1].name = arguments[argument.name]
        graph = _Names(function.node_def, arguments, self._clean)
        for i, result in enumerate(function.signature.output_arg):
            into.signature.output_arg.add().CopyFrom(result)
            into.signature.output_arg[-1].name = f"result_{i}"
        graph.reach(function.ret[result.name] for result in function.signature.output_arg)
        for i, result in enumerate(function.signature.output_arg):
            into.ret[f"result_{i}"] = graph.tensor(function.ret[result.name])
        for name in graph.order:
            self.copy_node(graph.nodes[name], graph, into.node_def.add())
        for i, attributes in function.arg_attr.items():
            if "_output_shapes" in attributes.attr:
                into.arg_attr[i].attr["_output_shapes"].CopyFrom(attributes.attr["_output_shapes"])
        return into


class _Names:
    """The nodes of a graph or function that its results need, in order, and their new names.

    Identity nodes that only pass a tensor on are left out.
    """

    def __init__(self, nodes: Iterable[NodeDef], fixed: Mapping[str, str], clean: Rename) -> None:
        self.nodes = {node.name: node for node in nodes}
        self.names = dict(fixed)
        self.order: list[str] = []
        self._clean = clean

    def reach(self, roots: Iterable[str], reserved: Iterable[str] = ()) -> None:
        """Find and name the nodes that the root tensors need, each after what it needs."""
        # TensorFlow does not tell names apart by case alone: an output `sum` would lose its name to a node `Sum`.
        taken = {name.lower() for name in (*self.names.values(), *reserved)}
        done = set(self.names)
        for root in roots:
            stack = [(_head(self._source(root)), False)]
            while stack:
                name, ready = stack.pop()
                if ready:
                    self.order.append(name)
                    self.names[name] = unique(self._clean(name), taken, ignore_case=True)
                elif name not in done:
                    done.add(name)
                    stack.append((name, True))
                    needed = [_head(self._source(tensor)) for tensor in _inputs(self.nodes[name])]
                    stack.extend((tensor, False) for tensor in reversed(needed))

    def tensor(self, old: str) -> str:
        """The new name of a tensor: `node`, `node:1`, or in functions `node:output:0`."""
        head, colon, rest = self._source(old).partition(":")
        return self.names[head] if rest == "0" else f"{self.names[head]}{colon}{rest}"

    def _source(self, tensor: str) -> str:
        while (node := self.nodes.get(_head(tensor))) is not None and node.op == "Identity":
            tensor = node.input[0]
        return tensor


def _inputs(node: NodeDef) -> list[str]:
    return [tensor for tensor in node.input if not tensor.startswith("^")]


def _head(tensor: str) -> str:
    return tensor.partition(":")[0]
