"""Values of `edgeship.types` to and from plain JSON data; the one place that knows how they are written.

`unknown keys are refused`: a file from a newer edgeship fails loudly instead of losing what it does not know.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from edgeship.errors import InputError

if TYPE_CHECKING:
    from cattrs import Converter

T = TypeVar("T")


@functools.cache
def _converter() -> Converter:
    from cattrs.preconf.json import make_converter

    converter = make_converter(forbid_extra_keys=True)
    converter.register_unstructure_hook(Path, str)
    converter.register_structure_hook(Path, lambda value, _: Path(value))
    return converter


def to_data(value: Any) -> Any:
    """The value as dictionaries, lists, strings and numbers."""
    return _converter().unstructure(value)


def from_data(cls: type[T], data: Any) -> T:
    """Rebuild a value. Raises InputError naming the first thing that does not fit."""
    from cattrs import ClassValidationError, transform_error

    try:
        return _converter().structure(data, cls)
    except ClassValidationError as error:
        raise InputError(f"not a valid {cls.__name__}: {transform_error(error)[0]}") from error
    except (TypeError, ValueError, KeyError) as error:
        name = getattr(cls, "__name__", str(cls))
        raise InputError(f"not a valid {name}: {error}") from error


def to_json(value: Any) -> str:
    """The value as indented JSON text with a final newline; non-finite floats are refused (they are not JSON)."""
    return json.dumps(to_data(value), indent=2, allow_nan=False) + "\n"


def from_json(cls: type[T], text: str) -> T:
    """Inverse of `to_json`. Raises InputError for text that is no JSON or no such value."""
    try:
        data = json.loads(text)
    except ValueError as error:
        raise InputError(f"not JSON: {error}") from error
    return from_data(cls, data)
