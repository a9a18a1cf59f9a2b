"""What a loaded model takes and gives, in one flat order, and how it is called."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edgeship.types import TensorSpec


@dataclass(frozen=True)
class Signature:
    """A loaded model's inputs and outputs in one flat order, and how to call it.

    `call` takes the input tensors in that order and returns the output tensors in that order, in inference mode; it
    can be traced by tf.function.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    call: Callable[..., list[Any]]
