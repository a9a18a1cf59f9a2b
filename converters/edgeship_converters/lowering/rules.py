"""Operators that a format lacks, computed by those that it has: the same numbers in other words.

A rule takes the node and its inputs and returns the tensor that replaces its first output (a list: those that replace
all of them), or None where it does not apply (a shape that it needs is not known); the converter then says of the
operator what it always says. Rules for
quantization are in `lowering.integer`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from edgeship_converters.graph.frozen import FrozenGraph
from edgeship_converters.lowering.branches import decided_branch, known_sizes
from edgeship_converters.lowering.convolution import (
    dilated_in_one,
    groups_by_parts,
    is_short,
    transposed_by_spreading,
    transposed_dilated_by_padding,
    within_volumes,
)
from edgeship_converters.lowering.resize import nearest_by_selection, resized_by_products, scaled_by_products
from edgeship_converters.lowering.selection import band_by_selection, gather_by_position, place_by_value
from edgeship_converters.lowering.spectrum import imaginary_part, magnitude, real_part, transform_by_products

if TYPE_CHECKING:
    from tensorflow.core.framework.graph_pb2 import GraphDef
    from tensorflow.core.framework.node_def_pb2 import NodeDef

_STRETCH = re.compile(r"(?<![^/^])edgeship_stretch\d+(_\d+)?/")
#: Axes that most operators of TFLite take at most.
MOST_AXES = 4
Rule = Callable[["NodeDef", list[Any]], Any]


def lowered(frozen: FrozenGraph, rules: Mapping[str, Rule]) -> FrozenGraph:
    """The graph without the operators that `rules` name, as far as these apply; the graph itself where it has none.

    Bodies of control flow stay as they are.
    """
    if not any(node.op in rules for node in frozen.graph_def.node):
        return frozen
    import tensorflow as tf

    graph = tf.Graph()
    with graph.as_default():
        Copy(frozen.graph_def, rules).run()
    found = graph.as_graph_def()
    for node in found.node:
        node.name = _own_name(node.name)
        node.input[:] = [_own_name(tensor) for tensor in node.input]
    return replace(frozen, graph_def=found)


def _own_name(name: str) -> str:
    """Without the scopes of stretches."""
    return _STRETCH.sub("", name)


class Copy:
    """Copies a graph into the default graph, stretch by stretch between the nodes that are replaced.

    Each stretch has a scope of its own: TensorFlow would rename a node `layer` that comes after `layer/node`.
    """

    def __init__(self, graph_def: GraphDef, rules: Mapping[str, Rule]) -> None:
        self._given = graph_def
        self._rules = rules
        self._stretch = self._empty()
        self._scope = 0
        self._copied: dict[str, str] = {}
        self._replaced: dict[str, Any] = {}

    def run(self) -> None:
        """Copy all nodes."""
        for node in self._given.node:  # in topological order
            if node.op not in self._rules or not self._replace(node):
                self._stretch.node.add().CopyFrom(node)
        self._flush()

    def _empty(self) -> GraphDef:
        empty = type(self._given)()
        empty.versions.CopyFrom(self._given.versions)
        empty.library.CopyFrom(self._given.library)
        return empty

    def _replace(self, node: NodeDef) -> bool:
        import tensorflow as tf

        self._flush()
        with tf.name_scope(f"edgeship_stretch{self._scope}/{node.name}/"):
            found = self._rules[node.op](node, [self.tensor(name) for name in node.input])
        if found is None:
            return False
        results = found if isinstance(found, list) else [found]
        self._replaced |= {f"{node.name}:{position}": tensor for position, tensor in enumerate(results)}
        return True

    def tensor(self, name: str) -> Any:
        """What stands for a tensor of the given graph."""
        import tensorflow as tf

        full = name if ":" in name else f"{name}:0"
        if full in self._replaced:
            return self._replaced[full]
        scope = self._copied[full.partition(":")[0]]
        return tf.compat.v1.get_default_graph().get_tensor_by_name(f"{scope}/{full}")

    def _flush(self) -> None:
        """Copy the nodes that wait."""
        import tensorflow as tf

        own = {node.name for node in self._stretch.node}
        inputs = {name for node in self._stretch.node for name in node.input}
        before = {name: self.tensor(name) for name in inputs if name.partition(":")[0] not in own}
        if own:
            self._scope += 1
            scope = f"edgeship_stretch{self._scope}"
            full = tf.compat.v1.get_default_graph().unique_name(scope, mark_as_used=False)
            tf.graph_util.import_graph_def(self._stretch, name=scope, input_map=before)
            self._copied |= dict.fromkeys(own, full)
        self._stretch = self._empty()


def pool_in_planes(node: NodeDef, inputs: list[Any]) -> Any:
    """MaxPool3D and AvgPool3D: over height and width, then over depth.

    A window is a product of its axes, also where padding cuts it (an average counts what is inside): the maximum of
    maxima is the maximum, and the average of averages over equal counts the average.
    """
    import tensorflow as tf

    (values,) = inputs
    _, depth, height, width, channels = values.shape.as_list()
    if node.attr["data_format"].s not in (b"", b"NDHWC") or None in (depth, height, width, channels):
        return None
    pool = tf.nn.max_pool2d if node.op == "MaxPool3D" else tf.nn.avg_pool2d
    padding = node.attr["padding"].s.decode()
    (_, deep, *window, _), (_, step, *steps, _) = node.attr["ksize"].list.i, node.attr["strides"].list.i
    planes = pool(tf.reshape(values, [-1, height, width, channels]), window, steps, padding)
    rows, columns = planes.shape[1:3]
    stacked = tf.reshape(planes, [-1, depth, rows * columns, channels])
    pooled = pool(stacked, [deep, 1], [step, 1], padding)
    return tf.reshape(pooled, [-1, pooled.shape[1], rows, columns, channels])


def short_pool_in_planes(node: NodeDef, inputs: list[Any]) -> Any:
    """AvgPool3D whose steps are longer than its windows."""
    return pool_in_planes(node, inputs) if is_short(node, inputs[0], node.attr["ksize"].list.i[1:4]) else None


def extreme_of_words(node: NodeDef, inputs: list[Any]) -> Any:
    """Max and Min of integers of 8 and 16 bits: of the same numbers in 32."""
    import tensorflow as tf

    values, axis = inputs
    if not values.dtype.is_integer or values.dtype.size > 2:
        return None
    find = {"Max": tf.raw_ops.Max, "Min": tf.raw_ops.Min}[node.op]
    found = find(input=tf.cast(values, tf.int32), axis=axis, keep_dims=node.attr["keep_dims"].b)
    return tf.cast(found, values.dtype)


def count_by_comparison(node: NodeDef, inputs: list[Any]) -> Any:
    """DenseBincount of rows without weights: the sum, or with binary output the maximum, of one-hot vectors."""
    import tensorflow as tf

    values, size, weights = inputs
    count = _fixed(size)
    if values.shape.rank != 2 or weights.shape.as_list() != [0] or count is None:
        return None
    hot = tf.one_hot(values, count, dtype=weights.dtype)
    return tf.reduce_max(hot, axis=1) if node.attr["binary_output"].b else tf.reduce_sum(hot, axis=1)


def _fixed(size: Any) -> int | None:
    """A number that is constant, or kept between two equal ones (as tf.math.bincount does); None for others."""
    import tensorflow as tf

    if size.op.type != "Minimum":
        value = tf.get_static_value(size)
        return None if value is None else int(value)
    most, inner = size.op.inputs
    ends = [tf.get_static_value(most), *(tf.get_static_value(t) for t in inner.op.inputs if inner.op.type == "Maximum")]
    return int(ends[0]) if ends[0] is not None and any(end == ends[0] for end in ends[1:]) else None


def buckets_by_comparison(node: NodeDef, inputs: list[Any]) -> Any:
    """Bucketize: how many boundaries a value has reached."""
    import tensorflow as tf

    (values,) = inputs
    reached = tf.cast(values, tf.float32)[..., tf.newaxis] >= tf.constant(list(node.attr["boundaries"].list.f))
    return tf.reduce_sum(tf.cast(reached, tf.int32), axis=-1) if values.dtype != tf.float64 else None


def exponential_less_one(node: NodeDef, inputs: list[Any]) -> Any:  # noqa: ARG001 - a Rule
    """Expm1: near 0 to the precision of numbers near 1, which is what stands beside it in an activation."""
    import tensorflow as tf

    return tf.exp(inputs[0]) - 1


def logarithm_of_one_more(node: NodeDef, inputs: list[Any]) -> Any:  # noqa: ARG001 - a Rule
    """Log1p: near 0 to the precision of numbers near 1."""
    import tensorflow as tf

    return tf.math.log(1 + inputs[0])


def complement_of_error(node: NodeDef, inputs: list[Any]) -> Any:  # noqa: ARG001 - a Rule
    """Erfc, as Keras computes the exact GELU."""
    import tensorflow as tf

    return 1 - tf.math.erf(inputs[0])


#: What holds operators on bits, which no format has.
_BITS: Mapping[str, Rule] = {"ArgMax": place_by_value, "ArgMin": place_by_value}
#: What TensorFlow's converter has no built-in operator for, but for what `lowering.tflite` adds.
TFLITE: Mapping[str, Rule] = {
    **_BITS,
    "AvgPool3D": pool_in_planes,
    "BatchToSpaceND": dilated_in_one,
    "Conv2DBackpropInput": transposed_dilated_by_padding,
    "Conv3D": groups_by_parts,
    "DenseBincount": count_by_comparison,
    "If": decided_branch,
    "Max": extreme_of_words,
    "MaxPool3D": pool_in_planes,
    "Min": extreme_of_words,
    "ResizeArea": resized_by_products,
    "ResizeBicubic": resized_by_products,
    "ScaleAndTranslate": scaled_by_products,
    "StatelessIf": decided_branch,
    "StridedSlice": known_sizes,
}
#: What TensorFlow itself computes on a GPU alone, or compiled.
SAVEDMODEL: Mapping[str, Rule] = {"Conv3D": groups_by_parts}
#: What neither ONNX nor TF.js has, or has otherwise.
_NEITHER: Mapping[str, Rule] = {
    **_BITS,
    "Bucketize": buckets_by_comparison,
    "ComplexAbs": magnitude,
    "If": decided_branch,
    "Imag": imaginary_part,
    "RFFT": transform_by_products,
    "Real": real_part,
    "ResizeArea": resized_by_products,
    "ResizeBicubic": resized_by_products,
    "ResizeNearestNeighbor": nearest_by_selection,
    "ScaleAndTranslate": scaled_by_products,
    "StatelessIf": decided_branch,
    "StridedSlice": known_sizes,
}
#: What tf2onnx has no handler for.
ONNX: Mapping[str, Rule] = {
    **_NEITHER,
    "Erfc": complement_of_error,
    "Expm1": exponential_less_one,
    "Log1p": logarithm_of_one_more,
}
#: What TF.js has no kernel for, or one that differs.
TFJS: Mapping[str, Rule] = {
    **_NEITHER,
    "AvgPool3D": short_pool_in_planes,
    "Conv2DBackpropInput": transposed_dilated_by_padding,
    "Conv3D": within_volumes,
    "Conv3DBackpropInputV2": transposed_by_spreading,
    "DenseBincount": count_by_comparison,
    "GatherV2": gather_by_position,
    "MatrixBandPart": band_by_selection,
    "MaxPool3D": pool_in_planes,
}
