"""The bases that are not given, and how they are trained (by `train_base`)."""

from __future__ import annotations

from dataclasses import dataclass

from edgeship.types import TensorSpec

SEED = 7


@dataclass(frozen=True)
class Schedule:
    """Adam, cosine to zero."""

    epochs: int
    learning_rate: float
    batch_size: int = 64


SCHEDULES = {"gesture": Schedule(60, 2e-3, 32), "mobilenetv2": Schedule(40, 2e-3, 128)}
#: What the models take.
INPUTS = {
    "gesture": TensorSpec("stroke", (None, 64, 2), "float32"),
    "mobilenetv2": TensorSpec("image", (None, 32, 32, 3), "float32"),
}
OUTPUTS = (TensorSpec("probabilities", (None, 10), "float32"),)
