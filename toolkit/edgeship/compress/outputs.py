"""What a model's output means, read from its last activation."""

from __future__ import annotations

from typing import Literal

import keras
from keras import layers

from edgeship.compress.graph import Step, read
from edgeship.compress.layers import FakeQuant
from edgeship.errors import UnsupportedModelError

OutputKind = Literal["softmax", "sigmoid", "linear", "other"]

_TRANSPARENT = (FakeQuant, layers.Reshape, layers.Flatten, layers.Identity, layers.Dropout)


def output_kind(model: keras.Model) -> OutputKind:
    """The last activation of a model with one output: probabilities (`softmax`, `sigmoid`), `linear`, or `other`.

    Raises UnsupportedModelError for several outputs or a model that is not functional.
    """
    graph = read(model)
    if len(graph.outputs) != 1:
        raise UnsupportedModelError(
            f"{model.name} has {len(graph.outputs)} outputs; training stages work on one",
            remedy="Train in your own script with edgeship.prune and edgeship.quantize_aware.",
        )
    makers = {ref: step for step in graph.steps for ref in step.outputs}
    step = makers.get(graph.outputs[0][1])
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
