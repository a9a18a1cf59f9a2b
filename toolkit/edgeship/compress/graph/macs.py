"""Multiply-accumulate operations (MACs) of a model, counted from its shapes.

A multiplication of a weight with a number counts as one MAC, as in arXiv 1704.04861, section 3.1, whatever is added
to it; biases, sums, activations, poolings and batch normalization (which folds into the kernel before it) count none.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import keras
from keras import layers

from edgeship.compress.graph.model import Ref, Step, read, unique_names
from edgeship.errors import UnsupportedModelError

_CONVOLUTIONS = (layers.Conv1D, layers.Conv2D, layers.Conv3D, layers.DepthwiseConv1D, layers.DepthwiseConv2D)
_TRANSPOSED = (layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose)
_SEPARABLE = (layers.SeparableConv1D, layers.SeparableConv2D)
_RECURRENT = (layers.SimpleRNN, layers.LSTM, layers.GRU)
#: Layers around layers of the user.
_UNKNOWN = (layers.TimeDistributed, layers.ConvLSTM1D, layers.ConvLSTM2D, layers.ConvLSTM3D)


def macs(model: keras.Model) -> int:
    """Multiply-accumulate operations of one inference at batch 1.

    Args:
        model: functional or Sequential, every size of its tensors but the batch known.

    Raises:
        UnsupportedModelError: a size is unknown, or a layer's operations cannot be counted; names the layer.
    """
    return sum(macs_by_layer(model).values())


def macs_by_layer(model: keras.Model) -> Mapping[str, int]:
    """MACs at batch 1 by layer name, in order of execution; 0 for layers that multiply nothing.

    Layers inside nested models are listed by their own names (numbered where two are equal); all calls of a shared
    layer are summed. Counted: convolutions (grouped, depthwise, separable, transposed), Dense, EinsumDense, Dot,
    SimpleRNN, LSTM, GRU (also in Bidirectional), MultiHeadAttention. Raises as `macs`.
    """
    counts: dict[str, int] = {}
    for step in unique_names(read(model)).steps:
        counts[step.name] = counts.get(step.name, 0) + step_macs(step)
    return counts


def step_macs(step: Step) -> int:
    """MACs of one call. Raises as `macs`."""
    return sum(uses * step.weights[index].size for index, uses in kernel_uses(step).items()) + _between_tensors(step)


def kernel_uses(step: Step) -> Mapping[int, int]:
    """Index of each weight that is multiplied -> how often each of its numbers is, in one call. Raises as `macs`."""
    if step.is_a(*_UNKNOWN) or (step.is_a(layers.RNN) and not step.is_a(*_RECURRENT)):
        raise _uncounted(step, f"the operations inside a {step.layer.__name__} are not counted")
    return next((uses(step) for kinds, uses in _KERNEL_USES if step.is_a(*kinds)), {})


def _uncounted(step: Step, reason: str) -> UnsupportedModelError:
    return UnsupportedModelError(
        f"MACs of layer {step.name} ({step.layer.__name__}): {reason}",
        remedy="Give the model inputs of a fixed size, keras.Input((height, width, channels)), and plain layers.",
    )


def _sizes(step: Step, ref: Ref) -> tuple[int, ...]:
    """The sizes of a tensor without the batch axis."""
    sizes = tuple(size for size in ref.shape[1:] if size is not None)
    if len(sizes) != len(ref.shape) - 1 or not ref.shape:
        raise _uncounted(step, f"a size of {ref.shape} is not known")
    return sizes


def _positions(step: Step, ref: Ref) -> int:
    """Product of the sizes of a tensor's spatial axes."""
    sizes = _sizes(step, ref)
    return math.prod(sizes[1:] if step.config.get("data_format") == "channels_first" else sizes[:-1])


def _einsum_uses(step: Step) -> Mapping[int, int]:
    """Product of the sizes of the input that the kernel has not, by the letters of the equation."""
    source, kernel, _ = step.config["equation"].replace(" ", "").replace("->", ",").split(",")
    sizes = (1, *_sizes(step, step.inputs[0]))
    # `...` stands for as many axes, at one end, as the letters leave.
    hidden = "." * (len(sizes) - len(source.replace("...", "")))
    letters = source.replace("...", hidden)
    return {0: math.prod(size for letter, size in zip(letters, sizes, strict=True) if letter not in kernel)}


def _attention_uses(step: Step) -> Mapping[int, int]:
    """Query, key, value and output projections; weights are kernel, bias, kernel, bias... or kernels alone."""
    asked, offered = _attention_positions(step)
    stride = 2 if step.config["use_bias"] else 1
    return {index * stride: uses for index, uses in enumerate((asked, offered, offered, asked))}


def _attention_positions(step: Step) -> tuple[int, int]:
    """Number of queries and of keys."""
    return _positions(step, step.inputs[0]), _positions(step, step.inputs[1])


def _bidirectional_uses(step: Step) -> Mapping[int, int]:
    inner = keras.saving.deserialize_keras_object(step.config["layer"])
    if not isinstance(inner, _RECURRENT):
        raise _uncounted(step, f"the operations inside a {type(inner).__name__} are not counted")
    half = len(step.weights) // 2
    return dict.fromkeys((0, 1, half, half + 1), _sizes(step, step.inputs[0])[0])


def _between_tensors(step: Step) -> int:
    """MACs of products of two tensors."""
    if step.is_a(layers.MultiHeadAttention):
        asked, offered = _attention_positions(step)
        config = step.config
        widths = config["key_dim"] + (config["value_dim"] or config["key_dim"])
        return int(asked * offered * config["num_heads"] * widths)
    product = _PRODUCTS.get(step.layer)
    return 0 if product is None else product(step)


def _dot(step: Step) -> int:
    first, second = (_sizes(step, ref) for ref in step.inputs[:2])
    axes = step.config["axes"]
    axis = axes if isinstance(axes, int) else axes[0]
    contracted = (1, *first)[axis]
    return math.prod(first) * math.prod(second) // contracted


def _dot_attention(step: Step) -> int:
    """Scores (queries x keys, over the width) and the weighted sum of the values; additive ones only the sum."""
    query, value, *key = (_sizes(step, ref) for ref in step.inputs[:3])
    width = (key[0] if key else value)[-1]
    scores = 0 if step.layer is layers.AdditiveAttention else query[0] * value[0] * width
    return scores + query[0] * value[0] * value[-1]


_KERNEL_USES: tuple[tuple[tuple[type[keras.layers.Layer], ...], Callable[[Step], Mapping[int, int]]], ...] = (
    (_TRANSPOSED, lambda step: {0: _positions(step, step.inputs[0])}),
    (_SEPARABLE, lambda step: dict.fromkeys((0, 1), _positions(step, step.output))),
    (_CONVOLUTIONS, lambda step: {0: _positions(step, step.output)}),
    # Dense works on the last axis, whatever lies before it.
    ((layers.Dense,), lambda step: {0: math.prod(_sizes(step, step.output)[:-1])}),
    ((layers.EinsumDense,), _einsum_uses),
    ((layers.MultiHeadAttention,), _attention_uses),
    (_RECURRENT, lambda step: dict.fromkeys((0, 1), _sizes(step, step.inputs[0])[0])),
    ((layers.Bidirectional,), _bidirectional_uses),
)

_PRODUCTS: Mapping[type[keras.layers.Layer], Callable[[Step], int]] = {
    layers.Dot: _dot,
    layers.Attention: _dot_attention,
    layers.AdditiveAttention: _dot_attention,
}
