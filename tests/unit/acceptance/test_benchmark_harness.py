"""The harness of the trials: its load comes, goes and ends, its records are gone on with, its rules are the rules."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from tests.acceptance.benchmarks import __main__ as command
from tests.acceptance.benchmarks import layers, load, overhead, trials
from tests.sharing import Shared

from edgeship.types import Plan

_TRIAL = trials.Trial(0, "no difference", 1.001, 0.99, 1.01, 20.0, 9, 0.3)
_QUICK = Plan(min_runs=30, min_seconds=0.1, rounds=3, repeats=2, warmup_max_runs=20)


@pytest.fixture(scope="session")
def models(shared: Shared) -> Path:
    """Files of 20 and 21 layers."""

    def make(folder: Path) -> None:
        script = [sys.executable, str(layers.__file__), str(folder), "20", "21"]
        done = subprocess.run(script, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr

    return shared("layers", make)


def test_the_load_works_and_rests_and_ends() -> None:
    others = set(_children())  # of the process that runs all tests
    with load.background(3) as turns:
        (child,) = [pid for pid in _children() if pid not in others]
        on, off, again = [_seconds_at(turns, number, child) for number in (1, 2, 3)]
    assert turns[:3] == ["on", "off", "on"]
    assert again - off < off - on
    assert set(_children()) <= others


def _seconds_at(turns: list[str], number: int, pid: int) -> float:
    """Processor time of the load when it has begun so many turns."""
    deadline = time.monotonic() + 60
    while len(turns) < number and time.monotonic() < deadline:
        time.sleep(0.01)
    return _seconds_of(pid)


def _children() -> list[int]:
    return [int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]


def _seconds_of(pid: int) -> float:
    """Processor time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_a_trial_is_a_call_of_the_local_target(models: Path) -> None:
    started = time.monotonic()
    found = trials.trial(trials.Kind("five", 20, 21), models, 7, _QUICK)
    assert 0 < found.seconds <= round(time.monotonic() - started, 1)
    assert found.seed == 7
    assert found.word in ("faster", "slower", "no difference", "undecided")
    assert 0 < found.low < found.ratio < found.high


def test_records_are_gone_on_with(tmp_path: Path) -> None:
    assert trials.read("aa", tmp_path) == ("", [])
    kept = [replace(_TRIAL, seed=seed) for seed in range(3)]
    trials.write("aa", kept, tmp_path)
    assert trials.read("aa", tmp_path) == (trials.method(), kept)


def test_only_what_is_missing_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def trial(kind: trials.Kind, models: Path, seed: int) -> trials.Trial:
        asked.append(seed)
        return replace(_TRIAL, seed=seed)

    original_read, original_write = trials.read, trials.write
    monkeypatch.setattr(trials, "trial", trial)
    monkeypatch.setattr(trials, "read", lambda name: original_read(name, tmp_path))
    monkeypatch.setattr(trials, "write", lambda name, found: original_write(name, found, tmp_path))
    kind = trials.KINDS[0]
    assert command._run(kind, 2, tmp_path)
    assert command._run(kind, 4, tmp_path)
    assert asked == [0, 1, 2, 3]
    monkeypatch.setattr(trials, "method", lambda: "another")
    assert command._run(kind, 2, tmp_path)
    assert asked == [0, 1, 2, 3, 0, 1]


def test_what_counts() -> None:
    found = [_TRIAL, replace(_TRIAL, word="faster"), replace(_TRIAL, word="slower")]
    found += [replace(_TRIAL, word="slower", seconds=61.0), replace(_TRIAL, word="undecided")]
    assert trials.called(found) == 3
    assert trials.right(found) == 1  # the true one, in time
    assert [round(kind.true_ratio, 4) for kind in trials.KINDS] == [1.0, 1.05, 1.0303]


def test_overhead_takes_turns(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overhead, "BURSTS", 1)
    (found,) = overhead.rounds(models / "20.tflite", 1)
    assert min(found.ours, found.bare, found.tool) > 0
    bare, tool = overhead.ratios([found])
    assert (bare, tool) == (found.ours / found.bare, found.ours / found.tool)
