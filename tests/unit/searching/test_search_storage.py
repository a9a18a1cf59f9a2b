"""What was finished stays, whatever is killed, cut or full; what ran is done again. Trials are a formula."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from tests import search_proxy

from edgeship.errors import InputError, StorageFullError, TargetUnavailable
from edgeship.searching.options import Options
from edgeship.searching.running import Running
from edgeship.searching.study import Study

_ROOT = Path(__file__).parents[3]


def run(*words):
    return search_proxy.run(search_proxy.arguments([*map(str, words)]))


def begin(*words):
    """The proxy search as a process of its own."""
    command = [sys.executable, "-m", "tests.search_proxy", *map(str, words)]
    return subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE, text=True)


def until(condition, process=None):
    """Wait for something that a process does; the time limit of the test bounds it."""
    while not condition():
        if process is not None:
            try:
                process.wait(timeout=0.05)
            except subprocess.TimeoutExpired:
                continue
            assert condition(), f"it ended before: {process.communicate()}"
            return


def done(folder, *words):
    """All trials of a search, read anew."""
    with Study(search_proxy.setting(search_proxy.arguments([str(folder), *map(str, words)]))) as study:
        return study.trials()


def begun(folder):
    log = folder / "log"
    return [json.loads(line)["trial"] for line in log.read_text().splitlines()] if log.is_file() else []


def recipes(trials):
    return sorted(json.dumps(dict(trial.recipe), sort_keys=True) for trial in trials)


def test_the_same_command_goes_on_and_a_finished_search_does_nothing(tmp_path):
    assert run(tmp_path, "--trials", 6) == "6 trials are done"
    first = done(tmp_path)
    assert len(first) == 6
    assert [t.recipe["name"] for t in first[:2]] == ["int8", "float16"]  # no written recipe is missed
    assert len(set(recipes(first))) == 6
    run(tmp_path, "--trials", 6)
    assert len(begun(tmp_path)) == 6
    run(tmp_path, "--trials", 9)
    again = done(tmp_path)
    assert again[:6] == first
    assert len(again) == 9
    assert "proxy" in (tmp_path / "front.html").read_text()
    # Another search in the same folder knows nothing of it.
    assert done(tmp_path, "--key", "other" * 6) == ()


def test_a_space_without_ranges_is_exhausted(tmp_path, monkeypatch):
    monkeypatch.setattr(search_proxy, "SPACE", search_proxy.space.Space(search_proxy.SPACE.fixed))
    assert run(tmp_path, "--trials", 50) == "nothing in the space is left to try"
    assert [t.recipe["name"] for t in done(tmp_path)] == ["int8", "float16"]


def test_a_folder_may_have_any_name(tmp_path):
    folder = tmp_path / "a?b=c#d {e} 50%25"
    run(folder, "--trials", 2)
    assert len(done(folder)) == 2
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]


class Interrupted(search_proxy.ProxyExecutor):
    """What the first trial tells is an error that ends the search; all others have come to an end by then."""

    def ended(self, seconds):
        found = super().ended(seconds)
        return [(number, self.error if number == 0 else result) for number, result in found]

    def submit(self, job):
        self._work(job, 0)


@pytest.mark.parametrize("error", [StorageFullError("full"), TargetUnavailable("gone")])
def test_results_that_are_in_when_the_search_is_interrupted_are_kept(tmp_path, error):
    asked = search_proxy.arguments([str(tmp_path), "--trials", "4", "--workers", "4"])
    executor = Interrupted(tmp_path / "log", None, 0.0, busy=False)
    executor.error = error
    with Study(search_proxy.setting(asked)) as study:
        options = Options(tmp_path, trials=4, workers=4)
        with pytest.raises(type(error)):
            Running(search_proxy.TASK, options, study, lambda _: None, {}).run(lambda _: executor)
        assert [t.number for t in study.trials()] == [1, 2, 3]
    html = (tmp_path / "front.html").read_text()
    assert "it was interrupted" in html
    assert 'http-equiv="refresh"' not in html


@pytest.mark.parametrize("sampler", ["tpe", "nsga2"])
def test_samplers_are_told_of_limits_and_of_what_was_given_up(tmp_path, sampler):
    run(tmp_path, "--trials", 16, "--sampler", sampler, "--workers", 2)
    trials = done(tmp_path)
    assert len(trials) == 16
    assert {t.outcome for t in trials} <= {"finished", "stopped"}
    assert all(t.lost > 7.5 for t in trials if t.outcome == "stopped")


def test_kill_9_mid_trial_loses_no_finished_one(tmp_path):
    killed = begin(tmp_path, "--trials", 8, "--hold-at", 5)
    until((tmp_path / "held").is_file, killed)
    killed.kill()
    killed.communicate()
    before = done(tmp_path)
    assert len(before) == 4
    run(tmp_path, "--trials", 8)
    after = done(tmp_path)
    assert after[:4] == before
    assert len(after) == 8
    held = int((tmp_path / "held").read_text())
    assert held not in {t.number for t in after}  # it was begun again under another number
    assert len(set(recipes(after))) == 8


def test_a_result_that_the_storage_never_got_is_told_when_it_is_back(tmp_path):
    """The process died between the folder and the database."""
    asked = search_proxy.arguments([str(tmp_path)])
    with Study(search_proxy.setting(asked)) as study:
        proposal = study.next()
    found = search_proxy.trial(search_proxy.Job(proposal.number, proposal.recipe.to_data(), 5.0))
    place = tmp_path / "trials" / f"{asked.key[:12]}-{proposal.number:05d}.json"
    place.parent.mkdir()
    place.write_text(search_proxy.codec.to_json(found))
    (place.parent / f"{asked.key[:12]}-00077.json").write_text("{broken")
    run(tmp_path, "--trials", 2)
    assert done(tmp_path)[0] == found
    assert proposal.number not in begun(tmp_path)


def lose(folder, number):
    """What another machine does with a trial of this one that gives no sign of life."""
    with Study(search_proxy.setting(search_proxy.arguments([str(folder)]))) as other:
        other._lost(next(t._trial_id for t in other._study.trials if t.number == number))


def test_a_result_that_comes_after_its_trial_was_given_up_is_kept_once(tmp_path):
    """A laptop slept for longer than three heartbeats, and another machine took its trial for lost."""
    with Study(search_proxy.setting(search_proxy.arguments([str(tmp_path)]))) as study:
        proposal = study.next()
        found = search_proxy.trial(search_proxy.Job(proposal.number, proposal.recipe.to_data(), 5.0))
        lose(tmp_path, proposal.number)
        assert study.record(found)
        (kept,) = study.trials()
        assert (kept.recipe, kept.file) == (found.recipe, found.file)
        assert study.next().recipe.name == "float16"  # the copy that waited is not tried again
        assert study.count() == (1, 1)


def test_a_late_result_is_not_kept_beside_that_of_who_began_the_trial_again(tmp_path):
    with Study(search_proxy.setting(search_proxy.arguments([str(tmp_path)]))) as study:
        proposal = study.next()
        lose(tmp_path, proposal.number)
        with Study(search_proxy.setting(search_proxy.arguments([str(tmp_path)]))) as other:
            proposals = [other.next() for _ in range(2)]
            again = next(p for p in proposals if p.recipe == proposal.recipe)
            assert other.record(search_proxy.trial(search_proxy.Job(again.number, again.recipe.to_data(), 5.0)))
        late = search_proxy.trial(search_proxy.Job(proposal.number, proposal.recipe.to_data(), 5.0))
        assert not study.record(late)
        assert [t.number for t in study.trials()] == [again.number]


def test_of_two_who_do_a_trial_the_first_to_end_has_it(tmp_path):
    """One was taken for lost; the other began it again, and ends after it."""
    with Study(search_proxy.setting(search_proxy.arguments([str(tmp_path)]))) as study:
        proposal = study.next()
        lose(tmp_path, proposal.number)
        with Study(search_proxy.setting(search_proxy.arguments([str(tmp_path)]))) as other:
            again = next(p for p in (other.next(), other.next()) if p.recipe == proposal.recipe)
            late, second = (
                search_proxy.trial(search_proxy.Job(p.number, p.recipe.to_data(), 5.0)) for p in (proposal, again)
            )
            assert study.record(late)
            assert not other.record(second)
        (kept,) = study.trials()
        assert kept.number not in (proposal.number, again.number)


def test_what_the_storage_says_is_done_only_where_the_space_has_it(tmp_path):
    """Whoever can write the database must not choose what code runs."""
    asked = search_proxy.arguments([str(tmp_path)])
    evil = {
        "schema": "edgeship.recipe/1",
        "name": "int8",
        "stages": [{"distil": {"student": "os:abort"}}],
        "variants": ["int8"],
    }
    with Study(search_proxy.setting(asked)) as study:
        study._study.enqueue_trial({}, user_attrs={"recipe": evil})
        begun = [study.next().recipe for _ in range(3)]
        refused = [t for t in study.trials() if t.outcome == "failed"]
    assert not any(recipe.stages and recipe.stages[0].word == "distil" for recipe in begun)
    assert ["no recipe of this space" in t.reason for t in refused] == [True]


def test_a_full_disk_is_said_and_loses_no_finished_trial(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("needs root to mount a small file system")
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1500k", "edgeship-test", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount a small file system here: {mounted.stderr.decode().strip()}")
    try:
        folder = disk / "search"
        run(folder, "--trials", 3)
        kept = done(folder)
        with suppress(OSError), (disk / "filler").open("wb", buffering=0) as filler:
            while True:
                filler.write(b"0" * 4096)
        with pytest.raises(StorageFullError):
            run(folder, "--trials", 200)
        (disk / "filler").unlink()
        between = done(folder)
        assert between[:3] == kept
        run(folder, "--trials", len(between) + 2)
        after = done(folder)
        assert all(trial in after for trial in between)
        assert len(after) >= len(between) + 2
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_other_storages_are_refused(tmp_path):
    for address in ("mysql://a/b", "sqlite:///x", "redis://h", "/etc/passwd"):
        with pytest.raises(InputError, match="no storage is addressed by"):
            done(tmp_path, "--storage", address)
    for address in ("postgresql://me:s3cret@db:54 32/x", "postgresql://me:s3%zzcret@db/x", "postgresql://me@db:1a/x"):
        with pytest.raises(InputError, match="cannot be read") as found:
            done(tmp_path, "--storage", address)
        assert "cret" not in str(found.value)


def test_two_workers_share_a_postgresql_and_one_is_killed(tmp_path, postgres):
    a, b = tmp_path / "a", tmp_path / "b"
    words = ("--storage", postgres.address, "--trials", 12, "--key", "killed" * 5)
    killed = begin(a, *words, "--hold-at", 4)
    until((a / "held").is_file, killed)
    before = done(a, *words)
    assert len(before) == 3
    killed.kill()
    killed.communicate()
    survivor = begin(b, *words)
    assert "12 trials are done" in survivor.communicate()[0]
    after = done(a, *words)
    assert all(trial in after for trial in before)
    assert len(after) == 12
    assert len(set(recipes(after))) == 12  # the held one among them, once
    assert int((a / "held").read_text()) not in {t.number for t in after}


def test_who_waits_for_the_trials_of_others_waits_quietly_and_begins_what_they_lost(tmp_path, postgres, monkeypatch):
    monkeypatch.setattr(search_proxy, "SPACE", search_proxy.space.Space(search_proxy.SPACE.fixed))
    words = ("--storage", postgres.address, "--key", "waits" * 6)
    looks = []
    count = Study.count
    monkeypatch.setattr(Study, "count", lambda self: looks.append(time.monotonic()) or count(self))
    with (
        Study(search_proxy.setting(search_proxy.arguments([str(tmp_path / "b"), *words]))) as other,
        ThreadPoolExecutor() as threads,
    ):
        held = other.next()
        waiting = threads.submit(run, tmp_path / "a", *words, "--trials", 5)
        until(lambda: len(begun(tmp_path / "a")) == 1)
        until(lambda: len(looks) > 6)
        other.again(held.number)
        assert waiting.result() == "nothing in the space is left to try"
    assert len(done(tmp_path / "a", *words)) == 2
    assert max(sum(0 <= other - look < 0.9 for other in looks) for look in looks) < 20


def test_all_machines_have_the_fact_that_the_first_noted(tmp_path, postgres):
    words = ("--storage", postgres.address, "--key", "notes" * 6)
    first, second = (search_proxy.setting(search_proxy.arguments([str(tmp_path / n), *words])) for n in "ab")
    with Study(first) as a, Study(second) as b, ThreadPoolExecutor() as threads:
        late = threads.submit(b.note, "yardstick_ms", {"local": 2.0})
        time.sleep(0.3)
        assert a.note("yardstick_ms", {"local": 1.0}) == {"local": 1.0}
        assert late.result() == {"local": 1.0}


def test_two_workers_at_once_do_no_trial_twice(tmp_path, postgres):
    # A machine under load may miss signs of life for seconds: nobody is to be given up for lost here.
    words = ("--storage", postgres.address, "--trials", 10, "--key", "both" * 6, "--seconds", 0.2, "--heartbeat", 60)
    both = [begin(tmp_path / name, *words, "--seed", n) for n, name in enumerate("ab")]
    for process in both:
        assert "10 trials are done" in process.communicate()[0]
    trials = done(tmp_path / "a", *words)
    mine, theirs = (begun(tmp_path / name) for name in "ab")
    assert len(set(recipes(trials))) == len(trials)
    assert len(trials) in (10, 11)  # the last two may be begun at once
    assert sorted({*mine, *theirs}) == sorted(t.number for t in trials)
    assert not {*mine} & {*theirs}


def test_cut_connections_and_a_crash_of_the_storage_lose_no_finished_trial(tmp_path, postgres):
    words = ("--storage", postgres.address, "--trials", 14, "--key", "cut" * 8, "--seconds", 0.3)
    process = begin(tmp_path, *words)
    for wanted in (2, 5):
        until(lambda wanted=wanted: len(begun(tmp_path)) >= wanted, process)
        assert postgres.connections() > 0
    until(lambda: len(begun(tmp_path)) >= 8, process)
    postgres.crash()
    postgres.start()
    assert "14 trials are done" in process.communicate()[0]
    trials = done(tmp_path, *words)
    assert {*begun(tmp_path)} <= {t.number for t in trials}
    assert len(trials) == 14


def test_a_storage_that_stays_away_is_an_error_and_the_search_goes_on_later(tmp_path, postgres):
    words = ("--storage", postgres.address, "--key", "away" * 6, "--patience", 0.5)
    process = begin(tmp_path, *words, "--trials", 30, "--seconds", 0.3)
    until(lambda: len(begun(tmp_path)) >= 3, process)
    postgres.crash()
    told = process.communicate()[0]
    assert process.returncode == 3
    assert "UnavailableError: the storage of the search (PostgreSQL) does not answer" in told
    postgres.start()
    finished = {*begun(tmp_path)}
    run(tmp_path, *words[:-1], 60, "--trials", 9)
    assert finished <= {t.number for t in done(tmp_path, *words[:-1], 60)}
