"""Entropy-constrained quantization: kernels that carry few bits of information, so that they compress.

What is delivered is compressed, so the bytes of a kernel are its information content, not its size. For a given
information content, equal steps coded with variable lengths lose less than few freely placed values (arXiv 1612.01543,
section 4). So each kernel gets one step, as large as the loss allows, and a weight goes to the number that costs least:
squared error + lambda x code length.

The steps come from one rule. Quantization noise of a step d changes the loss by about F d^2 / 24 a weight, where F is
the mean of the squared gradients of the log-likelihood (the diagonal of the Fisher information, section 3 of the
paper); a step costs -log2 d bits a weight. The least loss for given bits has F d^2 equal everywhere: d ~ F^(-1/2).
One factor for all steps then sets the bits.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from edgeship.compress.graph.outputs import OutputKind, output_kinds
from edgeship.compress.helpers import Helper
from edgeship.compress.layers import QuantizedDepthwiseConv2D, QuantizedKernel, int8_numbers
from edgeship.errors import InputError
from edgeship.types import Array

#: lambda in units of the squared step. The slope of distortion over bits at high rate is 2 ln 2 / 12 = 0.116 (Gersho
#: and Gray, Vector Quantization and Signal Compression, section 9.9); somewhat more pays at few bits.
_LAMBDA = 0.15
_NUMBERS = 128
#: Bits at which training starts; the wanted ones are reached step by step.
_START_BITS = 6.0
#: How often steps are chosen anew in a training.
_UPDATES = 100
#: Choosing steps looks at no more weights of a kernel than this.
_MOST_WEIGHTS = 50_000
#: The factor of all steps is searched from 2^-60 to 2^60, to within 0.01 %.
_FACTORS, _HALVINGS = 60.0, 20
#: The promise is kept within this share: the weights go on training after the last choice of steps.
_TOLERANCE = 0.03


class KernelCoding:
    """Rounds one kernel to multiples of a step, preferring numbers with short codes.

    Attributes:
        step: between neighbouring numbers.
        lengths: bits of the code of each magnitude, (128,).
    """

    def __init__(self) -> None:
        self.step = keras.Variable(1.0, trainable=False, dtype="float32", name="step")
        self.lengths = keras.Variable(np.zeros(_NUMBERS), trainable=False, dtype="float32", name="lengths")

    def rounded(self, kernel: Any) -> Any:
        """The kernel on its grid, a tensor."""
        step, lengths = ops.convert_to_tensor(self.step), ops.convert_to_tensor(self.lengths)
        size = ops.abs(kernel) / step
        nearest = ops.minimum(ops.round(size), _NUMBERS - 1.0)
        lower = ops.maximum(nearest - 1.0, 0.0)
        saved = ops.take(lengths, ops.cast(nearest, "int32")) - ops.take(lengths, ops.cast(lower, "int32"))
        goes_lower = (size - lower) ** 2 - (size - nearest) ** 2 < _LAMBDA * saved
        return step * ops.sign(kernel) * ops.where(goes_lower, lower, nearest)

    def numbers(self, kernel: Array) -> Array:
        """The integers of the kernel, -127 to 127."""
        rounded = np.asarray(self.rounded(ops.convert_to_tensor(kernel))) / np.asarray(self.step)
        integers: Array = np.round(rounded).astype(np.int8)
        return integers


def _numbers(sizes: Array, lengths: Array) -> Array:
    """`KernelCoding.rounded` of magnitudes in steps, without TensorFlow: steps are searched with it."""
    nearest = np.minimum(np.round(sizes), _NUMBERS - 1)
    lower = np.maximum(nearest - 1, 0)
    saved = lengths[nearest.astype(np.int32)] - lengths[lower.astype(np.int32)]
    found: Array = np.where((sizes - lower) ** 2 - (sizes - nearest) ** 2 < _LAMBDA * saved, lower, nearest)
    return found.astype(np.int32)


def _code_lengths(magnitudes: Array) -> Array:
    """Ideal code lengths by how often each magnitude occurs; positive and negative numbers are taken as equal."""
    counts = np.bincount(magnitudes.ravel(), minlength=_NUMBERS).astype(np.float64)
    counts[1:] /= 2
    # Rare numbers must stay reachable, and a larger number must never be cheaper than a smaller one.
    counts = np.maximum.accumulate((counts + 0.1)[::-1])[::-1]
    lengths: Array = -np.log2(counts / (counts[0] + 2 * counts[1:].sum()))
    return lengths


def information_bits(numbers: Array) -> float:
    """Entropy of integers in bits a number (order 0)."""
    counts = np.unique(numbers, return_counts=True)[1]
    shares = counts / counts.sum()
    return float(-(shares * np.log2(shares)).sum()) + 0.0


class EntropyCoder(Helper):
    """Brings the information content of a model's kernels to `bits` a weight while it trains, and promises it.

    Args:
        model: quantization-aware; its kernels but the depthwise ones, which are few weights, are coded.
        importance: F of each of these kernels, in order (see `importances`).
        bits: average over all coded weights.
        ramp: share of the training until `bits` is reached.
        settle: share of the training, at its end, with unchanged steps and codes.
    """

    def __init__(
        self, model: keras.Model, importance: Sequence[float], bits: float, *, ramp: float = 0.5, settle: float = 0.3
    ) -> None:
        super().__init__()
        self._name = model.name
        self.bits = bits
        # Where steps stand still early, the wanted bits are reached before that.
        self._ramp, self._settle = min(ramp, 1 - settle), settle
        self._layers = coded_layers(model)
        self._due = 0.0
        floor = 1e-6 * float(np.median(importance))
        self._shapes = [max(value, floor, 1e-30) ** -0.5 for value in importance]
        for layer in self._layers:
            layer.coding = KernelCoding()
        self._choose(max(bits, _START_BITS))

    def advance(self, progress: float) -> None:
        """Choose steps and code lengths for where training has come, 0..1."""
        # Steps and codes stand still at the end: each change rounds many weights anew, which must be trained for.
        if progress < self._due or progress > 1 - self._settle:
            return
        self._due = progress + 1 / _UPDATES
        along = min(1.0, progress / self._ramp)
        start = max(self.bits, _START_BITS)
        self._choose(start + (self.bits - start) * (1 - (1 - along) ** 2))

    def check(self) -> None:
        """Raise InputError if the kernels carry more than was asked for, because training did not come that far.

        What the weights have moved since the last choice of steps costs no training: steps are chosen once more.
        """
        found, most = self.reached(), self.bits * (1 + _TOLERANCE)
        if found > most and math.isclose(self._aim, self.bits):
            self._choose(self.bits)
            said = f"steps were chosen once more after training: kernels had come to {found:.2f} bits a weight"
            self.notes.append(said)
            warnings.warn(f"{self._name}: {said}", stacklevel=2)
            found = self.reached()
        if found > most:
            raise InputError(
                f"the kernels of {self._name} carry {found:.2f} bits a weight, {self.bits:g} were asked for",
                remedy="Train longer, pass edgeship.callbacks(model) to fit (in a loop of your own call step() after "
                "each optimizer step, steps= being what really runs), or ask for more bits.",
            )

    def reached(self) -> float:
        """Bits a weight now."""
        return _bits([layer.coding.numbers(_kernel(layer)) for layer in self._layers])

    def _choose(self, bits: float) -> None:
        """Find the factor of all steps at which the kernels carry `bits`, and set them."""
        self._aim = bits
        sizes = [_sample(np.abs(_kernel(layer))) for layer in self._layers]
        low, high = -_FACTORS, _FACTORS
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            low, high = (middle, high) if self._coded(sizes, middle)[0] > bits else (low, middle)
        for layer, (step, lengths) in zip(self._layers, self._coded(sizes, high)[1], strict=True):
            layer.coding.step.assign(step)
            layer.coding.lengths.assign(lengths)

    def _coded(self, kernels: Sequence[Array], factor: float) -> tuple[float, list[tuple[float, Array]]]:
        """Bits a weight, and (step, code lengths) of each kernel, at steps of 2^factor times their shapes."""
        total, found = 0.0, []
        for layer, sizes, shape in zip(self._layers, kernels, self._shapes, strict=True):
            # No weight may lie beyond the largest number.
            step = max(math.exp2(factor) * shape, float(sizes.max()) / (_NUMBERS - 1), 1e-30)
            lengths = np.zeros(_NUMBERS)
            for _ in range(4):
                magnitudes = _numbers(sizes / step, lengths)
                lengths = _code_lengths(magnitudes)
            counts = np.bincount(magnitudes.ravel())
            # Signs cost a bit each.
            total += layer.kernel.shape.num_elements() * (
                information_bits(magnitudes) + (counts.sum() - counts[0]) / counts.sum()
            )
            found.append((step, lengths))
        return total / sum(layer.kernel.shape.num_elements() for layer in self._layers), found


def carried_bits(model: keras.Model) -> float | None:
    """Bits a weight that the coded kernels of a finalized model carry; None where none is coded."""
    numbers = [
        int8_numbers(np.asarray(layer.kernel), layer.channel_axes, layer.step)
        for layer in model.layers
        if isinstance(layer, QuantizedKernel) and layer.step is not None
    ]
    return _bits(numbers) if numbers else None


def _bits(numbers: Sequence[Array]) -> float:
    return float(np.average([information_bits(n) for n in numbers], weights=[n.size for n in numbers]))


def coded_layers(model: keras.Model) -> list[Any]:
    """The layers of a quantization-aware model whose kernels can be coded."""
    return [
        layer
        for layer in model.layers
        if isinstance(layer, QuantizedKernel) and not isinstance(layer, QuantizedDepthwiseConv2D)
    ]


def _kernel(layer: Any) -> Array:
    kernel: Array = layer.gain * np.asarray(layer.kernel)
    return kernel


def _sample(values: Array) -> Array:
    flat = values.ravel()
    return flat[:: max(1, flat.size // _MOST_WEIGHTS)]


def importances(model: keras.Model, batches: Iterable[Any], seed: int = 0) -> list[float]:
    """F of each coded kernel: mean squared gradient of the log-likelihood, targets drawn from the model's own output.

    Outputs that are no probabilities count as means of Gaussians with the output's own spread. Only ratios between
    kernels matter.

    Args:
        model: quantization-aware.
        batches: of inputs as the model takes them.
        seed: of the targets.
    """
    random = np.random.default_rng(seed)
    layers, kinds = coded_layers(model), list(output_kinds(model).values())
    kernels = [layer.kernel for layer in layers]
    sums = [0.0] * len(layers)
    for inputs in batches:
        with tf.GradientTape() as tape:
            outputs = keras.tree.flatten(model(inputs, training=False))
            pulls = [_pull(np.asarray(output), kind, random) for output, kind in zip(outputs, kinds, strict=True)]
            score = sum(tf.reduce_sum(output * pull) for output, pull in zip(outputs, pulls, strict=True))
        gradients = tape.gradient(score, [kernel.value for kernel in kernels], unconnected_gradients="zero")
        # Samples of a batch are independent with mean 0, so the square of their sum is the sum of their squares.
        sums = [
            total + float(tf.reduce_mean(tf.square(g))) / layer.gain**2
            for total, g, layer in zip(sums, gradients, layers, strict=True)
        ]
    return sums


def _pull(output: Array, kind: OutputKind, random: np.random.Generator) -> Array:
    """Gradient of the log-likelihood of a drawn target with respect to the output, in its shape."""
    if kind == "softmax":
        shares = output.astype(np.float64).reshape(-1, output.shape[-1])
        shares /= shares.sum(axis=1, keepdims=True)
        drawn = (random.random((len(shares), 1)) > np.cumsum(shares, axis=1)[:, :-1]).sum(axis=1)
        pull = np.zeros_like(shares)
        pull[np.arange(len(shares)), drawn] = 1 / np.maximum(shares[np.arange(len(shares)), drawn], 1e-6)
        return pull.reshape(output.shape).astype(np.float32)
    if kind == "sigmoid":
        shares = np.clip(output.astype(np.float64), 1e-6, 1 - 1e-6)
        return np.where(random.random(shares.shape) < shares, 1 / shares, -1 / (1 - shares)).astype(np.float32)
    spread = max(float(np.std(output)), 1e-6)
    return (random.standard_normal(output.shape) / spread).astype(np.float32)
