"""Low-rank factorisation: Dense and convolutions as two smaller layers after another (ways and sources: `factors`).

How far each layer goes is set by the energy that it keeps, or by a budget for the whole model, shared out greedily by
the energy lost per saved operation (arXiv 1505.06798, section 3.3). A layer that would not save parameters and
operations stays as it is.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import keras
import numpy as np
from keras import layers

from edgeship.compress.graph.kernels import prunable_kernels
from edgeship.compress.graph.macs import macs
from edgeship.compress.graph.model import Graph, Refs, Step, build, read
from edgeship.compress.helpers import helpers
from edgeship.compress.layers import fake_quantized
from edgeship.compress.lowrank.factors import Channels, Factors, Moments, Spatial, Split
from edgeship.compress.lowrank.patches import drift, patch_moments
from edgeship.compress.weights.clustering import Clustered
from edgeship.compress.weights.pruning import Masked
from edgeship.errors import InputError, UnsupportedModelError
from edgeship.types import Array

Budget = Literal["macs", "parameters"]

_KINDS = (layers.Dense, layers.Conv1D, layers.Conv2D)
#: Ranks of a layer that are looked at.
_RANKS = 48
#: What a side that the model leaves open counts as; it matters only where layers with and without such sides compete.
_OPEN = 64


@dataclass(frozen=True)
class Option:
    """A layer at one rank of one way: what it would cost, and the share of its outputs' variance that it keeps."""

    split: Split
    rank: int
    energy: float
    parameters: int
    macs: int


@dataclass(frozen=True)
class Candidate:
    """A layer that can be split: its calls, what it costs now, and the options that cost less."""

    calls: tuple[Step, ...]
    parameters: int
    macs: int
    options: tuple[Option, ...]


def factorize(
    model: keras.Model,
    *,
    energy: float | None = None,
    share: float | None = None,
    budget: Budget = "macs",
    calibration: Any = None,
    seed: int = 0,
) -> keras.Model:
    """A copy of the model with low-rank layers in place of Dense, Conv1D and Conv2D where that saves work.

    Of the ways to split a layer (by channels; for k x k kernels also into k x 1 and 1 x k) the cheapest is taken that
    keeps the energy. Train the copy to recover accuracy; it is made of plain Keras layers.

    Args:
        model: functional or Sequential; it is not changed.
        energy: each layer keeps at least this share of the variance of its outputs, 0..1. The default, 0.95, holds
            where `share` is not given.
        share: instead of `energy`, the share of the model's operations (or parameters) that may remain, 0..1; a layer
            gives the more the less energy it loses.
        budget: what `share` counts: `macs` (multiply-accumulates of one inference) or `parameters`.
        calibration: typical inputs, as `quantize_aware` takes them, some hundreds. With them it is the error of the
            outputs on data that is least, without them that of the weights, which costs more accuracy.
        seed: of the positions in feature maps that are looked at.

    Raises:
        InputError: a value out of its range, a budget that even rank 1 everywhere exceeds, nothing that keeps the
            energy with less work, or a model whose zeros or clusters would be lost.
        DataError: the calibration samples do not fit the model.
        UnsupportedModelError: the model is not functional, is quantization-aware, or has no layer to split.
    """
    if energy is None and share is None:
        energy = 0.95
    _check(model, energy, share, budget)
    graph = read(model)
    candidates = _candidates(graph, calibration, seed)
    if not candidates:
        raise UnsupportedModelError(
            f"{model.name} has no layer that two smaller ones could replace",
            remedy="Dense, Conv1D and Conv2D without groups are split where that saves parameters and operations.",
        )
    if share is None:
        assert energy is not None
        chosen = _by_energy(candidates, energy, model.name)
    else:
        now = macs(model) if budget == "macs" else model.count_params()
        chosen = _within(candidates, (now, int(share * now)), budget, model.name)
    factors = {key: option.split.factors(option.rank) for key, option in chosen.items()}
    if calibration is not None:
        factors = _corrected(graph, chosen, calibration, seed)
    return build(_rebuilt(graph, factors))


