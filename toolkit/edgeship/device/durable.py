"""Files that survive a power cut: whole and on the disk before anything refers to them."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgeship.errors import OutputError, StorageFullError, UnavailableError
from edgeship.files import sync_folder


@contextmanager
def storage(place: Path) -> Iterator[None]:
    """Turn the system's errors of writing at `place` into StorageFullError and OutputError."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFullError(
                f"the disk is full: {place}", remedy="Free some space; what came so far is kept, the model goes on."
            ) from error
        raise OutputError(
            f"cannot write {place}: {error.strerror or error}",
            remedy="The model goes on; mount the disk for writing, or run as the user who enrolled the device.",
        ) from error


def write(path: Path, content: bytes) -> None:
    """Write a file that after a power cut has the old content or the new one."""
    # One name, so that what a cut leaves behind is overwritten; whoever writes a file holds a lock.
    new = path.with_name(f".{path.name}.new")
    with storage(path):
        handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
        sync_folder(path.parent)


def sync(path: Path) -> None:
    """Bring the content of a file to the disk."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def locked(path: Path, *, wait: bool) -> Iterator[None]:
    """Hold a lock that ends with the process, however it ends.

    Raises UnavailableError where another process holds it and `wait` is False.
    """
    with storage(path):
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            raise UnavailableError(
                f"another process is updating {path.parent}", remedy="Wait for it: its result is in the status."
            ) from error
        yield
    finally:
        os.close(handle)
