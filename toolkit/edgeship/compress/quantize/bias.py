"""Bias correction: what rounding to int8 shifts on average is taken out of the biases (arXiv 1906.04721, section 4.2).

Rounding errors of a kernel do not cancel where its inputs have a mean: E[(W + e) x] = E[W x] + e E[x]. With samples the
shift of each channel is measured (appendix D of the paper), in a network that computes as the int8 file will: kernels
in -127..127 with a scale per output channel, activations in 256 steps of one range a tensor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np

from edgeship.compress.graph.calibration import batches, observer
from edgeship.compress.graph.folded import checked_fold
from edgeship.compress.graph.model import Graph, Ref, Step, build, read, substitute, unique_names
from edgeship.compress.helpers import helpers
from edgeship.compress.layers import QUANTIZED, FakeQuant, calibrated, fake_quantized, snap
from edgeship.compress.quantize.place import place
from edgeship.errors import UnsupportedModelError
from edgeship.types import Array

#: A mean over more samples than this changes no int8 output; all activations of as many are kept at a time.
_MAX_SAMPLES = 512
_BATCH = 32
#: Tensors of this many numbers in all may be kept, about 1 GiB; with larger ones fewer samples are read.
_MAX_NUMBERS = 2**28


@dataclass(frozen=True)
class Rounding:
    """What an exported file rounds.

    Attributes:
        kernel: (name of the layer, its kernel, axes of the output channels) -> the kernel that the file computes with.
        activations: whether activations are int8.
    """

    kernel: Callable[[str, Array, tuple[int, ...]], Array]
    activations: bool


def _int8_kernel(_: str, kernel: Array, channel_axes: tuple[int, ...]) -> Array:
    return snap(kernel, channel_axes)


#: Of the variant `int8`, and of those with int8 kernels beside activations that are (nearly) exact.
INT8, INT8_KERNELS = Rounding(_int8_kernel, True), Rounding(_int8_kernel, False)


def correct_bias(model: keras.Model, calibration: Any, rounding: Rounding = INT8) -> keras.Model:
    """A float model whose biases make up for what quantization after training shifts.

    Layer after layer, the mean of each output channel over all samples and positions is brought back to that of the
    float network, given the errors (and corrections) of the layers before. Where the outputs for the samples come no
    nearer to those of the float network by that, biases stay as they are. edgeship's TFLite and ONNX converters do
    this by themselves for integer variants of Keras models; a model that was corrected before would be corrected twice.

    Args:
        model: functional or Sequential, float or uint8 inputs; it is not changed. The result has batch normalization
            folded and a bias in every layer with a kernel: correct after training. Do not deliver it in float: its
            biases are off by as much as the rounding shifts the other way.
        calibration: typical samples, as for `quantize_aware`; the first 512 are used.
        rounding: what the file will round.

    Raises:
        UnsupportedModelError: names the layer that has no int8 form, or that cannot be folded.
        DataError: the calibration samples do not fit the model.
    """
    for helper in helpers(model):
        helper.check()
    if fake_quantized(model):
        raise UnsupportedModelError(
            f"{model.name} carries its own ranges", remedy="Quantization-aware training corrects biases by itself."
        )
    original = unique_names(read(model))
    ids = [
        name for name, _, dtype, _ in original.inputs if not keras.backend.is_float_dtype(dtype) and dtype != "uint8"
    ]
    if ids:
        raise UnsupportedModelError(
            f"{model.name}: input {ids[0]} is neither float nor uint8",
            remedy="Cut the model after the layer that makes numbers of it.",
        )
    samples = _samples(calibration, original)
    folded = unique_names(checked_fold(model, original, [array[:_BATCH] for array in samples]))
    shifts = _shifts(folded, samples, rounding)
    return build(folded.with_steps(_shifted(step, shifts.get(step.outputs[0])) for step in folded.steps))


def _samples(calibration: Any, graph: Graph) -> list[Array]:
    """The first samples, one array an input."""
    most = max((_numbers(ref.shape) for step in graph.steps for ref in step.outputs), default=1)
    limit = max(32, min(_MAX_SAMPLES, _MAX_NUMBERS // (4 * most)))
    parts: list[list[Array]] = []
    for batch in batches(calibration, graph):
        parts.append(batch)
        if sum(len(part[0]) for part in parts) >= limit:
            break
    return [np.concatenate([part[i] for part in parts])[:limit] for i in range(len(parts[0]))]


def _numbers(shape: tuple[int | None, ...]) -> int:
    return int(np.prod([size or 1 for size in shape[1:]], dtype=np.int64))


def _shifts(folded: Graph, samples: list[Array], rounding: Rounding) -> dict[Ref, Array]:
    """Output of each kernel -> what to add to its bias; empty where that does not help the outputs."""
    placed = place(folded) if rounding.activations else folded
    kernels = [step.output for step in folded.steps if step.layer in QUANTIZED]
    ranged = [step.inputs[0] for step in placed.steps if step.layer is FakeQuant and step.config["fixed"] is None]
    means, bounds = _statistics(folded, kernels, ranged, samples)
    steps = [_rounded(step, bounds, rounding) for step in placed.steps]
    rounded = placed.with_steps(steps)
    shifts, corrected = _through(rounded, samples, means)
    _, plain = _through(rounded, samples, {})
    outputs = [ref for _, ref in folded.outputs]
    observe = observer(folded, outputs)
    found = [observe(batch) for batch in _parts(samples)]
    exact = [np.concatenate([part[ref] for part in found]) for ref in outputs]
    return shifts if _distance(corrected, exact) < _distance(plain, exact) else {}


def _distance(found: list[Array], exact: list[Array]) -> float:
    """Mean squared error of all outputs together, each in units of its own variance."""
    return sum(
        float(np.mean((one - other) ** 2) / max(float(np.var(other)), 1e-30))
        for one, other in zip(found, exact, strict=True)
    )


def _through(rounded: Graph, samples: list[Array], means: Mapping[Ref, Array]) -> tuple[dict[Ref, Array], list[Array]]:
    """Run the samples layer by layer, bringing channels to `means`; the shifts that took, and the outputs."""
    shifts: dict[Ref, Array] = {}
    uses = rounded.consumers()
    values = dict(zip((ref for *_, ref in rounded.inputs), samples, strict=True))
    for step in rounded.steps:
        results = _run(step, values)
        if step.outputs[0] in means:
            shifts[step.output] = means[step.output] - _mean(results[0])
            results[0] += shifts[step.output]
        values.update(zip(step.outputs, results, strict=True))
        for ref in step.inputs:
            uses[ref] -= 1
            if not uses[ref]:
                del values[ref]
    return shifts, [values[ref] for _, ref in rounded.outputs]


def _statistics(
    folded: Graph, kernels: list[Ref], ranged: list[Ref], samples: list[Array]
) -> tuple[dict[Ref, Array], dict[Ref, tuple[float, float]]]:
    """In the float network: means of the channels of `kernels`, and smallest and largest value of `ranged`."""
    observe = observer(folded, list(dict.fromkeys([*kernels, *ranged])))
    sums: dict[Ref, Array] = {}
    bounds: dict[Ref, tuple[float, float]] = {}
    for batch in _parts(samples):
        found, share = observe(batch), len(batch[0]) / len(samples[0])
        for ref in kernels:
            sums[ref] = sums.get(ref, 0) + share * _mean(found[ref])
        for ref in ranged:
            low, high = bounds.get(ref, (np.inf, -np.inf))
            bounds[ref] = (min(low, float(found[ref].min())), max(high, float(found[ref].max())))
    return sums, bounds


def _mean(array: Array) -> Array:
    """Of each channel, over all samples and positions."""
    found: Array = array.mean(axis=tuple(range(array.ndim - 1)), dtype=np.float64).astype(np.float32)
    return found


def _parts(arrays: list[Array]) -> Iterator[list[Array]]:
    for start in range(0, len(arrays[0]), _BATCH):
        yield [array[start : start + _BATCH] for array in arrays]


def _rounded(step: Step, bounds: Mapping[Ref, tuple[float, float]], rounding: Rounding) -> Step:
    """The step as the file computes it."""
    if step.layer is FakeQuant and step.config["fixed"] is None:
        return replace(step.set(frozen=True), weights=calibrated(*bounds[step.inputs[0]]))
    if step.layer in QUANTIZED:
        kernel, *bias = step.weights
        return replace(step, weights=(rounding.kernel(step.name, kernel, QUANTIZED[step.layer].channel_axes), *bias))
    return step


def _run(step: Step, values: Mapping[Ref, Array]) -> list[Array]:
    """The outputs of one step for all samples."""
    layer = step.layer.from_config({**step.config})
    results: list[list[Array]] = []
    inputs = list(dict.fromkeys(step.inputs))
    for batch in _parts([values[ref] for ref in inputs]):
        given = dict(zip(inputs, batch, strict=True))
        args, options = substitute(step.args, given), substitute(dict(step.options), given)
        if not results and step.weights:
            layer(*args, **options)  # creates the weights
            layer.set_weights([*step.weights])
        results.append([np.asarray(part) for part in keras.tree.flatten(layer(*args, **options))])
    return [np.concatenate(parts) for parts in zip(*results, strict=True)]


def _shifted(step: Step, shift: Array | None) -> Step:
    if shift is None:
        return step
    kernel, *bias = step.weights
    return replace(step.set(use_bias=True), weights=(kernel, (bias[0] if bias else 0) + shift))
