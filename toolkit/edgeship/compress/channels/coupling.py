"""Which entries of which weights of a graph belong to the same channel.

Every channel that a layer makes gets a number. The numbers are carried along the last axis of every tensor (channels
last); where a layer needs two numbers to be one channel (a sum, a gate), they are joined. What a layer with weights
reads or makes is written down as a `Slice`: an axis of a weight and the channel of each of its entries. Layers that
are not understood hold the channels that go in and come out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import keras
import numpy as np
from keras import layers

from edgeship.compress.graph.model import Graph, Ref, Step
from edgeship.types import Array

Role = Literal["makes", "passes", "takes", "counts"]

#: Activations that look at one number at a time.
_ELEMENTWISE_WORDS = frozenset(
    (
        *("linear", "relu", "relu6", "sigmoid", "hard_sigmoid", "log_sigmoid", "tanh"),
        *("hard_tanh", "tanh_shrink", "hard_shrink", "soft_shrink", "elu", "selu", "celu"),
        *("gelu", "silu", "swish", "hard_silu", "hard_swish", "mish", "leaky_relu"),
        *("softplus", "softsign", "exponential", "squareplus", "sparse_plus", "sparse_sigmoid", "threshold"),
    )
)
_ELEMENTWISE = (
    *(layers.ReLU, layers.LeakyReLU, layers.ELU, layers.Identity, layers.Dropout, layers.AlphaDropout),
    *(layers.GaussianDropout, layers.GaussianNoise, layers.ActivityRegularization),
)
#: The channels that come out are those that go in.
_PASSING = (
    *_ELEMENTWISE,
    *(layers.SpatialDropout1D, layers.SpatialDropout2D, layers.SpatialDropout3D),
    *(layers.MaxPooling1D, layers.MaxPooling2D, layers.MaxPooling3D),
    *(layers.AveragePooling1D, layers.AveragePooling2D, layers.AveragePooling3D),
    *(layers.GlobalMaxPooling1D, layers.GlobalMaxPooling2D, layers.GlobalMaxPooling3D),
    *(layers.GlobalAveragePooling1D, layers.GlobalAveragePooling2D, layers.GlobalAveragePooling3D),
    *(layers.UpSampling1D, layers.UpSampling2D, layers.UpSampling3D),
    *(layers.ZeroPadding1D, layers.ZeroPadding2D, layers.ZeroPadding3D),
    *(layers.Cropping1D, layers.Cropping2D, layers.Cropping3D),
    *(layers.Resizing, layers.RepeatVector),
)
_SUMS = (layers.Add, layers.Subtract, layers.Multiply, layers.Average, layers.Maximum, layers.Minimum)


@dataclass(frozen=True, eq=False)
class Slice:
    """An axis of a weight (or a number in the settings of a layer) whose entries belong to channels.

    Attributes:
        layer: `layer_key` of the steps that it belongs to; `name` is the layer's.
        where: index of the weight, or name of the setting that holds how many entries there are.
        axis: of the weight; negative.
        channels: number of the channel of each entry.
        role: `makes` the channel, `passes` it on, `takes` it (without it, zeros there would do the same), `counts` it.
    """

    layer: object
    name: str
    where: int | str
    axis: int
    channels: Array
    role: Role


@dataclass(frozen=True)
class Coupling:
    """Slices with final channel numbers, and why channels may not be removed (number -> reason)."""

    slices: tuple[Slice, ...]
    held: Mapping[int, str]


def layer_key(step: Step) -> object:
    """Equal for all calls of one layer."""
    return id(step) if step.key is None else step.key


def couple(graph: Graph) -> Coupling:
    """Walk a graph whose steps have names of their own (`graph.unique_names`)."""
    walk = _Walk(graph)
    for step in graph.steps:
        walk.add(step)
    return walk.result(graph)


class _Walk:
    """The numbers on each tensor so far."""

    def __init__(self, graph: Graph) -> None:
        self.channels: dict[Ref, Array] = {}
        self._parents: list[int] = []
        self._held: dict[int, str] = {}
        self._slices: dict[tuple[object, int | str, int], Slice] = {}
        for name, _, _, ref in graph.inputs:
            self.channels[ref] = self._new(ref)
            self.hold(self.channels[ref], f"it is combined with the input {name}")

    def result(self, graph: Graph) -> Coupling:
        """Slices and holds by final numbers; that something makes an output is the best of reasons."""
        outputs = [(self.channels[ref], f"it makes the output {name}") for name, ref in graph.outputs]
        reasons = [(int(number), reason) for channels, reason in outputs for number in channels]
        final = np.asarray([self._find(number) for number in range(len(self._parents))], np.int64)
        slices = tuple(
            Slice(s.layer, s.name, s.where, s.axis, final[s.channels], s.role) for s in self._slices.values()
        )
        held: dict[int, str] = {}
        for number, reason in (*reasons, *self._held.items()):
            held.setdefault(int(final[number]), reason)
        return Coupling(slices, held)

    # Numbers

    def _find(self, number: int) -> int:
        while self._parents[number] != number:
            self._parents[number] = self._parents[self._parents[number]]
            number = self._parents[number]
        return number

    def _fresh(self, count: int) -> Array:
        start = len(self._parents)
        self._parents += range(start, start + count)
        return np.arange(start, start + count)

    def _new(self, ref: Ref) -> Array:
        """Numbers for a tensor; none where its last axis is not known, which only layers that hold can read."""
        return self._fresh((ref.shape[-1] or 0) if len(ref.shape) > 1 else 0)

    def join(self, first: Array, second: Array) -> None:
        """Make channels one, pair by pair; the lower number stays."""
        for a, b in zip(first, second, strict=True):
            low, high = sorted((self._find(int(a)), self._find(int(b))))
            self._parents[high] = low

    def hold(self, channels: Array, reason: str) -> None:
        """Say that channels may not be removed; the first reason counts."""
        for number in channels:
            self._held.setdefault(int(number), reason)

    # Layers

    def add(self, step: Step) -> None:
        """Number what a step makes."""
        method = _METHODS.get(step.layer)
        first_axis = step.config.get("data_format") == "channels_first"
        known = all(len(self.channels[ref]) for ref in (*step.inputs[:1],))
        if method is None or first_axis or not known:
            self.opaque(step)
        else:
            method(self, step)

    def opaque(self, step: Step, reason: str = "is not understood") -> None:
        """Hold whatever goes in and comes out."""
        why = f"it goes into {step.name} ({step.layer.__name__}), which {reason}"
        for ref in step.inputs:
            self.hold(self.channels[ref], why)
        for ref in step.outputs:
            self.channels[ref] = self._new(ref)
            self.hold(self.channels[ref], f"layers of the kind {step.layer.__name__} are kept whole")

    def slice(self, step: Step, where: int | str, axis: int, channels: Array, role: Role) -> Array:
        """Write down a slice; a second call of a layer joins its channels with those of the first."""
        key = (layer_key(step), where, axis)
        if key in self._slices:
            self.join(self._slices[key].channels, channels)
        else:
            self._slices[key] = Slice(layer_key(step), step.name, where, axis, channels, role)
        return self._slices[key].channels

    def made(self, step: Step, where: int, axis: int) -> Array:
        """The channels that a weight makes along an axis, and its bias, if it has one; the activation is applied."""
        known = self._slices.get((layer_key(step), where, axis))
        count = step.weights[where].shape[axis]
        channels = self.slice(step, where, axis, self._fresh(count) if known is None else known.channels, "makes")
        self.finish(step, channels, where + 1)
        return channels

    def finish(self, step: Step, channels: Array, bias: int) -> None:
        """Bias, activation and output of a layer that makes or scales channels."""
        if step.config.get("use_bias"):
            self.slice(step, bias, -1, channels, "passes")
        if not _elementwise(step.config.get("activation")):
            self.hold(channels, f"the activation of {step.name} looks at all channels at once")
        self.channels[step.output] = channels

    def source(self, step: Step) -> Array:
        """The channels of the first input."""
        return self.channels[step.inputs[0]]


def _elementwise(activation: object) -> bool:
    found = activation if isinstance(activation, str) else keras.activations.get(activation)
    if isinstance(found, keras.layers.Layer):
        return type(found) in _ELEMENTWISE
    word = found if isinstance(found, str) else getattr(found, "__name__", "?")
    return word in _ELEMENTWISE_WORDS


def _pass(walk: _Walk, step: Step) -> None:
    if len(step.inputs) != 1 or step.output.shape[-1] != step.inputs[0].shape[-1]:
        walk.opaque(step)
    else:
        walk.channels[step.output] = walk.source(step)


def _activation(walk: _Walk, step: Step) -> None:
    if not _elementwise(step.config["activation"]):
        walk.hold(walk.source(step), f"the activation {step.name} looks at all channels at once")
    _pass(walk, step)


def _softmax(walk: _Walk, step: Step) -> None:
    rank = len(step.output.shape)
    axes = np.atleast_1d(step.config["axis"]) % rank
    if rank - 1 in axes or len(step.inputs) != 1:
        walk.opaque(step, "looks at all channels at once")
    else:
        _pass(walk, step)


def _rescaling(walk: _Walk, step: Step) -> None:
    if np.ndim(step.config["scale"]) or np.ndim(step.config["offset"]):
        walk.opaque(step, "has a number for each channel in its settings")
    else:
        _pass(walk, step)


def _convolution(walk: _Walk, step: Step) -> None:
    source, groups, kernel = walk.source(step), step.config["groups"], step.weights[0]
    per_group = kernel.shape[-2]
    if groups > 1 and per_group == 1:  # a depthwise convolution in other words
        made = np.repeat(source, kernel.shape[-1] // groups)
        walk.slice(step, 0, -1, made, "passes")
        walk.slice(step, "filters", -1, made, "counts")
        walk.slice(step, "groups", -1, source, "counts")
        walk.finish(step, made, 1)
        return
    # All groups lose as many channels, at the same places.
    for other in source.reshape(groups, per_group)[1:]:
        walk.join(source[:per_group], other)
    walk.slice(step, 0, -2, source[:per_group], "takes")
    made = walk.made(step, 0, -1)
    by_group = made.reshape(groups, -1)
    for other in by_group[1:]:
        walk.join(by_group[0], other)
    walk.slice(step, "filters", -1, made, "counts")


def _transposed(walk: _Walk, step: Step) -> None:
    walk.slice(step, 0, -1, walk.source(step), "takes")
    walk.slice(step, "filters", -1, walk.made(step, 0, -2), "counts")


def _depthwise(walk: _Walk, step: Step) -> None:
    walk.slice(step, 0, -2, walk.source(step), "passes")
    walk.finish(step, np.repeat(walk.source(step), step.weights[0].shape[-1]), 1)


def _separable(walk: _Walk, step: Step) -> None:
    walk.slice(step, 0, -2, walk.source(step), "passes")
    between = np.repeat(walk.source(step), step.weights[0].shape[-1])
    walk.slice(step, 1, -2, between, "takes")
    walk.slice(step, "filters", -1, walk.made(step, 1, -1), "counts")


def _dense(walk: _Walk, step: Step) -> None:
    if len(step.weights) != 1 + bool(step.config["use_bias"]):
        walk.opaque(step, "has more weights than a kernel and a bias")
        return
    walk.slice(step, 0, -2, walk.source(step), "takes")
    walk.slice(step, "units", -1, walk.made(step, 0, -1), "counts")


def _embedding(walk: _Walk, step: Step) -> None:
    if len(step.weights) != 1:
        walk.opaque(step, "has more weights than a table")
        return
    # Its input is numbers of rows, not channels.
    walk.slice(step, "output_dim", -1, walk.made(step, 0, -1), "counts")


def _recurrent(walk: _Walk, step: Step) -> None:
    """Reads channels; its own state is kept whole."""
    walk.slice(step, 0, -2, walk.source(step), "takes")
    for ref in step.inputs[1:]:
        walk.hold(walk.channels[ref], f"it is a state of {step.name}")
    for ref in step.outputs:
        walk.channels[ref] = walk._new(ref)
        walk.hold(walk.channels[ref], f"{step.name} ({step.layer.__name__}) is kept whole")


def _normalization(walk: _Walk, step: Step) -> None:
    """Batch normalization, and layer normalization, whose statistics are then those of the channels that stay."""
    rank = len(step.output.shape)
    if [int(axis) % rank for axis in np.atleast_1d(step.config["axis"])] != [rank - 1]:
        walk.opaque(step, "works along another axis than the channels, which come last")
        return
    for index in range(len(step.weights)):
        walk.slice(step, index, -1, walk.source(step), "passes")
    walk.channels[step.output] = walk.source(step)


def _prelu(walk: _Walk, step: Step) -> None:
    if step.weights[0].shape[-1] == len(walk.source(step)):
        walk.slice(step, 0, -1, walk.source(step), "passes")
    _pass(walk, step)


def _sum(walk: _Walk, step: Step) -> None:
    """Sums, products and the like; Keras aligns the last axes, and one channel meets all of the others."""
    given = [walk.channels[ref] for ref in step.inputs]
    widest = max(given, key=len)
    for channels in given:
        if len(channels) == len(widest):
            walk.join(widest, channels)
        elif len(channels) == 1:
            walk.hold(channels, f"{step.name} combines it with all channels")
        else:
            walk.opaque(step)
            return
    walk.channels[step.output] = widest


def _concatenate(walk: _Walk, step: Step) -> None:
    given = [walk.channels[ref] for ref in step.inputs]
    if step.config["axis"] % len(step.output.shape) == len(step.output.shape) - 1:
        walk.channels[step.output] = np.concatenate(given)
        return
    for channels in given[1:]:
        walk.join(given[0], channels)
    walk.channels[step.output] = given[0]


def _reshape(walk: _Walk, step: Step) -> None:
    """Flatten and Reshape: a channel is wherever its numbers go, and takes along what shares its new place."""
    source, before, after = walk.source(step), step.inputs[0].shape[1:], step.output.shape[1:]
    sizes, last = tuple(size for size in before if size is not None), after[-1]
    if before[-1] == last:
        made = source
    elif len(sizes) < len(before) or last is None:
        walk.opaque(step, "mixes channels with an axis of unknown size")
        return
    else:
        everywhere = np.broadcast_to(source, sizes).reshape(-1, last)
        made = everywhere[0]
        for place, column in enumerate(everywhere.T):
            others = np.unique(column)
            walk.join(np.full(len(others), made[place]), others)
    if step.config.get("target_shape", (-1,))[-1] != -1:
        walk.slice(step, "target_shape", -1, made, "counts")
    walk.channels[step.output] = made


def _permute(walk: _Walk, step: Step) -> None:
    if step.config["dims"][-1] != len(step.config["dims"]):
        walk.opaque(step, "moves the channels to another axis")
    else:
        _pass(walk, step)


_METHODS: Mapping[type[keras.layers.Layer], Callable[[_Walk, Step], None]] = {
    **dict.fromkeys(_PASSING, _pass),
    **dict.fromkeys(_SUMS, _sum),
    **dict.fromkeys((layers.Conv1D, layers.Conv2D, layers.Conv3D), _convolution),
    **dict.fromkeys((layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose), _transposed),
    **dict.fromkeys((layers.DepthwiseConv1D, layers.DepthwiseConv2D), _depthwise),
    **dict.fromkeys((layers.SeparableConv1D, layers.SeparableConv2D), _separable),
    **dict.fromkeys((layers.BatchNormalization, layers.LayerNormalization), _normalization),
    **dict.fromkeys((layers.SimpleRNN, layers.LSTM, layers.GRU), _recurrent),
    **dict.fromkeys((layers.Flatten, layers.Reshape), _reshape),
    layers.Activation: _activation,
    layers.Softmax: _softmax,
    layers.Rescaling: _rescaling,
    layers.Dense: _dense,
    layers.Embedding: _embedding,
    layers.PReLU: _prelu,
    layers.Concatenate: _concatenate,
    layers.Permute: _permute,
}
