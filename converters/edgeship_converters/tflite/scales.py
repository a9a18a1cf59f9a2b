"""Scales and biases of integers in few digits: beside the weights they are most of what a file of many channels says.

A scale has 24 binary digits, of which no compressor finds fewer, and every channel has two, of its weights and of its
bias. With 8 digits the weights of a channel grow or shrink by at most 0.4 %. That moves its results less than their
own rounding does: for normally distributed weights of 8 bits, whose error is 42 dB below them, this one is 56 dB.

The ranges of inner tensors move by as much: half a step of the 255 of int8, where the largest values of all are cut.

A bias counts in units of its inputs times its weights, which are hundreds of times finer than the units of the outputs
that it ends in. Rounded to a multiple of a power of two of them, which is an eighth of an output's unit at most, it is
off by a sixteenth of a unit, where the outputs are rounded by a half, and its lower digits are zeros.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from edgeship_converters.flatfile import WEIGHTS, kinds, read, write
from edgeship_converters.tflite import parts
from edgeship_converters.tflite.biases import BIAS, BYTES

if TYPE_CHECKING:
    from edgeship.types import Array

_DIGITS = 8
#: Operators whose input is not their first operand.
_INPUT = {"TRANSPOSE_CONV": 2}
#: Below, a product has not all its digits.
_SMALLEST = 4 * float(np.finfo(np.float32).tiny)
#: How far the scale of a bias may be from the product that it is.
_NEAR = 1e-5
#: The coarsest step of a bias, in units of the outputs.
_STEP = 1 / 8


class _Beside(NamedTuple):
    """Tensors of the operator that a bias belongs to."""

    given: Any
    weights: Any
    made: Any


def shortened(content: bytes) -> bytes:
    """A `.tflite` file with scales of 8 binary digits and coarse biases; one without any comes back as it is.

    Scales that are equal stay so, and that of a bias stays the product of its operator's, which runtimes rely on; those
    of inputs and outputs stay as they are, and so do those of operators whose biases are not known here.
    """
    model = read(content)
    changed = False
    biases = [_biases(model, graph) for graph in model.subgraphs]
    kept = _kept(model, biases)
    for graph, known in zip(model.subgraphs, biases, strict=True):
        for index, tensor in enumerate(graph.tensors):
            scale = _scale(tensor)
            if scale is not None and index not in known and kept.isdisjoint(scale.tolist()):
                tensor.quantization.scale = _rounded(scale)
                changed = changed or not np.array_equal(tensor.quantization.scale, scale)
        for index, beside in known.items():
            changed = _recount(model, graph.tensors[index], beside) or changed
    return write(model) if changed else content


def _biases(model: Any, graph: Any) -> dict[int, _Beside]:
    """Biases that are counted by the product of two scales, by the numbers of their tensors; not shared ones."""
    names, found = kinds(model), {}
    uses = Counter(int(index) for operator in graph.operators for index in operator.inputs)
    uses.update(int(index) for index in (*graph.inputs, *graph.outputs))
    for operator in graph.operators:
        kind = names[operator.opcodeIndex]
        index = _bias(operator, kind)
        if index < 0 or uses[index] > 1 or not _is_bias(graph.tensors[index]):
            continue
        bias, weights = graph.tensors[index], graph.tensors[operator.inputs[WEIGHTS[kind][0]]]
        given = graph.tensors[operator.inputs[_INPUT.get(kind, 0)]]
        scale, own = _product(given, weights), np.asarray(bias.quantization.scale)
        constant = model.buffers[bias.buffer].data is not None and scale.shape == own.shape
        if constant and scale.min() > _SMALLEST and scale.max() < np.inf and np.allclose(own, scale, _NEAR, 0):
            found[index] = _Beside(given, weights, graph.tensors[operator.outputs[0]])
    return found


def _bias(operator: Any, kind: str) -> int:
    """The number of the tensor that holds an operator's bias; -1 where it has none."""
    slot = BIAS.get(kind, len(operator.inputs))
    return int(operator.inputs[slot]) if slot < len(operator.inputs) else -1


def _product(given: Any, weights: Any) -> Array:
    """The scale of a bias, (1,) or (channels,); () where one of the two has none, or the input more than one."""
    first, second = _scale(given), _scale(weights)
    if first is None or second is None or first.size != 1 or not second.size:
        return np.zeros(())
    return np.multiply(first, second)


def _is_bias(tensor: Any) -> bool:
    return tensor.type in BYTES and _scale(tensor) is not None


def _kept(model: Any, biases: list[dict[int, _Beside]]) -> set[float]:
    """Scales that stay as they are."""
    names, found = kinds(model), set[float]()
    for graph, known in zip(model.subgraphs, biases, strict=True):
        numbers = {int(index) for index in (*graph.inputs, *graph.outputs)}
        for operator in graph.operators:
            between = () if operator.intermediates is None else operator.intermediates
            own = {int(index) for index in (*operator.inputs, *operator.outputs, *between) if index >= 0}
            biased = {index for index in own if _is_bias(graph.tensors[index])}
            index = _bias(operator, names[operator.opcodeIndex])
            if index >= 0 and graph.tensors[index].type in BYTES:
                biased.add(index)
            if len(between) or not biased <= known.keys():
                numbers |= own
        for number in numbers:
            scale = _scale(graph.tensors[number])
            found.update(() if scale is None else scale.tolist())
    return found


def _scale(tensor: Any) -> Array | None:
    """In float32, (1,) or (channels,); None of what has none, or one for each block."""
    quantization = tensor.quantization
    if quantization is None or quantization.scale is None or quantization.details is not None:
        return None
    return np.asarray(quantization.scale, np.float32)


def _rounded(scale: Array) -> Array:
    fraction, exponent = np.frexp(scale)
    rounded: Array = np.ldexp(np.rint(np.ldexp(fraction, _DIGITS)), exponent - _DIGITS).astype(np.float32)
    return rounded


def _recount(model: Any, bias: Any, beside: _Beside) -> bool:
    """Count a bias by the scales that its operator has now, in coarse steps; says whether anything is new."""
    kind, before = np.dtype(f"<i{BYTES[bias.type]}"), np.asarray(bias.quantization.scale, np.float64)
    scale = _product(beside.given, beside.weights)
    counted = np.frombuffer(bytes(model.buffers[bias.buffer].data), kind)
    steps = _steps(scale, _scale(beside.made))
    most = np.nextafter(float(np.iinfo(kind).max), 0)  # the largest of 64 bits is no float
    again = np.clip(np.rint(counted * (before / scale) / steps) * steps, -most, most).astype(kind)
    if np.array_equal(before, scale) and np.array_equal(again, counted):
        return False
    bias.quantization.scale = scale
    parts.store(model, bias, again)
    return True


def _steps(scale: Array, made: Array | None) -> Array:
    """Powers of two that biases of these scales may be rounded to for these outputs, in float64."""
    if made is None or made.size != 1 or not np.isfinite(made[0]):
        return np.ones(1)
    within = np.maximum(_STEP * made[0] / scale.astype(np.float64), 1)
    steps: Array = np.exp2(np.floor(np.log2(within)))
    return steps
