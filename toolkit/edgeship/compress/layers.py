"""The layers of quantization-aware training: a fake-quantized activation, and four layers with fake-quantized kernels.

The numbers are TFLite's int8 scheme (arXiv 1712.05877, and TensorFlow's "8-bit quantization specification"):
activations in 256 steps with a zero point, one range a tensor; kernels in -127..127 without zero point, one range an
output channel; biases stay float and become int32 in the file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edgeship.compress.quantize.entropy import KernelCoding
    from edgeship.types import Array

#: Ranges move at most by this share of the distance to a batch's own range.
_EMA_DECAY = 0.99
#: A range narrower than this has no useful scale.
_NARROWEST = 1e-5


@keras.saving.register_keras_serializable(package="edgeship")
class FakeQuant(keras.layers.Layer):  # type: ignore[misc] # Keras ships no types
    """Rounds a tensor to the 256 steps of int8 between two bounds; gradients pass unchanged between them.

    While training it follows the bounds of the batches (exponential moving average) until they are frozen. Output
    has the input's shape.

    Args:
        fixed: bounds that the runtime prescribes (softmax and sigmoid: 0 and 255/256; tanh: -1 and 127/128). They
            apply when not training: rounding probabilities in the loss would cut off the gradient of small ones.
        frozen: the bounds are final. Only such a layer belongs into a model that is exported.
    """

    def __init__(self, fixed: Sequence[float] | None = None, frozen: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.fixed = None if fixed is None else (float(fixed[0]), float(fixed[1]))
        self.frozen = frozen

    def build(self, input_shape: Any) -> None:  # noqa: ARG002 - the signature is Keras's
        """Create the bounds."""
        low, high = self.fixed or (-6.0, 6.0)
        for name, start in (("minimum", low), ("maximum", high), ("batches", 0.0), ("tracking", 1.0)):
            constant = keras.initializers.Constant(start)
            weight = self.add_weight(name=name, shape=(), initializer=constant, trainable=False, dtype="float32")
            setattr(self, name, weight)

    def call(self, inputs: Any, observe: bool = True, training: bool | None = None) -> Any:
        """Round `inputs`; `observe=False` uses the bounds without following this tensor."""
        if self.fixed is not None and training:
            return inputs
        if observe and training and not self.frozen and self.fixed is None:
            self._follow(inputs)
        return tf.quantization.fake_quant_with_min_max_vars(
            inputs, ops.convert_to_tensor(self.minimum), ops.convert_to_tensor(self.maximum)
        )

    def _follow(self, inputs: Any) -> None:
        values = ops.stop_gradient(inputs)
        low = ops.minimum(ops.min(values), 0.0)
        high = ops.maximum(ops.max(values), low + _NARROWEST)
        # The first batches count fully, so that a model without calibration starts from what it sees.
        decay = ops.minimum(_EMA_DECAY, self.batches / (self.batches + 1.0))
        share = self.tracking * (1.0 - decay)
        self.minimum.assign(self.minimum + share * (low - self.minimum))
        self.maximum.assign(self.maximum + share * (ops.maximum(high, 0.0) - self.maximum))
        self.batches.assign_add(self.tracking)

    @property
    def ready(self) -> bool:
        """Whether the bounds come from data (or are prescribed)."""
        return self.fixed is not None or float(self.batches) > 0

    def compute_output_shape(self, input_shape: Any, **_: Any) -> Any:
        """The shape of the input."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Settings for `from_config`."""
        return {**super().get_config(), "fixed": self.fixed, "frozen": self.frozen}


def calibrated(low: float, high: float) -> tuple[Array, ...]:
    """Weights of a `FakeQuant` that starts from these bounds (widened to hold zero)."""
    low, high = min(low, 0.0), max(high, 0.0)
    # Counts as so many batches that training moves the bounds at the slow rate from its first step.
    numbers = (low, max(high, low + _NARROWEST), 1.0 / (1.0 - _EMA_DECAY), 1.0)
    return tuple(np.asarray(number, np.float32) for number in numbers)


def kernel_scales(kernel: Array, channel_axes: tuple[int, ...]) -> Array:
    """Step of each output channel: largest magnitude / 127; shape broadcasts to the kernel's. 1 where all is zero."""
    others = tuple(axis for axis in range(kernel.ndim) if axis not in channel_axes)
    largest = np.max(np.abs(kernel), axis=others, keepdims=True)
    # The smallest normal float32 would make the quotient overflow.
    scales: Array = np.where(largest > 1e-30, largest / np.float32(127), np.float32(1))
    return scales


def int8_numbers(kernel: Array, channel_axes: tuple[int, ...], step: float | None = None) -> Array:
    """The int8 numbers that the file stores for a kernel on its grid: of one step, or of one for each channel."""
    scales = kernel_scales(kernel, channel_axes) if step is None else np.float32(step)
    numbers: Array = np.round(kernel / scales).astype(np.int8)
    return numbers


def snap(kernel: Array, channel_axes: tuple[int, ...]) -> Array:
    """The kernel on its int8 grid, as float32: what the fake-quantized layers compute with."""
    scales = kernel_scales(kernel, channel_axes)
    snapped: Array = (np.round(kernel / scales) * scales).astype(np.float32)
    return snapped


