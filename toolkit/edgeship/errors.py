"""Every error that edgeship raises on purpose, drawn as a tree; the class decides the exit code of the CLI.

    EdgeshipError                     4  we failed; never shown as a traceback
    ├── GateFailed                    1  everything is written, a gate did not pass
    ├── UpdateRefused                 1  what a repository offers is not taken; what ran before keeps running
    ├── InputError                    2  what was given, what is allowed, what to try
    │   ├── SourceError               2  the model file is missing, broken, of the wrong kind, or has NaN weights
    │   │   └── UnsafeModelError      2  the model carries code and --allow-unsafe was not given
    │   ├── DataError                 2  the dataset does not fit the model or the task
    │   ├── RecipeError               2  unknown recipe, key, value or variant
    │   ├── OutputError               2  the output folder is foreign or cannot be written
    │   ├── ArtifactError             2  an exported file is missing, broken or not what its sidecar says
    │   │   └── PatchError            2  a delta is broken, too large, or for another file
    │   ├── RepositoryError           2  an update repository or its keys cannot be used as they are
    │   ├── UnsupportedModelError     2  a format cannot hold this model (names the layer or op and the reason)
    │   └── HistoryError              2  the store of earlier results cannot be read or written
    ├── TimeSpent                     1  training would take longer than the recipe allows
    ├── UnavailableError              3  something needed is not here; the remedy is the command that gets it
    │   ├── MissingPackageError       3  a Python or Node package
    │   ├── TargetUnavailable         3  a device or a runtime on it
    │   │   └── ConnectionLost        3  it was there, and is gone
    │   ├── RepositoryUnavailable     3  an update repository does not answer as it should
    │   └── StorageFullError          3  no space left where files are written
    └── ChildError                    4  a child process did not answer as it should
        ├── ChildCrashed              4  it died (signal or exit status, with its last lines)
        ├── ChildTimeout              4  it ran past its time limit and was killed
        └── ChildOutOfMemory          4  it ran past its memory limit

An error crosses a process boundary as `{"type", "message", "remedy"}` (`to_wire`, `from_wire`) and keeps its class.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping

#: Of a message from another process, in characters.
_LONGEST_MESSAGE = 3000


class EdgeshipError(Exception):
    """Base of the tree.

    Attributes:
        message: what happened, naming what was given.
        remedy: what is allowed and what to try; empty where there is nothing to try.
        exit_code: the CLI's exit status for this class.
    """

    exit_code = 4

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}\n{self.remedy}" if self.remedy else self.message


class GateFailed(EdgeshipError):
    """A gate failed or was inconclusive; all results are written."""

    exit_code = 1


class UpdateRefused(EdgeshipError):
    """What an update repository offers was not signed, is too old, damaged, or failed here; nothing was changed."""

    exit_code = 1


class InputError(EdgeshipError):
    """What the user gave cannot be used."""

    exit_code = 2


class SourceError(InputError):
    """The model cannot be read or is not fit for use."""


class UnsafeModelError(SourceError):
    """The model carries code (Lambda, pickled functions, py_function) and unsafe loading was not allowed."""


class DataError(InputError):
    """The dataset cannot be read, or does not fit the model or the task."""


class RecipeError(InputError):
    """The recipe is unknown or does not validate."""


class OutputError(InputError):
    """The output folder holds something else, or cannot be written."""


class ArtifactError(InputError):
    """An exported file is missing, broken, or differs from what its sidecar states."""


class PatchError(ArtifactError):
    """A delta between two files is broken, too large, or was made for another file."""


class RepositoryError(InputError):
    """An update repository or its keys cannot be used as they are, or another publisher was faster."""


class UnsupportedModelError(InputError):
    """A format cannot hold this model; the message names the layer or op and the reason."""


class HistoryError(InputError):
    """The store of earlier results is damaged, held by others, not to be written, or of a newer edgeship."""


class TimeSpent(EdgeshipError):
    """Training would take longer than the recipe allows; only the attempt that trains is lost."""

    exit_code = 1


class UnavailableError(EdgeshipError):
    """Something needed is not available here; the remedy is the command that gets it."""

    exit_code = 3


class MissingPackageError(UnavailableError):
    """A Python or Node package is not installed."""


class TargetUnavailable(UnavailableError):
    """A target, or the runtime on it, cannot be reached or started."""


class ConnectionLost(TargetUnavailable):
    """The connection to a target broke after it had stood; it may be taken up again."""


class RepositoryUnavailable(UnavailableError):
    """An update repository does not answer, or not in time, or with something else than a repository."""


class StorageFullError(UnavailableError):
    """The disk is full; nothing that looks complete was left behind."""


class ChildError(EdgeshipError):
    """A child process did not answer as it should; only its own piece of work is lost."""


class ChildCrashed(ChildError):
    """The child died; the message has the signal or status and its last lines."""


class ChildTimeout(ChildError):
    """The child ran past its time limit and was killed with its process group."""


class ChildOutOfMemory(ChildError):
    """The child ran past its memory limit."""


def first_line(error: BaseException, most: int = 300) -> str:
    """The first line of what an error says, at most `most` characters; its class where it says nothing."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:most] if lines else type(error).__name__


def to_wire(error: BaseException) -> dict[str, str]:
    """Encode an error for another process. Errors from outside the tree become `EdgeshipError`."""
    if isinstance(error, EdgeshipError):
        return {"type": type(error).__name__, "message": error.message, "remedy": error.remedy}
    if isinstance(error, MemoryError):
        return {"type": "ChildOutOfMemory", "message": "the process ran out of memory", "remedy": ""}
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return {"type": "StorageFullError", "message": f"the disk is full: {error.filename}", "remedy": ""}
    return {"type": "EdgeshipError", "message": f"{type(error).__name__}: {error}", "remedy": ""}


def from_wire(data: Mapping[str, str]) -> EdgeshipError:
    """Decode an error from another process; an unknown type becomes `EdgeshipError`."""
    found = globals().get(data.get("type", ""))
    cls = found if isinstance(found, type) and issubclass(found, EdgeshipError) else EdgeshipError
    return cls(_readable(data.get("message", "unknown error")), remedy=_readable(data.get("remedy", "")))


def _readable(text: str) -> str:
    """A message for a person: files have names without end, and libraries quote whole files."""
    if len(text) <= _LONGEST_MESSAGE:
        return text
    half = _LONGEST_MESSAGE // 2
    return f"{text[:half]} [... {len(text) - 2 * half:,} characters ...] {text[-half:]}"
