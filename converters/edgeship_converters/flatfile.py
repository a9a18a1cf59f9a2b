"""TFLite flatbuffers as objects: reading, writing, names, and what the operators are.

Schema: tensorflow/compiler/mlir/lite/schema/schema.fbs, as `ai_edge_litert.schema_py_generated`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgeship.names import unique
from edgeship.tflite_operators import builtin_name, builtin_number

if TYPE_CHECKING:
    from edgeship.types import Array

#: The one signature of every file of ours.
SIGNATURE = "serving_default"

#: Operators with weights: which input holds them, and the axis of the output channels in it. The kernels' layouts are
#: (out, h, w, in) for convolutions, (1, h, w, out) for depthwise ones and (out, in) for FULLY_CONNECTED. The rows of a
#: table that GATHER reads are as good as channels.
WEIGHTS: Mapping[str, tuple[int, int]] = {
    "CONV_2D": (1, 0),
    "DEPTHWISE_CONV_2D": (1, 3),
    "FULLY_CONNECTED": (1, 0),
    "TRANSPOSE_CONV": (1, 0),
    "GATHER": (0, 0),
}


@dataclass(frozen=True)
class Operator:
    """One operator of a file.

    Attributes:
        kind: its built-in name, such as CONV_2D.
        name: of its outputs, each followed by `;`. TensorFlow's converter joins there the names of all that was fused.
        weights: name of the float32 constant that it multiplies with, of a kind in `WEIGHTS`; empty without one.
        shape: of the weights, in the kernel's layout (see `WEIGHTS`).
    """

    kind: str
    name: str
    weights: str = ""
    shape: tuple[int, ...] = ()

    def is_of(self, layer: str) -> bool:
        """Whether it computes a layer, or a part of one, given by name or by a regular expression.

        What consists of letters, digits, `_`, `-` and `/` is the name of a layer (with those of the models that it is
        nested in before it, or not); anything else is searched for as a regular expression.
        """
        if re.fullmatch(r"[\w/-]+", layer):
            return re.search(rf"(?:^|[;/]){re.escape(layer)}[;:/]", self.name) is not None
        return re.search(layer, self.name) is not None


def read(content: bytes) -> Any:
    """A model as mutable objects (ModelT)."""
    from ai_edge_litert.tools import flatbuffer_utils

    try:
        return flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    except TypeError:  # it stops at graphs without operators, of models that give back what they are given
        model = flatbuffer_utils.convert_bytearray_to_object(bytearray(content))
        model.operatorCodes = model.operatorCodes or []
        for graph in model.subgraphs:
            graph.operators = graph.operators or []
        return flatbuffer_utils.read_model_from_bytearray(flatbuffer_utils.convert_object_to_bytearray(model))


def write(model: Any) -> bytes:
    """The file of a model, weights within the flatbuffer, where every runtime finds them, not behind it."""
    from ai_edge_litert.tools import flatbuffer_utils

    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def kinds(model: Any) -> list[str]:
    """Built-in names by operator code."""
    return [builtin_name(code) for code in model.operatorCodes or ()]


def described(model: Any) -> Iterator[tuple[Any, Any, Operator]]:
    """(subgraph, operator, its description) for each operator in the order of execution."""
    names = kinds(model)
    for graph in model.subgraphs:
        for operator in graph.operators:
            outputs = [text(graph.tensors[index].name) for index in operator.outputs]
            kind = names[operator.opcodeIndex]
            tensor = _weights(model, graph, operator, kind)
            label = "".join(f"{name};" for name in outputs)
            if tensor is None:
                yield graph, operator, Operator(kind, label)
            else:
                shape = tuple(int(size) for size in tensor.shape)
                yield graph, operator, Operator(kind, label, text(tensor.name), shape)


def operators(content: bytes) -> list[Operator]:
    """All operators of a file in the order of execution."""
    return [operator for *_, operator in described(read(content))]


def _weights(model: Any, graph: Any, operator: Any, kind: str) -> Any | None:
    """The tensor of an operator's constant float32 weights."""
    from ai_edge_litert import schema_py_generated as schema

    if kind not in WEIGHTS or len(operator.inputs) <= WEIGHTS[kind][0]:
        return None
    tensor = graph.tensors[operator.inputs[WEIGHTS[kind][0]]]
    constant = model.buffers[tensor.buffer].data is not None and tensor.type == schema.TensorType.FLOAT32
    rows = kind != "GATHER" or (len(tensor.shape) == 2 and operator.builtinOptions.axis == 0)
    return tensor if constant and rows else None


