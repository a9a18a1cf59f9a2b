"""Calibration samples as every quantizer reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from edgeship.types import Dataset, TensorSpec

if TYPE_CHECKING:
    from edgeship.types import Array

Samples = Callable[[], Iterator[dict[str, "Array"]]]


def batches(calibration: Dataset, inputs: tuple[TensorSpec, ...], default: int) -> Samples:
    """All calibration samples in order, by input name; each call starts again.

    They come in batches of the model's own batch size (what is left over then is not used), or of `default` where the
    model takes any.
    """
    from edgeship.data import load

    arrays = load(calibration, "calibration").inputs
    fixed = inputs[0].shape[0]
    batch = fixed or default
    count = len(arrays[inputs[0].name])

    def generate() -> Iterator[dict[str, Array]]:
        for start in range(0, count - batch + 1 if fixed else count, batch):
            yield {i.name: arrays[i.name][start : start + batch].astype(i.dtype) for i in inputs}

    return generate
