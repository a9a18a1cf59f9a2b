"""Cross-layer equalization: channels of similar size, so that one range fits them all (arXiv 1906.04721, section 4.1).

What scales by a positive factor for each channel before a relu scales after it, so a factor can move from the kernel
before to the kernel after. `int8` files have a scale per output channel of a kernel, so that there the gain lies in the
range of activations, of which a file has one a tensor.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np
from keras import layers

from edgeship.compress.graph.calibration import batches, observer
from edgeship.compress.graph.folded import checked_fold
from edgeship.compress.graph.model import Graph, Ref, Step, build, read, unique_names
from edgeship.compress.helpers import helpers
from edgeship.compress.layers import fake_quantized
from edgeship.errors import UnsupportedModelError
from edgeship.types import Array

#: Sweeps over all pairs; a chain settles in a few (the paper's algorithm runs until nothing changes).
_SWEEPS = 20
#: A sweep that changes no factor by more than this share is the last.
_SETTLED = 1e-3
#: Factors stay within this, so that a channel that is nearly dead does not take all the digits.
_LARGEST = 1e4
#: f(s x) = s f(x) for s > 0, channel by channel, the channels staying last.
_HOMOGENEOUS = (
    *(layers.LeakyReLU, layers.MaxPooling2D, layers.AveragePooling2D, layers.GlobalAveragePooling2D),
    *(layers.GlobalMaxPooling2D, layers.ZeroPadding2D, layers.Cropping2D, layers.UpSampling2D, layers.Dropout),
    *(layers.SpatialDropout2D, layers.MaxPooling1D, layers.AveragePooling1D, layers.GlobalAveragePooling1D),
    *(layers.GlobalMaxPooling1D, layers.ZeroPadding1D, layers.Cropping1D, layers.UpSampling1D),
)
#: f(x + c) is not f(x) + c.
_NO_SHIFT = (layers.LeakyReLU, layers.ZeroPadding1D, layers.ZeroPadding2D)
#: Standard deviations below the mean that absorption leaves untouched (the paper's value).
_ABSORBED = 3.0


@dataclass(frozen=True)
class _Pair:
    """Two kernels with nothing between them that a factor for each channel could not pass.

    Attributes:
        before, after: names of their steps.
        repeats: how often the channels come in the inputs of `after` (Flatten puts all positions in a row).
        shifts: whether a relu is between them, and nothing that a constant would not pass as it is.
    """

    before: str
    after: str
    repeats: int
    shifts: bool


def equalize(
    model: keras.Model, calibration: Any = None, *, relu6_to_relu: bool = False, absorb_biases: bool = False
) -> keras.Model:
    """The same function with channels of similar size, for quantization after training.

    The factor of channel i between two kernels is s_i = sqrt(r1_i / r2_i) (arXiv 1906.04721, eq. 11): kernel and bias
    before are divided by it, the kernel after is multiplied. r2_i is the largest weight that reads channel i. r1_i is
    the largest weight that makes it, or with `calibration` the largest activation, which is what shares a range in
    files with a scale for each output channel of a kernel.

    Pairs are Conv2D, DepthwiseConv2D, Conv2DTranspose, Dense (and one-dimensional and separable ones) of which the
    first is read by nothing but the second, through relu, leaky relu, poolings, paddings, upsampling, Flatten, or
    directly. What a sum or concatenation reads stays as it is.

    Args:
        model: functional or Sequential; it is not changed. The result has batch normalization folded and nothing of it
            left: equalize after training.
        calibration: typical samples (see `quantize_aware`), or None.
        relu6_to_relu: relu6 is in the way: it cuts at one height for all channels. True replaces it by relu, which
            changes the function where activations exceed 6; measure it.
        absorb_biases: also move what a channel always exceeds into the bias after it (section 4.1.3), for layers whose
            batch normalization says how they are distributed. Changes the function where a channel falls more than
            three standard deviations below its mean.

    Raises:
        UnsupportedModelError: the model cannot be folded, or has no pair to equalize.
        DataError: the calibration samples do not fit the model.
    """
    for helper in helpers(model):
        helper.check()
    if fake_quantized(model):
        raise UnsupportedModelError(f"{model.name} is quantization-aware already", remedy="Equalize before.")
    original = unique_names(read(model))
    graph = unique_names(checked_fold(model, original))
    if relu6_to_relu:
        graph = _without_relu6(graph)
    pairs = list(_pairs(graph))
    if not pairs:
        raise UnsupportedModelError(
            f"{model.name} has no two layers to equalize: relu6, sums or other activations are between all of them",
            remedy="Leave equalize out; relu6_to_relu allows more pairs.",
        )
    largest = {} if calibration is None else _largest(graph, pairs, calibration)
    steps = {step.name: step for step in graph.steps}
    moments = _moments(original)
    factors = _settle(steps, pairs, largest)
    if absorb_biases:
        for pair in pairs:
            mean_and_deviation = moments.get(steps[pair.before].output)
            if pair.shifts and mean_and_deviation is not None:
                _absorb(steps, pair, [part / factors[pair.before] for part in mean_and_deviation])
    return build(graph.with_steps(steps[step.name] for step in graph.steps))


def _is(step: Step, activation: str) -> bool:
    return step.layer is layers.Activation and bool(step.config["activation"] == activation)


def _without_relu6(graph: Graph) -> Graph:
    return graph.with_steps(
        step.set(activation="relu")
        if step.layer is layers.Activation and step.config["activation"] == "relu6"
        else step
        for step in graph.steps
    )


def _pairs(graph: Graph) -> Iterator[_Pair]:
    uses = graph.consumers()
    readers = {ref: step for step in graph.steps for ref in step.inputs}
    for step in graph.steps:
        if step.layer not in _OUT_AXES or uses[step.output] != 1:
            continue
        ref, repeats, between = step.output, 1, []
        reader = readers.get(ref)
        while reader is not None and uses[ref] == 1 and _passes(reader):
            if reader.is_a(layers.Flatten):
                repeats *= math.prod(size or 1 for size in reader.inputs[0].shape[1:-1])
            between.append(reader)
            ref = reader.output
            reader = readers.get(ref)
        if reader is not None and uses[ref] == 1 and _reads_channels(reader):
            shifts = any(_is(other, "relu") for other in between) and not any(o.is_a(*_NO_SHIFT) for o in between)
            yield _Pair(step.name, reader.name, repeats, shifts)


def _passes(step: Step) -> bool:
    """Whether a positive factor for each channel comes out as it went in."""
    if step.layer is layers.Activation:
        return _is(step, "relu")
    if step.is_a(layers.Flatten):
        return None not in step.inputs[0].shape[1:]
    if step.is_a(layers.Reshape):  # of a sequence to an image and back
        shape = step.inputs[0].shape
        return len(shape) > 1 and shape[-1] is not None and shape[-1] == step.output.shape[-1]
    return step.layer in _HOMOGENEOUS


def _reads_channels(step: Step) -> bool:
    return step.layer in _IN_AXES and step.config.get("groups", 1) == 1


#: Layer -> axes of the output channels in the kernel, and the axis of its input channels.
_OUT_AXES: Mapping[type[keras.layers.Layer], tuple[int, ...]] = {
    layers.Conv2D: (3,),
    layers.DepthwiseConv2D: (2, 3),
    layers.Conv2DTranspose: (2,),
    layers.Dense: (1,),
}
_IN_AXES: Mapping[type[keras.layers.Layer], int] = {
    layers.Conv2D: 2,
    layers.DepthwiseConv2D: 2,
    layers.Conv2DTranspose: 3,
    layers.Dense: 0,
}


def _out_sizes(step: Step) -> Array:
    """Largest weight of each output channel; those of a depthwise kernel are (input, multiplier), as in its output."""
    kernel = np.abs(step.weights[0])
    others = tuple(axis for axis in range(kernel.ndim) if axis not in _OUT_AXES[step.layer])
    sizes: Array = kernel.max(axis=others).ravel()
    return sizes


def _in_sizes(step: Step, repeats: int) -> Array:
    """Largest weight that reads each input channel."""
    kernel = np.moveaxis(np.abs(step.weights[0]), _IN_AXES[step.layer], 0)
    sizes: Array = kernel.reshape(repeats, len(kernel) // repeats, -1).max(axis=(0, 2))
    return sizes


def _divided(step: Step, factors: Array) -> Step:
    """The step with each output channel divided by its factor."""
    kernel, *bias = step.weights
    axes = _OUT_AXES[step.layer]
    shape = [size if axis in axes else 1 for axis, size in enumerate(kernel.shape)]
    return replace(step, weights=(kernel / factors.reshape(shape), *(b / factors for b in bias)))


def _multiplied(step: Step, factors: Array, repeats: int) -> Step:
    """The step with each input channel multiplied by its factor."""
    kernel, *bias = step.weights
    axis = _IN_AXES[step.layer]
    shape = [-1 if a == axis else 1 for a in range(kernel.ndim)]
    return replace(step, weights=(kernel * np.tile(factors, repeats).reshape(shape), *bias))


def _settle(steps: dict[str, Step], pairs: list[_Pair], largest: dict[str, Array]) -> dict[str, Array]:
    """Equalize pair after pair until nothing changes; `steps` gets the new ones. The factors by first kernel."""
    total = {pair.before: np.ones(_out_sizes(steps[pair.before]).shape, np.float32) for pair in pairs}
    for _ in range(_SWEEPS):
        moved = 0.0
        for pair in pairs:
            before, after = steps[pair.before], steps[pair.after]
            made = largest[pair.before] / total[pair.before] if largest else _out_sizes(before)
            factors = _factors(made, _in_sizes(after, pair.repeats), total[pair.before])
            steps[pair.before] = _divided(before, factors)
            steps[pair.after] = _multiplied(after, factors, pair.repeats)
            total[pair.before] = total[pair.before] * factors
            moved = max(moved, float(np.max(np.abs(np.log(factors)))))
        if moved < _SETTLED:
            break
    return total


def _factors(made: Array, read_by: Array, before: Array) -> Array:
    """S = sqrt(r1 / r2) (eq. 11), 1 for dead channels; together with those of before within 1/_LARGEST .. _LARGEST.

    The geometric mean is taken out: a common factor of all channels would change nothing in int8.
    """
    alive = (made > 0) & (read_by > 0)
    factors = np.ones(made.shape, np.float64)
    factors[alive] = np.sqrt(made[alive].astype(np.float64) / read_by[alive])
    if alive.any():
        factors[alive] /= np.exp(np.mean(np.log(factors[alive])))
    limited = np.clip(before * factors, 1 / _LARGEST, _LARGEST) / before
    found: Array = limited.astype(np.float32)
    return found


def _largest(graph: Graph, pairs: list[_Pair], calibration: Any) -> dict[str, Array]:
    """Largest activation of each channel behind the first kernel of each pair (behind its relu), by its name."""
    refs = {pair.before: _behind(graph, pair) for pair in pairs}
    observe = observer(graph, list(refs.values()))
    found: dict[str, Array] = {}
    for batch in batches(calibration, graph):
        values = observe(batch)
        for name, ref in refs.items():
            peak = np.abs(values[ref]).max(axis=tuple(range(values[ref].ndim - 1)))
            found[name] = np.maximum(found.get(name, peak), peak)
    return found


def _behind(graph: Graph, pair: _Pair) -> Ref:
    """The tensor whose range the file keeps: of the kernel with the relu that is fused into it."""
    step = next(step for step in graph.steps if step.name == pair.before)
    reader = next(other for other in graph.steps if step.output in other.inputs)
    return reader.output if reader.layer is layers.Activation else step.output


def _moments(original: Graph) -> dict[Ref, tuple[Array, Array]]:
    """Output of a batch normalization -> mean and standard deviation of its channels (beta and |gamma|)."""
    found = {}
    for step in original.steps:
        if step.layer is layers.BatchNormalization:
            parameters = list(step.weights)
            gamma = parameters.pop(0) if step.config["scale"] else np.ones_like(parameters[0])
            beta = parameters.pop(0) if step.config["center"] else np.zeros_like(gamma)
            found[step.output] = (beta, np.abs(gamma))
    return found


def _absorb(steps: dict[str, Step], pair: _Pair, moments: list[Array]) -> None:
    """relu(x) = relu(x - c) + c for x >= c: move c into the bias after (section 4.1.3).

    Only where the layer after sees c everywhere: zeros that a padding adds are no relu(x).
    """
    before, after = steps[pair.before], steps[pair.after]
    mean, deviation = moments
    shift = np.maximum(mean - _ABSORBED * deviation, 0).astype(np.float32)
    kernel, *bias = after.weights
    padded = after.config.get("padding") == "same" and any(size > 1 for size in after.config["kernel_size"])
    if not shift.any() or padded or after.layer not in (layers.Conv2D, layers.Dense) or pair.repeats > 1:
        return
    weights, *own = before.weights
    if not own:
        return
    moved = np.tensordot(shift, kernel, axes=(0, _IN_AXES[after.layer]))
    moved = moved.reshape(-1, moved.shape[-1]).sum(axis=0)
    steps[pair.before] = replace(before, weights=(weights, own[0] - shift))
    new_bias = (bias[0] if bias else 0) + moved
    steps[pair.after] = replace(after.set(use_bias=True), weights=(kernel, new_bias.astype(np.float32)))
