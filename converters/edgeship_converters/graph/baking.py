"""Preprocessing as the first operations of a graph (see `edgeship.preprocessing` for the formula).

One number for all channels is a multiplication and an addition. Numbers for each channel are a convolution of 1x1 with
a kernel that has a single entry for each output: int8 keeps it exactly, since scales of kernels are per channel.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edgeship.errors import UnsupportedModelError
from edgeship.preprocessing import affine, fits
from edgeship.types import Preprocessing, Source

#: Ranks of inputs to which a convolution can be applied: (N, C) to (N, H, W, C).
_RANKS = (2, 3, 4)
#: The first scope of a node is taken off with that of the model (`graph`).
_SCOPE = "raw/preprocessing"


def baked(call: Callable[..., list[Any]], source: Source, *, fake_quant: bool) -> Callable[..., list[Any]]:
    """The model, with the preprocessing of the Source before its inputs; the model itself where that has none.

    Args:
        call: input tensors to output tensors, as `edgeship.source.forward` gives it.
        source: what it was loaded from.
        fake_quant: the graph carries its own ranges, so raw values need one too.

    Raises:
        DataError: mean or std do not fit the channels of an input.
        UnsupportedModelError: the range of raw values is needed and not known; channels of an axis of no fixed size.
    """
    done = source.baked
    if done is None:
        return call
    for spec in source.inputs:
        fits(done, spec.shape, f"input {spec.name!r}")
    if fake_quant and done.value_range is None:
        raise UnsupportedModelError(
            "the model carries its own ranges, and that of raw values is not known",
            remedy="Give raw samples as bytes (uint8), or leave --bake-preprocessing out.",
        )

    def from_raw(*tensors: Any) -> list[Any]:
        return call(*(_prepared(tensor, done, fake_quant=fake_quant) for tensor in tensors))

    return from_raw


def _prepared(raw: Any, done: Preprocessing, *, fake_quant: bool) -> Any:
    import tensorflow as tf

    factors, offsets = affine(done)
    with tf.name_scope(_SCOPE):
        if fake_quant:
            assert done.value_range is not None  # asked for before
            raw = tf.quantization.fake_quant_with_min_max_args(raw, *done.value_range)
        if done.channels == "BGR" or len(factors) > 1:
            return _by_channel(raw, factors, offsets, turned=done.channels == "BGR")
        values = raw if factors == (1.0,) else raw * tf.constant(factors[0], raw.dtype)
        return values if offsets == (0.0,) else values + tf.constant(offsets[0], raw.dtype)


def _by_channel(raw: Any, factors: tuple[float, ...], offsets: tuple[float, ...], *, turned: bool) -> Any:
    import numpy as np
    import tensorflow as tf

    rank, channels = raw.shape.rank, raw.shape[-1]
    if rank not in _RANKS or channels is None:
        raise UnsupportedModelError(
            f"numbers for each channel cannot be baked into an input of shape {raw.shape}",
            remedy="Use one mean and one std for all, or leave --bake-preprocessing out.",
        )
    dtype = raw.dtype.as_numpy_dtype
    scales = np.broadcast_to(np.asarray(factors, dtype), channels)
    image = raw
    for _ in range(rank, _RANKS[-1]):
        image = tf.expand_dims(image, 1)
    if turned:
        kernel = np.diag(scales)[::-1][None, None]  # input c goes to output C - 1 - c
        image = tf.nn.conv2d(image, tf.constant(kernel), 1, "VALID")
    else:
        image = tf.nn.depthwise_conv2d(image, tf.constant(scales[None, None, :, None]), [1, 1, 1, 1], "VALID")
    if any(offsets):
        image = tf.nn.bias_add(image, tf.constant(np.broadcast_to(np.asarray(offsets, dtype), channels)))
    for _ in range(rank, _RANKS[-1]):
        image = tf.squeeze(image, 1)
    return image
