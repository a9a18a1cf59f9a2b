"""Every layer of Keras: its rule, or why it is left out."""

from __future__ import annotations

from tests.acceptance.fuzz.rules import core, images, sequence, spatial
from tests.acceptance.fuzz.rules.base import Rule

RULES: dict[str, Rule] = {**core.RULES, **spatial.RULES, **sequence.RULES, **images.RULES}

_ABSTRACT = "a base class: its subclasses are covered"
_CODE = "carries code or another framework's model: loading is refused unless --allow-unsafe"
_TEXT = "works on text or a hash table, which no runtime of exported files has"

EXCLUDED = {
    "Layer": _ABSTRACT,
    "Wrapper": _ABSTRACT,
    "InputLayer": "every model has it",
    "Lambda": _CODE,
    "FlaxLayer": _CODE,
    "JaxLayer": _CODE,
    "TFSMLayer": _CODE,
    "TorchModuleWrapper": _CODE,
    "StringLookup": _TEXT,
    "IntegerLookup": _TEXT,
    "TextVectorization": _TEXT,
    "Hashing": _TEXT,
    "HashedCrossing": _TEXT,
    "RandomShear": "Keras 3.15 cannot load a model with it that it saved: from_config refuses what get_config gives",
    "MaxNumBoundingBoxes": "takes a dictionary of bounding boxes while training; no model computes with it",
}


def uncovered() -> list[str]:
    """Public layers of the installed Keras that are neither covered nor left out; other names for a class do not count.

    Needs Keras.
    """
    import keras

    found = {name: getattr(keras.layers, name) for name in dir(keras.layers)}
    layers = {name: c for name, c in found.items() if isinstance(c, type) and issubclass(c, keras.Layer)}
    known = {layers[name] for name in (*RULES, *EXCLUDED) if name in layers}
    return sorted(name for name, c in layers.items() if c not in known)
