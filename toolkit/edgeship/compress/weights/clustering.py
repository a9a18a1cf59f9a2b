"""Weight clustering: the kernels of a model share few values, which compress well (arXiv 1510.00149, section 3).

k-means per kernel from centroids at equal distances, which keep the few large weights (section 3.2 of the paper).
Assignments stay fixed while the values train, as there (figure 3): after each optimizer step the kernel is projected
onto the nearest one that still shares its values, which is the mean over each cluster, hence the mean of its steps.
Like the masks of pruning, the projection is a constraint of the kernel: it holds in `fit` and in a custom loop.

int8 kernels have a scale per channel. What must be few then are the int8 numbers: quantization-aware training shares
one codebook of multiples of the channels' scales, kernel = scale of the channel x codebook[assignment].
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from edgeship.compress.graph.kernels import kernels_with_channels
from edgeship.compress.helpers import Helper, attach, helpers
from edgeship.compress.layers import PLAIN, QUANTIZED, fake_quantized, kernel_scales
from edgeship.compress.weights.pruning import clone, keep_zeros
from edgeship.errors import InputError, UnsupportedModelError
from edgeship.types import Array

#: Fewer cannot hold zero, both ends of an int8 range and something between; more do not pay.
FEWEST, MOST = 4, 128
#: A kernel with fewer weights than this per value is left alone: the values themselves would be half of its bytes.
_WEIGHTS_PER_VALUE = 2
_MAX_ROUNDS = 100
#: Codebook entries on an int8 grid keep this distance from where rounding is a tie, so that a cluster rounds one way.
_TIE = 1e-3
#: A kernel variable, how many values it may have, and the axes of the channels if these are int8 numbers.
_Kept = tuple[Any, int, tuple[int, ...] | None]


class Clustered(keras.constraints.Constraint):  # type: ignore[misc] # Keras ships no types
    """Projects a kernel onto those that share its values, after each optimizer step and the layer's own constraint.

    Args:
        assignment: index into the codebook for each weight.
        codebook: the shared values; with `scales` the shared multiples.
        fixed: which entries of the codebook stay (zero; the ends of the int8 range).
        scales: of the channels, broadcasting to the kernel's shape; None for plain values.
        inner: the constraint that the kernel had.
    """

    def __init__(
        self, assignment: Array, codebook: Array, fixed: Array, scales: Array | None = None, inner: Any = None
    ) -> None:
        self._assignment = keras.Variable(assignment, trainable=False, dtype="int32", name="assignment")
        self._codebook = keras.Variable(codebook, trainable=False, dtype="float32", name="codebook")
        self._fixed = keras.Variable(fixed, trainable=False, dtype="bool", name="fixed")
        self._channels = None if scales is None else scales.shape
        self.inner = inner

    def __call__(self, w: Any) -> Any:
        """The projected kernel."""
        given = w if self.inner is None else self.inner(w)
        values = ops.cast(given, "float32")
        before = ops.convert_to_tensor(self._codebook)
        scales = ops.ones_like(values) if self._channels is None else self._scales(values, before)
        after = ops.where(self._fixed, before, self._means(values, scales, before))
        if self._channels is not None:
            after = ops.where(self._fixed, before, _off_ties(ops.clip(after, -127.0, 127.0)))
        self._codebook.assign(after)
        return ops.cast(scales * ops.take(after, self._assignment), given.dtype)

    def _scales(self, values: Any, codebook: Any) -> Any:
        """Least squares of values = scale x codebook[assignment] in each channel, in the kernel's shape."""
        assert self._channels is not None
        multiples = ops.take(codebook, self._assignment)
        others = tuple(axis for axis, size in enumerate(self._channels) if size == 1)
        squares = ops.sum(multiples * multiples, axis=others, keepdims=True)
        found = ops.sum(values * multiples, axis=others, keepdims=True) / ops.maximum(squares, 1e-30)
        return ops.broadcast_to(ops.maximum(found, 1e-12), values.shape)

    def _means(self, values: Any, scales: Any, before: Any) -> Any:
        """Least squares of values = scales x codebook[assignment] in the codebook; empty clusters stay."""
        where, count = ops.reshape(self._assignment, (-1,)), before.shape[0]
        weights = ops.segment_sum(ops.reshape(scales * scales, (-1,)), where, count)
        sums = ops.segment_sum(ops.reshape(values * scales, (-1,)), where, count)
        return ops.where(weights > 0, sums / ops.maximum(weights, 1e-38), before)


