"""Files between an agent and us: here they are the same, on a board they are carried over."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO, Protocol

import numpy as np

from edgeship.errors import ChildCrashed, DataError

if TYPE_CHECKING:
    from edgeship.types import Array, Tensors


class Files(Protocol):
    """Where an agent reads and writes, seen from here. All of it goes with the session."""

    def send(self, file: Path) -> str:
        """Give the agent a file of this machine, or the folder that the file needs; its path there, never used again.

        Raises TargetUnavailable, StorageFullError.
        """

    def make_folder(self) -> str:
        """Path of a new, empty folder of the agent's."""

    def fetch(self, folder: str) -> Path:
        """A folder of the agent's, as a folder of this machine. Raises TargetUnavailable."""

    def close(self) -> None:
        """Remove everything that was sent and made; safe to call twice."""


class LocalFiles:
    """An agent on this machine reads our files where they are."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="edgeship-")

    def send(self, file: Path) -> str:
        """The file itself."""
        return str(file)

    def make_folder(self) -> str:
        """In the temporary folder of the session."""
        return tempfile.mkdtemp(dir=self._folder.name)

    def fetch(self, folder: str) -> Path:
        """The folder itself."""
        return Path(folder)

    def close(self) -> None:
        """Remove the temporary folder."""
        self._folder.cleanup()


def write(inputs: Tensors, folder: Path) -> dict[str, Path]:
    """Write each array to a file of its own; names from outside never become file names."""
    files = {}
    for position, (name, value) in enumerate(inputs.items()):
        array = np.asarray(value)
        if array.dtype.kind not in "fiub":
            raise DataError(f"input {name!r} holds {array.dtype}", remedy="Give an array of numbers.")
        files[name] = folder / f"{position}.npy"
        np.save(files[name], array, allow_pickle=False)
    return files


def inside(folder: str, file: str) -> str:
    """The bare name of a file that the agent says it wrote into a folder of its own."""
    path = PurePosixPath(file)
    if path.parent != PurePosixPath(folder) or path.name == "..":
        raise ChildCrashed(f"the agent wrote {file}, which is outside of {folder}")
    return path.name


def read(file: Path) -> Array:
    """An array that an agent wrote. Raises ChildCrashed."""
    try:
        with file.open("rb") as content:
            _check_size(content, file.stat().st_size)
            array: Array = np.load(content, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise ChildCrashed(f"the agent wrote no array to {file.name}: {error}") from error
    return array


def _check_size(content: BinaryIO, size_bytes: int) -> None:
    """NumPy allocates what a header says before it looks at how much there is. Raises ValueError."""
    version = np.lib.format.read_magic(content)
    if version != (1, 0):
        raise ValueError(f"version {version} of the format")
    shape, _, dtype = np.lib.format.read_array_header_1_0(content)
    if math.prod(shape) * dtype.itemsize != size_bytes - content.tell():
        raise ValueError(f"{size_bytes} bytes for the shape {shape} of {dtype}")
    content.seek(0)
