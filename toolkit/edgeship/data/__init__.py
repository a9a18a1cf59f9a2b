"""A dataset in: read, fitted to the model, split, and written to disk once as a `Dataset`."""

from __future__ import annotations

from edgeship.data.dataset import DataOptions, Samples, from_arrays, load, open_dataset

__all__ = ["DataOptions", "Samples", "from_arrays", "load", "open_dataset"]
