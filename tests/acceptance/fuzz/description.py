"""What a random model is, as plain data: enough to build it again anywhere, weights included."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


class InvalidModel(Exception):
    """Keras does not take it, or it computes nothing that could be compared."""


@dataclass(frozen=True)
class Entry:
    """One input of a model.

    Attributes:
        shape: without the batch axis.
        values: how its samples are drawn: `normal`, `unit` (0..1), `pixels` (0..255), `padded` (a sequence whose end is
            zeros), `signal` (oscillations along the first axis) or `ids` (integers below `high`).
        free: axes (counted without the batch) that the model declares as dynamic.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str = "float32"
    values: str = "normal"
    high: int = 0
    free: tuple[int, ...] = ()


@dataclass(frozen=True)
class Node:
    """One call of a layer.

    Attributes:
        layer: the name of a class of `keras.layers`.
        settings: arguments of its constructor; a layer in them is `{"layer": class, "settings": {...}}`.
        inputs: names of inputs or nodes; a node with several outputs is named `node:1`.
        as_list: whether several inputs are given as one list.
        options: further arguments of the call.
        shares: node whose layer is called once more, with its weights.
        group: nodes of the same group are a model within the model.
    """

    name: str
    layer: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    inputs: tuple[str, ...] = ()
    as_list: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    shares: str = ""
    group: str = ""


@dataclass(frozen=True)
class Description:
    """A model: its inputs, the calls in order, and what it returns.

    Attributes:
        seed: weights and samples come from it and from the names of nodes and inputs.
        outputs: names of nodes.
        sequential: a `keras.Sequential` rather than a functional model.
    """

    seed: int
    entries: tuple[Entry, ...]
    nodes: tuple[Node, ...]
    outputs: tuple[str, ...]
    sequential: bool = False

    def layers(self) -> tuple[str, ...]:
        """Names of the classes in it, those inside of others too, sorted."""
        found = {node.layer for node in self.nodes}
        for node in self.nodes:
            found |= set(_inner(node.settings))
        return tuple(sorted(found))


def _inner(value: Any) -> Sequence[str]:
    if isinstance(value, Mapping):
        own = [value["layer"]] if "layer" in value and "settings" in value else []
        return [*own, *(name for item in value.values() for name in _inner(item))]
    if isinstance(value, list | tuple):
        return [name for item in value for name in _inner(item)]
    return []
