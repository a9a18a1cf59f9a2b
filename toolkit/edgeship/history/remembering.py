"""Puts what was just found into the history; that it cannot be done costs a note."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from edgeship.cache import versions
from edgeship.errors import HistoryError, InputError
from edgeship.history import store
from edgeship.history.records import Record, Session, name_of, record
from edgeship.types import Artifact, Result

#: What `--compare` takes for the newest session.
LAST = "last"
#: Sessions that are drawn over time.
_DRAWN = 40
_LABEL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+/-]{0,99}")


def remember(
    source: Literal["benchmark", "build"], found: Sequence[tuple[Artifact, Result]], label: str = ""
) -> tuple[str, ...]:
    """Append results, each with what it is of, as one session; returns notes: why they could not be."""
    session = Session(
        datetime.now(UTC).isoformat(timespec="microseconds"), source, label, revision(), versions().get("edgeship", "")
    )
    try:
        store.append([record(session, artifact, result) for artifact, result in found])
    except HistoryError as error:
        return (f"these results are not in the history: {error.message}. {error.remedy}",)
    return ()


def earlier(artifacts: Sequence[Artifact]) -> tuple[Record, ...]:
    """Results of the newest sessions of these builds and files; none where the history cannot be read."""
    return of_names(tuple(dict.fromkeys(map(name_of, artifacts))))


def of_names(names: Sequence[str]) -> tuple[Record, ...]:
    """As `earlier`, by the names of builds and files."""
    try:
        return tuple(store.read(names=names, sessions=_DRAWN)) if names else ()
    except HistoryError:
        return ()


def check_label(label: str) -> None:
    """Raise InputError for a label that could not be given to `--compare`."""
    if label == LAST or not _LABEL.fullmatch(label):
        raise InputError(
            f"{label!r} is no label for a session",
            remedy=f"Use letters, digits and . + / _ -, at most 100 of them, and not {LAST!r}.",
        )


def revision(folder: Path | None = None) -> str:
    """The commit of a folder (default: the working directory), with `-dirty` where files of its repository differ.

    Empty outside of a repository.
    """
    return _git("describe", "--always", "--abbrev=40", "--exclude=*", "--dirty", folder=folder)


def commit_of(word: str) -> str:
    """The commit that a branch, a tag or the like names in the repository of the working directory; empty if none."""
    return _git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{word}^{{commit}}")


def _git(*words: str, folder: Path | None = None) -> str:
    # Nothing that a repository configures is run, and nothing in it is written.
    command = ["git", "--no-optional-locks", "-c", "core.fsmonitor=false", *words]
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=10, check=False, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
