"""Whether a file computes the same, bit by bit, in two places."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgeship.errors import ArtifactError
from edgeship.types import Parity

if TYPE_CHECKING:
    from edgeship.types import Tensors


def parity(found: Tensors, expected: Tensors, reference: str) -> Parity:
    """Compare outputs of the same names and shapes; a NaN equals a NaN only where both have one.

    Raises ArtifactError where names or shapes differ.
    """
    shapes = [{name: array.shape for name, array in outputs.items()} for outputs in (found, expected)]
    if shapes[0] != shapes[1]:
        raise ArtifactError(f"its outputs are {shapes[0]}, and {shapes[1]} in {reference}")
    identical, difference = True, 0.0
    numbers = True
    for name, array in expected.items():
        a, b = (np.asarray(values, np.float64) for values in (array, found[name]))
        same = (a == b) | (np.isnan(a) & np.isnan(b))
        identical &= bool(same.all())
        with np.errstate(invalid="ignore"):
            apart = np.where(same, 0.0, np.abs(a - b))
        numbers &= bool(np.isfinite(apart).all())
        difference = max(difference, float(apart.max(initial=0.0)))
    samples = len(next(iter(expected.values())))
    return Parity(reference, samples, identical, difference if numbers else None)