def _check(model: keras.Model, energy: float | None, share: float | None, budget: str) -> None:
    given = [value for value in (energy, share) if value is not None]
    if len(given) != 1 or not 0 < given[0] < 1 or budget not in ("macs", "parameters"):
        raise InputError(
            f"energy={energy}, share={share}, budget={budget!r}",
            remedy="Allowed: energy or share, not both, above 0 and below 1; budget 'macs' or 'parameters'.",
        )
    for helper in helpers(model):
        helper.check()
    if fake_quantized(model):
        raise UnsupportedModelError(
            f"{model.name} is quantization-aware already", remedy="Factorize first, then quantize_aware."
        )
    if any(isinstance(kernel.constraint, Masked | Clustered) for kernel in prunable_kernels(model)):
        raise InputError(
            f"{model.name} is pruned or clustered, which its factors would not be",
            remedy="Factorize first, then prune and cluster.",
        )


def _candidates(graph: Graph, calibration: Any, seed: int) -> list[Candidate]:
    """The layers that can be split, in order."""
    calls: dict[object, list[Step]] = {}
    for step in graph.steps:
        if _splits(step):
            calls.setdefault(step.key, []).append(step)
    moments: Mapping[object, Moments] = {}
    if calibration is not None and calls:
        moments = patch_moments(graph, [step for uses in calls.values() for step in uses], calibration, seed)
    found = [_candidate(tuple(uses), moments.get(key)) for key, uses in calls.items()]
    return [candidate for candidate in found if candidate.options]


def _splits(step: Step) -> bool:
    config = step.config
    plain = config.get("groups", 1) == 1 and config.get("data_format", "channels_last") == "channels_last"
    return step.layer in _KINDS and plain and not config.get("lora_rank") and not config.get("quantization_config")


def _kernel(step: Step) -> Array:
    """The kernel as (h, w, in, out)."""
    kernel = step.weights[0]
    return kernel.reshape((1,) * (4 - kernel.ndim) + kernel.shape)


