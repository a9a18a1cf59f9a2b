"""Operations on tensors (`a + b`, `keras.ops.relu(x)`) as the layers that do the same.

Only where the layer computes the same for every batch size; the rest is for the caller to refuse.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import keras
from keras import layers

#: A layer, and the tensors that go into it.
Translated = tuple[keras.layers.Layer, Any]
_Shape = tuple[int | None, ...]


def as_layer(operation: Any, args: tuple[Any, ...], tensors: list[Any], output: _Shape) -> Translated | None:
    """The layer that does what an operation does to these arguments, or None.

    Args:
        operation: an instance of a class of `keras.ops`, or whatever else stands between tensors.
        args: of the call.
        tensors: those among `args`, in order, each with its `shape`, batch axis first.
        output: shape of the result.
    """
    kind = type(operation).__name__
    shapes = [tensor.shape for tensor in tensors]
    if kind in _MERGES and len(tensors) == len(args) == 2 and len(shapes[0]) == len(shapes[1]):
        return _MERGES[kind](name=operation.name), tensors
    if kind in _SCALARS and len(args) == 2 and len(tensors) == 1:
        return _scalar(operation, args, tensors[0])
    if kind == "Concatenate" and len(tensors) == len(keras.tree.flatten(args)):
        return layers.Concatenate(axis=operation.axis, name=operation.name), tensors
    if kind in _UNARY and len(tensors) == len(args) == 1:
        layer = _UNARY[kind](operation, shapes[0], output)
        return None if layer is None else (layer, tensors[0])
    return None


_MERGES: Mapping[str, type[keras.layers.Layer]] = {
    "Add": layers.Add,
    "Subtract": layers.Subtract,
    "Multiply": layers.Multiply,
    "Maximum": layers.Maximum,
    "Minimum": layers.Minimum,
}


def _scalar(operation: Any, args: tuple[Any, ...], tensor: Any) -> Translated | None:
    """Arithmetic with one number, as Rescaling; max(x, 0) as relu."""
    first = args[0] is tensor
    number = args[1] if first else args[0]
    if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
        return None
    kind = type(operation).__name__
    if kind == "Maximum":
        return (layers.ReLU(name=operation.name), tensor) if number == 0 else None
    found = _SCALARS[kind](float(number), first)
    return None if found is None else (layers.Rescaling(found[0], found[1], name=operation.name), tensor)


#: (number, whether the tensor comes first) -> (scale, offset).
_SCALARS: Mapping[str, Callable[[float, bool], tuple[float, float] | None]] = {
    "Add": lambda number, _: (1.0, number),
    "Subtract": lambda number, first: (1.0, -number) if first else (-1.0, number),
    "Multiply": lambda number, _: (number, 0.0),
    "TrueDivide": lambda number, first: (1 / number, 0.0) if first and number else None,
    "Divide": lambda number, first: (1 / number, 0.0) if first and number else None,
    "Maximum": lambda *_: None,
}


def _activation(word: str) -> Callable[..., keras.layers.Layer]:
    return lambda operation, *_: layers.Activation(word, name=operation.name)


def _gelu(operation: Any, *_: Any) -> keras.layers.Layer | None:
    """No layer has the approximation with tanh, which is the default of `keras.ops.gelu`."""
    return None if operation.approximate else layers.Activation("gelu", name=operation.name)


def _relu(operation: Any, *_: Any) -> keras.layers.Layer:
    """`keras.activations.relu` with arguments."""
    settings = {key: getattr(operation, key) for key in ("max_value", "negative_slope", "threshold")}
    return layers.ReLU(**settings, name=operation.name)


def _clip(operation: Any, *_: Any) -> keras.layers.Layer | None:
    low, high = operation.x_min, operation.x_max
    numbers = all(isinstance(bound, int | float) for bound in (low, high))
    return layers.ReLU(max_value=high, name=operation.name) if numbers and low == 0 < high else None


def _reshape(operation: Any, shape: _Shape, output: _Shape) -> keras.layers.Layer | None:
    """Where each sample keeps its numbers."""
    if None in shape[1:] or None in output[1:] or math.prod(_known(shape)) != math.prod(_known(output)):
        return None
    return layers.Reshape(output[1:], name=operation.name)


def _known(shape: _Shape) -> list[int]:
    return [size for size in shape[1:] if size is not None]


def _transpose(operation: Any, shape: _Shape, _: _Shape) -> keras.layers.Layer | None:
    axes = operation.axes if type(operation).__name__ == "Transpose" else _swapped(operation, len(shape))
    if axes is None or axes[0] % len(shape) != 0:
        return None
    return layers.Permute([axis % len(shape) for axis in axes[1:]], name=operation.name)


def _swapped(operation: Any, rank: int) -> list[int]:
    axes = list(range(rank))
    one, two = operation.axis1 % rank, operation.axis2 % rank
    axes[one], axes[two] = axes[two], axes[one]
    return axes


def _pooling(word: str) -> Callable[..., keras.layers.Layer | None]:
    """A mean or maximum over all places of an image or a sequence."""

    def pooling(operation: Any, shape: _Shape, _: _Shape) -> keras.layers.Layer | None:
        given = operation.axis if isinstance(operation.axis, list | tuple) else [operation.axis]
        rank = len(shape)
        places = list(range(1, rank - 1))
        if None in given or sorted(axis % rank for axis in given) != places or not 1 <= len(places) <= 3:
            return None
        if getattr(operation, "initial", None) is not None:
            return None
        layer = getattr(layers, f"Global{word}Pooling{len(places)}D")
        return layer(keepdims=operation.keepdims, data_format="channels_last", name=operation.name)

    return pooling


def _pad(operation: Any, shape: _Shape, _: _Shape) -> keras.layers.Layer | None:
    """Zeros around images and sequences."""
    width = [tuple(pair) for pair in operation.pad_width] if isinstance(operation.pad_width, list | tuple) else []
    if operation.mode != "constant" or len(width) != len(shape) or not 3 <= len(shape) <= 4:
        return None
    if width[0] != (0, 0) or width[-1] != (0, 0):
        return None
    if len(shape) == 3:
        return layers.ZeroPadding1D(width[1], name=operation.name)
    return layers.ZeroPadding2D(width[1:3], data_format="channels_last", name=operation.name)


_ACTIVATIONS = {
    **{kind: kind.lower() for kind in ("Relu", "Relu6", "Sigmoid", "Tanh", "Silu", "Selu", "Softplus", "Softsign")},
    "HardSilu": "hard_silu",
    "HardSigmoid": "hard_sigmoid",
}
_UNARY: Mapping[str, Callable[[Any, _Shape, _Shape], keras.layers.Layer | None]] = {
    **{kind: _activation(word) for kind, word in _ACTIVATIONS.items()},
    "Gelu": _gelu,
    "ReLU": _relu,
    "Clip": _clip,
    "Elu": lambda operation, *_: layers.ELU(operation.alpha, name=operation.name),
    "LeakyRelu": lambda operation, *_: layers.LeakyReLU(operation.negative_slope, name=operation.name),
    "Softmax": lambda operation, *_: layers.Softmax(operation.axis, name=operation.name),
    "Negative": lambda operation, *_: layers.Rescaling(-1.0, name=operation.name),
    **dict.fromkeys(("Reshape", "Squeeze", "ExpandDims"), _reshape),
    **dict.fromkeys(("Transpose", "Swapaxes"), _transpose),
    "Mean": _pooling("Average"),
    "Max": _pooling("Max"),
    "Pad": _pad,
}
