"""The store of results: one SQLite file of the user's, which several processes may append to at once.

    sessions   one row for each call: when, label, revision, versions
    results    one row for each result: what, where, how, and the whole value as JSON

`user_version` is the number of this schema, of the tables and of the values in them: a change after which old rows are
no such values any more is a new number. Nothing here decides over the work that it remembers: whoever appends
catches HistoryError and goes on.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from dataclasses import astuple
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from edgeship.codec import from_data, to_data
from edgeship.errors import HistoryError, InputError
from edgeship.history.records import Record, Session, settings
from edgeship.types import Emulation, Estimate, Measurement
from edgeship_benchmarks.stats import Summary

SCHEMA = 1
#: How long another process may hold the store.
_PATIENCE_SECONDS = 5.0
_RETRY_SECONDS = 0.02
_OTHER = "Choose another store: EDGESHIP_HISTORY=FILE."
_TABLES = (
    """CREATE TABLE sessions (
        id INTEGER PRIMARY KEY, created TEXT NOT NULL, source TEXT NOT NULL, label TEXT NOT NULL,
        revision TEXT NOT NULL, edgeship TEXT NOT NULL)""",
    """CREATE TABLE results (
        id INTEGER PRIMARY KEY, session INTEGER NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
        provenance TEXT NOT NULL, name TEXT NOT NULL, artifact TEXT NOT NULL, sha256 TEXT NOT NULL,
        target TEXT NOT NULL, runtime TEXT NOT NULL, settings TEXT NOT NULL, digest TEXT NOT NULL UNIQUE,
        document TEXT NOT NULL, summary TEXT NOT NULL)""",
    "CREATE INDEX results_by_name ON results (name, artifact)",
    "CREATE INDEX results_by_session ON results (session)",
    f"PRAGMA user_version = {SCHEMA}",
)
_NEWEST = """
    SELECT created, source, label, revision, edgeship, name, provenance, document, summary
    FROM results JOIN sessions ON sessions.id = session
    WHERE (:all OR name IN (SELECT value FROM json_each(:names)))
    AND session IN (
        SELECT DISTINCT session FROM results WHERE :all OR name IN (SELECT value FROM json_each(:names))
        ORDER BY session DESC LIMIT :most)
    ORDER BY session DESC, results.id"""


def place() -> Path:
    """The file: `$EDGESHIP_HISTORY`, else in the user's data folder of this system."""
    given = os.environ.get("EDGESHIP_HISTORY")
    if given:
        return Path(given)
    import platformdirs

    return platformdirs.user_data_path("edgeship") / "history.sqlite3"


def append(records: Sequence[Record]) -> int:
    """Add the results of one session; those that are there already (a build that was reused) are left out.

    Returns how many were new; a session without any is not added. Raises HistoryError.
    """
    if not records:
        return 0
    with _errors(), _writing() as store:
        found = store.execute(
            "INSERT INTO sessions (created, source, label, revision, edgeship) VALUES (?, ?, ?, ?, ?)",
            astuple(records[0].session),
        )
        session = found.lastrowid
        new = sum(_insert(store, session, item) for item in records)
        if not new:
            store.execute("DELETE FROM sessions WHERE id = ?", (session,))
        return new


def _insert(store: sqlite3.Connection, session: int | None, item: Record) -> int:
    row = item.result
    document = json.dumps(to_data(row), sort_keys=True, allow_nan=False)
    said = json.dumps(to_data(item.summary)) if item.summary is not None else ""
    # A build that is reused gives its rows again; what was measured anew is new, also where it is the same.
    when = "" if row.key else item.session.created
    digest = hashlib.sha256(f"{when}{item.name}\0{document}".encode()).hexdigest()
    what = (row.provenance, item.name, row.artifact, row.artifact_sha256, row.target, row.runtime)
    how = json.dumps(settings(row), sort_keys=True)
    return store.execute(
        "INSERT OR IGNORE INTO results (session, provenance, name, artifact, sha256, target, runtime, settings, digest,"
        " document, summary) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (session, *what, how, digest, document, said),
    ).rowcount


