"""What a file says about its use, as a value and as plain data; bounds of what is read from files of others."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from edgeship import codec
from edgeship.errors import DataError, InputError
from edgeship.preprocessing import check
from edgeship.types import Preprocessing

#: Most labels, characters of one of them, and characters of all that are read.
MAX_LABELS = 100_000
MAX_LABEL = 500
MAX_TEXT = 8 << 20
#: Python's parser takes seconds for a megabyte; the names of thousands of classes are shorter.
_MAX_PYTHON = 64 << 10


@dataclass(frozen=True)
class Usage:
    """What a person or program needs to know to use a file.

    Attributes:
        labels: class names by index of the first output; empty where there are none, or only their numbers.
        preprocessing: what to do to raw values; nothing in it where that is not known.
    """

    labels: tuple[str, ...] = ()
    preprocessing: Preprocessing = field(default_factory=Preprocessing)

    def __bool__(self) -> bool:
        return bool(self.labels) or self.preprocessing != Preprocessing()


def usage(labels: Sequence[str], preprocessing: Preprocessing) -> Usage:
    """What is worth writing: labels that are only their numbers (`0`, `1`, ...) say nothing that the index does not.

    Raises:
        DataError: a label that a list with one name a line cannot hold, or more than readers take.
    """
    numbered = list(labels) == [str(index) for index in range(len(labels))]
    for label in labels:
        if not label.isprintable() or len(label) > MAX_LABEL:
            raise DataError(
                f"the class name {label[:60]!r} cannot be delivered with a file",
                remedy=f"Use printable characters in one line, at most {MAX_LABEL}.",
            )
    if len(labels) > MAX_LABELS:
        raise DataError(f"there are {len(labels):,} class names", remedy=f"Allowed: up to {MAX_LABELS:,}.")
    return Usage(() if numbered else tuple(labels), preprocessing)


def to_data(given: Usage) -> dict[str, Any]:
    """As plain data, without what is not known: `labels`, `preprocessing`."""
    said = codec.to_data(given.preprocessing)
    known = {key: value for key, value in said.items() if value not in (None, [], ())}
    return {**({"labels": list(given.labels)} if given.labels else {}), **({"preprocessing": known} if known else {})}


def from_data(data: Mapping[str, Any]) -> Usage:
    """From plain data of a file; what is not of our form says nothing."""
    return Usage(labels_of(data.get("labels")), preprocessing_of(data.get("preprocessing")))


def labels_of(value: Any) -> tuple[str, ...]:
    """Names from a list, or from a mapping of indices 0, 1, ... to names; empty for anything else."""
    if isinstance(value, Mapping):
        try:
            numbered = {int(index): name for index, name in value.items()}
        except (TypeError, ValueError):
            return ()
        if sorted(numbered) != list(range(len(value))):
            return ()
        value = [numbered[index] for index in range(len(value))]
    if not isinstance(value, list | tuple) or len(value) > MAX_LABELS:
        return ()
    if not all(isinstance(name, str | int) and not isinstance(name, bool) for name in value):
        return ()
    return tuple(clean(str(name)) for name in value)


def labels_of_text(said: str) -> tuple[str, ...]:
    """Names from a text: JSON, a Python dict (as Ultralytics writes), one name a line, or names between commas."""
    if not said or len(said) > MAX_TEXT:
        return ()
    for parse in (json.loads, *((ast.literal_eval,) if len(said) <= _MAX_PYTHON else ())):
        try:
            value = parse(said)
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            continue
        return labels_of(value)
    if said.lstrip()[:1] in ("{", "["):
        return ()
    lines = said.split("\n") if "\n" in said else said.split(",")
    return labels_of([line.strip() for line in lines])


def preprocessing_of(value: Any) -> Preprocessing:
    """From plain data; nothing known where any part is not understood, since half of the steps would be wrong."""
    if not isinstance(value, Mapping):
        return Preprocessing()
    try:
        found = codec.from_data(Preprocessing, dict(value))
        check(found, "the file")
    except InputError:
        return Preprocessing()
    return found


def clean(name: str) -> str:
    """A name that can be shown: cut, and without control characters."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in name[:MAX_LABEL])