class QuantizedKernel:
    """What the four layers share; mixed into a Keras layer that has a `kernel`.

    Args:
        gain: the kernel in use is this times the variable, which so has a usual size in every layer: after folding
            batch normalization, kernels differ by orders of magnitude, and one learning rate would not fit them.
        step: the whole kernel lies on multiples of it (-127 to 127); None: of a step for each output channel.
    """

    channel_axes: tuple[int, ...] = (-1,)
    kernel: Any
    #: Chooses the numbers while an `entropy.EntropyCoder` rides along.
    coding: KernelCoding | None = None

    def __init__(self, *args: Any, gain: float = 1.0, step: float | None = None, **options: Any) -> None:
        super().__init__(*args, **options)
        self.gain = float(gain)
        self.step = None if step is None else float(step)

    def get_config(self) -> dict[str, Any]:
        """Settings for `from_config`."""
        config: dict[str, Any] = super().get_config()  # type: ignore[misc] # of the Keras layer mixed with
        return {**config, "gain": self.gain, "step": self.step}

    def grid_kernel(self) -> Any:
        """The kernel rounded to its int8 grid; the gradient passes through (arXiv 1308.3432)."""
        kernel = self.gain * ops.convert_to_tensor(self.kernel)
        if self.step is not None:
            end = 127 * self.step
            return tf.quantization.fake_quant_with_min_max_vars(kernel, -end, end, narrow_range=True)
        rounded = self._by_channel(kernel) if self.coding is None else self.coding.rounded(kernel)
        return kernel + ops.stop_gradient(rounded - kernel)

    def _by_channel(self, kernel: Any) -> Any:
        rank = len(kernel.shape)
        channels = {axis % rank for axis in self.channel_axes}
        others = tuple(axis for axis in range(rank) if axis not in channels)
        largest = ops.max(ops.abs(kernel), axis=others, keepdims=True)
        scales = ops.where(largest > 1e-30, largest / 127.0, 1.0)
        return ops.round(kernel / scales) * scales


@keras.saving.register_keras_serializable(package="edgeship")
class QuantizedConv2D(QuantizedKernel, keras.layers.Conv2D):  # type: ignore[misc] # Keras ships no types
    """Conv2D with an int8 kernel in the forward pass; kernel (h, w, in, out)."""

    channel_axes = (3,)

    def call(self, inputs: Any) -> Any:
        """Convolve."""
        outputs = self.convolution_op(inputs, self.grid_kernel())
        return ops.add(outputs, self.bias) if self.use_bias else outputs


@keras.saving.register_keras_serializable(package="edgeship")
class QuantizedDepthwiseConv2D(QuantizedKernel, keras.layers.DepthwiseConv2D):  # type: ignore[misc] # Keras ships no types
    """DepthwiseConv2D with an int8 kernel in the forward pass; kernel (h, w, in, multiplier)."""

    channel_axes = (2, 3)

    def call(self, inputs: Any) -> Any:
        """Convolve."""
        outputs = ops.depthwise_conv(
            inputs,
            self.grid_kernel(),
            strides=self.strides,
            padding=self.padding,
            dilation_rate=self.dilation_rate,
            data_format=self.data_format,
        )
        return ops.add(outputs, self.bias) if self.use_bias else outputs


@keras.saving.register_keras_serializable(package="edgeship")
class QuantizedConv2DTranspose(QuantizedKernel, keras.layers.Conv2DTranspose):  # type: ignore[misc] # Keras ships no types
    """Conv2DTranspose with an int8 kernel in the forward pass; kernel (h, w, out, in)."""

    channel_axes = (2,)

    def call(self, inputs: Any) -> Any:
        """Convolve."""
        outputs = ops.conv_transpose(
            inputs,
            self.grid_kernel(),
            strides=list(self.strides),
            padding=self.padding,
            output_padding=self.output_padding,
            dilation_rate=self.dilation_rate,
            data_format=self.data_format,
        )
        return ops.add(outputs, self.bias) if self.use_bias else outputs


@keras.saving.register_keras_serializable(package="edgeship")
class QuantizedDense(QuantizedKernel, keras.layers.Dense):  # type: ignore[misc] # Keras ships no types
    """Dense with an int8 kernel in the forward pass; kernel (in, out)."""

    channel_axes = (1,)

    def call(self, inputs: Any, training: bool | None = None) -> Any:  # noqa: ARG002 - the signature is Keras's
        """Multiply."""
        outputs = ops.matmul(inputs, self.grid_kernel())
        return ops.add(outputs, self.bias) if self.use_bias else outputs


#: Plain layer -> the one used while training.
QUANTIZED: Mapping[type[keras.layers.Layer], type[keras.layers.Layer]] = {
    keras.layers.Conv2D: QuantizedConv2D,
    keras.layers.DepthwiseConv2D: QuantizedDepthwiseConv2D,
    keras.layers.Conv2DTranspose: QuantizedConv2DTranspose,
    keras.layers.Dense: QuantizedDense,
}
#: Settings of these layers that the plain ones do not have.
QUANTIZED_SETTINGS = ("gain", "step")
PLAIN = {quantized: plain for plain, quantized in QUANTIZED.items()}


def fake_quantized(model: keras.Model) -> bool:
    """Whether the model carries its own int8 ranges."""
    return any(isinstance(layer, FakeQuant) for layer in model._flatten_layers(include_self=False))
