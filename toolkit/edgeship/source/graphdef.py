"""Frozen GraphDefs (`.pb`): their inputs and outputs are found, and they become a function like a SavedModel's [child].

Such a file names neither inputs nor outputs. Inputs are the placeholders that the outputs need; an output is a node
that depends on an input and that no other node reads. Where several are left, the user says which.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeship.archives import implausible
from edgeship.errors import SourceError, first_line
from edgeship.names import safe_names
from edgeship.source.hashing import check_weights, hash_graph
from edgeship.source.signature import Signature
from edgeship.types import Source, TensorSpec

if TYPE_CHECKING:
    from tensorflow.core.framework.graph_pb2 import GraphDef
    from tensorflow.core.framework.node_def_pb2 import NodeDef

#: A protocol buffer message holds no more.
_MAX_BYTES = 2**31 - 1
#: Nodes that give no result of the model.
_NO_RESULT = frozenset({"Assert", "Const", "NoOp", "Placeholder", "PlaceholderV2", "PlaceholderWithDefault", "Print"})
_VARIABLES = frozenset({"VarHandleOp", "Variable", "VariableV2", "AutoReloadVariable"})
_SHOWN = 12


def inspect_graph(path: Path, allow_unsafe: bool, wanted: str | None) -> Source:
    """Look at a frozen graph.

    Args:
        path: of a binary GraphDef.
        allow_unsafe: as for SavedModels.
        wanted: names of its outputs, divided by commas; None where there is but one.

    Raises:
        SourceError: damaged, not frozen, ambiguous, or NaN weights.
        UnsafeModelError: an operator that may do more than compute.
    """
    graph_def, signature, results = _open(path, allow_unsafe, wanted)
    return Source(
        path=path,
        kind="graphdef",
        loader="graphdef",
        sha256=hash_graph(graph_def, results, signature.inputs, signature.outputs),
        inputs=signature.inputs,
        outputs=signature.outputs,
        parameters=check_weights(path.name, float_constants(graph_def)),
        trainable=False,
        allow_unsafe=allow_unsafe,
        signature=wanted or "",
    )


def load_graph(path: Path, allow_unsafe: bool, wanted: str) -> Signature:
    """The graph as something that can be called; raises as `inspect_graph`."""
    return _open(path, allow_unsafe, wanted or None)[1]


def _open(path: Path, allow_unsafe: bool, wanted: str | None) -> tuple[GraphDef, Signature, list[str]]:
    """The graph, its signature, and the nodes that give its outputs."""
    graph_def = read_graph(path, allow_unsafe)
    inputs, results = _ends(path.name, graph_def, wanted)
    signature, tensors = _imported(path.name, graph_def, inputs, results)
    return graph_def, signature, [tensor.partition(":")[0] for tensor in tensors]


def read_graph(path: Path, allow_unsafe: bool) -> GraphDef:
    """The message, checked. Raises SourceError, UnsafeModelError."""
    from google.protobuf.message import DecodeError
    from tensorflow.core.framework import graph_pb2

    from edgeship.source.graphs import check_graph

    size = path.stat().st_size
    if size > _MAX_BYTES:
        raise SourceError(f"{path.name} has {size:,} bytes, more than the 2 GiB that a GraphDef can hold")
    graph_def = graph_pb2.GraphDef()
    try:
        graph_def.ParseFromString(path.read_bytes())
    except DecodeError as error:
        raise SourceError(
            f"{path.name} is no binary GraphDef: {error}", remedy="Give a frozen graph, or a SavedModel folder."
        ) from error
    if not graph_def.node or any(not node.name or not node.op for node in graph_def.node):
        raise SourceError(f"{path.name} holds no graph of TensorFlow", remedy="Give a frozen graph.")
    if len({node.name for node in graph_def.node}) < len(graph_def.node):
        raise SourceError(f"{path.name} holds two nodes of one name", remedy="Freeze the graph again.")
    for node in graph_def.node:
        if node.op in _VARIABLES:
            raise SourceError(
                f"{path.name} is not frozen: {node.name} ({node.op}) is a variable, whose value is in another file",
                remedy="Freeze it first, or give the SavedModel.",
            )
    _check_size(path.name, graph_def, size)
    check_graph(path.name, graph_def, allow_unsafe=allow_unsafe)
    return graph_def


def _check_size(where: str, graph_def: GraphDef, size: int) -> None:
    """Refuse constants that unpack to more than is plausible: one value may stand for many."""
    from tensorflow.python.framework import dtypes

    total = 0
    for node in _nodes(graph_def):
        if node.op == "Const":
            tensor = node.attr["value"].tensor
            item = dtypes.as_dtype(tensor.dtype).size or 1 if tensor.dtype in dtypes._INTERN_TABLE else 1
            total += item * math.prod(max(0, dim.size) for dim in tensor.tensor_shape.dim)
    if implausible(total, size):
        raise SourceError(f"{where} unpacks to {total:,} bytes, more than is plausible")


def _nodes(graph_def: GraphDef) -> Iterator[NodeDef]:
    yield from graph_def.node
    for function in graph_def.library.function:
        yield from function.node_def


def float_constants(graph_def: GraphDef) -> Iterator[tuple[str, Any]]:
    """(name, values) of the constants that may be weights."""
    import tensorflow as tf

    for node in _nodes(graph_def):
        if node.op == "Const":
            array = tf.make_ndarray(node.attr["value"].tensor)
            if array.dtype.kind in "fV":
                yield node.name, array


def _ends(where: str, graph_def: GraphDef, wanted: str | None) -> tuple[list[str], list[str]]:
    """Nodes of the inputs, and nodes or tensors of the outputs. Raises SourceError where they cannot be told."""
    nodes = {node.name: node for node in graph_def.node}
    holders = [node.name for node in graph_def.node if node.op in ("Placeholder", "PlaceholderV2")]
    # A placeholder with a default is a setting (`is_training`), unless it is all there is.
    holders = holders or [node.name for node in graph_def.node if node.op == "PlaceholderWithDefault"]
    if not holders:
        raise SourceError(f"{where} has no placeholder, so no input", remedy="Freeze the graph of a model with inputs.")
    if wanted is None:
        read = {_head(edge) for node in graph_def.node for edge in node.input if not edge.startswith("^")}
        ends = [n.name for n in graph_def.node if n.name not in read and n.op not in _NO_RESULT]
        results = [name for name in ends if _reached(nodes, [name]) & set(holders)]
        if len(results) != 1:
            shown = ", ".join(results[:_SHOWN]) + (", ..." if len(results) > _SHOWN else "")
            what = f"{len(results)} nodes that no other reads ({shown})" if results else "no output that needs an input"
            remedy = f"Say which are outputs: --signature {results[-1]}" if results else "Freeze the graph again."
            raise SourceError(f"{where} has {what}", remedy=f"{remedy}, or several divided by commas")
    else:
        results = [name.strip() for name in wanted.split(",")]
        for name in results:
            if _head(name) not in nodes:
                raise SourceError(f"{where} has no node {name!r}", remedy=f"Its inputs: {', '.join(holders[:_SHOWN])}.")
    needed = _reached(nodes, [_head(name) for name in results])
    return [name for name in holders if name in needed], results


def _reached(nodes: dict[str, NodeDef], roots: Iterable[str]) -> set[str]:
    found: set[str] = set()
    stack = list(roots)
    while stack:
        name = stack.pop()
        if name in nodes and name not in found:
            found.add(name)
            stack += [_head(edge) for edge in nodes[name].input if not edge.startswith("^")]
    return found


def _head(tensor: str) -> str:
    return tensor.removeprefix("^").partition(":")[0]


def _imported(
    where: str, graph_def: GraphDef, inputs: Sequence[str], results: Sequence[str]
) -> tuple[Signature, list[str]]:
    """The graph in TensorFlow as a function of its inputs, and the tensors that it gives."""
    import tensorflow as tf

    try:
        wrapped = tf.compat.v1.wrap_function(lambda: tf.graph_util.import_graph_def(graph_def, name=""), [])
        takes = [wrapped.graph.get_tensor_by_name(f"{name}:0") for name in inputs]
        gives: list[Any] = []
        for name in results:
            operation = wrapped.graph.get_operation_by_name(_head(name))
            gives += [wrapped.graph.get_tensor_by_name(name)] if ":" in name else operation.outputs
        function = wrapped.prune(takes, gives)
    except MemoryError:
        raise
    except Exception as error:
        raise SourceError(
            f"{where} cannot be read by TensorFlow: {first_line(error)}", remedy="Freeze it again."
        ) from error
    _check_shapes(where, takes)
    names = [tensor.name.removesuffix(":0") for tensor in gives]

    def call(*tensors: Any) -> list[Any]:
        found = function(*map(tf.convert_to_tensor, tensors))
        return list(found) if isinstance(found, list | tuple) else [found]

    return Signature(_specs(takes, inputs, "input"), _specs(gives, names, "output"), call), [t.name for t in gives]


def _check_shapes(where: str, takes: Sequence[Any]) -> None:
    for tensor in takes:
        if not tensor.shape.rank:
            what = "a single value" if tensor.shape.rank == 0 else "of no known shape"
            raise SourceError(
                f"{where}: the placeholder {tensor.op.name} is {what}, not a batch of samples",
                remedy="Freeze the graph with that value as a constant, or give the placeholder a shape.",
            )


def _specs(tensors: Sequence[Any], names: Sequence[str], fallback: str) -> tuple[TensorSpec, ...]:
    return tuple(
        TensorSpec(name, (None,) if t.shape.rank is None else tuple(t.shape.as_list()), t.dtype.name)
        for name, t in zip(safe_names(names, fallback), tensors, strict=True)
    )
