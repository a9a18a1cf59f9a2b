"""TF.js: `labels` and `preprocessing` in the `userDefinedMetadata` of model.json."""

from __future__ import annotations

from typing import Any

from edgeship.usage.values import Usage, from_data, to_data


def to_metadata(given: Usage) -> dict[str, Any]:
    """The entries of `userDefinedMetadata`."""
    return to_data(given)


def from_model(model: Any) -> Usage:
    """What a model.json (as plain data) says."""
    said = model.get("userDefinedMetadata") if isinstance(model, dict) else None
    return from_data(said) if isinstance(said, dict) else Usage()
