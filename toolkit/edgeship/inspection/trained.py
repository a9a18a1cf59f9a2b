"""Trained models, read with the frameworks that they are of [child]: .keras, .h5 and SavedModel.

They are checked by `edgeship.source` first, so that nothing of the file is executed without leave.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeship.errors import UnsupportedModelError
from edgeship.inspection.description import Description, Op, Shape, Signature, Tensor
from edgeship.inspection.keras_json import LAYOUTS, options
from edgeship.inspection.kinds import kind_of
from edgeship.inspection.macs import count
from edgeship.inspection.opened import Opened, counted, is_weight, total_macs
from edgeship.inspection.precision import precision
from edgeship.inspection.tf_graph import Node, ops_of, plain
from edgeship.names import unique
from edgeship.report.layers import STRUCTURE, graph_layers
from edgeship.source import inspect, load, why_not_trainable
from edgeship.types import Source

if TYPE_CHECKING:
    from edgeship.types import Array

_NAMES: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(LAYOUTS, ("kernel", "bias")),
    "BatchNormalization": ("gamma", "beta", "moving_mean", "moving_variance"),
    "Embedding": ("embeddings",),
    "LSTM": ("kernel", "recurrent_kernel", "bias"),
    "GRU": ("kernel", "recurrent_kernel", "bias"),
    "SimpleRNN": ("kernel", "recurrent_kernel", "bias"),
}
#: Attributes of TensorFlow nodes that are shown.
_MAX_SHOWN = 64


def open_trained(
    path: Path, custom_objects: tuple[str, ...], *, allow_unsafe: bool, signature: str | None = None
) -> Opened:
    """Load a .keras, .h5, SavedModel or frozen graph and describe it [child]. Raises as `inspect`."""
    source = inspect(path, custom_objects, allow_unsafe, signature)
    model = load(source)
    if source.loader in ("savedmodel", "graphdef"):
        return _graph(source, model)
    values: dict[str, Any] = {}
    tensors: dict[str, Tensor] = {}
    notes: list[str] = []
    ops = _steps(model, values, tensors, notes) if source.loader == "keras" else None
    if ops is None:
        values, tensors = {}, {}
        ops = list(_layers(model, values, tensors))
    requires = {"Keras": _version(path, source)} if _version(path, source) else {}
    description = _described(source, ops, tensors, notes)
    layers = {op.name: op.stored_bytes for op in description.ops if op.stored_bytes}
    description = replace(description, layers=_with_rest(layers, description.size_bytes))
    return Opened(replace(description, requires=requires), values.get)


def _described(source: Source, ops: Sequence[Op], tensors: Mapping[str, Tensor], notes: Sequence[str]) -> Description:
    used = {op.kernel for op in ops}
    numbers = {
        name: math.prod(size or 0 for size in tensor.shape or ())
        for name, tensor in tensors.items()
        if tensor.constant and is_weight(tensor, name in used)
    }
    found = counted(ops, tensors, numbers)
    macs, uncounted = total_macs(found)
    size = sum(
        f.stat().st_size for f in ([source.path] if source.path.is_file() else source.path.rglob("*")) if f.is_file()
    )
    return Description(
        file=str(source.path),
        format=source.kind,
        facts={
            "kind": source.kind,
            "read by": source.loader,
            "training": "possible" if source.trainable else f"not possible: {why_not_trainable(source)}",
        },
        size_bytes=size,
        sha256=source.sha256,
        inputs=source.inputs,
        outputs=source.outputs,
        ops=found,
        tensors=tuple(tensors.values()),
        parameters=source.parameters,
        macs=macs,
        uncounted=uncounted,
        signatures=(Signature("call", *(tuple(s.name for s in side) for side in (source.inputs, source.outputs))),),
        precision=precision(found, tensors),
        notes=tuple(notes),
    )


def _with_rest(layers: Mapping[str, int], size_bytes: int) -> tuple[tuple[str, int], ...]:
    """Bytes by layer with what the files hold beside them; nothing of files that hold their weights compressed."""
    left = size_bytes - sum(layers.values())
    return (*layers.items(), (STRUCTURE, left)) if left >= 0 else ()


def _version(path: Path, source: Source) -> str:
    """The Keras that wrote a file, by its own word."""
    from edgeship.source import safety

    describe = safety.describe_keras_zip if source.kind == "keras" else safety.describe_hdf5
    return f"written by {version}" if (version := describe(path).keras_version) else ""


def _steps(model: Any, values: dict[str, Any], tensors: dict[str, Tensor], notes: list[str]) -> list[Op] | None:
    """The calls of a Keras 3 model, nested models inlined; None where it is not of plain layers."""
    from edgeship.compress.graph.macs import step_macs
    from edgeship.compress.graph.model import read, unique_names

    try:
        graph = unique_names(read(model))
    except UnsupportedModelError as error:
        notes.append(f"shown layer by layer: {error.message}")
        return None
    names = {ref: name for name, _, _, ref in graph.inputs}
    for name, shape, dtype, _ in graph.inputs:
        tensors[name] = Tensor(name, shape, dtype)
    ops = []
    shared: dict[object, tuple[str, ...]] = {}
    calls: set[str] = set()
    for step in graph.steps:
        try:
            macs = step_macs(step)
        except UnsupportedModelError:
            macs = None
        kind = step.layer.__name__
        key = step.key if step.key is not None else step.name
        weights = shared.setdefault(key, _add_weights(step.name, kind, step.config, step.weights, values, tensors))
        called = unique(step.name, calls)
        outputs = tuple(called if i == 0 else f"{called}:{i}" for i in range(len(step.outputs)))
        names.update(zip(step.outputs, outputs, strict=True))
        for name, ref in zip(outputs, step.outputs, strict=True):
            tensors[name] = Tensor(
                name,
                ref.shape,
                str(step.config.get("dtype") or "float32") if isinstance(step.config.get("dtype"), str) else "float32",
            )
        inputs = (*(names.get(ref, "") for ref in step.inputs), *weights)
        ops.append(_op(called, kind, inputs, outputs, step.config, weights, macs))
    return ops


def _op(
    name: str,
    kind: str,
    inputs: tuple[str, ...],
    outputs: tuple[str, ...],
    config: Mapping[str, Any],
    weights: Sequence[str],
    macs: int | None,
) -> Op:
    kernel = weights[0] if kind in LAYOUTS and weights else ""
    layout = LAYOUTS.get(kind, "") if kernel else ""
    return Op(name, kind, kind_of(kind), inputs, outputs, options(config), None, kernel, layout, macs=macs)


def _add_weights(
    layer: str,
    kind: str,
    config: Mapping[str, Any],
    arrays: Sequence[Any],
    values: dict[str, Any],
    tensors: dict[str, Tensor],
) -> tuple[str, ...]:
    known = _NAMES.get(kind, ())
    if kind == "BatchNormalization":
        known = tuple(n for n in known if config.get({"gamma": "scale", "beta": "center"}.get(n, ""), True))
    found = []
    for index, array in enumerate(arrays):
        name = f"{layer}/{known[index] if index < len(known) else f'weight_{index}'}"
        values[name] = array
        tensors[name] = Tensor(name, tuple(int(n) for n in array.shape), str(array.dtype), int(array.nbytes), True)
        found.append(name)
    return tuple(found)


def _layers(model: Any, values: dict[str, Any], tensors: dict[str, Tensor]) -> Iterator[Op]:
    """Layers of a model of tf_keras, or of one whose calls are its own affair; shapes where the framework has them."""
    names: dict[int, str] = {}
    by_depth = getattr(model, "_nodes_by_depth", None) or getattr(
        getattr(model, "_functional", None), "_nodes_by_depth", {}
    )
    taken: set[str] = set()
    nodes = [node for depth in sorted(by_depth, reverse=True) for node in by_depth[depth]]
    for node in nodes:
        layer = getattr(node, "layer", None) or node.operation
        name = unique(layer.name, taken)
        results = _flat(node.outputs)
        for index, tensor in enumerate(results):
            label = name if index == 0 else f"{name}:{index}"
            names[id(tensor)] = label
            tensors[label] = Tensor(label, tuple(tensor.shape), str(getattr(tensor.dtype, "name", tensor.dtype)))
        if node.is_input:
            continue
        given = _flat(getattr(node, "keras_inputs", None) or getattr(node, "input_tensors", ()))
        read = tuple(names.get(id(tensor), "") for tensor in given)
        yield _layer(layer, name, read, tuple(names[id(t)] for t in results), values, tensors)
    if not nodes:
        for layer in model.layers:
            yield _layer(layer, unique(layer.name, taken), (), (), values, tensors)


def _flat(value: Any) -> list[Any]:
    if isinstance(value, dict):
        value = list(value.values())
    return [item for part in value for item in _flat(part)] if isinstance(value, list | tuple) else [value]


def _layer(
    layer: Any,
    name: str,
    read: tuple[str, ...],
    outputs: tuple[str, ...],
    values: dict[str, Any],
    tensors: dict[str, Tensor],
) -> Op:
    kind = type(layer).__name__
    config = layer.get_config() if hasattr(layer, "get_config") else {}
    arrays = [weight.numpy() for weight in getattr(layer, "weights", ())]
    weights = _add_weights(layer.name, kind, config, arrays, values, tensors)
    op = _op(name, kind, (*read, *weights), outputs, config, weights, None)
    shape = tensors[op.kernel].shape if op.kernel else None
    given = [tensors[n].shape if n in tensors else None for n in read]
    out = tensors[outputs[0]].shape if outputs else None
    nested = hasattr(layer, "layers")
    macs = (
        None
        if nested or (op.kind == "other" and arrays)
        else count(op.kind, kind, (shape, op.layout) if shape else None, given, out)
    )
    return replace(op, macs=macs)


def _graph(source: Source, model: Any) -> Opened:
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    saved = source.loader == "savedmodel"
    if saved:
        function = model.signatures[source.signature]
    else:
        specs = [tf.TensorSpec(spec.shape, spec.dtype, name=spec.name) for spec in source.inputs]
        function = tf.function(model.call, autograph=False).get_concrete_function(*specs)
    graph = convert_variables_to_constants_v2(function).graph
    values: dict[str, Any] = {}
    tensors: dict[str, Tensor] = {}
    nodes = [_node(operation, values, tensors) for operation in graph.get_operations()]
    ops = list(ops_of(nodes, tensors))
    description = _described(source, ops, tensors, ())
    layers = graph_layers(graph.as_graph_def())
    description = replace(description, layers=_with_rest(layers, description.size_bytes))
    if not saved:
        return Opened(description, _reader(values))
    signatures = tuple(
        Signature(str(key), tuple(function.structured_input_signature[1]), tuple(function.structured_outputs))
        for key, function in model.signatures.items()
    )
    requires = {"TensorFlow": str(model.tensorflow_version)} if hasattr(model, "tensorflow_version") else {}
    return Opened(replace(description, signatures=signatures, requires=requires), _reader(values))


def _node(operation: Any, values: dict[str, Any], tensors: dict[str, Tensor]) -> Node:
    constant = operation.type == "Const"
    outputs = []
    for tensor in operation.outputs:
        name = plain(tensor.name)
        shape: Shape | None = tuple(tensor.shape.as_list()) if tensor.shape.rank is not None else None
        size = math.prod(n or 0 for n in shape) * (tensor.dtype.size or 0) if constant and shape is not None else 0
        tensors[name] = Tensor(name, shape, tensor.dtype.name, size, constant)
        outputs.append(name)
        if constant:
            values[name] = operation
    attrs = {key: _attribute(operation, key) for key in operation.node_def.attr} if not constant else {}
    return Node(operation.name, operation.type, tuple(plain(t.name) for t in operation.inputs), tuple(outputs), attrs)


def _attribute(operation: Any, key: str) -> Any:
    """An attribute as JSON has it; None for what is neither number nor text."""
    value = operation.node_def.attr[key]
    kind = value.WhichOneof("value")
    if kind == "s":
        return value.s[:200].decode("utf-8", "replace")
    if kind in ("i", "f", "b"):
        found = getattr(value, kind)
        return found if not isinstance(found, float) or math.isfinite(found) else str(found)
    if kind == "list":
        return [*value.list.i[:_MAX_SHOWN], *value.list.f[:_MAX_SHOWN]]
    return value.func.name if kind == "func" else None


def _reader(operations: Mapping[str, Any]) -> Callable[[str], Array | None]:
    def values(name: str) -> Array | None:
        import numpy as np
        import tensorflow as tf

        operation = operations.get(name)
        if operation is None:
            return None
        array = np.asarray(tf.make_ndarray(operation.node_def.attr["value"].tensor))
        return array if array.dtype.kind in "fiub" else None

    return values
