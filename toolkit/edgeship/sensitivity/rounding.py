"""The grids of TFLite's integer schemes, and a layer that rounds to one of them while it is switched on.

Activations (TensorFlow's "8-bit quantization specification" and its 16x8 companion): 256 steps with a zero point, or
65,536 symmetric ones, one range a tensor. Kernels: symmetric, one range an output channel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from edgeship.compress.layers import kernel_scales
from edgeship.compress.weights.pruning import masks
from edgeship.types import Array

#: Bits of what is not rounded.
FLOAT = 32
#: A range narrower than this has no useful scale.
_NARROWEST = 1e-5


@dataclass(frozen=True)
class Precision:
    """Of one layer: bits of its weights (32, 8, 4) and of its output (32, 16, 8), and its share of zeros."""

    weights: int = FLOAT
    output: int = FLOAT
    sparsity: float = 0.0


@dataclass(frozen=True)
class Grid:
    """An affine integer grid: real = step * (stored - zero), low <= stored <= high (arXiv 1712.05877, eq. 1)."""

    step: float
    zero: float
    low: float
    high: float


def activation_grid(low: float, high: float, bits: int, fixed: Sequence[float] | None = None) -> Grid:
    """The grid of an activation.

    Args:
        low: smallest value; the range is widened to hold zero.
        high: largest value.
        bits: 8 or 16.
        fixed: bounds that the runtime prescribes in 8 bits (see `edgeship.compress.layers.FakeQuant`).
    """
    if bits == 16:
        largest = 1.0 if fixed else max(abs(low), abs(high), _NARROWEST)
        return Grid(largest / 32767, 0.0, -32768.0, 32767.0)
    if fixed:
        low, high = fixed
    else:
        low = min(low, 0.0)
        high = max(high, 0.0, low + _NARROWEST)
    step = (high - low) / 255
    return Grid(step, float(np.clip(np.round(-128 - low / step), -128, 127)), -128.0, 127.0)


class Rounding(keras.layers.Layer):  # type: ignore[misc] # Keras ships no types
    """Rounds a tensor to a grid while switched on; gives it back as it is while switched off."""

    def build(self, input_shape: Any) -> None:  # noqa: ARG002 - the signature is Keras's
        """Create the grid, off."""
        for name, start in (("step", 1.0), ("zero", 0.0), ("low", -128.0), ("high", 127.0), ("on", 0.0)):
            constant = keras.initializers.Constant(start)
            weight = self.add_weight(name=name, shape=(), initializer=constant, trainable=False, dtype="float32")
            setattr(self, name, weight)

    def switch(self, grid: Grid | None) -> None:
        """Round to `grid` from now on; None: not at all."""
        self.on.assign(float(grid is not None))
        if grid is not None:
            for name in ("step", "zero", "low", "high"):
                getattr(self, name).assign(getattr(grid, name))

    def call(self, inputs: Any) -> Any:
        """The same shape."""

        def rounded() -> Any:
            stored = tf.clip_by_value(tf.round(inputs / self.step) + self.zero, self.low, self.high)
            return (stored - self.zero) * self.step

        return tf.cond(tf.convert_to_tensor(self.on) > 0, rounded, lambda: tf.identity(inputs))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shape of the input."""
        return input_shape


def rounded_kernel(kernel: Array, channel_axes: tuple[int, ...], bits: int) -> Array:
    """A kernel on its grid of `bits` bits, as float32."""
    if bits == FLOAT:
        return kernel
    scales = kernel_scales(kernel, channel_axes) * np.float32(127 / (2 ** (bits - 1) - 1))
    on_grid: Array = (np.round(kernel / scales) * scales).astype(np.float32)
    return on_grid


@dataclass(frozen=True)
class Kernel:
    """The kernel of a folded layer.

    Attributes:
        layer: the Keras layer that computes with it.
        values: in float.
        channel_axes: of the output channels.
        unfolded: as it was before batch normalization was folded in, which is what pruning looks at; None where
            pruning leaves the layer alone.
    """

    layer: Any
    values: Array
    channel_axes: tuple[int, ...]
    unfolded: Array | None

    @property
    def channels(self) -> int:
        """Number of output channels."""
        return int(np.prod([self.values.shape[axis] for axis in self.channel_axes]))

    def at(self, precision: Precision) -> Array:
        """The values in this precision."""
        values = self.values
        if precision.sparsity and self.unfolded is not None:
            (mask,) = masks([self.unfolded], precision.sparsity)
            values = values * mask.reshape(values.shape)
        return rounded_kernel(values, self.channel_axes, precision.weights)

    def assign(self, precision: Precision) -> None:
        """Compute in this precision from now on."""
        self.layer.kernel.assign(self.at(precision))
