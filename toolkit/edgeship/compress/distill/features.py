"""What a student learns from inside its teacher: intermediate features and attention maps.

Features are regressed as in FitNets (arXiv 1412.6550, eq. 3), attention maps compared as in arXiv 1612.03928, eq. 2.
Which layers are compared is found in `points.py`. Features are (N, positions..., channels).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import keras
from keras import layers, ops

from edgeship.compress.graph.points import Point, auto_pairs, named_pairs
from edgeship.errors import InputError, UnsupportedModelError

#: Largest weight of a loss; more only drowns the others.
MOST = 1000.0
#: Keeps divisions by the size of a feature away from zero.
_EPSILON = 1e-8
#: Variance that values have at least, as a share of their mean square.
_LEAST_SPREAD = 0.01


@dataclass(frozen=True)
class Features:
    """How `distiller` compares what the student and the teacher compute inside.

    Attributes:
        weight: of the feature loss, 0..1000: the squared error of the student's features relative to the size of the
            teacher's (1 = as if they were all zero), the mean over the pairs.
        attention: weight of the attention loss, 0..1000: the squared distance (0..2) between the two maps of where a
            layer is active, the mean over the pairs.
        layers: pairs of names (student's layer, teacher's layer), or `auto`: the last activation of each spatial size,
            paired by name, else by size. In a model without spatial sizes: each hidden activation. A layer of a
            quantization-aware student goes by the name that it had before, and is compared after its activation.

    Raises:
        InputError: a weight out of its range, no weight at all, or no layers.
    """

    weight: float = 1.0
    attention: float = 0.0
    layers: Literal["auto"] | Sequence[tuple[str, str]] = "auto"

    def __post_init__(self) -> None:
        allowed = all(0 <= number <= MOST for number in (self.weight, self.attention))
        if not allowed or self.weight + self.attention == 0:
            raise InputError(
                f"features: weight={self.weight}, attention={self.attention}",
                remedy=f"Allowed: 0 to {MOST:g}, and one of them above 0.",
            )
        pairs = [] if isinstance(self.layers, str) else list(self.layers)
        if self.layers != "auto" and (not pairs or any(isinstance(p, str) or len(p) != 2 for p in pairs)):
            raise InputError(
                f"features: layers={self.layers!r}",
                remedy="Allowed: 'auto', or pairs of names: [(student's layer, teacher's layer), ...].",
            )


class FeatureLoss(layers.Layer):  # type: ignore[misc] # Keras ships no types
    """The loss over pairs of layers; it owns the projections, which train beside the student and are then dropped.

    Attributes:
        pairs: (student's point, teacher's point).
    """

    def __init__(self, student: keras.Model, teacher: keras.Model, wanted: Features) -> None:
        super().__init__(name="features", dtype="float32")
        found = (
            auto_pairs(student, teacher) if wanted.layers == "auto" else named_pairs(student, teacher, wanted.layers)
        )
        # Past Keras's tracking: the layers of both models are not this one's.
        object.__setattr__(self, "pairs", tuple(found))
        self._wanted = wanted
        self._shared = [_shared_positions(one, other) for one, other in found]
        if wanted.attention and not wanted.weight and not any(map(_maps, self._shared)):
            raise UnsupportedModelError(
                f"{student.name}: no compared layer has positions to pay attention to",
                remedy="Use features (weight=1, attention=0) for models without images or sequences.",
            )
        self.projections = [_projection(one, other) if wanted.weight else None for one, other in found]
        self.built = True

    def call(self, student: Sequence[Any], teacher: Sequence[Any], sample_weight: Any = None) -> Any:
        """The weighted sum of both losses, a scalar, for the features of all pairs in order."""
        regressions, distances = [], []
        for one, other, shared, projection in zip(student, teacher, self._shared, self.projections, strict=True):
            if self._wanted.weight:
                learned, target = _aligned(one, shared), _aligned(other, shared)
                projected = learned if projection is None else projection(learned)
                regressions.append(mean(relative_error(target, projected), sample_weight))
            if self._wanted.attention and _maps(shared):
                squared = ops.square(attention_map(one, shared) - attention_map(other, shared))
                distances.append(mean(ops.sum(squared, axis=-1), sample_weight))
        total = ops.zeros(())
        for weight, losses in ((self._wanted.weight, regressions), (self._wanted.attention, distances)):
            if losses:
                total = total + weight * ops.mean(ops.stack(losses))
        return total


def _projection(one: Point, other: Point) -> layers.Dense | None:
    """The regressor from the student's channels to the teacher's; None where they are equally many."""
    if one.channels == other.channels:
        return None
    # From zero: the student is not pulled anywhere before the projection has begun to fit.
    dense = layers.Dense(other.channels, kernel_initializer="zeros", dtype="float32", name=f"{one.name}_projection")
    dense.build((None, None, one.channels))
    return dense


def _shared_positions(one: Point, other: Point) -> tuple[int | None, ...]:
    """The coarser of two grids of positions. Raises InputError where one is not a whole multiple of the other."""
    a, b = one.positions, other.positions
    if len(a) == len(b):
        known = None not in (*a, *b)
        if a == b or (known and all(x % y == 0 for x, y in zip(a, b, strict=True))):  # type: ignore[operator] # known
            return b
        if known and all(y % x == 0 for x, y in zip(a, b, strict=True)):  # type: ignore[operator] # known
            return a
    raise InputError(
        f"features: layer {one.name} of the student has positions {a}, {other.name} of the teacher {b}",
        remedy="Pair layers of equal size, or whose sizes are whole multiples.",
    )


def _maps(positions: tuple[int | None, ...]) -> bool:
    return None in positions or math.prod(size for size in positions if size) > 1


def _aligned(value: Any, positions: tuple[int | None, ...]) -> Any:
    """Features as (N, positions, channels) in float32, averaged down to a coarser grid where theirs is finer."""
    value = ops.cast(value, "float32")
    sizes = [size for size in value.shape[1:-1] if size != 1]
    channels = value.shape[-1]
    if sizes != list(positions) and None not in sizes:
        split = [part for have, want in zip(sizes, positions, strict=True) for part in (want, have // want)]
        value = ops.reshape(value, (-1, *split, channels))
        value = ops.mean(value, axis=tuple(range(2, 2 * len(sizes) + 1, 2)))
    return ops.reshape(value, (ops.shape(value)[0], -1, channels))


def attention_map(value: Any, positions: tuple[int | None, ...]) -> Any:
    """Where a layer is active: the sum of squares over the channels, on the unit sphere (arXiv 1612.03928, eq. 2).

    (N, ..., channels) -> (N, number of `positions`).
    """
    squares = ops.sum(ops.square(ops.cast(value, "float32")), axis=-1, keepdims=True)
    squares = ops.squeeze(_aligned(squares, positions), axis=-1)
    return squares / (ops.sqrt(ops.sum(ops.square(squares), axis=-1, keepdims=True)) + _EPSILON)


def relative_error(target: Any, value: Any, *, centred: bool = False) -> Any:
    """(N,): the mean squared error of each sample, in units of the batch's mean square of `target`.

    `centred`: of its variance instead, so that a constant answer has an error of about 1.
    """
    scale = ops.mean(ops.square(target))
    if centred:
        # A batch of one sample, or of equal ones, has no variance.
        scale = ops.mean(ops.var(target, axis=0)) + _LEAST_SPREAD * scale
    errors = ops.square(target - value) / (scale + _EPSILON)
    return ops.mean(ops.reshape(errors, (ops.shape(errors)[0], -1)), axis=-1)


def mean(losses: Any, sample_weight: Any = None) -> Any:
    """Mean over the samples of a batch, each counted by its weight (N,) or (N, 1)."""
    if sample_weight is not None:
        losses = losses * ops.cast(ops.reshape(sample_weight, (-1,)), losses.dtype)
    return ops.mean(losses)
