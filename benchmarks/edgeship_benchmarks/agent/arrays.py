"""NumPy, and the files that arrays travel in."""

from __future__ import annotations

import time
from typing import Any

from edgeship_benchmarks.agent.faults import Fault

_started = time.perf_counter()
np: Any = None
#: Why there is no NumPy: a bare board can still say what it is.
NUMPY_MISSING = ""
try:
    import numpy as np
except ImportError as _error:
    NUMPY_MISSING = (str(_error).strip().splitlines() or ["?"])[-1]  # NumPy explains itself at length

NUMPY_MS = (time.perf_counter() - _started) * 1e3


def read_array(name: str, file: str) -> Any:
    """The array of an input's .npy file, mapped, first axis the samples. Raises Fault."""
    try:
        array = np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise Fault("DataError", f"input {name!r} is no .npy file of numbers: {error}") from error
    if array.dtype.kind not in "fiub" or array.ndim == 0:
        raise Fault("DataError", f"input {name!r} is {array.dtype} of shape {array.shape}")
    return array
