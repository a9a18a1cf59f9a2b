"""An ONNX model whose bytes depend on nothing but the graph it was made from.

tf2onnx keeps nodes in sets ordered by memory address, merges equal nodes in that order and numbers what it inserts by a
counter of the process; ONNX Runtime's quantizer orders by sets of strings. Here nodes and initializers are put in an
order that follows from the outputs alone, and names that tf2onnx chose by chance are replaced.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from edgeship.names import unique
from edgeship.types import TensorSpec

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, ValueInfoProto

_NUMBER = re.compile(r"__\d+$")
#: Nodes with weights of their own, which tf2onnx has no reason to merge: they keep the name from the model.
_WEIGHTED = frozenset({"Conv", "ConvTranspose", "Gemm", "GRU", "LSTM", "MatMul", "RNN"})


def canonical_model(
    model: ModelProto, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...], *, rename: bool = False
) -> ModelProto:
    """A copy of `model` in canonical order, without dead nodes, unused initializers and hints about inner shapes.

    Inputs and outputs keep their names and get the given shapes and order; a dynamic batch axis is called `batch`.

    Args:
        model: any ONNX model.
        inputs: of what it was made from.
        outputs: of what it was made from.
        rename: give inner nodes and tensors names that follow from the order too (the model comes from tf2onnx).
    """
    import onnx

    result = onnx.ModelProto()
    result.CopyFrom(model)
    result.doc_string = ""
    result.producer_name = "edgeship"
    result.producer_version = version("edgeship")
    del result.metadata_props[:]
    graph = result.graph
    graph.name = "model"
    if rename:
        _remove_identities(graph, {})
    _order(graph)
    if rename:
        _Names(graph).rename(graph, "", {})
    for values, specs in ((graph.input, inputs), (graph.output, outputs)):
        by_name = {value.name: value for value in values}
        _replace(values, [by_name[spec.name] for spec in specs])
        for value, spec in zip(values, specs, strict=True):
            _set_shape(value, spec.shape)
    return result


def _remove_identities(graph: GraphProto, outer: dict[str, str]) -> None:
    """Drop nodes that only pass a tensor on; of equal outputs, the first is computed and the others are copies.

    `outer` maps tensors of the graphs around this one to what stands for them now.
    """
    passed_on = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "Identity"}
    nodes = [node for node in graph.node if node.op_type != "Identity"]
    made = {name for node in nodes for name in node.output}
    stands_for = dict(outer)
    copies = []
    for value in graph.output:
        tensor = value.name
        while tensor in passed_on:
            tensor = passed_on[tensor]
        if tensor in made and tensor not in stands_for:
            stands_for[tensor] = value.name
        elif tensor in stands_for or tensor != value.name:
            copies.append((tensor, value.name))
    for old in passed_on:
        tensor = old
        while tensor in passed_on:
            tensor = passed_on[tensor]
        stands_for[old] = stands_for.get(tensor, tensor)
    for node in nodes:
        for side in (node.input, node.output):
            _replace_names(side, stands_for)
        for _, body in bodies(node):
            _remove_identities(body, stands_for)
    _replace(graph.node, nodes)
    for tensor, name in copies:
        graph.node.add(op_type="Identity", input=[stands_for.get(tensor, tensor)], output=[name])


def _order(graph: GraphProto) -> None:
    """Put nodes depth first from the outputs, each after what it needs, and initializers by their first use."""
    makers = {output: i for i, node in enumerate(graph.node) for output in node.output if output}
    order: list[int] = []
    done: set[int] = set()
    for value in graph.output:
        stack = [(makers[value.name], False)] if value.name in makers else []
        while stack:
            index, ready = stack.pop()
            if ready:
                order.append(index)
            elif index not in done:
                done.add(index)
                stack.append((index, True))
                stack.extend((makers[n], False) for n in reversed(read_by(graph.node[index])) if n in makers)
    _replace(graph.node, [graph.node[index] for index in order])
    used = [name for node in graph.node for name in read_by(node)] + [value.name for value in graph.output]
    initializers = {tensor.name: tensor for tensor in graph.initializer}
    _replace(graph.initializer, [initializers[name] for name in dict.fromkeys(used) if name in initializers])
    del graph.value_info[:]
    graph.doc_string = ""
    for node in graph.node:
        node.doc_string = ""
        _replace(node.attribute, sorted(node.attribute, key=lambda attribute: attribute.name))
        for _, body in bodies(node):
            _order(body)


def bodies(node: NodeProto) -> Iterator[tuple[str, GraphProto]]:
    """The graphs inside a node of control flow, with the names of their attributes."""
    for attribute in node.attribute:
        for body in [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]:
            yield attribute.name, body


def read_by(node: NodeProto) -> list[str]:
    """All tensors that a node reads, also from within its bodies."""
    found = [name for name in node.input if name]
    for _, body in bodies(node):
        found += [name for inner in body.node for name in read_by(inner)]
        found += [value.name for value in body.output]
    return found


class _Names:
    """New names for everything inside a model: from the operator, its number, and the node it lies in."""

    def __init__(self, graph: GraphProto) -> None:
        self._taken = {value.name for value in (*graph.input, *graph.output)}
        self._fixed = frozenset(self._taken)
        self._count: Counter[str] = Counter()

    def rename(self, graph: GraphProto, scope: str, outer: dict[str, str]) -> None:
        """Rename in place; `outer` maps old to new names of the graphs around this one."""
        names = dict(outer)
        for i, value in enumerate(graph.input):
            names[value.name] = value.name if value.name in self._fixed else self._unique(f"{scope}input_{i}")
        weights = {tensor.name for tensor in graph.initializer}
        for node in graph.node:
            self._name(node, scope, names, weights)
        for tensor in graph.initializer:
            names.setdefault(tensor.name, tensor.name if tensor.name in self._fixed else self._unique(f"{scope}value"))
        for node in graph.node:
            for attribute, body in bodies(node):
                _forget_sizes((*body.input, *body.output))
                body.name = f"{node.name}/{attribute}"
                self.rename(body, f"{body.name}/", names)
            for side in (node.input, node.output):
                _replace_names(side, names)
        for holder in (graph.initializer, graph.input, graph.output):
            for item in holder:
                item.name = names[item.name]

    def _name(self, node: NodeProto, scope: str, names: dict[str, str], weights: set[str]) -> None:
        """Choose the names of a node, its outputs, and the weights that it is the first to use."""
        result = next(name for name in node.output if name)
        if result in self._fixed:
            node.name = result
        elif node.op_type in _WEIGHTED and weights & set(node.input):
            node.name = self._unique(scope + _NUMBER.sub("", node.name))
        else:
            self._count[node.op_type] += 1
            node.name = self._unique(f"{scope}{node.op_type}_{self._count[node.op_type]}")
        for i, output in enumerate(node.output):
            if output:
                plain = node.name if output == result else self._unique(f"{node.name}:{i}")
                names[output] = output if output in self._fixed else plain
        for slot, name in zip(_slots(node), node.input, strict=True):
            if name in weights and name not in names:
                names[name] = name if name in self._fixed else self._unique(f"{node.name}/{slot}")

    def _unique(self, wanted: str) -> str:
        return unique(wanted, self._taken)


def _forget_sizes(values: Iterable[ValueInfoProto]) -> None:
    """Take off the numbered names of unknown sizes; they are unknown without a name too."""
    for value in values:
        for dim in value.type.tensor_type.shape.dim:
            if dim.HasField("dim_param"):
                dim.Clear()


def _slots(node: NodeProto) -> list[str]:
    """What the operator calls its inputs: `X`, `W`, `B`."""
    import onnx

    known: list[str] = []
    if onnx.defs.has(node.op_type, node.domain):
        known = [item.name for item in onnx.defs.get_schema(node.op_type, node.domain).inputs]
    return [known[i] if i < len(known) else f"input_{i}" for i in range(len(node.input))]


def _replace_names(field: Any, names: dict[str, str]) -> None:
    renamed = [names.get(name, name) for name in field]
    del field[:]
    field.extend(renamed)


def _replace(field: Any, values: Iterable[Any]) -> None:
    """Set a repeated field to (copies of) messages, some of which may be its own."""
    copies = []
    for value in values:
        copies.append(type(value)())
        copies[-1].CopyFrom(value)
    del field[:]
    field.extend(copies)


def _set_shape(value: ValueInfoProto, shape: tuple[int | None, ...]) -> None:
    dims = value.type.tensor_type.shape.dim
    del dims[:]
    for axis, size in enumerate(shape):
        dim = dims.add()
        if size is not None:
            dim.dim_value = size
        else:
            dim.dim_param = "batch" if axis == 0 else f"{value.name}_{axis}"
