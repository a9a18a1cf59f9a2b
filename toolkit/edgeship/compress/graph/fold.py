"""Rewrites a model, without changing what it computes, into the few kinds of layers that int8 files have.

Separable and one-dimensional convolutions become 2-D ones, activations get a step of their own, batch normalization
goes into the kernel before it (arXiv 1712.05877, section 3.2, with the moving statistics) or becomes a 1x1 depthwise
convolution. What cannot be expressed is refused with the layer's name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from dataclasses import replace
from typing import Any

import keras
import numpy as np
from keras import layers

from edgeship.compress.graph.model import Graph, Ref, Refs, Step
from edgeship.compress.layers import QUANTIZED
from edgeship.errors import UnsupportedModelError
from edgeship.types import Array

KERNEL_LAYERS = tuple(QUANTIZED)

#: Activations that int8 runtimes have as they are. elu is not among them: TFLite's converter leaves it in float.
ACTIVATIONS = ("relu", "relu6", "sigmoid", "tanh", "softmax", "hard_silu", "gelu")
#: Activations that are written in other layers.
_COMPOSED = ("silu", "leaky_relu", "hard_sigmoid")
_ALIASES = {"swish": "silu", "hard_swish": "hard_silu"}
_REMEDY = "Leave quantize-aware out of the recipe (variant int8 quantizes after training), or replace the layer."


def fold(graph: Graph) -> Graph:
    """The same function in the layers named above. Raises UnsupportedModelError naming the layer."""
    refs = graph.refs()
    moved: dict[Ref, Ref] = {}
    steps: list[Step] = []
    integers = {ref for *_, dtype, ref in graph.inputs if not dtype.startswith("float")}
    for step in (step.reading(moved) for step in _in_floats(graph, integers, refs)):
        if _does_nothing(step):
            moved[step.output] = step.inputs[0]
        elif step.is_a(layers.Rescaling) and step.inputs[0] in integers:  # of `_in_floats`
            steps.append(step.set(dtype="float32"))
        else:
            # Fake quantization is defined on float32, whatever precision the model was trained in.
            steps += (part.set(dtype="float32") for part in _of_one_layer(step, _normalised(step, refs)))
    return _fold_batch_norm(_by_element_first(graph.with_steps(steps, moved), refs), refs)


def _in_floats(graph: Graph, integers: Set[Ref], refs: Refs) -> Iterator[Step]:
    """The steps; integers that come in are made floats before a normalization, which becomes a convolution."""
    for step in graph.steps:
        if step.is_a(layers.BatchNormalization, layers.Normalization, layers.Rescaling) and step.inputs[0] in integers:
            source = step.inputs[0]
            real = refs.new(source.shape)
            yield _new(f"{step.name}_real", layers.Rescaling, source, real, scale=1.0)
            yield step.reading({source: real})
        else:
            yield step


def _of_one_layer(step: Step, parts: Iterable[Step]) -> Iterable[Step]:
    """What a call was rewritten to; the weights of a layer that is used several times stay those of one layer."""
    number = 0
    for part in parts:
        if part.weights and part.key is None and step.key is not None:
            number += 1
            yield replace(part, key=(step.key, number))
        else:
            yield part


def unsupported(step: Step, reason: str) -> UnsupportedModelError:
    """The error for a layer that quantization-aware training cannot take."""
    return UnsupportedModelError(f"quantize-aware: layer {step.name} ({step.layer.__name__}): {reason}", remedy=_REMEDY)


def _does_nothing(step: Step) -> bool:
    return step.is_a(layers.Identity, layers.ActivityRegularization) or (
        step.layer is layers.Activation and step.config["activation"] == "linear"
    )


def _new(name: str, layer: type[keras.layers.Layer], source: Ref, output: Ref, **config: Any) -> Step:
    return Step(name, layer, layer(name=name, **config).get_config(), (), (source,), (output,))


def _normalised(step: Step, refs: Refs) -> Iterable[Step]:
    """One step as steps of supported kinds."""
    if step.config.get("data_format", "channels_last") not in ("channels_last", None):
        raise unsupported(step, "channels_first is not what int8 runtimes compute with")
    expand = _EXPANSIONS.get(step.layer)
    if expand is not None:
        for part in expand(step, refs):
            yield from _normalised(part, refs) if part.layer is not step.layer else (part,)
    elif step.config.get("activation") not in (None, "linear") and step.layer in KERNEL_LAYERS:
        middle = refs.new(step.output.shape)
        yield replace(step.set(activation="linear"), outputs=(middle,))
        yield from _normalised(_activation(step, middle), refs)
    elif step.layer in KERNEL_LAYERS:
        # A penalty on the unfolded kernel means something else on the folded one.
        penalties = [key for key in step.config if key.endswith(("_regularizer", "_constraint"))]
        yield step.set(**dict.fromkeys(penalties))
    else:
        yield step


def _activation(step: Step, source: Ref) -> Step:
    """The activation inside a layer as a step of its own."""
    given = step.config["activation"]
    name = f"{step.name}_activation"
    found = given if isinstance(given, str) else keras.activations.get(given)
    if isinstance(found, keras.layers.Layer):
        weights = tuple(found.get_weights())
        return Step(name, type(found), found.get_config(), weights, (source,), step.outputs)
    word = found if isinstance(found, str) else getattr(found, "__name__", "?")
    if _ALIASES.get(word, word) not in (*ACTIVATIONS, *_COMPOSED):
        raise unsupported(step, f"activation {word!r} has no int8 form")
    return _new(name, layers.Activation, source, step.output, activation=word)


def _expand_activation(step: Step, refs: Refs) -> Iterable[Step]:
    if not isinstance(step.config["activation"], str):
        inner = replace(_activation(step, step.inputs[0]), name=step.name)
        yield from _expand_activation(inner, refs) if inner.layer is layers.Activation else (inner,)
        return
    word = _ALIASES.get(step.config["activation"], step.config["activation"])
    source = step.inputs[0]
    if word == "silu":
        gate = refs.new(step.output.shape)
        yield _new(f"{step.name}_gate", layers.Activation, source, gate, activation="sigmoid")
        product = layers.Multiply(name=step.name)
        yield Step(step.name, layers.Multiply, product.get_config(), (), ([source, gate],), step.outputs)
    elif word == "leaky_relu":
        yield _new(step.name, layers.LeakyReLU, source, step.output, negative_slope=0.2)
    elif word == "hard_sigmoid":
        raised, clipped = refs.new(step.output.shape), refs.new(step.output.shape)
        yield _new(f"{step.name}_raised", layers.Rescaling, source, raised, scale=1.0, offset=3.0)
        yield _new(f"{step.name}_clipped", layers.Activation, raised, clipped, activation="relu6")
        yield _new(step.name, layers.Rescaling, clipped, step.output, scale=1 / 6)
    elif word in ACTIVATIONS:
        yield step.set(activation=word)
    else:
        raise unsupported(step, f"activation {word!r} has no int8 form")


def _expand_relu(step: Step, _: Refs) -> Iterable[Step]:
    config = step.config
    if config["threshold"]:
        raise unsupported(step, "a threshold has no int8 form")
    if config["negative_slope"] and config["max_value"] is None:
        slope = config["negative_slope"]
        yield _new(step.name, layers.LeakyReLU, step.inputs[0], step.output, negative_slope=slope)
    elif config["max_value"] in (None, 6.0) and not config["negative_slope"]:
        word = "relu" if config["max_value"] is None else "relu6"
        yield _new(step.name, layers.Activation, step.inputs[0], step.output, activation=word)
    else:
        raise unsupported(step, "int8 runtimes have relu without limit and with limit 6")


def _expand_softmax(step: Step, _: Refs) -> Iterable[Step]:
    if step.config["axis"] not in (-1, len(step.output.shape) - 1) or len(step.inputs) > 1:
        raise unsupported(step, "softmax over another axis than the last, or with a mask")
    yield _new(step.name, layers.Activation, step.inputs[0], step.output, activation="softmax")


def _expand_separable(step: Step, refs: Refs) -> Iterable[Step]:
    config, two = step.config, step.is_a(layers.SeparableConv2D)
    depthwise, pointwise, *bias = step.weights
    middle = refs.new((*step.output.shape[:-1], depthwise.shape[-2] * depthwise.shape[-1]))
    shared = {key: config[key] for key in ("kernel_size", "strides", "padding", "dilation_rate")}
    first = _new(
        f"{step.name}_depthwise",
        layers.DepthwiseConv2D if two else layers.DepthwiseConv1D,
        step.inputs[0],
        middle,
        depth_multiplier=config["depth_multiplier"],
        use_bias=False,
        **shared,
    )
    second = _new(
        step.name,
        layers.Conv2D if two else layers.Conv1D,
        middle,
        step.output,
        filters=config["filters"],
        kernel_size=1,
        use_bias=config["use_bias"],
    )
    yield replace(first, weights=(depthwise,))
    yield replace(second.set(activation=config["activation"]), weights=(pointwise, *bias))


def _expand_conv1d(step: Step, refs: Refs) -> Iterable[Step]:
    """The same convolution over images of height 1."""
    config, source = step.config, step.inputs[0]
    kernel, *bias = step.weights
    depthwise = step.is_a(layers.DepthwiseConv1D)
    channels = kernel.shape[1] * (1 if depthwise else config["groups"])
    (length,), (stride,), (dilation,) = config["kernel_size"], config["strides"], config["dilation_rate"]
    # A known length stays known: the converter fuses a dilated convolution only then.
    steps_in, steps_out = (-1 if shape[1] is None else shape[1] for shape in (source.shape, step.output.shape))
    image = refs.new((None, 1, source.shape[1], channels))
    yield _new(f"{step.name}_image", layers.Reshape, source, image, target_shape=(1, steps_in, channels))
    padding = config["padding"]
    if padding == "causal":
        padded, left = refs.new(image.shape), dilation * (length - 1)
        yield _new(f"{step.name}_past", layers.ZeroPadding2D, image, padded, padding=((0, 0), (left, 0)))
        image, padding = padded, "valid"
    # TensorFlow's depthwise convolution wants equal strides; along a height of 1 they change nothing.
    options = (
        {"depth_multiplier": config["depth_multiplier"], "strides": stride, "dilation_rate": dilation}
        if depthwise
        else {"filters": config["filters"], "groups": config["groups"], "strides": (1, stride)}
        | {"dilation_rate": dilation}
    )
    wide = refs.new((None, 1, *step.output.shape[1:]))
    convolution = _new(
        step.name,
        layers.DepthwiseConv2D if depthwise else layers.Conv2D,
        image,
        wide,
        kernel_size=(1, length),
        padding=padding,
        use_bias=config["use_bias"],
        **options,
    )
    yield replace(convolution.set(activation=config["activation"]), weights=(kernel[None], *bias))
    features = step.output.shape[-1]
    yield _new(f"{step.name}_sequence", layers.Reshape, wide, step.output, target_shape=(steps_out, features))


def _scale_and_offset(step: Step) -> tuple[Array, Array]:
    """`y = x * scale + offset` by channel, of batch normalization, Rescaling or Normalization."""
    channels = step.output.shape[-1]
    if channels is None:
        raise unsupported(step, "the number of channels is not known")
    axis = np.atleast_1d(step.config.get("axis", -1))
    if [int(a) % len(step.output.shape) for a in axis] != [len(step.output.shape) - 1]:
        raise unsupported(step, "it works along another axis than the channels, which come last")
    if step.is_a(layers.Rescaling):
        scale, offset = np.float32(step.config["scale"]), np.float32(step.config["offset"])
        return np.broadcast_to(scale, channels), np.broadcast_to(offset, channels)
    if step.is_a(layers.Normalization):
        given = [np.float32(step.config[word]) for word in ("mean", "variance") if step.config.get(word) is not None]
        statistics = given or step.weights[:2]
        if len(statistics) < 2 or step.config.get("invert"):
            raise unsupported(step, "only a Normalization with a mean and a variance, not inverted, is understood")
        mean, variance = (np.broadcast_to(np.reshape(w, -1), channels) for w in statistics)
        scale = 1 / np.maximum(np.sqrt(variance), keras.config.epsilon())
        return scale, -mean * scale
    parameters = list(step.weights)
    gamma = parameters.pop(0) if step.config["scale"] else np.ones(channels, np.float32)
    beta = parameters.pop(0) if step.config["center"] else np.zeros(channels, np.float32)
    mean, variance = parameters
    scale = gamma / np.sqrt(variance + step.config["epsilon"])
    return scale, beta - mean * scale


def _expand_affine(step: Step, refs: Refs) -> Iterable[Step]:
    """A scale and offset by channel as a 1x1 depthwise convolution."""
    scale, offset = _scale_and_offset(step)
    channels = len(scale)
    source, output, rank = step.inputs[0], step.output, len(step.output.shape)
    if rank != 4:
        source, wide = refs.new((None, 1, None, channels)), refs.new((None, 1, None, channels))
        yield _new(f"{step.name}_image", layers.Reshape, step.inputs[0], source, target_shape=(1, -1, channels))
        output = wide
    convolution = _new(step.name, layers.DepthwiseConv2D, source, output, kernel_size=1)
    yield replace(convolution, weights=(scale.reshape(1, 1, -1, 1), np.ascontiguousarray(offset)))
    if rank != 4:
        shape = tuple(-1 if size is None else size for size in step.output.shape[1:])
        yield _new(f"{step.name}_back", layers.Reshape, output, step.output, target_shape=shape)


def _expand_average_pooling(step: Step, _: Refs) -> Iterable[Step]:
    """A window as large as the image is a mean, whose output may have a finer range than its input."""
    source, window = step.inputs[0], tuple(step.config["pool_size"])
    if source.shape[1:-1] == window and all(size == 1 for size in step.output.shape[1:-1]):
        whole = layers.GlobalAveragePooling2D if len(window) == 2 else layers.GlobalAveragePooling1D
        yield _new(step.name, whole, source, step.output, keepdims=True)
    else:
        yield step


_EXPANSIONS: Mapping[type[keras.layers.Layer], Callable[[Step, Refs], Iterable[Step]]] = {
    layers.Activation: _expand_activation,
    layers.ReLU: _expand_relu,
    layers.Softmax: _expand_softmax,
    layers.SeparableConv2D: _expand_separable,
    layers.SeparableConv1D: _expand_separable,
    layers.Conv1D: _expand_conv1d,
    layers.DepthwiseConv1D: _expand_conv1d,
    layers.AveragePooling1D: _expand_average_pooling,
    layers.AveragePooling2D: _expand_average_pooling,
    layers.Rescaling: _expand_affine,
    layers.Normalization: _expand_affine,
}


def _by_element_first(graph: Graph, refs: Refs) -> Graph:
    """What works by element or channel goes before the step back from an image of height 1 to a sequence.

    Only beside its convolution can a batch normalization go into the kernel, and does the converter fuse an activation.
    """
    while (pair := _swappable(graph)) is not None:
        back, after = pair
        middle = refs.new((*back.inputs[0].shape[:-1], after.output.shape[-1]))
        first = replace(after.reading({back.output: back.inputs[0]}), outputs=(middle,))
        first = first.set(axis=-1) if after.layer is layers.BatchNormalization else first
        second = replace(back.reading({back.inputs[0]: middle}), outputs=after.outputs)
        swapped = {id(back): first, id(after): second}
        graph = graph.with_steps(swapped.get(id(step), step) for step in graph.steps)
    return graph


def _swappable(graph: Graph) -> tuple[Step, Step] | None:
    """A reshape that takes away a height of 1, and the only step that reads it."""
    uses, readers = graph.consumers(), {ref: step for step in graph.steps for ref in step.inputs}
    shared = {id(step) for calls in graph.calls().values() if len(calls) > 1 for step in calls}
    for back in graph.steps:
        if back.layer is not layers.Reshape or uses[back.output] != 1:
            continue
        before, shape, after = back.inputs[0].shape, back.output.shape, readers.get(back.output)
        if len(before) != 4 or before[1] != 1 or before[-2:] != shape[1:] or after is None or id(after) in shared:
            continue
        activation = after.layer is layers.Activation and after.config["activation"] in ACTIVATIONS
        if activation or (after.layer is layers.BatchNormalization and after.config["axis"] in (-1, len(shape) - 1)):
            return back, after
    return None


def _fold_batch_norm(graph: Graph, refs: Refs) -> Graph:
    """Batch normalization into the kernel before it, or as a depthwise convolution."""
    while folds := _foldable(graph):
        norms = {id(norm) for norm in folds.values()}
        steps = (_into_kernel(step, folds[step]) if step in folds else step for step in graph.steps)
        graph = graph.with_steps(step for step in steps if id(step) not in norms)
    steps_left: list[Step] = []
    for step in graph.steps:
        one = step.layer is layers.BatchNormalization
        steps_left += _of_one_layer(step, _expand_affine(step, refs)) if one else (step,)
    return graph.with_steps(steps_left)


def _foldable(graph: Graph) -> dict[Step, Step]:
    """Kernel steps, each with the batch normalization that alone reads it.

    A layer that is used several times has one kernel: it takes only a normalization that all its uses share.
    """
    uses, readers = graph.consumers(), {ref: step for step in graph.steps for ref in step.inputs}
    found: dict[Step, Step] = {}
    for calls in graph.calls().values():
        after = [readers.get(step.outputs[0]) if uses[step.outputs[0]] == 1 else None for step in calls]
        norms = [step for step in after if step is not None and step.layer is layers.BatchNormalization]
        if calls[0].layer in KERNEL_LAYERS and len(norms) == len(calls) and len({norm.key for norm in norms}) == 1:
            found.update(zip(calls, norms, strict=True))
    return found


def _into_kernel(before: Step, norm: Step) -> Step:
    scale, offset = _scale_and_offset(norm)
    kernel, *bias = before.weights
    axes = tuple(axis % kernel.ndim for axis in QUANTIZED[before.layer].channel_axes)
    shape = [size if axis in axes else 1 for axis, size in enumerate(kernel.shape)]
    weights = (kernel * scale.reshape(shape), offset + (bias[0] * scale if bias else 0))
    return replace(before.set(use_bias=True), weights=weights, outputs=norm.outputs)
