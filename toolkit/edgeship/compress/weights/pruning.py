"""Magnitude pruning with a schedule that is checked.

The schedule is that of arXiv 1710.01878, eq. 1. A budget over several kernels is shared out by weight magnitude,
relative to the larger weights of the same kernel (LAMP, arXiv 2010.07611, eq. 4), so no kernel is ever emptied.
Masks are constraints of the kernel variables, so every Keras optimizer keeps them, in `fit` and in a custom loop.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import keras
import numpy as np

from edgeship.compress.graph.kernels import prunable_kernels
from edgeship.compress.helpers import Helper, attach
from edgeship.compress.weights.budgets import Budget, Pattern, Scope, share_out
from edgeship.errors import InputError, UnsupportedModelError
from edgeship.types import Array

Schedule = Literal["cubic", "constant"]

#: The ramp is walked in about this many prunings; between them the masks stand still.
_RAMP_PRUNINGS = 50


class Masked(keras.constraints.Constraint):  # type: ignore[misc] # Keras ships no types
    """Multiplies a kernel by a mask of zeros and ones after each optimizer step, after the layer's own constraint."""

    def __init__(self, mask: Array, inner: Any = None) -> None:
        self.mask = keras.Variable(mask, trainable=False, dtype="float32", name="mask")
        self.inner = inner

    def __call__(self, w: Any) -> Any:
        """The masked kernel."""
        return (w if self.inner is None else self.inner(w)) * keras.ops.cast(self.mask, w.dtype)


def _mask(kernel: Any, mask: Array) -> None:
    """Set the mask of a kernel variable and apply it."""
    if isinstance(kernel.constraint, Masked):
        kernel.constraint.mask.assign(mask)
    else:
        kernel.constraint = Masked(mask, kernel.constraint)
    kernel.assign(np.asarray(kernel) * mask)


class Pruner(Helper):
    """Ramps the sparsity of a model's kernels and promises to reach it."""

    def __init__(self, name: str, budgets: Sequence[Budget], schedule: Schedule, ramp: float) -> None:
        super().__init__()
        self._name = name
        self._budgets = budgets
        self._schedule = schedule
        self._ramp = ramp
        #: Share of the final sparsity to which the schedule has come.
        self.reached = 0.0

    def advance(self, progress: float) -> None:
        """Prune to what the schedule wants at `progress`, 0..1 of training."""
        along = 1.0 if self._schedule == "constant" or self._ramp == 0 else min(1.0, progress / self._ramp)
        wanted = 1.0 - (1.0 - along) ** 3
        if wanted - self.reached >= 1 / _RAMP_PRUNINGS or (along == 1.0 and self.reached < 1):
            for budget in self._budgets:
                kernels = [np.asarray(kernel) for kernel in budget.kernels]
                found = masks(kernels, wanted * budget.sparsity, budget.allowed(kernels))
                for kernel, mask in zip(budget.kernels, found, strict=True):
                    _mask(kernel, mask)
            self.reached = wanted

    def check(self) -> None:
        """Raise InputError if the schedule did not reach its sparsity, or the zeros are gone."""
        for budget in self._budgets:
            if self.reached < 1 or not budget.kept():
                raise InputError(
                    f"{self._name} was to be pruned to {budget.sparsity:.0%} zeros and has {budget.zeros():.1%}"
                    f"{budget.where}; the schedule came to {self.reached * budget.sparsity:.1%}",
                    remedy="Train longer, pass edgeship.callbacks(model) to fit (in a loop of your own call step() "
                    "after each optimizer step, steps= being what really runs), or ask for a shorter ramp.",
                )

    def on_train_end(self, logs: Any = None) -> None:  # noqa: ARG002 - the signature is Keras's
        """Say it at once if the ramp did not end; `finalize` will refuse."""
        if self.reached < 1:
            warnings.warn(f"pruning came to {self.reached:.1%} of the zeros that were asked for", stacklevel=2)


class ZeroKeeper(Helper):
    """Promises that the zeros of a pruned model are still there."""

    def __init__(self, model: keras.Model) -> None:
        super().__init__()
        self._name = model.name
        self._kept = [(k, np.asarray(k) == 0) for k in prunable_kernels(model) if isinstance(k.constraint, Masked)]

    def advance(self, progress: float) -> None:
        """Nothing ramps."""

    def check(self) -> None:
        """Raise InputError where a zero was lost."""
        lost = sum(int(np.sum(np.asarray(kernel)[zeros] != 0)) for kernel, zeros in self._kept)
        if lost:
            raise InputError(
                f"{self._name}: {lost} pruned weights are no longer zero",
                remedy="Train with an optimizer of keras.optimizers, which applies the masks, or multiply by them.",
            )


