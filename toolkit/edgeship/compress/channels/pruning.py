"""Structured pruning: whole channels go, and what is left is a smaller dense model of plain layers.

Channels go in order of importance lost per MAC saved (or per unit of any other cost) until a budget is met. The new
model computes exactly what the old one does with those channels zeroed where they are read; a layer normalization
takes its statistics from the channels that stay.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import keras
import numpy as np

from edgeship.compress.channels.coupling import layer_key
from edgeship.compress.channels.groups import Channels, find
from edgeship.compress.channels.importance import Measure, Scores, scores
from edgeship.compress.graph.macs import kernel_uses, step_macs
from edgeship.compress.helpers import helpers
from edgeship.compress.layers import fake_quantized
from edgeship.compress.weights.pruning import keep_zeros
from edgeship.errors import InputError, UnsupportedModelError
from edgeship.types import Array

#: A group goes in about this many portions.
_PORTIONS = 32

#: `layer_key` and index of a weight.
_Kernel = tuple[object, int | str]


def prune_channels(
    model: keras.Model,
    keep: float = 0.5,
    *,
    importance: Measure | Scores = "l1",
    multiple_of: int = 8,
    min_channels: int = 1,
    cost: Callable[[keras.Model], float] | None = None,
) -> keras.Model:
    """A smaller model without the channels that it misses least for what they cost.

    Fine-tune what is returned; for a large cut prune in rounds with training between them. Channels of inputs and
    outputs stay, and those of layers that are not understood: `edgeship.compress.channels.groups.find(model).kept` says
    why.

    Args:
        model: functional or Sequential, inputs of fixed sizes. It is not changed.
        keep: share of the cost that may stay, 0 < keep < 1.
        importance: `l1`, `bn` (arXiv 1708.06519), or what `edgeship.taylor(model, batches)` returned.
        multiple_of: groups of channels that lose some keep a multiple of this number; kernels of runtimes work in
            blocks (docs/compression.md has measurements).
        min_channels: a group keeps at least so many.
        cost: any cost of a model, such as measured milliseconds; it is called once for the model, once for each group
            of channels and about ten times more. None: MACs.

    Returns:
        An uncompiled model with the names and structures of inputs and outputs of the old one.

    Raises:
        InputError: a value out of its range, or a budget that cannot be reached (says what can).
        UnsupportedModelError: the model cannot be read, has nothing to remove, or is quantization-aware.
    """
    if not 0 < keep < 1 or multiple_of < 1 or min_channels < 1:
        raise InputError(
            f"keep={keep}, multiple_of={multiple_of}, min_channels={min_channels}",
            remedy="Allowed: 0 < keep < 1, multiple_of and min_channels at least 1.",
        )
    if fake_quantized(model):
        raise UnsupportedModelError(
            f"{model.name} is quantization-aware already", remedy="Prune its channels before quantize_aware."
        )
    for helper in helpers(model):
        helper.check()
    channels = find(model)
    plan = _Plan(channels, scores(channels, importance), _Limits(multiple_of, min_channels))
    removed = plan.by_macs(keep) if cost is None else plan.by_cost(keep, model, cost)
    pruned = channels.without(removed)
    if helpers(model):
        keep_zeros(pruned)
    return pruned


@dataclass(frozen=True)
class _Limits:
    multiple_of: int
    min_channels: int

    def next(self, size: int, whole: int) -> int:
        """How many channels a group of `whole`, which has `size` now, has after its next portion; `size` if none."""
        portion = max(1, whole // _PORTIONS)
        lower = (size - portion) // self.multiple_of * self.multiple_of
        if lower < max(1, self.min_channels):
            lower = (size - 1) // self.multiple_of * self.multiple_of
        return lower if lower >= max(1, self.min_channels) else size


class _Plan:
    """The order in which channels go."""

    def __init__(self, channels: Channels, importance: Scores, limits: _Limits) -> None:
        self._channels = channels
        self._limits = limits
        self._importance = importance
        #: Channels of each group, least important first.
        self._order = {name: np.argsort(values, kind="stable") for name, values in importance.items()}
        self._macs = _Macs(channels)

    def by_macs(self, keep: float) -> Mapping[str, Array]:
        """What goes so that the share `keep` of the MACs stays."""
        sizes = self._sizes()
        while self._macs.total(sizes) > keep * self._macs.whole:
            if not self._shrink(sizes, self._macs.saved):
                raise self._unreachable(keep, self._macs.total(sizes) / self._macs.whole, "MACs")
        return self._removed(sizes)

    def by_cost(self, keep: float, model: keras.Model, cost: Callable[[keras.Model], float]) -> Mapping[str, Array]:
        """What goes so that the share `keep` of a cost stays, as little as the order allows."""
        whole = _measured(cost, model)
        rates = self._rates(whole, cost)
        sizes = self._sizes()
        states = [dict(sizes)]
        while self._shrink(sizes, lambda _, name, fewer: rates[name] * fewer):
            states.append(dict(sizes))
        # States cost less and less but for noise: find the first that is within the budget.
        low, high, best = 1, len(states) - 1, math.inf
        if high < 1 or (best := self._cost(states[-1], cost)) > keep * whole:
            raise self._unreachable(keep, best / whole if high else 1.0, "cost")
        while low < high:
            middle = (low + high) // 2
            if self._cost(states[middle], cost) <= keep * whole:
                high = middle
            else:
                low = middle + 1
        return self._removed(states[high])

    def _sizes(self) -> dict[str, int]:
        return {group.name: group.size for group in self._channels.groups}

    def _cost(self, sizes: Mapping[str, int], cost: Callable[[keras.Model], float]) -> float:
        return _measured(cost, self._channels.without(self._removed(sizes)))

    def _rates(self, whole: float, cost: Callable[[keras.Model], float]) -> dict[str, float]:
        """Cost of one channel of each group, from the model with that group alone at half its width."""
        rates = {}
        for name, size in self._sizes().items():
            fewer = size
            while (smaller := self._limits.next(fewer, size)) < fewer and fewer > size / 2:
                fewer = smaller
            if fewer < size:
                saved = whole - self._cost({**self._sizes(), name: fewer}, cost)
                # What saves nothing measurable goes last.
                rates[name] = max(saved / (size - fewer), 1e-6 * whole / size)
        return rates

    def _shrink(self, sizes: dict[str, int], saved: Callable[[Mapping[str, int], str, int], float]) -> bool:
        """Take the portion away that is missed least for what it saves; False if none is left."""
        best: tuple[float, str, int] | None = None
        for group in self._channels.groups:
            name, size = group.name, sizes[group.name]
            smaller = self._limits.next(size, group.size)
            if smaller == size:
                continue
            going = self._order[name][group.size - size : group.size - smaller]
            price = float(self._importance[name][going].sum()) / max(saved(sizes, name, size - smaller), 1e-30)
            if best is None or price < best[0]:
                best = (price, name, smaller)
        if best is None:
            return False
        sizes[best[1]] = best[2]
        return True

    def _removed(self, sizes: Mapping[str, int]) -> dict[str, Array]:
        return {name: order[: len(order) - sizes.get(name, len(order))] for name, order in self._order.items()}

    def _unreachable(self, keep: float, best: float, what: str) -> InputError:
        kept = " ".join(f"{name} is kept: {reason}." for name, reason in list(self._channels.kept.items())[:3])
        return InputError(
            f"{self._channels.graph.name}: {keep:.1%} of the {what} were asked for, {best:.1%} is the least that is "
            f"possible with channels in multiples of {self._limits.multiple_of} and at least "
            f"{self._limits.min_channels}. {kept}".rstrip(),
            remedy=f"Ask for at least {math.ceil(best * 1000) / 1000:g}, or for a smaller multiple_of or min_channels.",
        )


def _measured(cost: Callable[[keras.Model], float], model: keras.Model) -> float:
    value = float(cost(model))
    if not (math.isfinite(value) and value > 0):
        raise InputError(f"the cost of {model.name} is {value}", remedy="Return a positive number, such as ms.")
    return value


class _Macs:
    """MACs of a model whose groups have given sizes, without building it.

    Those of a kernel are proportional to the entries that stay along each of its axes.
    """

    def __init__(self, channels: Channels) -> None:
        self.whole = sum(step_macs(step) for step in channels.graph.steps)
        self._full = {group.name: group.size for group in channels.groups}
        self._counts: dict[_Kernel, int] = defaultdict(int)
        for step in channels.graph.steps:
            for index, times in kernel_uses(step).items():
                self._counts[layer_key(step), index] += times * step.weights[index].size
        #: Kernel -> axis -> (group, share of the axis that one of its channels has).
        self._axes: dict[_Kernel, dict[int, list[tuple[str, float]]]] = defaultdict(lambda: defaultdict(list))
        self._kernels: dict[str, set[_Kernel]] = defaultdict(set)
        for group in channels.groups:
            for member in group.members:
                kernel = (member.slice.layer, member.slice.where)
                if kernel in self._counts:
                    share = member.places.shape[1] / len(member.slice.channels)
                    self._axes[kernel][member.slice.axis].append((group.name, share))
                    self._kernels[group.name].add(kernel)

    def total(self, sizes: Mapping[str, int]) -> float:
        """MACs of the model."""
        return self.whole - sum(self._counts[kernel] - self._kernel(kernel, sizes) for kernel in self._axes)

    def saved(self, sizes: Mapping[str, int], name: str, fewer: int) -> float:
        """MACs that go when a group loses so many more channels."""
        after = {**sizes, name: sizes[name] - fewer}
        return sum(self._kernel(kernel, sizes) - self._kernel(kernel, after) for kernel in self._kernels[name])

    def _kernel(self, kernel: _Kernel, sizes: Mapping[str, int]) -> float:
        left = (
            1 - sum(share * (self._full[name] - sizes[name]) for name, share in parts)
            for parts in self._axes[kernel].values()
        )
        return self._counts[kernel] * math.prod(left)
