"""Writing that is whole or not at all, with the system's errors as ours."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgeship.errors import OutputError, StorageFullError


@contextmanager
def whole_folder(place: Path, *, keep: bool = False) -> Iterator[Path]:
    """Fill a folder that appears at `place` complete or not at all.

    Args:
        place: where it belongs.
        keep: a folder that is there already stays, and what was filled is dropped: for content that is the same
            whoever made it, and that others may be reading. False: it is replaced.

    Raises:
        StorageFullError: the disk is full.
        OutputError: it cannot be written.
    """
    temporary: Path | None = None
    try:
        with storage_errors(place):
            place.parent.mkdir(parents=True, exist_ok=True)
            temporary = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=place.parent))
            temporary.chmod(0o755)
            yield temporary
            if not keep:
                _move_away(place)
            _move(temporary, place)
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def _move_away(place: Path) -> None:
    if place.is_dir():
        old = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=place.parent))
        place.rename(old / "old")
        shutil.rmtree(old, ignore_errors=True)


def _move(temporary: Path, place: Path) -> None:
    """Move a finished folder into place; that another process finished the same first is no error."""
    try:
        temporary.rename(place)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise


@contextmanager
def storage_errors(place: Path) -> Iterator[None]:
    """Turn the system's errors of writing at `place` into ours."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFullError(
                f"the disk is full: {place}",
                remedy="Free some space or choose another folder with --out; finished parts are kept and reused.",
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST):
            raise OutputError(
                f"cannot write {place}: {error.strerror}", remedy="Choose a folder of yours with --out."
            ) from error
        raise


def sync_folder(path: Path) -> None:
    """Bring the names in a folder to the disk; a file system that cannot do so for folders does it by itself."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(handle)


def write_text(path: Path, text: str) -> None:
    """Write a file that appears complete or not at all, down to the disk."""
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        temporary = Path(name)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            temporary.chmod(0o644)
            temporary.replace(path)
            sync_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)
