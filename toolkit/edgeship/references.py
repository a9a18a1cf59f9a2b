"""`module:name` references to the user's own code: custom layers, datasets, metrics, students."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edgeship.errors import InputError

_REFERENCE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


def is_reference(text: str) -> bool:
    """Whether `text` has the form `module:name` (dots allowed on both sides)."""
    return _REFERENCE.fullmatch(text) is not None


@contextmanager
def _working_directory_on_path() -> Iterator[None]:
    """An installed script has its own folder on the path, not the user's."""
    folder = str(Path.cwd())
    added = folder not in sys.path and "" not in sys.path
    if added:
        sys.path.insert(0, folder)
    try:
        yield
    finally:
        if added and folder in sys.path:
            sys.path.remove(folder)


def resolve(reference: str, error: type[InputError] = InputError) -> Any:
    """Import what `module:name` names, also from the working directory; this runs the module's code.

    Args:
        reference: for instance `my_layers:Attention`.
        error: the class of InputError to raise.

    Raises:
        InputError: (or the given subclass) for another form, a module that cannot be imported, or an absent name.
    """
    if not is_reference(reference):
        raise error(f"{reference!r} is not of the form module:name", remedy="For instance: my_layers:Attention")
    module_name, _, name = reference.partition(":")
    try:
        with _working_directory_on_path():
            found: Any = importlib.import_module(module_name)
    except Exception as cause:
        raise error(
            f"cannot import {module_name!r} of {reference!r}: {type(cause).__name__}: {cause}",
            remedy="Run edgeship in the folder of that module, or install it in this environment.",
        ) from cause
    for part in name.split("."):
        if not hasattr(found, part):
            raise error(
                f"{reference!r}: there is no {part!r} in {module_name}", remedy="Check the name after the colon."
            )
        found = getattr(found, part)
    return found