def _off_ties(codebook: Any) -> Any:
    tie = ops.floor(codebook) + 0.5
    away = codebook - tie
    return tie + ops.where(away >= 0, ops.maximum(away, _TIE), ops.minimum(away, -_TIE))


class ClusterKeeper(Helper):
    """Promises that the kernels of a model still have no more different values than they were given.

    Args:
        model: its name is for messages.
        kernels: (variable, how many values it may have, axes of the channels if these are int8 numbers).
    """

    def __init__(self, model: keras.Model, kernels: list[_Kept]) -> None:
        super().__init__()
        self._name = model.name
        self.kernels = kernels

    def advance(self, progress: float) -> None:
        """Nothing ramps."""

    def check(self) -> None:
        """Raise InputError where a kernel has more values than promised."""
        for kernel, limit, axes in self.kernels:
            found = _count(np.asarray(kernel), axes)
            if found > limit:
                raise InputError(
                    f"{self._name}: {kernel.path} was clustered to {limit} values and has {found}",
                    remedy="Train with an optimizer of keras.optimizers, which applies the constraints of variables.",
                )


def cluster(model: keras.Model, clusters: int = 16, *, per_channel: bool = False) -> keras.Model:
    """A copy of the model whose kernels have at most `clusters` different values each, also while it trains.

    Exact zeros of an earlier `prune` stay zero, and zero counts as a value. Train the copy to recover accuracy, then
    call `edgeship.finalize(new)`, which checks the number of values; `edgeship.quantize_aware` after it keeps the
    number of different int8 numbers within it.

    Args:
        model: any Keras 3 model that can be cloned; it is not changed.
        clusters: values per kernel of convolutions (not depthwise) and Dense, 4 to 128. A kernel with fewer than two
            nonzero weights for each value is left alone.
        per_channel: for int8 files, which have a scale per output channel: the values are shared up to that scale, so
            that few are the int8 numbers, not the floats. `quantize_aware` then changes nothing about them, except
            where batch normalization has negative scales; plain values it has to share anew, which costs accuracy.

    Raises:
        InputError: a value out of its range, or what an earlier stage promised was not kept.
        UnsupportedModelError: the model cannot be cloned, is quantization-aware, or has no kernel that is large enough.
    """
    if not isinstance(clusters, int) or not FEWEST <= clusters <= MOST:
        raise InputError(f"clusters={clusters}", remedy=f"Allowed: whole numbers from {FEWEST} to {MOST}.")
    for helper in helpers(model):
        helper.check()
    if fake_quantized(model):
        raise UnsupportedModelError(
            f"{model.name} is quantization-aware already", remedy="Cluster first: quantize_aware keeps clusters."
        )
    copy = clone(model)
    keep_zeros(copy)
    enough = _WEIGHTS_PER_VALUE * clusters
    large = [pair for pair in kernels_with_channels(copy) if np.count_nonzero(np.asarray(pair[0])) >= enough]
    chosen: list[_Kept] = [(kernel, clusters, axes if per_channel else None) for kernel, axes in large]
    if not chosen:
        raise UnsupportedModelError(
            f"{model.name} has no kernel with at least {enough} nonzero weights",
            remedy="Kernels of convolutions (not depthwise) and Dense are clustered; ask for fewer clusters.",
        )
    for kept in chosen:
        _constrain(*kept)
    attach(copy, ClusterKeeper(copy, chosen))
    return copy