def values(model: Any, tensor: Any) -> Array:
    """The numbers of a constant float32 tensor, in its shape; read-only."""
    import numpy as np

    raw = bytes(model.buffers[tensor.buffer].data)
    return np.frombuffer(raw, "<f4").reshape([int(size) for size in tensor.shape])


def text(raw: bytes | None) -> str:
    """A name; what is not UTF-8 is replaced."""
    return (raw or b"").decode(errors="replace")


def name_apart(model: Any) -> None:
    """Give every tensor a name of its own."""
    taken: set[str] = set()
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            tensor.name = unique(text(tensor.name) or "tensor", taken).encode()


def name_ends(model: Any, inputs: Sequence[str], outputs: Sequence[str]) -> bool:
    """Put inputs and outputs in this order and give their tensors these names of the signature; False if it is so.

    A tensor that is two of them has the name of the first.
    """
    graph, signature = model.subgraphs[0], model.signatureDefs[0]
    sides = []
    for names, entries in ((inputs, signature.inputs), (outputs, signature.outputs)):
        indices = {text(entry.name): int(entry.tensorIndex) for entry in entries}
        sides.append([indices[name] for name in names])
    wanted = dict(zip(reversed([*sides[0], *sides[1]]), reversed([*inputs, *outputs]), strict=True))
    before = [*map(int, graph.inputs), *map(int, graph.outputs)]
    if before == [*sides[0], *sides[1]] and all(text(graph.tensors[i].name) == name for i, name in wanted.items()):
        return False
    graph.inputs, graph.outputs = sides
    for index, name in wanted.items():
        graph.tensors[index].name = name.encode()
    return True


def restore_halves(model: Any) -> bool:
    """Give weights that are stored in half precision their float32 back; False where there are none.

    Such files have a DEQUANTIZE behind each, so that no operator has constant float weights; quantizers look for those.
    """
    import numpy as np
    from ai_edge_litert import schema_py_generated as schema

    names, changed = kinds(model), False
    for graph in model.subgraphs:
        kept, restored = [], set()
        for operator in graph.operators:
            stored = graph.tensors[operator.inputs[0]] if names[operator.opcodeIndex] == "DEQUANTIZE" else None
            half = stored is not None and stored.type == schema.TensorType.FLOAT16 and stored.sparsity is None
            data = model.buffers[stored.buffer].data if stored is not None and half else None
            if data is None:
                kept.append(operator)
                continue
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(np.frombuffer(bytes(data), "<f2").astype("<f4").tobytes(), np.uint8)
            graph.tensors[operator.outputs[0]].buffer = len(model.buffers)
            model.buffers.append(buffer)
            restored.add(int(operator.inputs[0]))
        graph.operators, changed = kept, changed or bool(restored)
        read_still = {int(index) for operator in kept for index in operator.inputs} | set(map(int, graph.outputs))
        for index in restored - read_still:
            graph.tensors[index].type, graph.tensors[index].buffer = schema.TensorType.FLOAT32, 0
    return changed


def modernize(model: Any) -> None:
    """Give operators the code that new tools read: files from before 2020 have only the old field, of one byte."""
    for code in model.operatorCodes:
        code.builtinCode = builtin_number(code)
