"""What tf2onnx 1.17 writes wrong, and what ONNX Runtime 1.31 then runs wrong, put right in the model.

Each repair says what it is about; each has a test that fails without it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeship_converters.onnx.canonical import read_by
from edgeship_converters.onnx.opsets import opset

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

    from edgeship.types import Array

Shape = tuple[int | None, ...]
#: The first operator set in which Pad can name its axes.
_PAD_WITH_AXES = 18


def repair(model: ModelProto) -> None:
    """Change a model that tf2onnx has just written; its nodes are in topological order."""
    graph = _Graph(model)
    for node in list(model.graph.node):
        if node.op_type == "Resize" and _round_up(graph, node):
            graph = _Graph(model)  # sizes of all that follows
        elif node.op_type == "Conv":
            _say_groups(graph, node)
        elif node.op_type == "ConvTranspose":
            _pad_at_the_end(node)
        elif node.op_type == "Pad":
            _keep_apart(graph, node)
    for node in list(model.graph.node):
        if node.op_type == "Conv":
            _fold_after(graph, node)


class _Graph:
    """Constants, shapes and users of the tensors of a model; bodies of control flow count as users."""

    def __init__(self, model: ModelProto) -> None:
        import onnx

        self.graph = model.graph
        self.opset = opset(model)
        self.initializers = {tensor.name: tensor for tensor in model.graph.initializer}
        self.shapes: dict[str, Shape] = {}
        inferred = onnx.shape_inference.infer_shapes(model).graph
        for value in (*inferred.input, *inferred.value_info, *inferred.output):
            kind = value.type.tensor_type
            if kind.HasField("shape"):
                self.shapes[value.name] = tuple(
                    d.dim_value if d.HasField("dim_value") and d.dim_value > 0 else None for d in kind.shape.dim
                )
        self.users: dict[str, list[NodeProto]] = {}
        for node in model.graph.node:
            for name in read_by(node):
                self.users.setdefault(name, []).append(node)
        self.held = {value.name for value in model.graph.output}

    def constant(self, name: str) -> Array | None:
        """The value of an initializer."""
        from onnx import numpy_helper

        return np.asarray(numpy_helper.to_array(self.initializers[name])) if name in self.initializers else None

    def add(self, name: str, values: Array) -> str:
        """A new initializer named like `name`; returns its name."""
        from onnx import numpy_helper

        free, count = name, 0
        while free in self.initializers:
            count += 1
            free = f"{name}_{count}"
        tensor = numpy_helper.from_array(np.ascontiguousarray(values), free)
        self.graph.initializer.append(tensor)
        self.initializers[free] = tensor
        return free

    def only_user(self, name: str) -> NodeProto | None:
        """The node that alone reads a tensor."""
        found = self.users.get(name, [])
        return found[0] if len(found) == 1 and name not in self.held else None


def _attributes(node: NodeProto) -> Mapping[str, Any]:
    import onnx

    return {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}


def _set(node: NodeProto, name: str, value: Any) -> None:
    import onnx

    kept = [attribute for attribute in node.attribute if attribute.name != name]
    del node.attribute[:]
    node.attribute.extend([*kept, onnx.helper.make_attribute(name, value)])


def _round_up(graph: _Graph, node: NodeProto) -> bool:
    """Scales of Resize: 1.4 as a float32 is a little less, and 5 times that is rounded down to 6. True if changed.

    Sizes instead of scales would be exact, but need the batch, or `axes`, which ONNX Runtime 1.31 loses on its way.
    """
    shape = graph.shapes.get(node.input[0])
    scales = graph.constant(node.input[2]) if len(node.input) == 3 else None
    if scales is None or shape is None:
        return False
    found = scales.astype(np.float32)
    for axis, size in enumerate(shape):
        wanted = 0 if size is None else round(size * float(scales[axis]))
        while size is not None and min(size * float(found[axis]), size * found[axis]) < wanted:
            found[axis] = np.nextafter(found[axis], np.float32(np.inf))
    if np.array_equal(found, scales):
        return False
    node.input[2] = graph.add(f"{node.name}/scales", found)
    return True


def _say_groups(graph: _Graph, node: NodeProto) -> None:
    """Volumes in groups: tf2onnx counts groups of images only."""
    shape, weights = graph.shapes.get(node.input[0]), graph.constant(node.input[1])
    if shape is None or weights is None or len(shape) != weights.ndim or shape[1] is None:
        return
    groups = shape[1] // weights.shape[1]
    if groups != _attributes(node).get("group", 1):
        _set(node, "group", groups)


def _pad_at_the_end(node: NodeProto) -> None:
    """A window smaller than its step: TensorFlow adds what is missing at the end.

    tf2onnx halves it and says it as padding below zero, which ONNX does not allow.
    """
    found = _attributes(node)
    pads = list(found.get("pads", ()))
    rank = len(pads) // 2
    totals = [pads[axis] + pads[axis + rank] for axis in range(rank)]
    if not any(total < 0 for total in totals):
        return
    short = [total < 0 for total in totals]
    _set(node, "pads", [0 if short[i % rank] else pad for i, pad in enumerate(pads)])
    _set(node, "output_padding", [-total if is_short else 0 for total, is_short in zip(totals, short, strict=True)])


def _keep_apart(graph: _Graph, node: NodeProto) -> None:
    """Keep ONNX Runtime from merging Pad and pooling: a maximum over zeros is not one over what is left out.

    Seen in 1.31 (its pass PadFusion, on Pad before MaxPool with values below zero; where padding reaches the window,
    also before AveragePool, it does not open the file). It leaves a Pad that names its axes alone, which needs opset
    18, and a pooling that says its own padding in a word.
    """
    following = graph.only_user(node.output[0])
    pads = graph.constant(node.input[1])
    if following is None or following.op_type not in ("MaxPool", "AveragePool") or pads is None or len(node.input) > 3:
        return
    if graph.opset < _PAD_WITH_AXES:
        _say_padding(following, graph.shapes.get(node.output[0]))
        return
    node.input.extend([""] * (3 - len(node.input)))
    node.input.append(graph.add(f"{node.name}/axes", np.arange(pads.size // 2, dtype=np.int64)))


def _say_padding(node: NodeProto, shape: Shape | None) -> None:
    """Write the padding of a pooling as VALID or SAME_UPPER, where it is one of them."""
    found = _attributes(node)
    pads, kernel = list(found.get("pads", ())), found["kernel_shape"]
    sizes = None if shape is None else shape[2:]
    if not any(pads):
        word = "VALID"
    elif sizes is not None and pads == _same_upper(sizes, kernel, found.get("strides", [1] * len(kernel))):
        word = "SAME_UPPER"
    else:
        return
    del node.attribute[:]
    _set(node, "auto_pad", word)
    for name in sorted(found.keys() - {"pads", "auto_pad"}):
        _set(node, name, found[name])


def _same_upper(sizes: Shape, kernel: Sequence[int], strides: Sequence[int]) -> list[int] | None:
    """The pads, first all at the start, by which there are as many windows as steps; None where a size is unknown."""
    totals = []
    for size, window, step in zip(sizes, kernel, strides, strict=True):
        if size is None:
            return None
        totals.append(max(0, (-(-size // step) - 1) * step + window - size))
    return [total // 2 for total in totals] + [total - total // 2 for total in totals]


def _fold_after(graph: _Graph, node: NodeProto) -> None:
    """Products and sums with one number per channel, such as a batch normalization, become part of a convolution.

    TensorFlow has done that where it could; it does not for depthwise convolutions.
    """
    while True:
        after = graph.only_user(node.output[0])
        weights = graph.constant(node.input[1])
        if after is None or after.op_type not in ("Mul", "Add") or weights is None:
            return
        other = next((name for name in after.input if name != node.output[0]), "")
        values = graph.constant(other)
        factor = None if values is None else _per_channel(values, weights)
        if factor is None or graph.shapes.get(after.output[0]) != graph.shapes.get(node.output[0]):
            return
        bias = graph.constant(node.input[2]) if len(node.input) > 2 else np.zeros(weights.shape[0], np.float32)
        if bias is None:
            return
        if after.op_type == "Mul":
            scaled = weights * factor.reshape(-1, *[1] * (weights.ndim - 1))
            node.input[1] = graph.add(f"{node.name}/W", scaled.astype(np.float32))
        moved = bias * factor if after.op_type == "Mul" else bias + factor
        if len(node.input) > 2 or moved.any():
            del node.input[2:]
            node.input.append(graph.add(f"{node.name}/B", moved.astype(np.float32)))
        node.output[0] = after.output[0]
        graph.graph.node.remove(after)


def _per_channel(values: Array, weights: Array) -> Array | None:
    """A constant as one float64 number for each channel of the result (axis 1 of it)."""
    if values.dtype != np.float32 or weights.dtype != np.float32 or values.ndim > weights.ndim:
        return None
    aligned = values.reshape((1,) * (weights.ndim - values.ndim) + values.shape)
    if aligned.shape[1] not in (1, weights.shape[0]) or aligned.size != aligned.shape[1]:
        return None
    return np.broadcast_to(aligned.reshape(-1).astype(np.float64), weights.shape[0])