def shared_values(kernel: Array, axes: tuple[int, ...] | None = None) -> int | None:
    """How many values a clustered kernel has, or how many up to the scales of its channels; None for any other kernel.

    Args:
        kernel: of any shape.
        axes: of the channels; None to look at the values themselves.
    """
    numbers = kernel if axes is None else kernel / kernel_scales(kernel, _positive(axes, kernel))
    nonzero = numbers[numbers != 0]
    groups = _groups(nonzero, 0.0 if axes is None else _TIE)
    if groups is None or not _WEIGHTS_PER_VALUE * groups.size <= nonzero.size:
        return None
    values = groups.size + (nonzero.size < numbers.size)
    return values if 2 <= values <= MOST else None


def sharing(kernel: Array, channels: tuple[int, ...]) -> tuple[int, tuple[int, ...] | None] | None:
    """How many values a clustered kernel has, and the axes of the channels if that is up to their scales.

    The fewer count: a kernel with few numbers per channel may have few values as well.
    """
    found = [(shared_values(kernel, axes), axes) for axes in (None, channels)]
    counts = [(count, axes) for count, axes in found if count is not None]
    return min(counts, key=lambda pair: pair[0], default=None)


def keep_clusters(model: keras.Model) -> None:
    """Let kernels of a float model of ours that share values go on sharing them."""
    kept: list[_Kept] = []
    for kernel, channels in kernels_with_channels(model):
        found = sharing(np.asarray(kernel), channels)
        if found is not None:
            kept.append((kernel, max(FEWEST, found[0]), found[1]))
            _constrain(*kept[-1])
    if kept:
        attach(model, ClusterKeeper(model, kept))


def keep_int8_clusters(model: keras.Model, limits: Mapping[str, int]) -> None:
    """Let the kernels of a quantization-aware model have few different int8 numbers.

    Args:
        model: with layers of `layers.QUANTIZED`, flat.
        limits: layer name to the number of values that its kernel had; at least `FEWEST` are given.
    """
    kept: list[_Kept] = []
    for layer in model.layers:
        axes = _channel_axes(layer)
        if layer.name in limits and axes is not None:
            limit = max(FEWEST, limits[layer.name])
            if type(layer) in PLAIN:
                _constrain(layer.kernel, limit, axes)
            kept.append((layer.kernel, limit, axes))
    if kept:
        attach(model, ClusterKeeper(model, kept))


def int8_limits(model: keras.Model) -> dict[str, int]:
    """Layer name to the number of int8 numbers that its kernel was promised to have at most."""
    keepers = [helper for helper in helpers(model) if isinstance(helper, ClusterKeeper)]
    limits = {id(kernel): limit for keeper in keepers for kernel, limit, axes in keeper.kernels if axes is not None}
    return {
        layer.name: limits[id(layer.kernel)] for layer in model.layers if id(getattr(layer, "kernel", None)) in limits
    }


def most_values(model: keras.Model) -> tuple[int, int]:
    """How many kernels are clustered, and the largest number of different values (int8 numbers) in one of them."""
    keepers = [helper for helper in helpers(model) if isinstance(helper, ClusterKeeper)]
    counts = [_count(np.asarray(kernel), axes) for keeper in keepers for kernel, _, axes in keeper.kernels]
    return len(counts), max(counts, default=0)


def _channel_axes(layer: Any) -> tuple[int, ...] | None:
    kind = QUANTIZED.get(type(layer), type(layer))
    return kind.channel_axes if kind in PLAIN else None


def _count(kernel: Array, axes: tuple[int, ...] | None) -> int:
    """Different values of a kernel, or different int8 numbers."""
    if axes is not None:
        kernel = np.round(kernel / kernel_scales(kernel, _positive(axes, kernel)))
    return int(np.unique(kernel).size)


