"""Variants `int4` and `int4-mixed`: weights in few bits, float arithmetic, and how many bits each layer gets.

`int4-mixed` measures: each layer's weights alone are rounded to 4 and to 2 bits, and the error at the outputs is
compared with what they vary. The errors of layers add up in power, as those of independent causes do, so the bits are
chosen that save most bytes within a budget for the sum (a knapsack, solved greedily; arXiv 1911.03852, section 3.4,
does the same with another measure of the error).
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeship.errors import DataError, UnsupportedModelError
from edgeship.types import Dataset, Source
from edgeship_converters import correction
from edgeship_converters.calibration import Samples, batches, outputs, powers
from edgeship_converters.flatfile import (
    WEIGHTS,
    Operator,
    described,
    modernize,
    name_apart,
    read,
    values,
    write,
)
from edgeship_converters.tflite import aeq
from edgeship_converters.tflite.weights import FEWEST, quantizable, quantize_weights

if TYPE_CHECKING:
    from edgeship.types import Array

#: Power of the error at the outputs, as a share of their variance, that the layers of `int4-mixed` may make together.
#: The largest with which no network lost 0.5 points on validation images (docs/compression.md).
BUDGET = 0.02
#: Samples on which the error is measured.
_SAMPLES = 64
_BITS = (8, 4, 2)
#: Layers that an error names; more are counted.
_NAMED = 8
#: What makes probabilities of scores: the error is measured before it, where large scores still change.
_SQUASHING = {"SOFTMAX", "LOGISTIC"}

#: What a model is prepared with -> the float32 file of it.
Make = Callable[[Callable[[Any], Any] | None], bytes]


def quantize(variant: str, make: Make, source: Source, calibration: Dataset | None) -> tuple[bytes, tuple[str, ...]]:
    """A file, and which bits its weights have.

    Args:
        variant: `int4`, which takes samples where there are some, or `int4-mixed`, which needs them.
        make: gives the float32 file of the model.
        source: the model.
        calibration: samples to measure on and to correct biases with.

    Raises:
        DataError: `int4-mixed` without samples.
        UnsupportedModelError: no weights that can be made smaller.
    """
    if variant == "int4":
        content = make(functools.partial(_corrected, source=source, calibration=calibration, bits=lambda _: 4))
        chosen_bits = dict.fromkeys((operator.name for operator in _kernels(content)), 4)
        if not chosen_bits:
            raise _nothing_smaller(make(None), source)
        return _stored(content, chosen_bits)
    if calibration is None:
        raise DataError(
            f"tflite/{variant} needs sample inputs to measure on, and no data was given", remedy="Add --data."
        )
    content = make(functools.partial(correction.folded, source=source))
    if not _kernels(content):
        raise _nothing_smaller(make(None), source)
    chosen = choose(content, batches(calibration, source.inputs, 1))
    found = {operator: chosen[operator.weights] for operator in _kernels(content)}

    def bits(layer: str) -> int:
        return next((number for operator, number in found.items() if operator.is_of(layer)), 8)

    better = make(functools.partial(_corrected, source=source, calibration=calibration, bits=bits))
    again = _kernels(better)
    same = [(o.kind, o.shape) for o in again] == [(o.kind, o.shape) for o in found]
    if not same:  # another order of operators: without correction
        return _stored(content, {operator.name: number for operator, number in found.items()})
    return _stored(better, {operator.name: number for operator, number in zip(again, found.values(), strict=True)})


def _kernels(content: bytes) -> list[Operator]:
    """The operators whose weights can be made smaller, each tensor of weights once."""
    model = _tidy(content)
    found = [description for *_, description in described(model) if description.weights]
    once = {operator.weights: operator for operator in reversed(found) if quantizable(operator.shape)}
    return list(reversed(once.values()))


def _tidy(content: bytes) -> Any:
    model = read(content)
    name_apart(model)
    modernize(model)
    return model


def _stored(content: bytes, bits: Mapping[str, int]) -> tuple[bytes, tuple[str, ...]]:
    """The file with the weights of these operators in so many bits, and a note that says so."""
    words = {number: word for word, number in aeq.WEIGHT_ONLY.items()}
    made = aeq.quantize(content, {f"^{re.escape(name)}$": words[number] for name, number in bits.items()})
    counts = Counter(bits.values())
    weights = [f"{counts[number]} in {number} bits" for number in _BITS if counts[number]]
    return made, (f"weights of layers: {', '.join(weights)}; small ones in float32",)


def _nothing_smaller(content: bytes, source: Source) -> UnsupportedModelError:
    """The error for a model of small layers: in fewer bits each would take as much, and the file is that of float32."""
    small = [operator for *_, operator in described(read(content)) if operator.weights]
    names = [f"{operator.name.partition(';')[0]} ({np.prod(operator.shape)})" for operator in small[:_NAMED]]
    more = f" and {len(small) - _NAMED} more" if len(small) > _NAMED else ""
    ends = [f"none of those that give {', '.join(spec.name for spec in source.outputs)} has any"]
    return UnsupportedModelError(
        f"tflite/int4: the model has no weights that can be made smaller, which takes {FEWEST} of them in a layer: "
        f"{', '.join(names or ends)}{more}",
        remedy="Use float32, which is as small here, float16 or int8.",
    )


def _corrected(model: Any, *, source: Source, calibration: Dataset | None, bits: Callable[[str], int]) -> Any:
    from edgeship.compress.quantize.bias import Rounding

    def rounded(layer: str, kernel: Array, channel_axes: tuple[int, ...]) -> Array:
        if not quantizable(kernel.shape):
            return kernel
        # The channels of a depthwise kernel are (input, multiplier), which the file has as one axis.
        axis = channel_axes[0]
        flat = kernel.reshape(*kernel.shape[:2], -1) if len(channel_axes) == 2 else kernel
        return quantize_weights(flat, axis, bits(layer)).real().reshape(kernel.shape)

    return correction.corrected_for(model, source, calibration, Rounding(rounded, activations=False))


def choose(content: bytes, samples: Samples, budget: float = BUDGET) -> dict[str, int]:
    """Bits for each tensor of weights, by name.

    Args:
        content: a float32 file.
        samples: by input name; the first 64 are used.
        budget: power of the error at the outputs as a share of their variance, of all layers together.
    """
    measure = _Measure(content, samples)
    kernels = _kernels(content)
    sizes = {operator.weights: int(np.prod(operator.shape, dtype=np.int64)) for operator in kernels}
    errors = {(name, bits): measure.error({name: bits}) for name in sizes for bits in _BITS}
    chosen = dict.fromkeys(sizes, 8)
    spent = sum(errors[name, 8] for name in chosen)
    while True:
        moves = [
            (max(errors[name, fewer] - errors[name, bits], 1e-12) / (sizes[name] * (bits - fewer)), name, fewer)
            for name, bits in chosen.items()
            for fewer in _BITS
            if fewer < bits and spent + errors[name, fewer] - errors[name, bits] <= budget
        ]
        if not moves:
            return chosen
        _, name, fewer = min(moves)
        spent += errors[name, fewer] - errors[name, chosen[name]]
        chosen[name] = fewer


class _Measure:
    """Runs a float file with some of its weights rounded."""

    def __init__(self, content: bytes, samples: Samples) -> None:
        self._model = _tidy(content)
        _before_squashing(self._model)
        self._samples = [sample for sample, _ in zip(samples(), range(_SAMPLES), strict=False)]
        self._weights = {
            description.weights: (graph.tensors[operator.inputs[slot]], axis)
            for graph, operator, description in described(self._model)
            if description.weights
            for slot, axis in (WEIGHTS[description.kind],)
        }
        self._original = outputs(write(self._model), self._samples)

    def error(self, bits: Mapping[str, int]) -> float:
        """Power of the error as a share of the variance, of the worst output."""
        kept = {}
        for name, number in bits.items():
            tensor, axis = self._weights[name]
            buffer = self._model.buffers[tensor.buffer]
            kept[name] = buffer, buffer.data
            real = quantize_weights(values(self._model, tensor), axis, number).real()
            buffer.data = np.frombuffer(real.astype("<f4").tobytes(), np.uint8)
        found = outputs(write(self._model), self._samples)
        for buffer, data in kept.values():
            buffer.data = data
        return max(powers(found, self._original))


def _before_squashing(model: Any) -> None:
    """Have the signature give what goes into a last softmax or sigmoid, instead of what comes out."""
    sources = {}
    for graph, operator, description in described(model):
        if graph is model.subgraphs[0] and description.kind in _SQUASHING:
            sources[int(operator.outputs[0])] = int(operator.inputs[0])
    graph = model.subgraphs[0]
    graph.outputs = [sources.get(int(index), int(index)) for index in graph.outputs]
    for entry in model.signatureDefs[0].outputs:
        entry.tensorIndex = sources.get(int(entry.tensorIndex), int(entry.tensorIndex))
