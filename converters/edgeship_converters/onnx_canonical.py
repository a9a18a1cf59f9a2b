"""An ONNX model whose bytes depend on nothing but the graph it was made from.

tf2onnx and ONNX Runtime's quantizer number what they insert by a counter of the process and keep some of it in sets.
Here nodes and initializers are put in an order that follows from the outputs alone and numbers start again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from edgeship_converters.graph import FrozenGraph

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, ValueInfoProto

_NUMBER = re.compile(r"__\d+(?=[:_/]|$)")


def canonical_model(model: ModelProto, frozen: FrozenGraph) -> ModelProto:
    """A copy of `model` with canonical order and names; dead nodes and hints about shapes inside are left out.

    Inputs and outputs keep their names and get the shapes of `frozen`, a dynamic batch axis is called `batch`.
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
    graph.doc_string = ""
    _Canonical().graph(graph, {value.name: value.name for value in (*graph.input, *graph.output)})
    for values, specs in ((graph.input, frozen.inputs), (graph.output, frozen.outputs)):
        by_name = {value.name: value for value in values}
        del values[:]
        for spec in specs:
            values.add().CopyFrom(by_name[spec.name])
            _set_shape(values[-1], spec.shape)
    return result


class _Canonical:
    """Rewrites a graph and, inside its nodes, the bodies of control flow."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def graph(self, graph: GraphProto, names: dict[str, str]) -> None:
        """Reorder and rename in place; `names` (old -> new) holds what is fixed or comes from an outer graph."""
        self._taken |= set(names.values())
        nodes = _needed(graph)
        for value in (*graph.input, *graph.output):
            if value.name not in names:
                names[value.name] = self._new(value.name)
        for node in nodes:
            for output in node.output:
                if output and output not in names:
                    names[output] = self._new(output)
        initializers = {tensor.name: tensor for tensor in graph.initializer}
        used = [name for name in dict.fromkeys(_inputs(nodes)) if name in initializers]
        used += [value.name for value in graph.output if value.name in initializers and value.name not in used]
        for name in used:
            if name not in names:
                names[name] = self._new(name)
        _replace(graph.initializer, [initializers[name] for name in used])
        for tensor in graph.initializer:
            tensor.name = names[tensor.name]
            tensor.doc_string = ""
        for node in nodes:
            self._node(node, names)
        _replace(graph.node, nodes)
        del graph.value_info[:]
        for value in (*graph.input, *graph.output):
            value.name = names[value.name]

    def _node(self, node: NodeProto, names: dict[str, str]) -> None:
        for side in (node.input, node.output):
            renamed = [names[name] if name else "" for name in side]
            del side[:]
            side.extend(renamed)
        node.name = next(name for name in node.output if name)
        node.doc_string = ""
        attributes = sorted(node.attribute, key=lambda attribute: attribute.name)
        _replace(node.attribute, attributes)
        for attribute in node.attribute:
            for body in [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]:
                body.name = f"{node.name}/{attribute.name}"
                self.graph(body, dict(names))

    def _new(self, old: str) -> str:
        wanted = name = _NUMBER.sub("", old).removesuffix(":0") or "tensor"
        number = 1
        while name in self._taken:
            number += 1
            name = f"{wanted}__{number}"
        self._taken.add(name)
        return name


def _needed(graph: GraphProto) -> list[NodeProto]:
    """Copies of the nodes that the outputs need, depth first, each after what it needs."""
    import onnx

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
                needed = [makers[name] for name in _inputs([graph.node[index]]) if name in makers]
                stack.extend((i, False) for i in reversed(needed))
    copies = []
    for index in order:
        copy = onnx.NodeProto()
        copy.CopyFrom(graph.node[index])
        copies.append(copy)
    return copies


def _inputs(nodes: Iterable[NodeProto]) -> list[str]:
    """Names of all tensors that nodes read, also from within the bodies of control flow."""
    found: list[str] = []
    for node in nodes:
        found += [name for name in node.input if name]
        for attribute in node.attribute:
            for body in [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]:
                found += _inputs(body.node)
                found += [value.name for value in body.output]
    return found


def _replace(field: Any, values: Iterable[Any]) -> None:
    """Set a repeated field of messages."""
    copies = list(values)
    holder = [type(value)() for value in copies]
    for copy, value in zip(holder, copies, strict=True):
        copy.CopyFrom(value)
    del field[:]
    field.extend(holder)


def _set_shape(value: ValueInfoProto, shape: tuple[int | None, ...]) -> None:
    dims = value.type.tensor_type.shape.dim
    del dims[:]
    for axis, size in enumerate(shape):
        dim = dims.add()
        if size is not None:
            dim.dim_value = size
        else:
            dim.dim_param = "batch" if axis == 0 else f"{value.name}_{axis}"
