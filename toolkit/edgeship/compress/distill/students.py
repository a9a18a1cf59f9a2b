"""A narrower model of the same architecture, as a student."""

from __future__ import annotations

from dataclasses import replace

import keras
from keras import layers

from edgeship.compress.graph.model import Graph, Step, build, read
from edgeship.errors import InputError


def narrow(model: keras.Model, width: float) -> keras.Model:
    """The same architecture with about `width` times the channels, freshly initialized; heads keep their units.

    Args:
        model: functional or Sequential; it is not changed.
        width: 0 < width < 1. Channel counts are rounded, at least 1 (or the number of groups).

    Raises:
        InputError: `width` out of its range.
        UnsupportedModelError: a layer with fixed sizes (Reshape, a sum with the input) does not fit the fewer channels.
    """
    if not 0 < width < 1:
        raise InputError(f"width is {width}", remedy="Allowed: 0 < width < 1.")
    graph = read(model)
    heads = _heads(graph)
    # What was learned is dropped; what a Normalization measured on the data still holds.
    steps = [
        replace(
            step if step in heads else _narrowed(step, width),
            weights=step.weights if step.is_a(layers.Normalization) else (),
        )
        for step in graph.steps
    ]
    return build(replace(graph.with_steps(steps), name=f"{graph.name}_narrow"))


def _size_key(step: Step) -> str | None:
    return next((key for key in ("filters", "units") if key in step.config), None)


def _narrowed(step: Step, width: float) -> Step:
    key = _size_key(step)
    if key is None:
        return step
    groups = step.config.get("groups", 1)
    return step.set(**{key: groups * max(1, round(step.config[key] * width / groups))})


def _heads(graph: Graph) -> set[Step]:
    """The calls of layers that set the sizes of the outputs, at one of their calls at least."""
    makers = {ref: step for step in graph.steps for ref in step.outputs}
    heads: set[Step] = set()
    waiting = [ref for _, ref in graph.outputs]
    while waiting:
        step = makers.get(waiting.pop())
        if step is None or step in heads:
            continue
        if _size_key(step):
            heads.add(step)
        else:
            waiting += step.inputs
    return {step for calls in graph.calls().values() if heads.intersection(calls) for step in calls}
