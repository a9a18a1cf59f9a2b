"""The store of results: what is kept, by whom, and what becomes of it when something is wrong with the file."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from tests import history_rows, result_rows
from tests.history_rows import artifact, kept, session, timed
from tests.latencies import gamma, measured

from edgeship.errors import HistoryError, InputError
from edgeship.history import remembering, store
from edgeship.history.records import Record, conditions, name_of, record
from edgeship.types import DeviceInfo, Measurement
from edgeship_benchmarks import comparison, stats


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGESHIP_HISTORY", str(tmp_path / "data" / "history.sqlite3"))
    return store.place()


def one(number: int = 1, median_ms: float = 1.0) -> Record:
    return kept(timed(median_ms, artifact()), artifact(), session(number))


def test_the_place_is_the_users_data_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("EDGESHIP_HISTORY")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert store.place().is_relative_to(tmp_path)
    assert store.place().name == "history.sqlite3"


def test_what_is_kept_is_what_comes_back() -> None:
    rows = [
        timed(1.0, artifact()),
        result_rows.emulation(),
        result_rows.micro(),
        result_rows.bound(),
        result_rows.fit(),
    ]
    given = [kept(row, artifact(), session(1, "v1", "c" * 40)) for row in rows]
    assert store.read() == []
    assert store.append(given) == 5
    assert store.read() == given
    with sqlite3.connect(store.place()) as found:
        assert found.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert found.execute("PRAGMA user_version").fetchone() == (store.SCHEMA,)
        kinds = found.execute("SELECT provenance, document FROM results").fetchall()
    found.close()
    assert [kind for kind, _ in kinds] == ["measured", "emulated", "emulated", "estimated", "estimated"]
    assert all("_ms" not in document for kind, document in kinds if kind == "emulated")


def test_of_samples_the_medians_of_rounds_are_kept_and_verdicts_stay() -> None:
    rows = [measured([gamma(seed + n, scale=scale) for n in range(12)], 6) for seed, scale in ((0, 1.0), (50, 1.1))]
    records = [record(session(), artifact(), row) for row in rows]
    for row, found in zip(rows, records, strict=True):
        assert isinstance(found.result, Measurement)
        assert len(found.result.latency_ms) == 12
        assert found.summary == stats.summary(row)
    short = [item.result for item in records if isinstance(item.result, Measurement)]
    assert comparison.ratio(short[1], short[0]) == comparison.ratio(rows[1], rows[0])


def test_the_newest_session_comes_first_and_names_choose() -> None:
    for number in (1, 2, 3):
        of = artifact(name="other" if number == 2 else "demo")
        store.append([kept(timed(float(number), of), of, session(number))])
    assert [item.session.created[8:10] for item in store.read()] == ["03", "02", "01"]
    assert [item.session.created[8:10] for item in store.read(names=["demo"])] == ["03", "01"]
    assert [item.session.created[8:10] for item in store.read(names=["demo"], sessions=1)] == ["03"]
    assert [item.name for item in store.read(sessions=2)] == ["demo", "other"]
    assert store.read(names=["x' OR '1'='1"]) == []


def test_a_result_of_a_reused_build_is_kept_once() -> None:
    built = kept(replace(timed(1.0, artifact()), key="made once"), artifact(), session())
    assert store.append([built]) == 1
    again = replace(built, session=session(2))
    assert store.append([again]) == 0
    assert store.append([again, one(2, 1.5)]) == 1
    assert [item.session.created[8:10] for item in store.read()] == ["02", "01"]
    assert store.append([]) == 0


def test_what_was_measured_again_and_is_the_same_is_new() -> None:
    """An instruction count, or the size of an arena: a session whose results are equal is a session all the same."""
    assert [store.append([kept(timed(1.0, artifact()), artifact(), session(n))]) for n in (1, 2)] == [1, 1]
    assert len(store.read()) == 2


def test_prune() -> None:
    assert store.prune(1) == 0
    today = replace(session(), created=datetime.now(UTC).isoformat())
    old = replace(session(), created=(datetime.now(UTC) - timedelta(days=40)).isoformat())
    store.append([kept(timed(1.0, artifact()), artifact(), old)])
    store.append([kept(timed(2.0, artifact()), artifact(), today)])
    assert store.prune(30) == 1
    assert [item.session for item in store.read()] == [today]
    with sqlite3.connect(store.place()) as found:
        assert found.execute("SELECT count(*) FROM results").fetchone() == (1,)
    found.close()


def test_a_newer_schema_is_refused_by_its_number() -> None:
    store.append([one()])
    with sqlite3.connect(store.place()) as found:
        found.execute("PRAGMA user_version = 7")
    found.close()
    for work in (store.read, lambda: store.append([one(2, 2.0)]), lambda: store.prune(1)):
        with pytest.raises(HistoryError, match="has schema 7; this edgeship knows 1") as caught:
            work()
        assert "Update edgeship" in caught.value.remedy


@pytest.mark.parametrize("content", [b"", b"no database at all, but longer than a header of one" * 10])
def test_a_file_that_is_no_history(place: Path, content: bytes) -> None:
    place.parent.mkdir()
    place.write_bytes(content)
    with pytest.raises(HistoryError):
        store.read()
    if content:
        with pytest.raises(HistoryError, match="damaged"):
            store.append([one()])
        assert place.read_bytes() == content
    else:
        assert store.append([one()]) == 1  # an empty file is an empty database


def test_another_database_is_left_alone(place: Path) -> None:
    place.parent.mkdir()
    with sqlite3.connect(place) as other:
        other.execute("CREATE TABLE mine (x)")
    other.close()
    with pytest.raises(HistoryError, match="is no history"):
        store.append([one()])
    with sqlite3.connect(place) as other:
        assert other.execute("SELECT name FROM sqlite_schema").fetchall() == [("mine",)]
    other.close()


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE results SET document = '{'",
        "UPDATE results SET provenance = 'emulated'",
        "UPDATE results SET provenance = 'guessed'",
        "UPDATE sessions SET source = 'elsewhere'",
    ],
)
def test_rows_that_are_no_results_are_said_to_be(change: str) -> None:
    store.append([one()])
    with sqlite3.connect(store.place()) as found:
        found.execute(change)
    found.close()
    with pytest.raises(HistoryError, match="damaged"):
        store.read()


def test_what_cannot_be_used_costs_a_note(place: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = [(artifact(), timed(1.0, artifact()))]
    assert remembering.remember("benchmark", found) == ()
    monkeypatch.setattr(store, "_PATIENCE_SECONDS", 0.05)
    holder = sqlite3.connect(place, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    (note,) = remembering.remember("benchmark", [(artifact(), timed(2.0, artifact()))])
    holder.close()
    assert "database is locked" in note
    assert "EDGESHIP_HISTORY" in note
    (tmp_path / "file").touch()
    monkeypatch.setenv("EDGESHIP_HISTORY", str(tmp_path / "file" / "history.sqlite3"))
    (note,) = remembering.remember("benchmark", found)
    assert "cannot be used" in note
    monkeypatch.setenv("EDGESHIP_HISTORY", str(tmp_path))
    assert len(remembering.remember("benchmark", found)) == 1


def test_a_store_on_a_read_only_file_system_is_read(place: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root to mount a small file system")
    place.parent.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place.parent)]
    done = subprocess.run(mount, capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"cannot mount a small file system here: {done.stderr.decode().strip()}")
    try:
        store.append([one()])
        subprocess.run(["mount", "-o", "remount,ro", str(place.parent)], check=True)
        assert store.read() == [one()]
        with pytest.raises(HistoryError, match="cannot be used"):
            store.append([one(2, 2.0)])
    finally:
        subprocess.run(["umount", str(place.parent)], check=True)


def test_several_processes_and_threads_make_and_fill_it_at_once() -> None:
    script = (
        "import sys; from edgeship.history import store; from tests.history_rows import *\n"
        "a = artifact(); n = int(sys.argv[1])\n"
        "for k in range(3): store.append([kept(timed(1 + n + k / 10, a), a, session(n))])"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(history_rows.__file__).parents[1])}
    running = [subprocess.Popen([sys.executable, "-c", script, str(n)], env=environment) for n in (1, 2)]
    worker = threading.Thread(target=lambda: store.append([one(3, 9.0)]))
    worker.start()
    worker.join()
    assert [child.wait(timeout=120) for child in running] == [0, 0]
    assert len(store.read()) == 7


def test_a_new_store_waits_for_who_writes_it() -> None:
    store.place().parent.mkdir(parents=True, exist_ok=True)
    with contextlib.closing(sqlite3.connect(store.place(), isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN EXCLUSIVE")
        worker = threading.Thread(target=lambda: store.append([one(1, 1.0)]))
        worker.start()
        time.sleep(0.2)
        other.execute("ROLLBACK")
        worker.join()
    assert len(store.read()) == 1


def test_names_of_builds_and_of_files(tmp_path: Path) -> None:
    assert name_of(artifact(name="mine")) == "mine"
    foreign = replace(artifact(), path=tmp_path, variant="foreign")
    assert name_of(foreign) == "model"
    assert name_of(replace(artifact(), path=tmp_path / "delivered")) == "delivered"


def test_conditions_are_what_stays() -> None:
    facts = {"cpu": "A76", "load_average": "1.5", "load_average_after": "2", "temperature_c": "60", "memory_mib": "7"}
    assert conditions(DeviceInfo("local", "measured", facts)) == {"cpu": "A76"}


@pytest.mark.parametrize("label", ["last", "", "-x", "a b", "x" * 101, "a\n"])
def test_labels_that_could_not_be_named(label: str) -> None:
    with pytest.raises(InputError, match="is no label"):
        remembering.check_label(label)


def test_the_revision_is_that_of_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert remembering.revision() == ""
    who = ["-c", "user.name=n", "-c", "user.email=e@localhost", "-c", "commit.gpgsign=false"]
    for words in (["init", "-q"], [*who, "commit", "-q", "--allow-empty", "-m", "one"], ["tag", "v1"]):
        subprocess.run(["git", *words], check=True)
    head = remembering.revision()
    assert len(head) == 40
    assert remembering.commit_of("v1") == head
    assert remembering.commit_of("--upload-pack=x") == ""
    (tmp_path / "file").write_text("x")
    subprocess.run(["git", "add", "file"], check=True)
    assert remembering.revision() == f"{head}-dirty"


def test_samples_that_are_few_are_kept_too() -> None:
    row = measured([np.array([1.0]), np.array([2.0])])
    store.append([record(session(), artifact(), row)])
    (found,) = store.read()
    assert isinstance(found.result, Measurement)
    assert found.result.latency_ms == (1.0, 2.0)
