"""Depth pruning: residual branches go, and a model with fewer layers is left.

What runs after each other costs time however narrow it is: on small models this saves more milliseconds than
channels do. A branch that ends in a sum goes with all layers that serve nothing else; the sum becomes its other side.
The new model computes exactly what the old one does with zeros on that branch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from edgeship.compress.graph.macs import step_macs
from edgeship.compress.graph.model import Graph, Ref, Step, build, read, unique_names
from edgeship.compress.helpers import helpers
from edgeship.compress.layers import fake_quantized
from edgeship.compress.weights.pruning import keep_zeros
from edgeship.errors import InputError, UnsupportedModelError


@dataclass(frozen=True, eq=False)
class Branch:
    """One side of a sum of two.

    Attributes:
        total: the sum (an Add layer).
        other: the tensor that is left of it.
        steps: the layers that serve this side only.
        macs: of these layers.
    """

    total: Step
    other: Ref
    steps: tuple[Step, ...]
    macs: int

    @property
    def name(self) -> str:
        """The name of the sum."""
        return self.total.name


def prune_blocks(
    model: keras.Model,
    count: int,
    loss: Callable[[keras.Model], float],
    *,
    cost: Callable[[keras.Model], float] | None = None,
) -> keras.Model:
    """A model with fewer layers, without the residual branches that it misses least for what they cost.

    Fine-tune what is returned. Combines well with `prune_channels` after it.

    Args:
        model: functional or Sequential, inputs of fixed sizes. It is not changed.
        count: how many branches go, one after the other.
        loss: of a model, lower is better, such as its mean loss on some hundred training samples. It is called with
            the model and with each model that lacks one branch; its growth for what the branch costs decides.
        cost: any cost of a model, such as measured milliseconds; it is called with the same models. None: MACs.

    Returns:
        An uncompiled model with the names and structures of inputs and outputs of the old one.

    Raises:
        InputError: `count` is below 1 or more than there are, or a loss or cost that is not finite.
        UnsupportedModelError: the model cannot be read, or is quantization-aware.
    """
    if count < 1:
        raise InputError(f"count is {count}", remedy="Give the number of branches to remove, at least 1.")
    if fake_quantized(model):
        raise UnsupportedModelError(
            f"{model.name} is quantization-aware already", remedy="Remove branches before quantize_aware."
        )
    for helper in helpers(model):
        helper.check()
    graph = unique_names(read(model))
    available = len(branches(graph))
    shorter = build(graph)
    for done in range(count):
        found = branches(graph)
        if not found:
            raise InputError(
                f"{model.name} has no residual branch left after {done}; {count} were to go",
                remedy=f"Ask for at most {done}." if available else "Only branches of Add layers can go.",
            )
        candidates = [without(graph, branch) for branch in found]
        models = [build(candidate) for candidate in candidates]
        saved: list[float] = [branch.macs for branch in found]
        if cost is not None:
            whole = _finite("cost", cost, shorter)
            saved = [whole - _finite("cost", cost, new) for new in models]
        best = _cheapest(loss, shorter, models, saved)
        graph, shorter = candidates[best], models[best]
    if helpers(model):
        keep_zeros(shorter)
    return shorter


def _cheapest(
    loss: Callable[[keras.Model], float], whole: keras.Model, models: Sequence[keras.Model], saved: Sequence[float]
) -> int:
    """Which model's loss grows least for what is saved; one that saves nothing comes last."""
    before = _finite("loss", loss, whole)
    growth = [_finite("loss", loss, model) - before for model in models]
    prices = [(more / less if less > 0 else math.inf) for more, less in zip(growth, saved, strict=True)]
    return min(range(len(prices)), key=prices.__getitem__)


def branches(graph: Graph) -> tuple[Branch, ...]:
    """The residual branches of a graph: of each sum of two the side with more MACs, if it serves nothing else."""
    outputs = {ref for _, ref in graph.outputs}
    found = []
    for step in graph.steps:
        sides = step.inputs
        if step.layer is not keras.layers.Add or len(set(sides)) != 2 or len(sides) != 2 or step.output in outputs:
            continue
        if sides[0].shape[1:] != sides[1].shape[1:]:
            continue
        both = []
        for side, other in (sides, sides[::-1]):
            alone = _only_for(graph, step, side)
            both.append(Branch(step, other, alone, sum(step_macs(part) for part in alone)))
        best = max(both, key=lambda branch: branch.macs)
        if best.macs:
            found.append(best)
    return tuple(found)


def without(graph: Graph, branch: Branch) -> Graph:
    """The graph without a branch of it, and without activations that have nothing left to do."""
    gone = {id(step) for step in (*branch.steps, branch.total)}
    moved = {branch.total.output: branch.other}
    # A relu after the sum follows another one now. The converter would keep both, and int8 runtimes are slow at it.
    made_by = {ref: step for step in graph.steps for ref in step.outputs}
    before = _rectifies(made_by[branch.other]) if branch.other in made_by else None
    for step in graph.steps:
        if before and step.is_a(*_ACTIVATIONS) and step.inputs == (branch.total.output,) and _rectifies(step) == before:
            gone.add(id(step))
            moved[step.output] = branch.other
    return graph.with_steps((step.reading(moved) for step in graph.steps if id(step) not in gone), moved)


_ACTIVATIONS = (keras.layers.Activation, keras.layers.ReLU)


def _rectifies(step: Step) -> tuple[Any, ...] | None:
    """What a step does to its result at last, if doing it again changes nothing: its kind of relu."""
    config = step.config
    if step.layer is keras.layers.ReLU:
        plain = not config["negative_slope"] and not config["threshold"]
        return ("relu", config["max_value"]) if plain else None
    return {"relu": ("relu", None), "relu6": ("relu", 6.0)}.get(str(config.get("activation")))


def _only_for(graph: Graph, total: Step, side: Ref) -> tuple[Step, ...]:
    """The steps whose results reach nothing but this side of the sum."""
    kept = {ref for _, ref in graph.outputs} | {ref for ref in total.inputs if ref != side}
    alone: list[Step] = []
    wanted = {side}
    for step in reversed(graph.steps):
        if step is total:
            continue
        if set(step.outputs) & wanted and not set(step.outputs) & kept:
            alone.append(step)
            wanted |= set(step.inputs)
        else:
            kept |= set(step.inputs)
    return tuple(reversed(alone))


def _finite(what: str, of: Callable[[keras.Model], float], model: keras.Model) -> float:
    value = float(of(model))
    if not math.isfinite(value):
        raise InputError(f"the {what} of {model.name} is {value}", remedy="Return a finite number, lower being better.")
    return value
