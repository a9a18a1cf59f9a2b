"""How much of which kernels pruning takes: one budget for all, one for each layer, 2 of every 4."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal, get_args

import keras
import numpy as np

from edgeship.compress.graph.kernels import input_axis, prunable_layers
from edgeship.errors import InputError, UnsupportedModelError
from edgeship.types import Array

Pattern = Literal["unstructured", "2:4"]
Scope = Literal["global", "layer"]

_GROUP, _KEPT = 4, 2


@dataclass(frozen=True)
class Budget:
    """Kernel variables that are pruned together, and the share of zeros that they are to reach.

    Attributes:
        axes: of the input channels, for each kernel; empty for no pattern.
        where: for messages, which layer this is; empty for the one budget of the model.
    """

    kernels: tuple[Any, ...]
    sparsity: float
    axes: tuple[int, ...] = ()
    where: str = ""

    @property
    def count(self) -> int:
        """Zeros to reach; whole weights only, so it is rounded down."""
        return int(self.sparsity * sum(int(np.prod(kernel.shape)) for kernel in self.kernels))

    def allowed(self, kernels: list[Array]) -> list[Array] | None:
        """Masks (True = may become zero) of what the pattern allows; None allows all."""
        if not self.axes:
            return None
        return [smallest(kernel, axis) for kernel, axis in zip(kernels, self.axes, strict=True)]

    def zeros(self) -> float:
        """Share of zeros now."""
        arrays = [np.asarray(kernel) for kernel in self.kernels]
        return float(sum(int(np.sum(a == 0)) for a in arrays) / sum(a.size for a in arrays))

    def kept(self) -> bool:
        """Whether the zeros that were asked for are there, in the pattern that was asked for."""
        arrays = [np.asarray(kernel) for kernel in self.kernels]
        if self.axes:
            return all(np.all(a[smallest(a, axis)] == 0) for a, axis in zip(arrays, self.axes, strict=True))
        return sum(int(np.sum(array == 0)) for array in arrays) >= self.count


def smallest(kernel: Array, axis: int) -> Array:
    """True at the 2 smallest magnitudes of every 4 neighbours along an axis whose size is a multiple of 4."""
    groups = np.moveaxis(np.abs(kernel), axis, -1)
    rows = groups.reshape(-1, _GROUP)
    found = np.zeros(rows.shape, bool)
    np.put_along_axis(found, np.argsort(rows, axis=1, kind="stable")[:, : _GROUP - _KEPT], True, axis=1)
    return np.moveaxis(found.reshape(groups.shape), -1, axis)


def in_fours(model: keras.Model) -> int:
    """How many kernels have exact zeros at half of every 4 neighbours along their input channels."""
    found = 0
    for layer, kernel in prunable_layers(model):
        array, axis = np.asarray(kernel), input_axis(type(layer))
        if array.shape[axis] % _GROUP == 0 and np.any(array):
            found += bool(np.all(array[smallest(array, axis)] == 0))
    return found


def share_out(
    model: keras.Model, sparsity: float, pattern: Pattern, scope: Scope, per_layer: Mapping[str, float]
) -> tuple[Budget, ...]:
    """The budgets of a model's kernels; arguments and errors as of `prune`."""
    _check(model, sparsity, pattern, scope, per_layer)
    together: list[tuple[Any, int]] = []
    budgets: list[Budget] = []
    dense = []
    for layer, kernel in prunable_layers(model):
        own = _own(layer.name, per_layer)
        axis = input_axis(type(layer))
        if own == 0:
            continue
        if pattern == "2:4" and kernel.shape[axis] % _GROUP:
            dense.append(layer.name)
        elif own is None and scope == "global":
            together.append((kernel, axis))
        else:
            axes = (axis,) if pattern == "2:4" else ()
            budgets.append(Budget((kernel,), sparsity if own is None else own, axes, f" in layer {layer.name}"))
    if together:
        kernels, axes = zip(*together, strict=True)
        budgets.insert(0, Budget(kernels, sparsity, axes if pattern == "2:4" else ()))
    if dense:
        warnings.warn(f"2:4 leaves {', '.join(dense)} dense: input channels no multiple of 4", stacklevel=3)
    _check_room(model.name, budgets)
    return tuple(budgets)


def _own(name: str, per_layer: Mapping[str, float]) -> float | None:
    """The budget that a layer has of its own."""
    if name in per_layer:
        return per_layer[name]
    return next((value for key, value in per_layer.items() if fnmatchcase(name, key)), None)


def _check(model: keras.Model, sparsity: float, pattern: Pattern, scope: Scope, per_layer: Mapping[str, float]) -> None:
    if pattern not in get_args(Pattern) or scope not in get_args(Scope):
        raise InputError(
            f"pattern={pattern!r}, scope={scope!r}",
            remedy=f"Allowed: pattern {' or '.join(get_args(Pattern))}, scope {' or '.join(get_args(Scope))}.",
        )
    names = [layer.name for layer, _ in prunable_layers(model)]
    for key, value in per_layer.items():
        if not any(fnmatchcase(name, key) or name == key for name in names):
            raise InputError(
                f"per_layer={{{key!r}: {value}}}: {model.name} has no such layer to prune",
                remedy=f"Its prunable layers: {', '.join(names)}.",
            )
        if not 0 <= value < 1:
            raise InputError(f"per_layer={{{key!r}: {value}}}", remedy="Allowed: 0 (dense) to below 1.")
    if pattern == "2:4" and any(value not in (0, 0.5) for value in (sparsity, *per_layer.values())):
        raise InputError(
            f"sparsity={sparsity}, per_layer={dict(per_layer)} with pattern 2:4",
            remedy="2:4 is a sparsity of 0.5; a layer that is to stay dense has 0 in per_layer.",
        )


def _check_room(name: str, budgets: list[Budget]) -> None:
    for budget in budgets:
        # Each kernel keeps a weight.
        room = sum(int(np.prod(kernel.shape)) - 1 for kernel in budget.kernels)
        if not 0 < budget.count <= room:
            raise UnsupportedModelError(
                f"{name} has too few prunable weights for {budget.sparsity:.0%} zeros{budget.where}",
                remedy="Kernels of convolutions (not depthwise) and Dense are pruned, and each keeps a weight.",
            )
    if not budgets:
        raise UnsupportedModelError(
            f"{name} has too few prunable weights: no kernel is left to prune",
            remedy="Kernels of convolutions (not depthwise) and Dense are pruned; 2:4 needs input channels in fours.",
        )