def prune(
    model: keras.Model,
    sparsity: float = 0.5,
    *,
    schedule: Schedule = "cubic",
    ramp: float = 0.6,
    pattern: Pattern = "unstructured",
    scope: Scope = "global",
    per_layer: Mapping[str, float] | None = None,
) -> keras.Model:
    """A copy of the model that loses its small weights while it trains.

    Use `edgeship.callbacks(new)` in `fit`, and `edgeship.finalize(new)` after it: that checks the sparsity. The masks
    stay for whatever training follows.

    Args:
        model: any Keras 3 model that can be cloned; it is not changed.
        sparsity: share of zeros to reach in the kernels of convolutions (not depthwise) and Dense, 0 < sparsity < 1.
        schedule: `cubic` ramps as in arXiv 1710.01878, eq. 1; `constant` prunes at the first step.
        ramp: share of the training spent ramping, 0..1; the rest recovers accuracy.
        pattern: `2:4` makes 2 of every 4 neighbours along the input channels zero (arXiv 2104.08378), which some
            hardware computes faster; `sparsity` is 0.5 then, and kernels whose input channels are no multiple of 4 stay
            dense, which is warned of.
        scope: `global` shares one budget out over all kernels by the size of their weights; `layer` prunes each kernel
            to `sparsity`.
        per_layer: names of layers, or patterns such as `block1_*` -> their own sparsity, 0 (dense) to below 1. A name
            goes before a pattern, the first pattern that fits before later ones.

    Raises:
        InputError: a value out of its range, or a name in `per_layer` that no layer has.
        UnsupportedModelError: the model cannot be cloned, or has nothing to prune.
    """
    if not 0 < sparsity < 1 or not 0 <= ramp <= 1 or schedule not in get_args(Schedule):
        raise InputError(
            f"sparsity={sparsity}, ramp={ramp}, schedule={schedule!r}",
            remedy="Allowed: 0 < sparsity < 1, 0 <= ramp <= 1, schedule 'cubic' or 'constant'.",
        )
    copy = clone(model)
    budgets = share_out(copy, sparsity, pattern, scope, per_layer or {})
    for budget in budgets:
        for kernel in budget.kernels:
            _mask(kernel, np.ones(kernel.shape, np.float32))
    attach(copy, Pruner(model.name, budgets, schedule, ramp))
    return copy


def keep_zeros(model: keras.Model) -> None:
    """Let the exact zeros in kernels of a model of ours stay zero; a kernel of nothing but zeros is free to learn."""
    for kernel in prunable_kernels(model):
        values = np.asarray(kernel)
        if 0 < np.count_nonzero(values) < values.size:
            _mask(kernel, (values != 0).astype(np.float32))
    attach(model, ZeroKeeper(model))


def clone(model: keras.Model) -> keras.Model:
    """A copy with the same weights. Raises UnsupportedModelError for models that Keras cannot clone."""
    try:
        copy = keras.models.clone_model(model)
        copy.set_weights(model.get_weights())
    except (ValueError, TypeError, NotImplementedError) as error:
        raise UnsupportedModelError(
            f"{getattr(model, 'name', type(model).__name__)} cannot be cloned: {error}",
            remedy="Build it with the functional API: keras.Model(inputs, outputs).",
        ) from error
    return copy


def masks(kernels: list[Array], wanted: float, allowed: list[Array] | None = None) -> list[Array]:
    """Masks (1 = keep) that zero the share `wanted` of all weights together, smallest LAMP scores first.

    Args:
        kernels: of any shapes.
        wanted: 0..1.
        allowed: True where a weight may become zero, in the kernels' shapes; None allows all.
    """
    flat = np.concatenate([_lamp(kernel).ravel() for kernel in kernels])
    if allowed is not None:
        flat[~np.concatenate([part.ravel() for part in allowed])] = np.inf
    drop = np.argsort(flat, kind="stable")[: int(wanted * flat.size)]
    keep = np.ones(flat.size, np.float32)
    keep[drop] = 0
    ends = np.cumsum([kernel.size for kernel in kernels])[:-1]
    return [part.reshape(kernel.shape) for part, kernel in zip(np.split(keep, ends), kernels, strict=True)]


def _lamp(kernel: Array) -> Array:
    """w^2 over the sum of the squares of all weights of this kernel that are not smaller (arXiv 2010.07611, eq. 4)."""
    squares = np.square(kernel, dtype=np.float64).ravel()
    order = np.argsort(squares, kind="stable")
    remaining = np.cumsum(squares[order][::-1])[::-1]
    scores = np.empty_like(squares)
    scores[order] = squares[order] / np.maximum(remaining, np.finfo(np.float64).tiny)
    return scores.reshape(kernel.shape)
