"""What the outputs of a model are called, and what they mean, read from their last activations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import keras
from keras import layers

from edgeship.compress.graph.model import Graph, Ref, Step, read
from edgeship.compress.layers import FakeQuant
from edgeship.errors import UnsupportedModelError

OutputKind = Literal["softmax", "sigmoid", "linear", "other"]

_TRANSPARENT = (FakeQuant, layers.Reshape, layers.Flatten, layers.Identity, layers.Dropout)


def output_kinds(model: keras.Model) -> dict[str, OutputKind]:
    """The last activation of each output, in order: probabilities (`softmax`, `sigmoid`), `linear`, or `other`.

    The names are the keys of a dictionary of outputs, else those of the layers that make them.

    Raises UnsupportedModelError for a model that is not functional, or two outputs of one name.
    """
    graph = read(model)
    names = _names(graph)
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise UnsupportedModelError(
            f"{model.name} has several outputs called {twice[0]}",
            remedy="End each output in a layer of its own (keras.layers.Identity), or return a dictionary.",
        )
    return {name: _kind_of(graph, ref) for name, (_, ref) in zip(names, graph.outputs, strict=True)}


def _names(graph: Graph) -> Sequence[str]:
    structure = graph.structures[1]
    if isinstance(structure, Mapping) and len(structure) == len(graph.outputs):
        return [str(key) for key in sorted(structure)]  # the order in which Keras flattens
    return [name for name, _ in graph.outputs]


def first_of(model: keras.Model, value: Any) -> Any:
    """`value` for the first output and None for the others, packed as the model packs its outputs (one: `value`)."""
    graph = read(model)
    if len(graph.outputs) == 1:
        return value
    return keras.tree.pack_sequence_as(graph.structures[1], [value, *[None] * (len(graph.outputs) - 1)])


def _kind_of(graph: Graph, output: Ref) -> OutputKind:
    makers = {ref: step for step in graph.steps for ref in step.outputs}
    step = makers.get(output)
    while step is not None:
        kind = _kind(step)
        if kind is not None:
            return kind
        step = makers.get(step.inputs[0])
    return "linear"


def _kind(step: Step) -> OutputKind | None:
    """What this step makes of its input; None where it passes on what it gets."""
    if step.is_a(*_TRANSPARENT):
        return None
    if step.is_a(layers.Softmax):
        return "softmax"
    activation = step.config.get("activation", "linear" if step.weights else "other")
    if activation == "linear":
        return None if step.is_a(layers.Activation) else "linear"
    if activation == "softmax":
        return "softmax"
    return "sigmoid" if activation == "sigmoid" else "other"
