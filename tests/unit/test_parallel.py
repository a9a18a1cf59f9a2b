"""Jobs on several workers: in order, in parallel where they take long, and nothing left running when one fails."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from edgeship import parallel, resources
from edgeship.child import Limits, Worker, limited, limits_in_force
from edgeship.errors import ArtifactError, ChildCrashed, ChildOutOfMemory, StorageFullError
from edgeship.parallel import room, run_jobs
from edgeship.types import Progress, ProgressCallback


def pid_after(seconds: float) -> int:
    time.sleep(seconds)
    return os.getpid()


def pid_in_a_minute(progress: ProgressCallback) -> int:
    progress(Progress("begun", 0))
    return pid_after(50)


def crash() -> int:
    os.abort()


@pytest.fixture
def first(monkeypatch: pytest.MonkeyPatch) -> Iterator[Worker]:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    monkeypatch.setattr(parallel, "START_SECONDS", 0.2)
    with Worker(Limits(seconds=60)) as worker:
        yield worker


def wait(worker: Worker, seconds: float) -> int:
    return worker.call(pid_after, seconds=seconds)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_results_are_in_order_and_short_jobs_start_no_second_worker(
    first: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parallel, "START_SECONDS", 60.0)
    assert run_jobs(first, [lambda worker, n=n: (n, wait(worker, 0)) for n in range(5)], workers=4) == [
        (n, wait(first, 0)) for n in range(5)
    ]


def test_a_second_worker_joins_while_jobs_wait_and_ends_with_them(first: Worker) -> None:
    others_done = threading.Semaphore(0)

    def long(worker: Worker) -> int:
        assert all(others_done.acquire(timeout=60) for _ in range(2))
        return wait(worker, 0)

    def short(worker: Worker) -> int:
        try:
            return wait(worker, 0)
        finally:
            others_done.release()

    pids = run_jobs(first, [long, short, short], workers=2)
    assert pids[0] == wait(first, 0)
    assert pids[1] == pids[2] != pids[0]
    assert not _runs(pids[1])


def test_no_more_workers_than_asked_for(first: Worker) -> None:
    assert len(set(run_jobs(first, [partial(wait, seconds=0.3)] * 4, workers=1))) == 1


def test_a_crash_costs_only_its_own_job(first: Worker) -> None:
    def careful(worker: Worker) -> str:
        try:
            return str(worker.call(crash))
        except ChildCrashed as error:
            return error.message

    crashed, *others = run_jobs(first, [careful, *[lambda worker: str(wait(worker, 0))] * 3], workers=2)
    assert "SIGABRT" in crashed
    assert all(other.isdigit() for other in others)


@pytest.mark.parametrize("where", ["the first", "another"])
def test_the_first_error_stops_all(first: Worker, where: str) -> None:
    """Jobs that would take a minute end at once, whichever thread has the error."""
    main, both = threading.current_thread(), threading.Barrier(2, timeout=60)

    def full(worker: Worker) -> int:
        if (threading.current_thread() is main) != (where == "the first"):
            return worker.call(pid_in_a_minute, progress=lambda _: both.wait())
        both.wait()
        raise StorageFullError("no space left")

    start = time.monotonic()
    with pytest.raises(StorageFullError, match="no space left"):
        run_jobs(first, [full, full, partial(wait, seconds=0)], workers=2)
    assert time.monotonic() - start < 30
    if where == "another":
        with pytest.raises(ChildCrashed, match="stopped"):
            wait(first, 0)


def test_an_interrupt_stops_all(first: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    pids: list[int] = []

    def long(worker: Worker) -> int:
        if threading.current_thread() is threading.main_thread():
            while len(pids) < 1:
                time.sleep(0.01)
            raise KeyboardInterrupt
        pids.append(wait(worker, 0))
        return wait(worker, 50)

    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run_jobs(first, [long, long], workers=2)
    assert time.monotonic() - start < 30
    assert not _runs(pids[0])


def test_an_error_of_a_job_keeps_its_type(first: Worker) -> None:
    def wrong(_: Worker) -> int:
        raise ArtifactError("wrong")

    with pytest.raises(ArtifactError, match="wrong"):
        run_jobs(first, [wrong])


def test_there_is_room_for_one_at_least(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 1 <= room() <= (os.cpu_count() or 1)
    monkeypatch.setattr(resources, "cores", lambda: 64)
    monkeypatch.setattr(resources, "free_mib", lambda: 8192)
    assert (room(), room(6000), room(9000)) == (5, 2, 1)


def test_jobs_have_the_limits_of_the_request_on_every_worker(first: Worker) -> None:
    given = Limits(seconds=77)

    def job(worker: Worker) -> tuple[int, Limits]:
        return worker.call(pid_after, seconds=0.5), limits_in_force()

    with limited(given):
        found = run_jobs(first, [job] * 4, workers=2)
    assert len({pid for pid, _ in found}) == 2
    assert {limits for _, limits in found} == {given}


def test_what_had_too_little_memory_is_done_again_alone(first: Worker) -> None:
    """The sizes of models are guesses, and others use the machine too."""
    both = threading.Barrier(2, timeout=60)
    tries: list[str] = []

    def hungry(worker: Worker, name: str) -> str:
        tries.append(name)
        if tries.count(name) == 1:
            both.wait()  # fails unless two are at it
        if tries.count(name) == 1 or name == "too large":
            raise ChildOutOfMemory(name)
        assert worker is first
        return name

    found = run_jobs(first, [partial(hungry, name=name) for name in ("large", "too large")], workers=2)
    assert found[0] == "large"
    assert isinstance(found[1], ChildOutOfMemory)
    assert sorted(tries) == ["large", "large", "too large", "too large"]


def test_one_that_was_alone_anyway_is_not_done_again(first: Worker) -> None:
    begun: list[Worker] = []

    def hungry(worker: Worker) -> int:
        begun.append(worker)
        raise ChildOutOfMemory("no memory")

    (found,) = run_jobs(first, [hungry], workers=1)
    assert isinstance(found, ChildOutOfMemory)
    assert len(begun) == 1


def test_another_worker_starts_only_while_there_is_memory_for_it(
    first: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There was when the jobs began, before the first had loaded anything."""
    free = iter([100_000])
    monkeypatch.setattr(resources, "free_mib", lambda: next(free, 1000))
    monkeypatch.setattr(resources, "cores", lambda: 4)
    assert len(set(run_jobs(first, [partial(wait, seconds=0.4)] * 4))) == 1
