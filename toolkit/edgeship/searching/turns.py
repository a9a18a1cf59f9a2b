"""Turns on machines: a board, or this machine, is measured by one trial at a time, whoever else searches."""

from __future__ import annotations

import fcntl
import hashlib
import platform
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING, Any

from edgeship import cache, plugins
from edgeship.errors import TargetUnavailable
from edgeship.files import storage_errors
from edgeship.names import artifact_slug

if TYPE_CHECKING:
    import psycopg

#: Seconds between two tries of a database that does not answer: the first, and the longest.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 5.0
#: Who waits for hours is told within a minute that the way to the database is gone.
_ALIVE: dict[str, Any] = {"keepalives_idle": 20, "keepalives_interval": 10, "keepalives_count": 3}


@contextmanager
def turn(target: str, queue: str = "", patience_seconds: float = 60.0) -> Iterator[None]:
    """Wait for a turn on the machine of a target and hold it; it goes with the process, however that ends.

    However a target is written (`ssh://pi@board`, `ssh://board:22+coral`), its machine is what is waited for. All
    processes of this machine wait by a lock on a file in the user's cache; those of several machines, on one that they
    share, by an advisory lock of the database `queue` too (PostgreSQL, manual section 13.3.5).

    Raises:
        TargetUnavailable: the database does not answer for `patience_seconds`, or the cache cannot be locked.
    """
    machine = getattr(plugins.target(target), "machine", "")
    with ExitStack() as held:
        held.enter_context(_on_this_machine(machine))
        if queue and machine:
            held.enter_context(closing(_first_in_line(machine, queue, patience_seconds)))
        yield


@contextmanager
def _on_this_machine(machine: str) -> Iterator[None]:
    # Several machines may share a cache, and each has a `local` of its own.
    path = cache.root() / "turns" / f"{artifact_slug(machine or f'here {platform.node()}')}.lock"
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = path.open("a")
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError as error:
            raise TargetUnavailable(
                f"no turn on {machine or 'this machine'}: {path.parent} has no locks: {error.strerror}",
                remedy="Put the cache on a file system that has them: EDGESHIP_CACHE=FOLDER.",
            ) from error
        yield


def _first_in_line(machine: str, queue: str, patience_seconds: float) -> psycopg.Connection:
    """A connection that holds the lock of a machine, which goes with it."""
    import psycopg

    # Of the 64 bits that such a lock is named by; two machines with one name would wait without need, no more.
    number = int.from_bytes(hashlib.sha256(f"edgeship turn {machine}".encode()).digest()[:8], "big", signed=True)
    while True:
        connection = _connected(machine, queue, patience_seconds)
        try:
            connection.execute("SELECT pg_advisory_lock(%s)", (number,))
        except psycopg.OperationalError:  # the connection was cut while we waited, however long that was
            connection.close()
            time.sleep(_FIRST_PAUSE)
        else:
            return connection


def _connected(machine: str, queue: str, patience_seconds: float) -> psycopg.Connection:
    import psycopg

    until, pause = time.monotonic() + patience_seconds, _FIRST_PAUSE
    while True:
        try:
            return psycopg.connect(queue, autocommit=True, connect_timeout=10, **_ALIVE)
        except psycopg.Error as error:
            if time.monotonic() > until:
                raise TargetUnavailable(
                    f"no turn on {machine}: the storage does not answer: {error}",
                    remedy="When it answers, run the same command: finished trials are kept.",
                ) from error
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)
