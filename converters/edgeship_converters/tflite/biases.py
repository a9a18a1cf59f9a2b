"""Biases that do not fit the integers that ai-edge-quantizer gives them.

A bias counts in units of the scale of the inputs times that of the weights of its channel. A channel whose weights are
all zero (a pruned one), or tiny, gets a tiny scale from ai-edge-quantizer 0.10, so that its bias exceeds 32 bits, where
it is cut off, also in the 64 bits that int16x8 has for it; and LiteRT computes 0 for the channel where the unit is too
small beside that of the outputs. Here such channels get a larger scale. Their weights are rounded more coarsely by
that, which changes less than a step of the outputs, whose range has to hold the bias.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from ai_edge_litert.schema_py_generated import TensorType

from edgeship.errors import UnsupportedModelError
from edgeship_converters.flatfile import WEIGHTS, kinds, text, values
from edgeship_converters.tflite import parts

if TYPE_CHECKING:
    from edgeship.types import Array

#: Operators with a bias -> the input that holds it.
BIAS = {"CONV_2D": 2, "DEPTHWISE_CONV_2D": 2, "FULLY_CONNECTED": 2, "TRANSPOSE_CONV": 3}
#: Largest bias in its units, by bytes of its type: 32 bits have to hold the products too, and beside an output of 16
#: bits (bias of 64) they take more room. The multiplier to units of the output stays above 2**-26; LiteRT has 2**-31.
_MOST = {4: 2.0**30, 8: 2.0**40}
#: Types of integer biases -> their bytes.
BYTES = {TensorType.INT32: 4, TensorType.INT64: 8}
#: What ai-edge-quantizer calls a constant that operators with different scales share.
_COPY = re.compile(r"_duplicated_\d+$")


def fit(quantized: Any, original: Any) -> None:
    """Quantize biases again from what they were, with larger scales where they need them; changes `quantized`.

    Args:
        quantized: the file that ai-edge-quantizer made.
        original: the float file that it made it of; its tensors have names of their own.

    Raises:
        UnsupportedModelError: names a bias that is too large beside weights whose scale others need as it is.
    """
    floats = _constants(original)
    for graph in quantized.subgraphs:
        for layer in _layers(quantized, graph):
            known = [(bias, exact) for bias in layer.biases if (exact := _origin(bias, floats)) is not None]
            factor = np.max([_needed(bias, exact) for bias, exact in known], axis=0, initial=1.0)
            if factor.max() > 1:
                _rescale(quantized, layer, factor, floats)
            for bias, exact in known:
                bias.quantization.scale = (np.asarray(bias.quantization.scale) * factor).astype(np.float32)
                kind = f"<i{BYTES[bias.type]}"
                parts.store(quantized, bias, np.rint(exact / bias.quantization.scale.astype(np.float64)).astype(kind))


@dataclass
class _Layer:
    """Weights, the axis of their channels, the integer biases beside them, and whether other scales hang on these."""

    weights: Any
    axis: int
    biases: list[Any]
    shared: bool = False


def _layers(model: Any, graph: Any) -> Iterator[_Layer]:
    """All weights of a graph that integer biases belong to."""
    names = kinds(model)
    found: dict[int, _Layer] = {}
    for operator in graph.operators:
        kind = names[operator.opcodeIndex]
        slot = BIAS.get(kind, len(operator.inputs))
        index = int(operator.inputs[slot]) if slot < len(operator.inputs) else -1
        if index >= 0 and graph.tensors[index].type in BYTES:
            weights, axis = WEIGHTS[kind]
            place = int(operator.inputs[weights])
            layer = found.setdefault(place, _Layer(graph.tensors[place], axis, []))
            if not any(bias is graph.tensors[index] for bias in layer.biases):
                layer.biases.append(graph.tensors[index])
    count = Counter(id(bias) for layer in found.values() for bias in layer.biases)
    for place, layer in found.items():
        tables = any(names[o.opcodeIndex] not in BIAS and place in o.inputs for o in graph.operators)
        layer.shared = tables or any(count[id(bias)] > 1 for bias in layer.biases)
    yield from found.values()


def _constants(model: Any) -> dict[str, Array]:
    """The float32 constants of a file by name."""
    from ai_edge_litert import schema_py_generated as schema

    return {
        text(tensor.name): values(model, tensor)
        for graph in model.subgraphs
        for tensor in graph.tensors
        if tensor.type == schema.TensorType.FLOAT32 and model.buffers[tensor.buffer].data is not None
    }


def _origin(tensor: Any, floats: Mapping[str, Array]) -> Array | None:
    """The float constant that a tensor was made of."""
    name = text(tensor.name)
    return floats.get(name, floats.get(_COPY.sub("", name)))


def _needed(bias: Any, exact: Array) -> Array:
    """For each scale, by how much it has to grow."""
    units = np.abs(exact / np.asarray(bias.quantization.scale, np.float64)) / _MOST[BYTES[bias.type]]
    found: Array = np.maximum(units if len(bias.quantization.scale) > 1 else units.max(keepdims=True), 1.0)
    return found


def _rescale(model: Any, layer: _Layer, factor: Array, floats: Mapping[str, Array]) -> None:
    """Quantize weights again, with scales that are larger by `factor`."""
    tensor, exact = layer.weights, _origin(layer.weights, floats)
    if exact is None or layer.shared:
        raise UnsupportedModelError(
            f"the bias {text(layer.biases[0].name)!r} is too large beside its weights",
            remedy="Leave this layer in float32, or use dynamic.",
        )
    scale = (np.asarray(tensor.quantization.scale) * factor).astype(np.float32)
    shape = [-1 if axis == layer.axis else 1 for axis in range(exact.ndim)]
    tensor.quantization.scale = scale
    parts.store(model, tensor, np.clip(np.rint(exact / scale.reshape(shape)), -127, 127).astype(np.int8))
