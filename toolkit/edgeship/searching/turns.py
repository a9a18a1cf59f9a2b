"""Turns on targets: a board, or this machine, is measured by one trial at a time, whoever else searches."""

from __future__ import annotations

import fcntl
import hashlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from edgeship import cache
from edgeship.errors import UnavailableError
from edgeship.files import storage_errors
from edgeship.names import artifact_slug

#: Targets that are the machine itself: others that search have their own.
_HERE = ("local", "browser", "emulated", "micro", "estimated")


@contextmanager
def turn(target: str, queue: str = "") -> Iterator[None]:
    """Wait for a turn on a target and hold it; it goes with the process, however that ends.

    All processes of this machine wait by a lock on a file in the user's cache; those of several machines, on a target
    that they share, by an advisory lock of the database `queue` too (PostgreSQL, manual section 13.3.5).

    Raises:
        UnavailableError: the database does not answer.
    """
    with ExitStack() as held:
        held.enter_context(_on_this_machine(target))
        if queue and target.partition(":")[0] not in _HERE:
            held.enter_context(_on_all_machines(target, queue))
        yield


@contextmanager
def _on_this_machine(target: str) -> Iterator[None]:
    folder = cache.root() / "turns"
    path: Path = folder / f"{artifact_slug(target)}.lock"
    with storage_errors(path):
        folder.mkdir(parents=True, exist_ok=True)
        handle = path.open("a")
    with handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@contextmanager
def _on_all_machines(target: str, queue: str) -> Iterator[None]:
    import psycopg

    # Of the 64 bits that such a lock is named by; two targets with one name would wait without need, no more.
    number = int.from_bytes(hashlib.sha256(f"edgeship turn {target}".encode()).digest()[:8], "big", signed=True)
    try:
        connection = psycopg.connect(queue, autocommit=True, connect_timeout=20)
    except psycopg.Error as error:
        raise UnavailableError(f"no turn on {target}: the storage does not answer: {error}") from error
    with connection:
        try:
            connection.execute("SELECT pg_advisory_lock(%s)", (number,))
        except psycopg.Error as error:
            raise UnavailableError(f"no turn on {target}: the storage does not answer: {error}") from error
        yield
