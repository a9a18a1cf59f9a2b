"""`module:name` references to the user's own code: custom layers, datasets, metrics, students."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from edgeship.errors import InputError

_REFERENCE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


def is_reference(text: str) -> bool:
    """Whether `text` has the form `module:name` (dots allowed on both sides)."""
    return _REFERENCE.fullmatch(text) is not None


class _WorkingDirectory:
    """Finds modules in a folder that is not on the path.

    Not an entry of `sys.path`: metadata of packages (and with it plug-ins) is never looked for there. With `only`,
    finds nothing but that one module.
    """

    def __init__(self, folder: str, only: str = "") -> None:
        self.folder = folder
        self.only = only

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """As `importlib.abc.MetaPathFinder` has it; parts of packages are found through the package."""
        if path is not None or (self.only and name != self.only):
            return None
        return PathFinder.find_spec(name, [self.folder], target)


@contextmanager
def _working_directory(module: str) -> Iterator[None]:
    """Let imports find the user's own modules, and later ones too once `module` was found there.

    Installed scripts and our children do not have the working directory on the path: a file next to a downloaded
    model, named like an optional package, would run.
    """
    finder = _WorkingDirectory(str(Path.cwd()))
    # The module that was named comes from here first, all others from here last: some packages install a `tests`.
    named = _WorkingDirectory(finder.folder, only=module.partition(".")[0])
    known = any(isinstance(f, _WorkingDirectory) and f.folder == finder.folder for f in sys.meta_path)
    sys.meta_path.insert(0, named)
    if not known:
        sys.meta_path.append(finder)
    try:
        yield
    except BaseException:
        if not known:
            sys.meta_path.remove(finder)
        raise
    finally:
        sys.meta_path.remove(named)
    top = sys.modules.get(named.only)
    places = [getattr(top, "__file__", None) or "", *getattr(top, "__path__", ())]
    if not known and not any(Path(place).is_relative_to(finder.folder) for place in places if place):
        sys.meta_path.remove(finder)


def resolve(reference: str, error: type[InputError] = InputError) -> Any:
    """Import what `module:name` names, first from the working directory; this runs the module's code.

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
        with _working_directory(module_name):
            found: Any = importlib.import_module(module_name)
    except Exception as cause:
        raise error(
            f"cannot import {module_name!r} of {reference!r}: {type(cause).__name__}: {cause}",
            remedy="Run edgeship in the folder of that module, or install it in this environment.",
        ) from cause
    for part in name.split("."):
        if not hasattr(found, part):
            place = getattr(sys.modules.get(module_name), "__file__", None) or "built in"
            raise error(
                f"{reference!r}: there is no {part!r} in {module_name} ({place})",
                remedy="Check the name after the colon.",
            )
        found = getattr(found, part)
    return found
