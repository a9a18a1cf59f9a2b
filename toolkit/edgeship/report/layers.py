"""Where the bytes of an exported file are: by layer, read from the file or its sidecar without running it.

Each constant is counted for the operation that uses it first, through the quantize, cast and reshape nodes between
them; operations are named as the model names them where the file still says so. What is no constant (the graph, its
metadata, padding) is one last entry, so that the entries add up to the size of the artifact.
"""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeship.errors import ArtifactError, MissingPackageError
from edgeship.types import Artifact

#: The name of what is left when the constants are taken away.
STRUCTURE = "(graph and metadata)"

#: Operations that only hand a constant on, in the words of the three formats.
_TRANSPARENT = {"DequantizeLinear", "QuantizeLinear", "Cast", "Transpose", "Reshape", "Identity", "DEQUANTIZE", "CAST"}

#: Last parts of a tensor's name that say which operation it is, not which layer.
_OPERATION = re.compile(
    r"(Conv2D|Conv1D|convolution|depthwise|separable_conv2d|MatMul|Tensordot|Einsum|BiasAdd|Add|AddV2|add|Mul|Sub|Relu6?"
    r"|Softmax|Sigmoid|Tanh|FusedBatchNormV3|BatchNorm_Fold|batchnorm|ReadVariableOp|Cast|resource|Const|Identity|Rsqrt"
    r"|Squeeze|ExpandDims|Reshape|Transpose|variable|shape|flat|mul|Mean|merged_input|reduction_indices|axes|weights|weights_quant|bias|biases|FakeQuant\w*)_?\d*"
)

_COMPUTES = re.compile(r"/(Conv[12]D|convolution|depthwise|separable_conv2d|MatMul|Tensordot|Einsum)_?\d*($|[/:])")

#: What the quantization of ONNX files adds to a name.
_ADDED = re.compile(r"^ConvMulFusion_W_|_(quantized|zero_point|scale)(__\d+)?$")

#: Names that converters invent.
_INVENTED = re.compile(
    r"(Identity|StatefulPartitionedCall|PartitionedCall|Conv)?[_:.\d]*$|tfl\.|arith\.|const_|unknown|Func/|\w*const_fold"
)

#: Files larger than this are not read for a picture.
_LIMIT_BYTES = 1 << 30


