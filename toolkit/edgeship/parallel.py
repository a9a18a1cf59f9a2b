"""Jobs for warm workers: on one at first, on more where waiting has shown that these pay for their start."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import copy_context
from pathlib import Path
from typing import Generic, TypeVar

from edgeship.child import Limits, Worker

T = TypeVar("T")
Job = Callable[[Worker], T]

#: What starting TensorFlow costs, about. While jobs wait, a worker joins each time this has gone by: that is never
#: much dearer than the best choice in hindsight, however long the jobs turn out to be (the ski-rental problem).
START_SECONDS = 5.0
#: Memory that a worker is given room for before it is started.
WORKER_MIB = 2048


def room() -> int:
    """How many workers the cores and the free memory allow, a first one that runs already counted; at least 1."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    free_mib = _free_mib()
    return cores if free_mib is None else max(1, min(cores, 1 + free_mib // WORKER_MIB))


def _free_mib() -> int | None:
    """Memory that can be had without swapping, MiB; None where the system does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) >> 10 for line in lines if line.startswith("MemAvailable:")), None)


def run_jobs(first: Worker, jobs: Sequence[Job[T]], *, workers: int | None = None) -> list[T]:
    """Results of the jobs, in their order.

    Jobs begin in order. Those on `first` run in the calling thread, the others in threads of their own, so what jobs
    share must bear that. The first error ends all: jobs that run are stopped with their children, and it is raised.

    Args:
        first: a warm worker, which stays open.
        jobs: each is called once with a worker of its own for that time.
        workers: how many at most; None: `room()`.
    """
    queue = _Queue(jobs)
    most = min(room() if workers is None else workers, len(jobs))
    # In our context, so that what a job starts is held to the same limits on every worker.
    helpers = [
        threading.Thread(target=copy_context().run, args=(queue.help, START_SECONDS * n, first.limits))
        for n in range(1, most)
    ]
    try:
        for helper in helpers:
            helper.start()
        queue.work(first)
        for helper in helpers:
            helper.join()
    except BaseException:
        queue.stop()
        raise
    finally:
        for helper in helpers:
            helper.join()
    if queue.error is not None:
        raise queue.error
    return [queue.results[n] for n in range(len(jobs))]


class _Queue(Generic[T]):
    """Jobs that several threads take from."""

    def __init__(self, jobs: Sequence[Job[T]]) -> None:
        self.results: dict[int, T] = {}
        self.error: BaseException | None = None
        self._waiting = list(enumerate(jobs))[::-1]
        self._lock = threading.Lock()
        self._empty = threading.Event()  # nothing is left to begin
        self._busy: set[Worker] = set()

    def help(self, seconds: float, limits: Limits) -> None:
        """Do jobs on a worker of its own, should any be left to begin after that time."""
        if not self._empty.wait(seconds):
            with Worker(limits) as worker:
                self.work(worker)

    def work(self, worker: Worker) -> None:
        """Do jobs until none is left to begin."""
        while (taken := self._take()) is not None:
            number, job = taken
            try:
                with self._running(worker):
                    self.results[number] = job(worker)
            except BaseException as error:  # noqa: BLE001 - the thread that asked for the jobs raises it
                self._fail(error)

    def _take(self) -> tuple[int, Job[T]] | None:
        with self._lock:
            taken = self._waiting.pop() if self._waiting else None
            if not self._waiting:
                self._empty.set()
            return taken

    def _fail(self, error: BaseException) -> None:
        with self._lock:
            self.error = self.error or error
        self.stop()

    def stop(self) -> None:
        """Begin nothing more, and end the children of jobs that run."""
        with self._lock:
            self._waiting.clear()
            self._empty.set()
            for worker in self._busy:
                worker.stop()

    @contextmanager
    def _running(self, worker: Worker) -> Iterator[None]:
        with self._lock:
            self._busy.add(worker)
        try:
            yield
        finally:
            with self._lock:
                self._busy.discard(worker)
