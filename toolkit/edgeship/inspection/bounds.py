"""Reading model files that nobody vouches for: how much is read, how long it may take, one kind of error."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgeship.errors import ArtifactError, EdgeshipError, MissingPackageError

#: A larger file is not opened: with what is built from it, it would not fit in the memory that a child is given.
MAX_BYTES = 1 << 30
#: Parts (ops, tensors, axes, names) that a file may have beside one for each of its bytes; tables of a damaged file
#: may overlap, so that going through them all would not end.
_FREE_PARTS = 1 << 16
#: Texts are cut here.
MAX_TEXT = 64 << 10


class Budget:
    """How many parts of a file may still be looked at."""

    def __init__(self, size_bytes: int) -> None:
        self._left = _FREE_PARTS + 2 * size_bytes

    def spend(self, count: int) -> int:
        """`count`, which is taken away. Raises ValueError where a file has more parts than fit in its bytes."""
        if count < 0 or count > self._left:
            raise ValueError("its tables say that there is more in it than fits")
        self._left -= count
        return count


def read_file(path: Path, limit: int = MAX_BYTES) -> bytes:
    """The content of a file. Raises ArtifactError where it is missing, empty, too large or cannot be read."""
    try:
        if not path.is_file():
            raise ArtifactError(f"no such file: {path}", remedy="Give a trained model or an exported file.")
        size = path.stat().st_size
        if size > limit:
            raise ArtifactError(f"{path} has {size:,} bytes; files up to {limit:,} bytes are read")
        with path.open("rb") as file:
            content = file.read(size)  # as many bytes of memory are taken first, however few there are
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error.strerror}") from error
    if not content:
        raise ArtifactError(f"{path} is empty (0 bytes)", remedy="Copy or convert it again.")
    return content


@contextmanager
def damaged(path: Path) -> Iterator[None]:
    """What goes wrong while a file is taken apart is said as ArtifactError; typed errors pass."""
    try:
        yield
    except (EdgeshipError, MemoryError):
        raise
    except ImportError as error:
        raise MissingPackageError(
            f"looking into {path.name} needs {error.name}", remedy="Get it: pip install 'edgeship[all]'"
        ) from error
    except (struct.error, LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError) as error:
        raise ArtifactError(
            f"{path} is broken: {str(error)[:300] or type(error).__name__}", remedy="Copy or convert it again."
        ) from error


def text(raw: bytes | str | None) -> str:
    """A text from a file: what is no UTF-8 is replaced, what is too long is cut."""
    if raw is None:
        return ""
    if isinstance(raw, bytes):
        raw = raw[:MAX_TEXT].decode("utf-8", "replace")
    return raw[:MAX_TEXT]