@dataclass(frozen=True)
class _Node:
    name: str
    operation: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def layer_bytes(artifact: Artifact) -> list[tuple[str, int]]:
    """Bytes by layer, in the order of the graph, ending with `STRUCTURE`; the sum is `artifact.size_bytes`.

    What the artifact says of its layers holds; without that, the file is read.

    Raises ArtifactError if the file cannot be read or the format is not one of tflite, micro, onnx and tfjs and
    the artifact does not say it, and
    MissingPackageError if the package that reads it is not installed.
    """
    readers = {"tflite": _tflite, "micro": _tflite, "onnx": _onnx, "tfjs": _tfjs}
    if artifact.format not in readers and not artifact.layers:
        raise ArtifactError(f"{artifact.id}: sizes by layer are known for {', '.join(readers)} only")
    try:
        if artifact.entry.stat().st_size > _LIMIT_BYTES:
            raise ArtifactError(f"{artifact.id} is larger than {_LIMIT_BYTES:,} bytes")
        layers = dict(artifact.layers) or _by_layer(*readers[artifact.format](artifact.entry))
    except OSError as error:
        raise ArtifactError(f"{artifact.id}: cannot read {artifact.entry.name}: {error.strerror}") from error
    except (struct.error, IndexError, KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise ArtifactError(f"{artifact.id}: {artifact.entry.name} is broken: {error}") from error
    left = artifact.size_bytes - sum(layers.values())
    if left < 0:
        raise ArtifactError(f"{artifact.id}: the constants are said to be larger than the files")
    return [*layers.items(), (STRUCTURE, left)]


def tflite_layers(content: bytes, names: bytes) -> dict[str, int]:
    """Bytes of the constants of a .tflite file by layer, in the order of the graph, without what is no constant.

    Args:
        content: the file.
        names: the same file with names of tensors: `content` may have been rewritten without them.
    """
    return _by_layer(*_tflite_graph(content, names))


def graph_layers(graph_def: Any) -> dict[str, int]:
    """Bytes of the constants of a frozen GraphDef by layer, in the order of the graph."""
    constants = {node.name: node.attr["value"].tensor.ByteSize() for node in graph_def.node if node.op == "Const"}
    nodes = [
        _Node(node.name, node.op, tuple(name.partition(":")[0] for name in node.input), (node.name,))
        for node in graph_def.node
        if node.op != "Const"
    ]
    return _by_layer(constants, nodes)


def _by_layer(constants: Mapping[str, int], nodes: list[_Node]) -> dict[str, int]:
    """Constants by the layer that uses them first; those that nothing uses stand under their own name."""
    consumer: dict[str, _Node] = {}
    for node in nodes:
        for name in node.inputs:
            consumer.setdefault(name, node)
    order = {id(node): index for index, node in enumerate(nodes)}
    groups: dict[int, list[str]] = {}
    for name in constants:
        owner = _owner(name, consumer)
        groups.setdefault(order[id(owner)] if owner else len(nodes), []).append(name)
    layers: dict[tuple[str, ...], int] = {}
    for index, members in sorted(groups.items()):
        members.sort(key=lambda name: (-constants[name], name))
        path = _layer_path(members, nodes[index] if index < len(nodes) else None, index)
        layers[path] = layers.get(path, 0) + sum(constants[name] for name in members)
    return _shortest_names(layers)


def _owner(constant: str, consumer: Mapping[str, _Node]) -> _Node | None:
    node = consumer.get(constant)
    for _ in range(8):  # longer chains of pass-through nodes do not occur; cycles in a broken file end here
        if node is None or node.operation not in _TRANSPARENT or not node.outputs:
            break
        node = consumer.get(node.outputs[0], None) or node
    return node


def _layer_path(constants: list[str], node: _Node | None, index: int) -> tuple[str, ...]:
    """The layer that a node computes, from the names of its constants (largest first), else from its own.

    `model/conv2d_1/BiasAdd;model/conv2d_1/Conv2D` -> `(model, conv2d_1)`.
    """
    names = [_ADDED.sub("", name) for name in (*constants, *((node.name,) if node else ()))]
    # A fused name lists all that was fused into it, mostly with the layer that computes at its end.
    known = [part for name in names if not _INVENTED.match(name) for part in reversed(name.split(";"))]
    known.append(f"{node.operation} {index}" if node else constants[0])
    name = known[0]
    if "/batchnorm" in name:
        name = next((part for part in known if _COMPUTES.search(part)), name)
    path = [part for part in name.split(":")[0].split("/") if part]
    while len(path) > 1 and _OPERATION.fullmatch(path[-1]):
        path.pop()
    return tuple(path) or ("(unnamed)",)


def _shortest_names(layers: Mapping[tuple[str, ...], int]) -> dict[str, int]:
    """Names without the leading parts that all of them share (the model's own name)."""
    paths = [path for path in layers if len(path) > 1]
    shared = _shared_parts(paths) if len(paths) > 1 else 0
    named: dict[str, int] = {}
    for path, size in layers.items():
        name = "/".join(path[shared:] if path in paths and len(path) > shared else path)
        named[name] = named.get(name, 0) + size
    return named


def _shared_parts(paths: list[tuple[str, ...]]) -> int:
    return next((i for i, parts in enumerate(zip(*paths, strict=False)) if len(set(parts)) > 1), min(map(len, paths)))


def _tflite(file: Path) -> tuple[dict[str, int], list[_Node]]:
    content = file.read_bytes()
    return _tflite_graph(content, content)


def _tflite_graph(content: bytes, names: bytes) -> tuple[dict[str, int], list[_Node]]:
    """Buffers of the flatbuffer (schema: tensorflow/compiler/mlir/lite/schema/schema.fbs, version 3)."""
    try:
        from ai_edge_litert import schema_py_generated as schema
    except ImportError as error:
        raise MissingPackageError(
            "reading a .tflite file needs ai-edge-litert", remedy="Get it: pip install edgeship"
        ) from error
    if content[4:8] != b"TFL3":
        raise ValueError("no TFL3 mark")
    model, named = schema.Model.GetRootAs(content, 0), schema.Model.GetRootAs(names, 0)
    codes = {value: name for name, value in vars(schema.BuiltinOperator).items() if not name.startswith("_")}
    constants: dict[str, int] = {}
    nodes: list[_Node] = []
    counted: set[int] = set()
    for index in range(model.SubgraphsLength()):
        graph, labels = model.Subgraphs(index), named.Subgraphs(index)
        # Names need not be unique in a .tflite file; the index makes them so and is cut off again for display.
        keys = [_tensor_name(labels.Tensors(i), f":{index}.{i}") for i in range(graph.TensorsLength())]
        for i, key in enumerate(keys):
            buffer = graph.Tensors(i).Buffer()
            size = _buffer_bytes(model.Buffers(buffer), len(content))
            if size and buffer not in counted:
                counted.add(buffer)
                constants[key] = size
        nodes += [_tflite_node(graph.Operators(i), keys, model, codes) for i in range(graph.OperatorsLength())]
    return constants, nodes


def _buffer_bytes(buffer: Any, limit: int) -> int:
    # Files beyond 2 GB keep the data behind the flatbuffer and say so with offset and size.
    size = int(buffer.DataLength() or buffer.Size())
    if size > limit:
        raise ValueError("a buffer is larger than the file")
    return size


def _tensor_name(tensor: Any, suffix: str) -> str:
    return (tensor.Name() or b"").decode("utf-8", "replace") + suffix


def _tflite_node(operator: Any, keys: list[str], model: Any, codes: Mapping[int, str]) -> _Node:
    code = model.OperatorCodes(operator.OpcodeIndex())
    operation = codes.get(max(code.BuiltinCode(), code.DeprecatedBuiltinCode()), "CUSTOM")
    # -1 marks an optional input that is left out.
    inputs = tuple(keys[i] for i in map(operator.Inputs, range(operator.InputsLength())) if i >= 0)
    outputs = tuple(keys[operator.Outputs(i)] for i in range(operator.OutputsLength()))
    return _Node(outputs[0] if outputs else operation, operation, inputs, outputs)


def _onnx(file: Path) -> tuple[dict[str, int], list[_Node]]:
    try:
        import onnx
    except ImportError as error:
        raise MissingPackageError(
            "reading an .onnx file needs onnx", remedy="Get it: pip install 'edgeship[onnx]'"
        ) from error
    from google.protobuf.message import DecodeError

    try:
        graph = onnx.load(str(file), load_external_data=False).graph
    except DecodeError as error:
        raise ValueError(str(error)) from error
    constants = {tensor.name: tensor.ByteSize() for tensor in graph.initializer}
    nodes = [_Node(n.name or n.output[0], n.op_type, tuple(n.input), tuple(n.output)) for n in graph.node]
    return constants, nodes


def _tfjs(file: Path) -> tuple[dict[str, int], list[_Node]]:
    """The weights manifest of a graph model: values as stored, that is quantized ones in their small type."""
    item_bytes = {"float32": 4, "int32": 4, "complex64": 8, "float16": 2, "uint16": 2, "uint8": 1, "bool": 1}
    data = json.loads(file.read_text(encoding="utf-8"))
    constants: dict[str, int] = {}
    for group in data["weightsManifest"]:
        for weight in group["weights"]:
            stored = weight.get("quantization", weight)["dtype"]
            if not all(type(axis) is int and axis >= 0 for axis in weight["shape"]):
                raise ValueError(f"{weight['name']} has the shape {weight['shape']}")
            constants[str(weight["name"])] = math.prod(weight["shape"]) * item_bytes[stored]
    nodes = []
    for node in data["modelTopology"]["node"]:
        name = str(node["name"])
        # "^name" is a control input, "name:1" the second output of a node.
        inputs = tuple(str(i).split(":")[0] for i in node.get("input", ()) if not str(i).startswith("^"))
        nodes.append(_Node(name, str(node["op"]), inputs, (name,)))
    return constants, nodes
