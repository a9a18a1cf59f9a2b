"""Looking into model files of every format: what is in them, what runs them, what differs between two."""

from __future__ import annotations

from edgeship.inspection.description import Description, Op, OpNote, Signature, Support, Tensor, TensorQuantization
from edgeship.inspection.diff import Difference, difference
from edgeship.inspection.opening import inspect

__all__ = [
    "Description",
    "Difference",
    "Op",
    "OpNote",
    "Signature",
    "Support",
    "Tensor",
    "TensorQuantization",
    "difference",
    "inspect",
]
