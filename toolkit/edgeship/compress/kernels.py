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


def prunable_kernels(model: keras.Model) -> list[Any]:
    """Kernel variables of convolutions, transposed convolutions and Dense, and the pointwise ones of separable layers.

    Depthwise kernels stay out: they are few weights that each carry a whole channel.
    """
    kernels = []
    for layer in model._flatten_layers(include_self=False):
        if isinstance(layer, _SEPARABLE):
            kernels.append(layer.pointwise_kernel)
        elif isinstance(layer, _PRUNABLE):
            kernels.append(layer.kernel)
    return kernels


def channel_axes(layer: type[keras.layers.Layer]) -> tuple[int, ...]:
    """The axis of the output channels in the kernel of a layer that `prunable_kernels` takes."""
    return (-2,) if issubclass(layer, _TRANSPOSED) else (-1,)


def kernels_with_channels(model: keras.Model) -> list[tuple[Any, tuple[int, ...]]]:
    """The kernel variables of `prunable_kernels`, each with the axis of its output channels."""
    kinds = [type(la) for la in model._flatten_layers(include_self=False) if isinstance(la, (*_SEPARABLE, *_PRUNABLE))]
    return [(k, channel_axes(kind)) for k, kind in zip(prunable_kernels(model), kinds, strict=True)]


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
