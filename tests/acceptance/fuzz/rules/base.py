"""What the generator has to know about a layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.acceptance.fuzz.draw import Draw

Settings = dict[str, Any]
Shape = tuple[int, ...]

#: Channel counts that vector code likes and dislikes.
CHANNELS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 13, 16)
ACTIVATIONS = (
    "relu",
    "relu6",
    "sigmoid",
    "tanh",
    "elu",
    "selu",
    "gelu",
    "silu",
    "softplus",
    "softsign",
    "hard_sigmoid",
    "hard_silu",
    "leaky_relu",
    "mish",
    "exponential",
    "linear",
    "softmax",
    "log_softmax",
    "celu",
    "glu",
    "hard_tanh",
    "hard_shrink",
    "soft_shrink",
    "tanh_shrink",
    "threshold",
    "squareplus",
    "sparse_plus",
    "log_sigmoid",
    "sparse_sigmoid",
    "sparsemax",
)
#: Those that networks with weights in front of them commonly have.
COMMON = ("relu", "relu6", "sigmoid", "tanh", "elu", "gelu", "silu", "leaky_relu", "hard_silu", "linear", "selu")


@dataclass(frozen=True)
class Rule:
    """How a layer is used.

    Attributes:
        ranks: of its inputs, counted without the batch axis; empty: any.
        settings: draws the arguments of the constructor for an input shape, or None where none fit.
        takes: what its inputs hold: `float`, `ids`, or `pixels` (images in 0..1 or 0..255 with 3 channels).
        alike: how many inputs of one shape it takes (a range); (1, 1) for most.
        values: how the samples of an input made for it are drawn; empty: as it comes.
        as_list: whether several inputs are given as one list.
        options: draws further arguments of the call.
        gives_ids: the result is integers that only an embedding or an encoding can follow.
        layer: the class, where the rule's name says what has to be in its settings.
    """

    ranks: tuple[int, ...]
    settings: Callable[[Draw, Shape], Settings | None]
    takes: str = "float"
    alike: tuple[int, int] = (1, 1)
    values: str = ""
    as_list: bool = False
    options: Callable[[Draw], Mapping[str, Any]] = lambda draw: {}
    gives_ids: bool = False
    layer: str = ""


def plain(draw: Draw, shape: Shape) -> Settings:
    """No settings."""
    return {}


def some(draw: Draw, probability: float = 0.5, **settings: Any) -> Settings:
    """Each of these settings with a probability; the others keep their defaults."""
    return {key: value for key, value in settings.items() if draw.chance(probability)}


def inner(layer: str, **settings: Any) -> Settings:
    """A layer within the settings of another."""
    return {"layer": layer, "settings": settings}
