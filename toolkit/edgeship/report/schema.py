"""Checks plain data against the JSON Schemas that ship with edgeship, before any value is built from it."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeship.codec import strict_json
from edgeship.errors import InputError, MissingPackageError

if TYPE_CHECKING:
    from jsonschema import ValidationError
    from jsonschema.protocols import Validator

#: Schema name -> its file, relative to this folder.
FILES = {
    "edgeship.report/1": "schema.json",
    "edgeship.manifest/1": "../manifest.schema.json",
    "lineage": "../lineage.schema.json",
}


@functools.cache
def _validator(name: str) -> Validator:
    try:
        from jsonschema import Draft202012Validator, validators
    except ImportError as error:
        raise MissingPackageError(
            "reading and writing reports needs jsonschema", remedy="Get it: pip install 'edgeship[report]'"
        ) from error
    text = (Path(__file__).parent / FILES[name]).read_text(encoding="utf-8")
    checker: type[Validator] = validators.extend(  # type: ignore[no-untyped-call] # its stub has no types
        Draft202012Validator, {"items": _items}
    )
    return checker(json.loads(text))


def _items(validator: Any, items: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    """The keyword `items`, with a short way for latencies: a report holds some 100,000, and all are plain numbers."""
    from jsonschema import Draft202012Validator

    short = items == {"type": "number", "minimum": 0} and isinstance(instance, list)
    if not (short and all(type(value) in (float, int) and value >= 0 for value in instance)):
        yield from Draft202012Validator.VALIDATORS["items"](validator, items, instance, schema)


def check(data: Any, name: str, where: str) -> None:
    """Raise InputError, with the path of the worst offending value, unless `data` is of the schema called `name`."""
    found = data.get("schema") if isinstance(data, dict) else None
    if found != name:
        raise InputError(f"{where}: schema is {_short(found)}", remedy=f"This edgeship reads {name!r}.")
    fits(data, name, where)


def fits(data: Any, name: str, where: str) -> None:
    """As `check`, of data that does not say its schema itself."""
    validator = _validator(name)
    from jsonschema.exceptions import best_match

    error = best_match(validator.iter_errors(data))
    if error is not None:
        raise InputError(f"{where}: {error.json_path} is not valid: {_short(error.message)}")


def parse(text: str, where: str) -> Any:
    """JSON text as plain data. Raises InputError as `codec.strict_json`, saying where."""
    try:
        return strict_json(text)
    except InputError as error:
        raise InputError(f"{where}: {error.message}") from error


def read_text(path: Path, limit_bytes: int) -> str:
    """The text of a file that is not trusted. Raises InputError if it is absent, no UTF-8, or larger than the limit."""
    try:
        with path.open("rb") as file:
            content = file.read(limit_bytes + 1)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    if len(content) > limit_bytes:
        raise InputError(f"{path} is larger than {limit_bytes:,} bytes")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text") from error


def _short(value: object) -> str:
    text = str(value) if isinstance(value, Exception | str) else repr(value)
    return text if len(text) <= 300 else text[:300] + "..."
