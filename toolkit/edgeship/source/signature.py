"""What a loaded model takes and gives, in one flat order, and how it is called."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from edgeship.names import safe_names
from edgeship.types import TensorSpec


@dataclass(frozen=True)
class Signature:
    """A loaded model's inputs and outputs in one flat order, and how to call it.

    `call` takes the input tensors in that order and returns the output tensors in that order, in inference mode; it
    can be traced by tf.function. An output that has the name of an input gets a number: in a graph they share one
    set of names.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    call: Callable[..., list[Any]]

    def __post_init__(self) -> None:
        names = safe_names([spec.name for spec in self.outputs], "output", [spec.name for spec in self.inputs])
        outputs = tuple(replace(spec, name=name) for spec, name in zip(self.outputs, names, strict=True))
        object.__setattr__(self, "outputs", outputs)
