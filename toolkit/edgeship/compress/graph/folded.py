"""A model with its batch normalization folded, checked to be the same function."""

from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np

from edgeship.compress.graph.fold import fold
from edgeship.compress.graph.model import Graph, build
from edgeship.errors import EdgeshipError
from edgeship.types import Array


def checked_fold(model: keras.Model, original: Graph, batch: list[Array] | None = None) -> Graph:
    """`fold` of a model that was read as `original`.

    Args:
        model: the model, which is not changed.
        original: `read` of it, with unique names.
        batch: inputs in order to compare on; None for two samples of noise.

    Raises:
        UnsupportedModelError: names the layer that cannot be folded.
        EdgeshipError: the folded network computes something else.
    """
    graph = fold(original)
    compare(model, graph, _noise(graph) if batch is None else batch)
    return graph


def compare(model: keras.Model, graph: Graph, batch: list[Array]) -> None:
    """Rewriting must not change the function; a difference is our error, never passed on. Raises EdgeshipError."""
    single = replace(graph, structures=([0] * len(batch), [0] * len(graph.outputs)))
    inputs = keras.tree.pack_sequence_as(graph.structures[0], batch)
    expected = keras.tree.flatten(model(inputs, training=False))
    found = keras.tree.flatten(build(single)(batch, training=False))
    for (name, _), want, got in zip(graph.outputs, map(np.asarray, expected), map(np.asarray, found), strict=True):
        difference = float(np.max(np.abs(want - got), initial=0.0))
        if not difference <= 1e-3 * max(1.0, float(np.max(np.abs(want), initial=0.0))):
            raise EdgeshipError(
                f"rewriting {model.name} changed output {name} by {difference:.2g}",
                remedy="Please report this with the model; variant int8 quantizes it after training.",
            )


def _noise(graph: Graph) -> list[Array]:
    """Two samples; unknown sizes become 8."""
    random = np.random.default_rng(0)
    return [
        random.uniform(0, 255 if dtype == "uint8" else 1, (2, *(size or 8 for size in shape[1:]))).astype(np.float32)
        for _, shape, dtype, _ in graph.inputs
    ]
