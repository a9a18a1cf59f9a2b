"""For the tests of the TF.js writer: small frozen graphs from plain functions, and running what became of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from edgeship.types import Array, TensorSpec
from edgeship_converters.graph.frozen import FrozenGraph
from edgeship_converters.tfjs.ir import Graph, Node


def frozen(function: Callable[..., Any], **inputs: tf.TensorSpec) -> FrozenGraph:
    """The graph of a function of named inputs; a dictionary of outputs, or one that is called `out`."""

    def named(**tensors: Any) -> dict[str, Any]:
        with tf.name_scope("body"):  # outside, the outputs' names are free
            found = function(*tensors.values())
        outputs = found if isinstance(found, dict) else {"out": found}
        return {name: tf.identity(tensor, name=name) for name, tensor in outputs.items()}

    specs = {name: tf.TensorSpec(spec.shape, spec.dtype, name=name) for name, spec in inputs.items()}
    graph = tf.Graph()
    with graph.as_default():
        given = {name: tf.compat.v1.placeholder(s.dtype, s.shape, name=name) for name, s in specs.items()}
        results = named(**given)

    def describe(tensors: Mapping[str, Any]) -> tuple[TensorSpec, ...]:
        return tuple(TensorSpec(name, tuple(t.shape.as_list()), t.dtype.name) for name, t in tensors.items())

    ins, outs = describe(given), describe(results)
    return FrozenGraph(
        graph.as_graph_def(), ins, outs, tuple(f"{s.name}:0" for s in ins), tuple(f"{s.name}:0" for s in outs)
    )


def ops(graph: Graph) -> Counter[str]:
    """How often each op occurs, the inputs left out."""
    return Counter(node.op for node in graph.ordered() if node.op != "Placeholder")


def run(graph: Graph, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """Compute the outputs with TensorFlow's own ops, the fused ones taken apart."""
    values: dict[str, Any] = {name: tf.constant(array) for name, array in graph.constants.items()}
    for node in graph.ordered():
        if node.op == "Placeholder":
            values[node.name] = tf.constant(feeds[node.name])
            continue
        found = _compute(node, [values[tensor] for tensor in node.inputs])
        for index, value in enumerate(found if isinstance(found, list) else [found]):
            values[node.name if index == 0 else f"{node.name}:{index}"] = value
    return {name: values[tensor].numpy() for name, tensor in graph.outputs.items()}


_FUSED = {
    "_FusedConv2D": "Conv2D",
    "FusedDepthwiseConv2dNative": "DepthwiseConv2dNative",
    "_FusedMatMul": "MatMul",
}


def _compute(node: Node, inputs: list[Any]) -> Any:
    if node.op in _FUSED:
        return _fused(node, inputs)
    if node.op == "Prelu":
        return tf.where(inputs[0] > 0, inputs[0], inputs[0] * inputs[1])
    if node.op == "ConcatV2":
        return tf.concat(inputs[:-1], inputs[-1])
    if node.op == "Pack":
        return tf.stack(inputs, node.attrs["axis"])
    raw = getattr(tf.raw_ops, node.op)
    renamed = {"reduction_indices": "axis", "split_dim": "axis"}  # Python's names of these arguments
    names = [renamed.get(arg.name, arg.name) for arg in _op_def(node.op).input_arg]
    attrs = {name: value for name, value in node.attrs.items() if name in _wanted(node.op) and value is not None}
    return raw(**dict(zip(names, inputs, strict=True)), **attrs)


def _op_def(op: str) -> Any:
    from tensorflow.python.framework import op_def_registry

    return op_def_registry.get(op)


def _wanted(op: str) -> set[str]:
    return {attr.name for attr in _op_def(op).attr if attr.type not in ("type", "list(type)")} - {"N"}


def _fused(node: Node, inputs: list[Any]) -> Any:
    """What TF.js does with fused_ops: the first is the bias, the second the activation."""
    op, fused = _FUSED[node.op], node.attrs["fused_ops"]
    assert fused[0] == "BiasAdd"
    assert node.attrs["num_args"] == len(inputs) - 2 == (2 if "Prelu" in fused else 1)
    x = _compute(Node(node.name, op, (), node.attrs), inputs[:2]) + inputs[2]
    if len(fused) == 1:
        return x
    if fused[1] == "Prelu":
        return tf.where(x > 0, x, x * inputs[3])
    if fused[1] == "LeakyRelu":
        assert op != "DepthwiseConv2dNative"
        return tf.nn.leaky_relu(x, node.attrs["leakyrelu_alpha"])
    activations = {"Relu": tf.nn.relu, "Relu6": tf.nn.relu6, "Elu": tf.nn.elu, "Sigmoid": tf.nn.sigmoid}
    return activations[fused[1]](x)


def numbers(*shape: int, seed: int = 0, low: float = -1.0, high: float = 1.0) -> Array:
    """Reproducible float32 numbers."""
    return np.random.default_rng(seed).uniform(low, high, shape).astype(np.float32)