def read(*, names: Sequence[str] = (), sessions: int | None = None) -> list[Record]:
    """Results, those of the newest session first; none where there is no store yet.

    Args:
        names: of these builds and files only; empty: of all.
        sessions: of so many sessions at most, the newest that have any such result.

    Raises:
        HistoryError: it cannot be read, or was written by a newer edgeship.
    """
    if not place().exists():
        return []
    values = {"all": not names, "names": json.dumps(list(names)), "most": -1 if sessions is None else sessions}
    with _errors(), _reading() as store:
        return [_record(row) for row in store.execute(_NEWEST, values)]


def _record(row: Sequence[Any]) -> Record:
    created, source, label, revision, edgeship, name, provenance, document, said = row
    kinds: dict[str, type[Measurement] | type[Emulation] | type[Estimate]] = {
        kind.provenance: kind for kind in (Measurement, Emulation, Estimate)
    }
    session = from_data(
        Session, {"created": created, "source": source, "label": label, "revision": revision, "edgeship": edgeship}
    )
    kept = from_data(Summary, json.loads(said)) if said else None
    return Record(session, str(name), from_data(kinds[provenance], json.loads(document)), kept)


def prune(days: float) -> int:
    """Remove the sessions that are older than so many days; returns how many. Raises HistoryError."""
    if not place().exists():
        return 0
    oldest = (datetime.now(UTC) - timedelta(days=days)).isoformat(timespec="microseconds")
    with _errors(), _writing() as store:
        return store.execute("DELETE FROM sessions WHERE created < ?", (oldest,)).rowcount


@contextlib.contextmanager
def _writing() -> Iterator[sqlite3.Connection]:
    """A transaction on the store, which is made where there is none."""
    place().parent.mkdir(parents=True, exist_ok=True)
    with contextlib.closing(sqlite3.connect(place(), timeout=_PATIENCE_SECONDS, isolation_level=None)) as store:
        _log_ahead(store)
        store.execute("PRAGMA foreign_keys = ON")
        store.execute("BEGIN IMMEDIATE")  # two that make it at once do so one after the other
        if _version(store) == 0:
            if store.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
                raise HistoryError(f"{place()} is no history of results", remedy=_OTHER)
            for statement in _TABLES:
                store.execute(statement)
        yield store
        store.execute("COMMIT")


def _log_ahead(store: sqlite3.Connection) -> None:
    """Write-ahead logging, so that readers never wait. SQLite itself has no patience here with others that write."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            store.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_RETRY_SECONDS)
        else:
            return


@contextlib.contextmanager
def _reading() -> Iterator[sqlite3.Connection]:
    """The store as it is; also where its folder cannot be written."""
    # Where nothing can be written beside it, SQLite must be told that nobody else writes either.
    fixed = not os.access(place().parent, os.W_OK) and not place().with_name(f"{place().name}-wal").exists()
    address = f"{place().absolute().as_uri()}?mode=ro{'&immutable=1' if fixed else ''}"
    with contextlib.closing(sqlite3.connect(address, timeout=_PATIENCE_SECONDS, uri=True)) as store:
        if _version(store) == 0:
            raise HistoryError(f"{place()} is no history of results", remedy=_OTHER)
        yield store


def _version(store: sqlite3.Connection) -> int:
    found = int(store.execute("PRAGMA user_version").fetchone()[0])
    if found > SCHEMA:
        raise HistoryError(
            f"{place()} has schema {found}; this edgeship knows {SCHEMA}", remedy=f"Update edgeship. {_OTHER}"
        )
    return found


@contextlib.contextmanager
def _errors() -> Iterator[None]:
    """Errors of SQLite and of the system, and of rows that are no results, as ours."""
    try:
        yield
    except sqlite3.OperationalError as error:  # locked, full, not to be opened or written
        raise HistoryError(f"the history {place()} cannot be used: {error}", remedy=_OTHER) from error
    except (sqlite3.DatabaseError, InputError, ValueError, KeyError) as error:
        if isinstance(error, HistoryError):
            raise
        raise HistoryError(
            f"the history {place()} is damaged: {error}", remedy=f"Move the file away. {_OTHER}"
        ) from error
    except OSError as error:
        raise HistoryError(f"the history {place()} cannot be used: {error.strerror}", remedy=_OTHER) from error
