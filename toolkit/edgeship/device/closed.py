"""Folders of other users: below `/var/lib/private`, where `DynamicUser` keeps them, nobody but the service may look."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgeship.errors import InputError


@contextmanager
def readable(folder: Path) -> Iterator[None]:
    """Turn the system's refusal to look into a folder into InputError."""
    try:
        yield
    except PermissionError as error:
        closed, owner = _closed(folder)
        raise InputError(
            f"{user_name(os.geteuid())} may not read {folder}: {closed} belongs to {user_name(owner)}",
            remedy="Run it as root; a service, with the lines User= and StateDirectory= of the one that updates.",
        ) from error


def is_there(file: Path) -> bool:
    """Whether there is a file. Raises PermissionError where nobody may tell us, in every version of Python."""
    try:
        file.stat()
    except PermissionError:
        raise
    except OSError:
        return False
    return True


def user_name(uid: int) -> str:
    """What a user is called; the number where it has no name."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _closed(folder: Path) -> tuple[Path, int]:
    """The folder on the way that is closed, the innermost one that can be looked at from outside, and its owner."""
    real = Path(os.path.realpath(folder))
    for each in (real, *real.parents):
        try:
            return each, each.stat().st_uid
        except OSError:
            continue
    raise AssertionError("everybody may look at /")
