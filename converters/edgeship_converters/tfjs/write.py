"""The last step: a rewritten graph as `model.json` and weight shards, equal bytes for equal graphs."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeship.errors import UnsupportedModelError
from edgeship_converters.tfjs import weights
from edgeship_converters.tfjs.ir import Graph, Node, Shape, node_of
from edgeship_converters.tfjs.ops import OPS, parameters, refusal

if TYPE_CHECKING:
    from edgeship.types import Array

#: TF.js holds all integers in int32 and all floats in float32.
_DTYPES = {"DT_BOOL": "DT_BOOL", "DT_COMPLEX64": "DT_COMPLEX64", "DT_STRING": "DT_STRING"}
_FLOATS = frozenset(("DT_FLOAT", "DT_HALF", "DT_BFLOAT16", "DT_DOUBLE"))
_DEPTHWISE = frozenset(("DepthwiseConv2dNative", "FusedDepthwiseConv2dNative"))


def stored_dtype(dtype: str) -> str:
    """The dtype in which TF.js holds values of a TensorFlow dtype; both as protocol buffer names."""
    return "DT_FLOAT" if dtype in _FLOATS else _DTYPES.get(dtype, "DT_INT32")


def check(graph: Graph) -> None:
    """Raise UnsupportedModelError, naming op and layer, for the first node that TF.js would not run right."""
    for node in graph.ordered():
        found = refusal(graph, node)
        if found is not None:
            reason, remedy = found
            raise UnsupportedModelError(f"{node.name}: {reason}", remedy=remedy)


def name_outputs(graph: Graph) -> None:
    """Give the node of every output the output's name: TF.js finds outputs by the names of nodes."""
    for name, tensor in list(graph.outputs.items()):
        node = graph.producer(tensor)
        shared = list(graph.outputs.values()).count(tensor) > 1
        if node is None or node.name in graph.inputs or tensor != node.name or shared or f"{tensor}:1" in graph.types:
            known = graph.types[tensor]
            graph.outputs[name] = graph.add(Node(name, "Identity", (tensor,)), known)
        elif node.name != name:
            _rename(graph, node, name)


def _rename(graph: Graph, node: Node, name: str) -> None:
    old, inputs = node.name, node.inputs
    known = graph.types.pop(old)
    graph.add(Node(name, node.op, inputs, node.attrs), known)
    graph.redirect(old, name)
    graph.remove(node)


def merge_constants(graph: Graph) -> None:
    """Keep one of several constants that are equal, under the first one's name; one each for data and for parameters.

    TF.js reads parameters, such as an axis, from its own memory. Data lie on the GPU from their first use on, and what
    WebGPU reads back from there was seen to be 0.
    """
    first: dict[tuple[Any, ...], str] = {}
    roles: dict[str, bool] = {}
    for node in graph.ordered():
        inputs = list(node.inputs)
        for place, tensor in enumerate(inputs):
            array = graph.constants.get(tensor)
            if array is None:
                continue
            is_parameter = place in parameters(node.op, len(inputs))
            key = (is_parameter, array.dtype.str, array.shape, array.tobytes())
            if key not in first:
                taken = roles.get(tensor, is_parameter) != is_parameter
                first[key] = graph.add_constant(tensor, array, graph.types[tensor].dtype) if taken else tensor
                roles[first[key]] = is_parameter
            inputs[place] = first[key]
        graph.set_inputs(node, inputs)
    graph.prune()


def write(
    graph: Graph, variant: str, folder: Path, made_by: Mapping[str, str], said: Mapping[str, Any] | None = None
) -> list[str]:
    """Write `model.json` and its shards into `folder`; returns their names, the entry file first.

    Args:
        graph: checked and narrowed to the dtypes of TF.js.
        variant: how weights are stored.
        folder: exists.
        made_by: package -> version, for `generatedBy` and `convertedBy`.
        said: entries of `userDefinedMetadata`.
    """
    nodes = list(graph.ordered())
    used = _constants_in_order(graph, nodes)
    entries, data = weights.manifest(used, variant, _depthwise_kernels(nodes))
    paths = weights.write_shards(data, folder)
    topology = [{"name": name, "op": "Const"} for name in used] + [_node(node) for node in nodes]
    model: dict[str, Any] = {
        "format": "graph-model",
        "generatedBy": made_by["tensorflow"],
        "convertedBy": f"edgeship {made_by['edgeship']}",
        "signature": {
            "inputs": {name: _tensor_info(graph, name) for name in graph.inputs},
            "outputs": {name: _tensor_info(graph, tensor) for name, tensor in graph.outputs.items()},
        },
        "modelTopology": {"node": topology, "versions": {"producer": 27}},
        "weightsManifest": [{"paths": paths, "weights": entries}],
    }
    # With these keys, predict() returns several outputs by name.
    keys = {"structuredOutputKeys": list(graph.outputs)} if len(graph.outputs) > 1 else {}
    if keys or said:
        model["userDefinedMetadata"] = {**keys, **(said or {})}
    text = json.dumps(model, separators=(",", ":"), allow_nan=False)
    (folder / "model.json").write_text(text, encoding="utf-8")
    return ["model.json", *paths]


def _constants_in_order(graph: Graph, nodes: Iterable[Node]) -> dict[str, Array]:
    tensors = [tensor for node in nodes for tensor in node.inputs] + list(graph.outputs.values())
    return {tensor: graph.constants[tensor] for tensor in tensors if tensor in graph.constants}


def _depthwise_kernels(nodes: Iterable[Node]) -> list[str]:
    """Few bytes, and after folding a batch normalization each channel has its own range: these get 16 bits."""
    return [node.inputs[1] for node in nodes if node.op in _DEPTHWISE]


def _node(node: Node) -> dict[str, Any]:
    written: dict[str, Any] = {"name": node.name, "op": node.op}
    if node.inputs:
        written["input"] = list(node.inputs)
    attrs = {
        name: _attribute(name, node.attrs[name])
        for name, default in sorted(OPS[node.op].attributes.items())
        if node.attrs.get(name, default) != default
    }
    return {**written, "attr": attrs} if attrs else written


def _attribute(name: str, value: Any) -> dict[str, Any]:
    """An attribute in the JSON form of TensorFlow's AttrValue."""
    if name in ("dtype", "T", "Tidx", "DstT"):
        return {"type": stored_dtype(value)}
    if name == "shape":
        return {"shape": _shape(value)}
    if isinstance(value, list):
        kind = "s" if value and isinstance(value[0], str) else "i"
        return {"list": {kind: [_text(v) if kind == "s" else v for v in value]}}
    if isinstance(value, str):
        return {"s": _text(value)}
    return {{bool: "b", int: "i", float: "f"}[type(value)]: value}


def _text(value: str) -> str:
    return base64.b64encode(value.encode()).decode()


def _shape(shape: Shape | None) -> dict[str, Any]:
    if shape is None:
        return {"unknownRank": True}
    return {"dim": [{"size": -1 if d is None else d} for d in shape]}


def _tensor_info(graph: Graph, tensor: str) -> dict[str, Any]:
    known = graph.types[tensor]
    return {
        "name": f"{node_of(tensor)}:0",
        "dtype": stored_dtype(known.dtype),
        "tensorShape": _shape(known.shape),
    }


def numpy_dtype(dtype: str) -> str:
    """The NumPy name of the dtype in which TF.js takes or gives values of a TensorFlow dtype."""
    return {"DT_FLOAT": np.dtype(np.float32).name, "DT_BOOL": "bool"}.get(stored_dtype(dtype), "int32")