def _positive(axes: tuple[int, ...], kernel: Array) -> tuple[int, ...]:
    return tuple(axis % kernel.ndim for axis in axes)


def _groups(numbers: Array, tolerance: float) -> Array | None:
    """The values, sorted, around which all numbers lie within `tolerance`; None if they do not or there are none."""
    points = np.unique(numbers)
    starts = np.flatnonzero(np.diff(points, prepend=-np.inf) > tolerance)
    parts = np.split(points, starts[1:]) if 0 < starts.size <= MOST else []
    if not parts or max(part[-1] - part[0] for part in parts) > tolerance:
        return None
    return np.array([(part[0] + part[-1]) / 2 for part in parts])


def _constrain(kernel: Any, count: int, axes: tuple[int, ...] | None = None) -> None:
    """Cluster a kernel variable and make it stay so."""
    values = np.asarray(kernel)
    scales = None if axes is None else kernel_scales(values, _positive(axes, values))
    values = values if scales is None else values / scales
    zeros = values == 0
    pinned = [0.0] if zeros.any() else []
    if scales is not None:
        # Each channel keeps a weight at an end of the int8 range, so that its scale is the one the file will have.
        pinned += [end for end in (-127.0, 127.0) if np.any(np.isclose(values, end, rtol=1e-6))]
    codebook = _codebook(values[~zeros], count, pinned)
    assignment = _nearest(values, codebook)
    if zeros.any():
        # What is not exactly zero belongs to a value that can learn.
        learning = _nearest(values, np.delete(codebook, zero := int(np.flatnonzero(codebook == 0)[0])))
        assignment = np.where(zeros, zero, learning + (learning >= zero))
    constraint = Clustered(
        assignment, codebook, np.isin(codebook, np.array(pinned, np.float32)), scales, kernel.constraint
    )
    kernel.constraint = constraint
    kernel.assign(constraint(kernel))


def _codebook(values: Array, count: int, pinned: list[float]) -> Array:
    """Sorted centroids of k-means over nonzero values, at most `count` of them with the pinned ones, which stay.

    Starts at equal distances (arXiv 1510.00149, section 3.2). A centroid to which nothing is nearest moves to the value
    that is farthest from its own.
    """
    points, times = np.unique(values.astype(np.float64), return_counts=True)
    ends = [end for end in pinned if end != 0]
    groups = _groups(points, _TIE if ends else 0.0)
    if groups is not None and groups.size <= count - (len(pinned) - len(ends)):
        # Clustered before: as they are.
        others = [group for group in groups if not np.any(np.isclose(group, ends, rtol=0, atol=_TIE))]
        return np.unique(np.concatenate([pinned, others]).astype(np.float32))
    free = min(count - len(pinned), max(1, len(points) - len(ends)))
    # Between the ends where these are pinned, else from the smallest to the largest value.
    centroids = np.linspace(points[0], points[-1], free + 2)[1:-1] if ends else np.linspace(points[0], points[-1], free)
    for _ in range(_MAX_ROUNDS):
        book = np.concatenate([ends, centroids])
        order = np.argsort(book, kind="stable")
        where = order[_nearest(points, book[order])]
        members = np.bincount(where, times, len(book))[len(ends) :]
        moved = np.bincount(where, times * points, len(book))[len(ends) :] / np.maximum(members, 1)
        alone = np.flatnonzero(members == 0)
        farthest = np.argsort(-np.abs(points - book[where]), kind="stable")
        moved[alone[: len(farthest)]] = points[farthest[: len(alone)]]
        if np.allclose(moved, centroids, rtol=1e-5, atol=0):
            break
        centroids = moved
    return np.unique(np.concatenate([pinned, centroids]).astype(np.float32))


def _nearest(values: Array, codebook: Array) -> Array:
    """Index of the nearest entry of a sorted codebook, in the shape of `values`."""
    found: Array = np.searchsorted((codebook[1:] + codebook[:-1]) / 2, values)
    return found
