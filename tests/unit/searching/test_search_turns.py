"""One machine is measured by one process at a time, however it is written and whoever else searches."""

from __future__ import annotations

import errno
import fcntl
import platform
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import psycopg
import pytest

from edgeship.errors import TargetUnavailable
from edgeship.searching import turns
from edgeship.searching.turns import turn

_TRY = """
import fcntl, sys
try: fcntl.flock(open(sys.argv[1], 'a'), fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError: print('waits')
else: print('has it')
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Where the locks of this machine lie."""
    monkeypatch.setenv("EDGESHIP_CACHE", str(tmp_path))
    return tmp_path / "turns"


def held(postgres, which="granted"):
    """Names of the locks that machines hold, or wait for, in the database."""
    with psycopg.connect(postgres.address) as other:
        return other.execute(f"SELECT classid, objid FROM pg_locks WHERE locktype = 'advisory' AND {which}").fetchall()


def until(condition):
    """Wait; the time limit of the test bounds it."""
    while not condition():
        pass


def test_a_board_is_measured_by_one_machine_at_a_time(postgres):
    with turn("ssh://pi", postgres.address):
        assert len(held(postgres)) == 1
    until(lambda: not held(postgres))
    for target in ("local", "browser:chromium", "coral", "emulated:cortex-a53"):  # each machine has its own
        with turn(target, postgres.address):
            assert not held(postgres)


def test_one_machine_has_one_queue_however_it_is_written(postgres, folder):
    names = set()
    for target in ("ssh://pi@board", "ssh://board:22", "ssh://pi@board+coral"):
        with turn(target, postgres.address):
            names |= set(held(postgres))
        until(lambda: not held(postgres))
    assert len(names) == 1
    assert len(list(folder.iterdir())) == 1
    for target in ("local", "coral", "browser:chromium"):
        with turn(target):
            pass
    assert len(list(folder.iterdir())) == 2


def test_processes_of_one_machine_wait_for_their_turn(folder):
    def other():
        (path,) = folder.glob("*.lock")
        return subprocess.run([sys.executable, "-c", _TRY, path], capture_output=True, text=True, check=True).stdout

    with turn("local"):
        assert other() == "waits\n"
    assert other() == "has it\n"


def test_machines_that_share_a_cache_do_not_wait_for_each_others_local(folder, monkeypatch):
    with turn("local"):
        (mine,) = folder.iterdir()
        monkeypatch.setattr(platform, "node", lambda: "another")
        with turn("local"):
            assert len({mine, *folder.iterdir()}) == 2


def test_a_cache_without_locks_is_said(monkeypatch):
    def none(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    with pytest.raises(TargetUnavailable, match="no turn on this machine: "), turn("local"):
        pass


def test_a_database_that_is_gone_for_a_moment_costs_no_turn(postgres):
    def wait():
        with turn("ssh://pi", postgres.address):
            return len(held(postgres))

    with closing(turns._first_in_line("pi:22", postgres.address, 1)), ThreadPoolExecutor() as threads:
        waiting = threads.submit(wait)
        until(lambda: held(postgres, "NOT granted"))
        postgres.crash()  # neither does who holds the lock keep it
        postgres.start()
        assert waiting.result() == 1


def test_a_database_that_stays_away_ends_the_search_and_not_the_trial(postgres):
    postgres.crash()
    try:
        with pytest.raises(TargetUnavailable, match="no turn on pi:22: the storage does not answer"):
            turn("ssh://pi", postgres.address, patience_seconds=0.1).__enter__()
    finally:
        postgres.start()
