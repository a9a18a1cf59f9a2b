"""Which weights of a model count as kernels, in one place."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers

from edgeship.compress.layers import FakeQuant
from edgeship.types import Array

_TRANSPOSED = (layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose)
_PRUNABLE = (layers.Conv1D, layers.Conv2D, layers.Conv3D, *_TRANSPOSED, layers.Dense)
_SEPARABLE = (layers.SeparableConv1D, layers.SeparableConv2D)


def prunable_layers(model: keras.Model) -> list[tuple[Any, Any]]:
    """(layer, kernel variable) of convolutions, transposed ones, Dense, and the pointwise part of separable ones.

    Each layer once, however often it is called. Depthwise kernels stay out: they are few weights that each carry a
    whole channel.
    """
    return [
        (layer, layer.pointwise_kernel if isinstance(layer, _SEPARABLE) else layer.kernel)
        for layer in model._flatten_layers(include_self=False)
        if isinstance(layer, (*_SEPARABLE, *_PRUNABLE))
    ]


def prunable_kernels(model: keras.Model) -> list[Any]:
    """The kernel variables of `prunable_layers`."""
    return [kernel for _, kernel in prunable_layers(model)]


def channel_axes(layer: type[keras.layers.Layer]) -> tuple[int, ...]:
    """The axis of the output channels in the kernel of a layer that `prunable_kernels` takes."""
    return (-2,) if issubclass(layer, _TRANSPOSED) else (-1,)


def input_axis(layer: type[keras.layers.Layer]) -> int:
    """The axis of the input channels in the same kernel."""
    return -1 if issubclass(layer, _TRANSPOSED) else -2


def kernels_with_channels(model: keras.Model) -> list[tuple[Any, tuple[int, ...]]]:
    """The kernel variables of `prunable_kernels`, each with the axis of its output channels."""
    return [(kernel, channel_axes(type(layer))) for layer, kernel in prunable_layers(model)]


def prunable_kernel(layer: type[keras.layers.Layer], weights: tuple[Array, ...]) -> Array | None:
    """The same kernel among the weights of a layer of this kind; None for other layers."""
    if issubclass(layer, _SEPARABLE):
        return weights[1]
    return weights[0] if issubclass(layer, _PRUNABLE) else None


def parameters(model: keras.Model) -> int:
    """Number of weights, without the bounds of fake quantization."""
    bounds = sum(la.count_params() for la in model._flatten_layers(include_self=False) if isinstance(la, FakeQuant))
    return int(model.count_params() - bounds)


def sparsity(model: keras.Model) -> float:
    """Share of exact zeros among prunable weights, 0..1 (0 for a model without any)."""
    arrays = [np.asarray(kernel) for kernel in prunable_kernels(model)]
    total = sum(array.size for array in arrays)
    return float(sum(int(np.sum(array == 0)) for array in arrays) / total) if total else 0.0
