"""A model in: find the framework that reads it, check it, describe it as a `Source`."""

from __future__ import annotations

from edgeship.source.loader import forward, inspect, load, predict, save_live, why_not_trainable

__all__ = ["forward", "inspect", "load", "predict", "save_live", "why_not_trainable"]
