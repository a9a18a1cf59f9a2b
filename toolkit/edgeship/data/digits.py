"""The demo's task: scikit-learn's handwritten digits, enlarged to 32x32.

1,797 images of 8x8 in 17 grey levels, 10 classes (UCI "Optical Recognition of Handwritten Digits").
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgeship.errors import MissingPackageError
from edgeship.types import TensorSpec

if TYPE_CHECKING:
    from edgeship.types import Array

SIZE = 32
INPUT = TensorSpec("image", (None, SIZE, SIZE, 1), "float32")
CLASSES = tuple(str(digit) for digit in range(10))


def arrays() -> dict[str, Array]:
    """`x` (1797, 32, 32, 1) float32 in 0..1 and `y` (1797,) int64.

    Enlarged bilinearly with half-pixel centers. All weights are multiples of 1/8 and all pixels of 1/16, so that the
    float32 result is exact and the same on every machine. Raises MissingPackageError.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise MissingPackageError(
            "the digits come with scikit-learn", remedy="Get it: pip install scikit-learn"
        ) from error
    data = load_digits()
    small = (data.images / 16).astype(np.float32)
    weights = _bilinear(small.shape[1], SIZE)
    large = np.einsum("ri,nij,cj->nrc", weights, small, weights, optimize=True)
    return {"x": large[..., None].astype(np.float32), "y": data.target.astype(np.int64)}


def _bilinear(old: int, new: int) -> Array:
    """Interpolation matrix (new, old) with half-pixel centers, edges repeated."""
    center = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)
    low = np.floor(center).astype(int)
    high = np.minimum(low + 1, old - 1)
    weights = np.zeros((new, old), np.float32)
    rows = np.arange(new)
    np.add.at(weights, (rows, low), (1 - (center - low)).astype(np.float32))
    np.add.at(weights, (rows, high), (center - low).astype(np.float32))
    return weights
