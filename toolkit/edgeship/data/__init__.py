"""A dataset in: read, fitted to the model, split, and written to disk once as a `Dataset`."""

from __future__ import annotations

from edgeship.data.dataset import Samples, from_arrays, load, open_dataset
from edgeship.data.options import DataOptions

__all__ = ["DataOptions", "Samples", "from_arrays", "load", "open_dataset"]
