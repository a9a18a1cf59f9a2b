"""Values of `edgeship.types` to and from plain JSON data; the one place that knows how they are written.

`unknown keys are refused`: a file from a newer edgeship fails loudly instead of losing what it does not know.
"""

from __future__ import annotations

import functools
import json
from dataclasses import is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, get_args, get_origin

from edgeship.errors import InputError

if TYPE_CHECKING:
    from cattrs import Converter

T = TypeVar("T")


@functools.cache
def _converter() -> Converter:
    from cattrs.preconf.json import make_converter

    converter = make_converter(forbid_extra_keys=True)
    converter.register_unstructure_hook(Path, str)
    for kind in (str, int, float, bool, Path):
        converter.register_structure_hook(kind, _exactly)
    converter.register_structure_hook_func(_is_tuple, functools.partial(_tuple, converter))
    return converter


def _exactly(value: Any, kind: Any) -> Any:
    """The value if it is of that kind; cattrs alone would turn None into "None" and "no" into True."""
    given: Any = {Path: str, float: (float, int)}.get(kind, kind)
    if not isinstance(value, given) or (isinstance(value, bool) and kind is not bool):
        raise TypeError(f"{value!r} is not of type {kind.__name__}")
    return kind(value)


def _is_tuple(kind: Any) -> bool:
    return get_origin(kind) is tuple


def _tuple(converter: Converter, value: Any, kind: Any) -> tuple[Any, ...]:
    """`tuple[T, ...]` or `tuple[T, U]` from a list; cattrs alone would make one of a string's characters."""
    if not isinstance(value, list | tuple):
        raise TypeError(f"{value!r} is not a list")
    kinds = get_args(kind)
    if kinds[-1] is Ellipsis:
        kinds = kinds[:1] * len(value)
    if len(kinds) != len(value):
        raise ValueError(f"{value!r} does not have {len(kinds)} items")
    return tuple(converter.structure(item, inner) for item, inner in zip(value, kinds, strict=True))


def to_data(value: Any) -> Any:
    """The value as dictionaries, lists, strings and numbers."""
    return _converter().unstructure(value)


def from_data(cls: type[T], data: Any) -> T:
    """Rebuild a value. Raises InputError naming the first thing that does not fit."""
    from cattrs import BaseValidationError, transform_error

    name = getattr(cls, "__name__", str(cls))
    if is_dataclass(cls) and not isinstance(data, dict):
        raise InputError(f"not a valid {name}: it is {type(data).__name__}, not a mapping of keys")
    try:
        return _converter().structure(data, cls)
    except BaseValidationError as error:
        raise InputError(f"not a valid {name}: {transform_error(error, format_exception=_reason)[0]}") from error
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise InputError(f"not a valid {name}: {error}") from error


def _reason(error: BaseException, kind: type | None) -> str:
    from cattrs.v import format_exception

    return str(error) if type(error) in (TypeError, ValueError) else format_exception(error, kind)


def to_json(value: Any) -> str:
    """The value as indented JSON text with a final newline; non-finite floats are refused (they are not JSON)."""
    return json.dumps(to_data(value), indent=2, allow_nan=False) + "\n"


def from_json(cls: type[T], text: str) -> T:
    """Inverse of `to_json`. Raises InputError for text that is no JSON or no such value."""
    try:
        data = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise InputError(f"not JSON: {error}") from error
    return from_data(cls, data)


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"{word} is no JSON number")