def _candidate(calls: tuple[Step, ...], moments: Moments | None) -> Candidate:
    kernel = _kernel(calls[0])
    outputs = kernel.shape[-1]
    ends = [_positions(step) for step in calls]
    macs_now = sum(out for _, out in ends) * kernel.size
    # A layer without bias needs one to keep the mean.
    bias = outputs if moments is not None and not calls[0].config["use_bias"] else 0
    ways: list[Split] = [Channels(kernel, moments)]
    if min(kernel.shape[:2]) > 1:
        ways.append(Spatial(kernel, moments))
    options = []
    for split in ways:
        first, second = split.sizes
        middle = sum(wide if isinstance(split, Spatial) else out for wide, out in ends)
        work = first * middle + second * sum(out for _, out in ends)
        most = min((kernel.size - bias - 1) // (first + second), (macs_now - 1) // work, split.full - 1)
        options += [
            Option(split, rank, split.energy(rank), rank * (first + second) + bias, rank * work)
            for rank in _ranks(most)
        ]
    return Candidate(calls, kernel.size, macs_now, tuple(options))


def _ranks(most: int) -> list[int]:
    """1 to `most`, thinned out."""
    found = np.unique(np.linspace(1, most, min(most, _RANKS)).round().astype(int)) if most > 0 else ()
    return [int(rank) for rank in found]


def _positions(step: Step) -> tuple[int, int]:
    """Positions between a column and a row convolution, and those of the output."""
    sides = [_OPEN if size is None else size for size in step.output.shape[1:-1]]
    out = math.prod(sides)
    if step.layer is not layers.Conv2D:
        return out, out
    width = step.inputs[0].shape[2]
    return sides[0] * (_OPEN * step.config["strides"][1] if width is None else width), out


def _by_energy(candidates: Sequence[Candidate], energy: float, name: str) -> dict[object, Option]:
    """The cheapest option of each layer that keeps the energy."""
    chosen = {}
    for candidate in candidates:
        enough = [option for option in candidate.options if option.energy >= energy]
        if enough:
            chosen[candidate.calls[0].key] = min(enough, key=lambda option: (option.macs, option.parameters))
    if not chosen:
        best = max(option.energy for candidate in candidates for option in candidate.options)
        raise InputError(
            f"no layer of {name} keeps {energy:.1%} of its energy with less work; the best keeps {best:.1%}",
            remedy="Ask for less energy, or leave factorize out.",
        )
    return chosen


def _within(candidates: Sequence[Candidate], total: tuple[int, int], budget: Budget, name: str) -> dict[object, Option]:
    """Options that bring the model's cost from `total[0]` to `total[1]` at most.

    Greedy along the lower convex hulls of loss over cost, where the loss of a layer is the negative logarithm of the
    energy it keeps, so that the sum is that of the product of all (arXiv 1505.06798, eq. 14 and 15).
    """
    now, wanted = total
    segments = sorted((s for c in candidates for s in _segments(c, budget)), key=lambda segment: segment.slope)
    chosen: dict[object, Option] = {}
    for segment in segments:
        if now <= wanted:
            break
        key = segment.candidate.calls[0].key
        before = getattr(chosen[key], budget) if key in chosen else getattr(segment.candidate, budget)
        # The last one goes no further than it has to.
        enough = [o for o in segment.candidate.options if now - before + getattr(o, budget) <= wanted]
        chosen[key] = max((segment.option, *enough), key=lambda option: option.energy)
        now += getattr(chosen[key], budget) - before
    if now > wanted:
        raise InputError(
            f"{name} cannot come to {wanted:,} {budget} by low rank alone; the least is {now:,}",
            remedy="Ask for a larger share, or prune channels as well.",
        )
    return chosen


@dataclass(frozen=True)
class _Segment:
    """One step along a hull: to `option`, at `slope` loss for each unit of cost saved."""

    slope: float
    candidate: Candidate
    option: Option


def _segments(candidate: Candidate, budget: Budget) -> Iterator[_Segment]:
    """The steps of a layer from whole to its cheapest option, with rising slopes."""
    cost, loss = getattr(candidate, budget), 0.0
    left: Sequence[Option] = candidate.options
    while left := [option for option in left if getattr(option, budget) < cost]:
        slopes = [(_loss(option) - loss) / (cost - getattr(option, budget)) for option in left]
        best = left[int(np.argmin(slopes))]
        yield _Segment(min(slopes), candidate, best)
        cost, loss = getattr(best, budget), _loss(best)


def _loss(option: Option) -> float:
    return -math.log(max(option.energy, 1e-12))


def _corrected(graph: Graph, chosen: Mapping[object, Option], calibration: Any, seed: int) -> dict[object, Factors]:
    """The factors in order, each aware of what those before it did to its input."""
    calls: dict[object, list[Step]] = {}
    for step in graph.steps:
        if step.key in chosen:
            calls.setdefault(step.key, []).append(step)
    done: dict[object, Factors] = {}
    for key, uses in calls.items():
        option = chosen[key]
        factors = option.split.factors(option.rank)
        if done:
            now = _rebuilt(graph, {**done, key: factors})
            factors = option.split.corrected(factors, drift((graph, now), uses, calibration, seed))
        done[key] = factors
    return done


def _rebuilt(graph: Graph, factors: Mapping[object, Factors]) -> Graph:
    refs = graph.refs()
    steps: list[Step] = []
    for step in graph.steps:
        steps += _pair(step, factors[step.key], refs) if step.key in factors else [step]
    return graph.with_steps(steps)


def _pair(step: Step, factors: Factors, refs: Refs) -> Iterable[Step]:
    """The two calls in place of one."""
    # A penalty on the kernel means something else on its factors.
    step = step.set(kernel_regularizer=None, kernel_constraint=None)
    size = "units" if step.layer is layers.Dense else "filters"
    rank = factors.first.shape[-1]
    first = step.set(activation="linear", use_bias=False, activity_regularizer=None, **{size: rank})
    second = step
    sides = step.output.shape[1:-1]
    if factors.second.shape[1] > 1:
        first, second = _along(first, 0), _along(second, 1)
        sides = (sides[0], step.inputs[0].shape[2])
    elif step.layer is not layers.Dense:
        unit = (1,) * len(sides)
        second = step.set(kernel_size=unit, strides=unit, dilation_rate=unit, padding="valid")
    middle = refs.new((step.output.shape[0], *sides, rank))
    kernel, *bias = step.weights
    one, two = (part.reshape(part.shape[4 - kernel.ndim :]) for part in (factors.first, factors.second))
    biases = [(bias[0] if bias else 0) + factors.offset.astype(kernel.dtype)] if bias or factors.offset.any() else []
    yield replace(
        first, name=f"{step.name}_low", weights=(one.astype(kernel.dtype),), outputs=(middle,), key=(step.key, "first")
    )
    yield replace(
        second.set(use_bias=bool(biases)),
        weights=(two.astype(kernel.dtype), *biases),
        args=(middle,),
        key=(step.key, "second"),
    )


def _along(step: Step, axis: int) -> Step:
    """A convolution along one axis only."""
    keys = ("kernel_size", "strides", "dilation_rate")
    return step.set(**{key: tuple(step.config[key][a] if a == axis else 1 for a in (0, 1)) for key in keys})
