"""A model in: find the framework that reads it, check it, describe it as a `Source`."""

from __future__ import annotations

from edgeship.source.kinds import files_of, place_of
from edgeship.source.loader import forward, inspect, load, predict, save_live, why_not_trainable

__all__ = ["files_of", "forward", "inspect", "load", "place_of", "predict", "save_live", "why_not_trainable"]
