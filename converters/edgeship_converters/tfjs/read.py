"""From a frozen TensorFlow graph to the small graph of `ir`, with everything constant already computed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Set
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeship.errors import UnsupportedModelError
from edgeship.names import unique
from edgeship_converters.graph.frozen import FrozenGraph
from edgeship_converters.tfjs.ir import Graph, Node, Shape, TensorType

if TYPE_CHECKING:
    from edgeship.types import Array

#: Ops that give their input unchanged in inference.
_TRANSPARENT = frozenset(
    (
        "Identity",
        "StopGradient",
        "PreventGradient",
        "Snapshot",
        "CheckNumerics",
        "EnsureShape",
        "PlaceholderWithDefault",
    )
)
#: A constant part of the graph is computed now unless that would make the file larger by more than this.
_FREE_ELEMENTS = 1024


def read(frozen: FrozenGraph) -> Graph:
    """Build the graph: no control edges, no identities, no dead branches, constants folded by TensorFlow itself."""
    import tensorflow as tf

    imported = tf.Graph()
    with imported.as_default():
        tf.graph_util.import_graph_def(frozen.graph_def, name="")
    sources = _Sources(imported, frozen)
    constants = _constants(imported, sources)
    named = _constant_names(constants, {operation.name for operation in imported.get_operations()})

    def source(tensor: str) -> str:
        found = sources(tensor)
        return named.get(found, found)

    graph = Graph([s.name for s in frozen.inputs], {s.name: source(f"{s.name}:0") for s in frozen.outputs})
    for operation in imported.get_operations():
        if operation.type in ("Const", "NoOp") or operation.type in _TRANSPARENT:
            continue
        if operation.outputs and all(_plain(o.name) in constants for o in operation.outputs):
            continue
        node = Node(
            operation.name,
            operation.type,
            tuple(source(i.name) for i in operation.inputs),
            {name: _value(attribute) for name, attribute in operation.node_def.attr.items()},
        )
        graph.add(node, *(_type(o) for o in operation.outputs))
    for name, (array, dtype) in constants.items():
        graph.constants[named[name]] = array
        graph.types[named[name]] = TensorType(tuple(array.shape), dtype)
    graph.prune()
    return graph


def _constant_names(constants: Iterable[str], taken: Set[str]) -> dict[str, str]:
    """A name of a node for each constant: TF.js would take `split:1` for an output of a node `split`."""
    names, used = {}, set(taken)
    for tensor in constants:
        names[tensor] = tensor if ":" not in tensor else unique(tensor.replace(":", "_"), used)
    return names


def _plain(tensor: str) -> str:
    return tensor.removesuffix(":0")


class _Sources:
    """Follows a tensor back through ops that change nothing."""

    def __init__(self, imported: Any, frozen: FrozenGraph) -> None:
        self._graph = imported
        self._inputs = {spec.name for spec in frozen.inputs}
        self._known: dict[str, str] = {}

    def __call__(self, tensor: str) -> str:
        """The tensor that really holds the value, in the spelling of `ir`."""
        if tensor not in self._known:
            self._known[tensor] = _plain(self._follow(self._graph.get_tensor_by_name(tensor)).name)
        return self._known[tensor]

    def _follow(self, tensor: Any) -> Any:
        operation = tensor.op
        while operation.type in _TRANSPARENT or operation.type == "IdentityN":
            if operation.name in self._inputs:
                break
            tensor = operation.inputs[tensor.value_index]
            operation = tensor.op
        return tensor


def _constants(imported: Any, sources: _Sources) -> dict[str, tuple[Array, str]]:
    """Every tensor that does not depend on an input -> its value and dtype; large results of small inputs excepted."""
    import tensorflow as tf

    constant: dict[str, Any] = {}
    values: dict[str, Array] = {}
    for operation in imported.get_operations():
        if operation.type == "Const":
            constant[operation.name] = operation.outputs[0]
            values[operation.name] = tf.make_ndarray(operation.node_def.attr["value"].tensor)
        elif _foldable(operation, constant, sources):
            constant.update((_plain(o.name), o) for o in operation.outputs)
    missing = [name for name in constant if name not in values]
    if missing:
        with tf.compat.v1.Session(graph=imported, config=_deterministic(tf)) as session:
            values.update(zip(missing, session.run([constant[name] for name in missing]), strict=True))
    return {name: (np.asarray(values[name]), _dtype(tensor)) for name, tensor in constant.items()}


def _foldable(operation: Any, constant: dict[str, Any], sources: _Sources) -> bool:
    if (
        operation.type in _TRANSPARENT
        or not operation.outputs
        or operation.op_def.is_stateful
        or operation.control_inputs
    ):
        return False
    inputs = [sources(tensor.name) for tensor in operation.inputs]
    static_shape = operation.type in ("Shape", "Rank", "Size") and operation.inputs[0].shape.is_fully_defined()
    if not static_shape and (not inputs or any(name not in constant for name in inputs)):
        return False
    if any(not o.shape.is_fully_defined() or o.dtype.name in ("variant", "resource") for o in operation.outputs):
        return False
    given = sum(math.prod(constant[name].shape) for name in inputs if name in constant)
    return bool(sum(math.prod(o.shape) for o in operation.outputs) <= max(given, _FREE_ELEMENTS))


def _deterministic(tf: Any) -> Any:
    """One thread: the same sums in the same order every time."""
    return tf.compat.v1.ConfigProto(intra_op_parallelism_threads=1, inter_op_parallelism_threads=1)


def _dtype(tensor: Any) -> str:
    from tensorflow.core.framework import types_pb2

    return str(types_pb2.DataType.Name(tensor.dtype.as_datatype_enum))


def _type(tensor: Any) -> TensorType:
    known = tensor.shape.rank is not None
    return TensorType(tuple(tensor.shape.as_list()) if known else None, _dtype(tensor))


def _value(attribute: Any) -> Any:
    """An attribute as plain Python; what no pass and no TF.js op reads (tensors, functions) becomes None."""
    from tensorflow.core.framework import types_pb2

    kind = attribute.WhichOneof("value")
    readers: dict[str, Callable[[Any], Any]] = {
        "s": lambda text: text.decode("utf-8", "replace"),
        "type": types_pb2.DataType.Name,
        "f": lambda number: float(str(np.float32(number))),  # the shortest decimal that is this float32
        "shape": _shape,
        "list": _list,
        "i": int,
        "b": bool,
    }
    return readers[kind](getattr(attribute, kind)) if kind in readers else None


def _shape(shape: Any) -> Shape | None:
    return None if shape.unknown_rank else tuple(None if d.size < 0 else int(d.size) for d in shape.dim)


def _list(values: Any) -> list[Any]:
    if values.s:
        return [text.decode("utf-8", "replace") for text in values.s]
    return [*values.i, *values.f, *values.b]


def narrow(graph: Graph) -> None:
    """Bring constants to the dtypes that TF.js has: float32, int32 and bool.

    Raises UnsupportedModelError for an integer that int32 cannot hold, and for strings.
    """
    for name, array in graph.constants.items():
        if array.dtype.kind == "f" or array.dtype.name == "bfloat16":
            graph.constants[name] = array.astype(np.float32)
        elif array.dtype.kind in "iu":
            graph.constants[name] = _int32(graph, name, array)
        elif array.dtype.kind != "b":
            raise UnsupportedModelError(
                f"the constant {name} is of dtype {array.dtype}, which TF.js models of ours cannot hold",
                remedy="Allowed are floating point, integer and boolean constants.",
            )


def _int32(graph: Graph, name: str, array: Array) -> Array:
    limits = np.iinfo(np.int32)
    if array.size and (array.min() < limits.min or array.max() > limits.max):
        if any(node.op not in ("StridedSlice", "Slice") for node in graph.consumers(name)):
            raise UnsupportedModelError(
                f"the constant {name} holds integers beyond 32 bits, which TF.js does not have",
                remedy="Do this arithmetic outside the model.",
            )
        array = np.clip(array, limits.min, limits.max)  # a slice bound that far out means the end of the axis
    return array.astype(np.int32)
