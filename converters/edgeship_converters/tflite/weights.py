"""Weights in 8, 4 or 2 bits beside float arithmetic: stored as integers, taken back to float by DEQUANTIZE.

ai-edge-quantizer has the same for 8 and 4 bits, without depthwise and transposed convolutions and with the largest
weight as the end of the range, which in few bits costs half of the accuracy. Here the range and zero point of each
channel are those with the least squared error.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeship.names import unique
from edgeship_converters.flatfile import WEIGHTS, described, text, values
from edgeship_converters.tflite import parts

if TYPE_CHECKING:
    from edgeship.types import Array

#: Bits -> zero points that are tried, counted from the lowest number. In 4 and 8 bits other ones hardly gain.
_ZERO_POINTS: Mapping[int, tuple[int, ...]] = {2: (0, 1, 2, 3), 4: (6, 7, 8, 9), 8: (128,)}
#: Shares of the widest range that are tried.
_SHARES = np.linspace(1.0, 0.4, 21, dtype=np.float32)
#: Fewest weights that pay: an operator, a tensor and the scales come with them, about 300 bytes.
FEWEST = 256
#: Version of DEQUANTIZE by bits (int8 per channel, int4, int2). Runtimes that are too old must see it: they refuse the
#: file then, and read wrong numbers otherwise.
_VERSIONS: Mapping[int, int] = {8: 5, 4: 6, 2: 7}


class Grid:
    """Integers of few bits with a scale and a zero point for each channel: real = scale * (integer - zero point).

    Attributes:
        integers: int8, in the shape of the weights, within -2**(bits-1) .. 2**(bits-1)-1.
        scales: float32, one a channel.
        zero_points: int64, one a channel.
    """

    def __init__(self, integers: Array, scales: Array, zero_points: Array, axis: int) -> None:
        self.integers, self.scales, self.zero_points, self._axis = integers, scales, zero_points, axis

    def real(self) -> Array:
        """What the runtime computes with, in float32."""
        shape = [-1 if axis == self._axis else 1 for axis in range(self.integers.ndim)]
        centred = self.integers.astype(np.float32) - self.zero_points.reshape(shape).astype(np.float32)
        found: Array = centred * self.scales.reshape(shape)
        return found


def quantize_weights(weights: Array, axis: int, bits: int) -> Grid:
    """The grid with the least squared error among ranges and zero points that are tried, for each channel.

    Args:
        weights: float32, of any shape, finite.
        axis: of the channels.
        bits: 8, 4 or 2.
    """
    rows = np.moveaxis(weights, axis, 0).reshape(weights.shape[axis], -1).astype(np.float32)
    low, high = np.minimum(rows.min(axis=1), 0), np.maximum(rows.max(axis=1), 0)
    top = 2**bits - 1
    best = np.full(len(rows), np.inf, np.float32)
    scales, zeros = np.ones(len(rows), np.float32), np.full(len(rows), 2 ** (bits - 1), np.int64)
    for zero in _ZERO_POINTS[bits]:
        above, below = max(top - zero, 1e-9), max(zero, 1e-9)
        widest = np.maximum(high / above if top > zero else 0, -low / below if zero else 0)
        for share in _SHARES if bits < 8 else _SHARES[:1]:
            scale = np.where(widest > 0, widest * share, 1).astype(np.float32)
            steps = np.clip(np.rint(rows / scale[:, None]) + zero, 0, top)
            error = np.square((steps - zero) * scale[:, None] - rows).sum(axis=1)
            better = (error < best) & (scale > np.finfo(np.float32).tiny)
            best, scales = np.where(better, error, best), np.where(better, scale, scales)
            zeros = np.where(better, zero, zeros)
    steps = np.clip(np.rint(rows / scales[:, None]) + zeros[:, None], 0, top)
    integers = (steps - 2 ** (bits - 1)).astype(np.int8).reshape(np.moveaxis(weights, axis, 0).shape)
    back = np.ascontiguousarray(np.moveaxis(integers, 0, axis))
    return Grid(back, scales, zeros - 2 ** (bits - 1), axis)


def pack(integers: Array, bits: int) -> Array:
    """int8 numbers as bytes, the first one in the lowest bits, padded with zeros."""
    flat: Array = integers.ravel().view(np.uint8)
    if bits == 8:
        return flat
    each = 8 // bits
    flat = np.concatenate([flat & (2**bits - 1), np.zeros(-len(flat) % each, np.uint8)]).reshape(-1, each)
    shifted = flat << (bits * np.arange(each, dtype=np.uint8))
    packed: Array = np.bitwise_or.reduce(shifted, axis=1)
    return packed


def quantizable(shape: tuple[int, ...]) -> bool:
    """Whether weights of this shape get smaller in the file."""
    return int(np.prod(shape, dtype=np.int64)) >= FEWEST


def store(model: Any, bits: Mapping[str, int]) -> None:
    """Store weights of a model in fewer bits, with a DEQUANTIZE before their operator; changes the model.

    Args:
        model: `flatfile.read` of a file whose tensors have names of their own.
        bits: name of the weights (`Operator.weights`) -> 8, 4 or 2.
    """
    made: dict[str, int] = {}
    for graph, operator, description in list(described(model)):
        name = description.weights
        if name not in bits:
            continue
        slot, axis = WEIGHTS[description.kind]
        if name not in made:  # the first of the operators that share it
            index = int(operator.inputs[slot])
            made[name] = _quantized(model, graph, graph.tensors[index], axis, bits[name])
            place = next(i for i, other in enumerate(graph.operators) if other is operator)
            code = parts.code(model, "DEQUANTIZE", _VERSIONS[bits[name]])
            graph.operators.insert(place, parts.operator(code, [index], [made[name]], "DequantizeOptions"))
        operator.inputs[slot] = made[name]
    used = {tensor.buffer for graph in model.subgraphs for tensor in graph.tensors}
    for index, buffer in enumerate(model.buffers):
        if index not in used and not any(index == entry.buffer for entry in model.metadata or []):
            buffer.data = None


def _quantized(model: Any, graph: Any, tensor: Any, axis: int, bits: int) -> int:
    """Make a tensor integer; the index of a new float tensor for what DEQUANTIZE makes of it."""
    from ai_edge_litert import schema_py_generated as schema

    grid = quantize_weights(values(model, tensor), axis, bits)
    result = schema.TensorT()
    result.shape, result.type, result.buffer = tensor.shape, schema.TensorType.FLOAT32, 0
    names = {text(other.name) for part in model.subgraphs for other in part.tensors}
    result.name = unique(f"{text(tensor.name)}_float", names).encode()
    parts.store(model, tensor, pack(grid.integers, bits))
    types = {8: schema.TensorType.INT8, 4: schema.TensorType.INT4, 2: schema.TensorType.INT2}
    tensor.type, tensor.quantization = types[bits], schema.QuantizationParametersT()
    tensor.quantization.scale, tensor.quantization.zeroPoint = grid.scales, grid.zero_points
    tensor.quantization.quantizedDimension = axis
    graph.tensors.append(result)
    return len(graph.tensors) - 1
