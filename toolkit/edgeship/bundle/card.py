"""A model card from a small file that its author wrote."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

from edgeship.codec import from_data
from edgeship.errors import InputError
from edgeship.report.schema import read_text
from edgeship.types import ModelCard

_LIMIT_BYTES = 64 << 10
_KEYS = tuple(field.name for field in fields(ModelCard))
_REMEDY = f"Write YAML or JSON with some of the keys {', '.join(_KEYS)}; each holds a text."


def read_card(path: Path) -> ModelCard:
    """The card in a YAML or JSON file; keys that are left out are empty.

    Raises InputError for a file that cannot be read, is larger than 64 KiB, says nothing, or anything else.
    """
    from edgeship.yaml_text import parse

    text = read_text(path, _LIMIT_BYTES)
    try:
        data = parse(text, "it")
        card = from_data(ModelCard, {**dict.fromkeys(_KEYS, ""), **data} if data and isinstance(data, dict) else data)
    except InputError as error:
        raise InputError(f"{path}: {error.message}", remedy=_REMEDY) from error
    return ModelCard(**{key: getattr(card, key).strip() for key in _KEYS})
