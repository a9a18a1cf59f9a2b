"""Values of `edgeship.types` to and from plain JSON data; the one place that knows how they are written.

`unknown keys are refused`: a file from a newer edgeship fails loudly instead of losing what it does not know.
A class with a constant `provenance` is written with it, and read only where it is the same: what was emulated cannot be
read as measured. It also tells the members of a union of such classes apart.
"""

from __future__ import annotations

import functools
import json
import math
import types
from collections.abc import Callable
from dataclasses import is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, Union, get_args, get_origin

from edgeship.errors import InputError

if TYPE_CHECKING:
    from cattrs import Converter

T = TypeVar("T")

#: The class attribute that is written with the values of some classes.
_TAG = "provenance"


@functools.cache
def _converter() -> Converter:
    from cattrs.preconf.json import make_converter

    converter = make_converter(forbid_extra_keys=True)
    converter.register_unstructure_hook(Path, str)
    for kind in (str, int, float, bool, Path):
        converter.register_structure_hook(kind, _exactly)
    converter.register_structure_hook_func(_is_tuple, functools.partial(_tuple, converter))
    converter.register_unstructure_hook_factory(_is_tagged, functools.partial(_tagging, converter))
    converter.register_structure_hook_factory(_is_tagged, functools.partial(_untagging, converter))
    converter.register_structure_hook_func(_is_tagged_union, functools.partial(_tagged_union, converter))
    return converter


def _is_tagged(kind: Any) -> bool:
    return is_dataclass(kind) and isinstance(getattr(kind, _TAG, None), str)


def _is_tagged_union(kind: Any) -> bool:
    return get_origin(kind) in (Union, types.UnionType) and all(map(_is_tagged, get_args(kind)))


def _tagging(converter: Converter, kind: Any) -> Callable[[Any], dict[str, Any]]:
    from cattrs.gen import make_dict_unstructure_fn

    write = make_dict_unstructure_fn(kind, converter)
    return lambda value: {_TAG: getattr(kind, _TAG), **write(value)}


def _untagging(converter: Converter, kind: Any) -> Callable[[Any, Any], Any]:
    from cattrs.gen import make_dict_structure_fn

    read = make_dict_structure_fn(kind, converter, _cattrs_forbid_extra_keys=True)

    def check(value: Any, _: Any) -> Any:
        if not isinstance(value, dict) or value.get(_TAG) != getattr(kind, _TAG):
            raise TypeError(f"{_TAG} of a {kind.__name__} is not {getattr(kind, _TAG)!r}")
        return read({name: item for name, item in value.items() if name != _TAG}, kind)

    return check


def _tagged_union(converter: Converter, value: Any, kind: Any) -> Any:
    tag = value.get(_TAG) if isinstance(value, dict) else None
    for member in get_args(kind):
        if getattr(member, _TAG) == tag:
            return converter.structure(value, member)
    raise TypeError(f"{_TAG} is {tag!r}")


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
    return from_data(cls, strict_json(text))


def strict_json(text: str | bytes) -> Any:
    """Plain data of JSON text that may come from anywhere; bytes are UTF-8.

    Raises InputError for what is no JSON (NaN, Infinity, a number that is too large), or ambiguous (a key twice).
    """
    try:
        return json.loads(
            text if isinstance(text, str) else text.decode("utf-8"),
            parse_constant=_refuse,
            parse_float=_finite,
            object_pairs_hook=_unique,
        )
    except UnicodeDecodeError as error:
        raise InputError("it is not UTF-8 text") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"not JSON: {str(error)[:300]}") from error


def _refuse(word: str) -> NoReturn:
    raise InputError(f"{word[:100]} is not JSON")


def _finite(word: str) -> float:
    number = float(word)
    return number if math.isfinite(number) else _refuse(word)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) != len(pairs):
        raise InputError("a key is written twice")
    return data
