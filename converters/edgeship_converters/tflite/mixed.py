"""A precision for each layer in one TFLite file: which operators that means.

A layer in int16x8 keeps its output in 16 bits: the operators that read it take 16 bits too, up to the next one that
gives an output of its own (which the int8 operators after it round to 8 bits). A layer in float32 has float weights and
arithmetic, and its output is read like that of an int16x8 layer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from edgeship.errors import InputError, UnsupportedModelError
from edgeship.types import LAYER_PRECISIONS, Dataset, Source
from edgeship_converters import correction
from edgeship_converters.calibration import Samples, outputs, powers
from edgeship_converters.flatfile import Operator, described, modernize, name_apart, read, text, write
from edgeship_converters.tflite import aeq, selective

if TYPE_CHECKING:
    from edgeship.types import Array

#: Operators that give back values of their input, or means of a few: their output has the precision of their input.
_PASSING = {
    *("RESHAPE", "TRANSPOSE", "SQUEEZE", "EXPAND_DIMS", "PAD", "PADV2", "STRIDED_SLICE", "SLICE", "TILE", "SPLIT"),
    *("MAX_POOL_2D", "AVERAGE_POOL_2D", "REDUCE_MAX", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "PACK", "UNPACK"),
}
#: Operators that ai-edge-quantizer and LiteRT have with 16-bit activations.
_16_BIT = {
    *("ADD", "AVERAGE_POOL_2D", "CONCATENATION", "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "LOGISTIC"),
    *("MAX_POOL_2D", "MEAN", "MUL", "PAD", "PADV2", "RESHAPE", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"),
    *("SLICE", "SOFTMAX", "SPLIT", "STRIDED_SLICE", "SUB", "TANH", "TRANSPOSE", "TRANSPOSE_CONV", "PACK", "UNPACK"),
}
#: Samples on which files are compared.
_SAMPLES = 64
#: Operators that change the precision.
_BETWEEN = {"QUANTIZE", "DEQUANTIZE"}


@dataclass(frozen=True)
class Mixed:
    """A file with a precision for each layer, and which operators had to stay float for want of integer arithmetic."""

    content: bytes
    left_float: tuple[str, ...]


@dataclass(frozen=True)
class _Node:
    """An operator with the tensors that it reads and gives."""

    operator: Operator
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True)
class _Start:
    """A layer in a file: its operators, and the tensors that it gives."""

    operators: tuple[str, ...]
    tensors: tuple[int, ...]


def quantize(
    content: bytes, precision: Mapping[str, str], calibration: Samples, original: Callable[[], bytes] | None = None
) -> Mixed:
    """The file with some layers above int8, float inputs and outputs.

    Where no layer is named, those that 8 bits make noise of are left in float (`selective`).

    Args:
        content: a float32 .tflite file with the signature `serving_default`.
        precision: name of a Keras layer (or of an input) -> one of `LAYER_PRECISIONS`; all others are int8.
        calibration: samples that set the ranges of activations.
        original: gives the same file with biases that are not corrected (`corrected`).

    Raises:
        InputError: an unknown precision, or a layer that the file does not have.
        UnsupportedModelError: the model has loops, an operator cannot be quantized, or LiteRT cannot run the file.
    """
    unknown = sorted(set(precision.values()) - set(LAYER_PRECISIONS))
    if unknown:
        raise InputError(f"unknown precision {unknown[0]!r}", remedy=f"Allowed: {', '.join(LAYER_PRECISIONS)}.")
    model = read(content)
    name_apart(model)
    modernize(model)
    if len(model.subgraphs) > 1:
        raise UnsupportedModelError(
            "tflite/mixed: the .tflite file has loops, which have no precision of their own",
            remedy="Give the Keras model that it was made from: its recurrent layers are unrolled.",
        )
    nodes = [_Node(d, tuple(map(int, o.inputs)), tuple(map(int, o.outputs))) for _, o, d in described(model)]
    inputs = {text(entry.name): int(entry.tensorIndex) for entry in model.signatureDefs[0].inputs}
    chosen = _spread(nodes, {_start(layer, nodes, inputs): word for layer, word in precision.items()})
    left = {n for n, word in chosen.items() if word == "int16x8" and _kind(nodes, n) not in _16_BIT}
    words = {f"^{re.escape(n)}$": word for n, word in {**chosen, **dict.fromkeys(left, "float32")}.items()}
    made = _selected(write(model), words, calibration, None if precision else 8, original)
    return Mixed(made, _left_float(made, chosen))


def corrected(model: Any, source: Source, calibration: Dataset, precision: Mapping[str, str]) -> Any:
    """The Keras model with biases that make up for its int8 kernels and for int8 activations.

    Some activations have 16 bits or are floats, which shift next to nothing: `nearer` says whether it was right.
    """
    from edgeship.compress.quantize.bias import INT8, Rounding

    def rounded(layer: str, kernel: Array, channel_axes: tuple[int, ...]) -> Array:
        return kernel if precision.get(layer) == "float32" else INT8.kernel(layer, kernel, channel_axes)

    return correction.corrected_for(model, source, calibration, Rounding(rounded, activations=True))


def nearer(original: bytes, files: Sequence[Mixed], samples: Samples) -> Mixed:
    """The file whose outputs for the first 64 samples are nearest to those of a float file; of equals the first."""
    given = [sample for sample, _ in zip(samples(), range(_SAMPLES), strict=False)]
    exact = outputs(original, given)
    return min(files, key=lambda file: sum(powers(outputs(file.content, given), exact)))


def _selected(
    content: bytes,
    words: Mapping[str, str],
    calibration: Samples,
    bits: int | None,
    original: Callable[[], bytes] | None,
) -> bytes:
    """The file, with as few more operators in float as LiteRT and (with `bits`) its outputs need.

    Whether a kernel takes 16 bits also depends on the scales of its tensors, which are not known before.
    """
    ranges = aeq.ranges(content, calibration)

    def make(floats: frozenset[str]) -> bytes:
        more = {f"^{re.escape(name)};": "float32" for name in sorted(floats)}
        return aeq.make(content, {**words, **more}, "int8", ranges)

    return selective.choose(make, selective.Reference(content, calibration, bits, original)).content


def _left_float(content: bytes, chosen: Mapping[str, str]) -> tuple[str, ...]:
    """Operators that compute in float though nobody chose that."""
    from ai_edge_litert import schema_py_generated as schema

    return tuple(
        description.name
        for graph, operator, description in described(read(content))
        if graph.tensors[operator.outputs[0]].type == schema.TensorType.FLOAT32
        and description.kind not in _BETWEEN
        and chosen.get(description.name) != "float32"
    )


def _spread(nodes: Sequence[_Node], starts: Mapping[_Start, str]) -> dict[str, str]:
    """Name of each operator that is not int8 -> its precision."""
    chosen: dict[str, str] = {}
    for start, word in starts.items():
        if word != "int8":
            chosen |= dict.fromkeys(_readers(nodes, start.tensors), "int16x8")
    for start, word in sorted(starts.items(), key=lambda item: LAYER_PRECISIONS.index(item[1])):
        if word != "int8":
            chosen |= dict.fromkeys(start.operators, word)
    return chosen


def _readers(nodes: Sequence[_Node], tensors: Sequence[int]) -> Iterator[str]:
    """Operators that read these tensors, also through those that pass them on. Nodes are in the order of execution."""
    raised = set(tensors)
    for node in nodes:
        if raised & set(node.inputs):
            yield node.operator.name
            if node.operator.kind in _PASSING:
                raised |= set(node.outputs)


def _kind(nodes: Sequence[_Node], name: str) -> str:
    return next(node.operator.kind for node in nodes if node.operator.name == name)


def _start(layer: str, nodes: Sequence[_Node], inputs: Mapping[str, int]) -> _Start:
    """What a layer is in the file. Raises InputError where it is not there."""
    if layer in inputs:
        return _Start((), (inputs[layer],))
    named = [node for node in nodes if node.operator.is_of(layer)]
    kernels = [node for node in named if node.operator.weights]
    # The name of a layer whose activation or normalization became an operator of its own stands in that one's too,
    # behind the name of what it computes.
    own = [n for n in named if n in kernels or replace(n.operator, name=_first(n.operator.name)).is_of(layer)]
    found = own if kernels else named
    if not found:
        raise InputError(
            f"no operator of the .tflite file belongs to the layer {layer!r}",
            remedy="Name a layer that edgeship inspect --sensitivity lists; write sums with layers such as Add.",
        )
    return _Start(tuple(n.operator.name for n in found), tuple(t for n in found for t in n.outputs))


def _first(name: str) -> str:
    return name.partition(";")[0] + ";"
