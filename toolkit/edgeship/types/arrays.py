"""Names for arrays, importable where NumPy is not loaded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]
    #: Tensor name -> array with a leading batch axis, in the model's own order.
    Tensors = Mapping[str, Array]
else:  # importable where NumPy is not loaded
    Array = Any
    Tensors = Mapping[str, Any]
