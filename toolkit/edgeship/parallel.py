"""Jobs for warm workers: on one at first, on more where waiting has shown that these pay for their start."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import copy_context
from typing import Generic, TypeVar

from edgeship import resources
from edgeship.child import Limits, Worker
from edgeship.errors import ChildOutOfMemory

T = TypeVar("T")
Job = Callable[[Worker], T]

#: What starting TensorFlow costs, about. While jobs wait, a worker joins each time this has gone by: that is never
#: much dearer than the best choice in hindsight, however long the jobs turn out to be (the ski-rental problem).
START_SECONDS = 5.0
#: Memory that a worker is given room for before it is started: TensorFlow, and a small model.
WORKER_MIB = 2048


def room(worker_mib: int = WORKER_MIB) -> int:
    """How many workers the cores and the free memory allow, a first one that runs already counted; at least 1."""
    free_mib = resources.free_mib()
    cores = resources.cores()
    return cores if free_mib is None else max(1, min(cores, 1 + free_mib // worker_mib))


def run_jobs(
    first: Worker, jobs: Sequence[Job[T]], *, workers: int | None = None, worker_mib: int = WORKER_MIB
) -> list[T | ChildOutOfMemory]:
    """Results of the jobs, in their order.

    Jobs begin in order. Those on `first` run in the calling thread, the others in threads of their own, so what jobs
    share must bear that. The first error ends all: jobs that run are stopped with their children, and it is raised.
    Only that there is too little memory is a result: of a job that said so once more when it was run alone.

    Args:
        first: a warm worker, which stays open.
        jobs: each is called with a worker of its own for that time.
        workers: how many at most; None: `room()`, asked again when one more is to start.
        worker_mib: what a worker needs.
    """
    queue = _Queue(jobs, None if workers is not None else worker_mib)
    most = min(room(worker_mib) if workers is None else workers, len(jobs))
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
    if queue.error is None and queue.shared:
        queue.work_again(first)
    if queue.error is not None:
        raise queue.error
    return [queue.results[n] for n in range(len(jobs))]


class _Queue(Generic[T]):
    """Jobs that several threads take from.

    Attributes:
        results: by the number of the job.
        error: the first.
        shared: whether more than one worker was at it.
    """

    def __init__(self, jobs: Sequence[Job[T]], worker_mib: int | None) -> None:
        self.results: dict[int, T | ChildOutOfMemory] = {}
        self.error: BaseException | None = None
        self.shared = False
        self._jobs, self._worker_mib = jobs, worker_mib
        self._waiting = list(enumerate(jobs))[::-1]
        self._lock = threading.Lock()
        self._empty = threading.Event()  # nothing is left to begin
        self._busy: set[Worker] = set()

    def help(self, seconds: float, limits: Limits) -> None:
        """Do jobs on a worker of its own, should any be left to begin after that time, once there is memory for it."""
        while not self._empty.wait(seconds):
            if self._fits():
                self.shared = True
                with Worker(limits) as worker:
                    self.work(worker)
            seconds = START_SECONDS

    def _fits(self) -> bool:
        """Whether one more worker does, beside what those that run have taken by now."""
        free_mib = None if self._worker_mib is None else resources.free_mib()
        return free_mib is None or self._worker_mib is None or free_mib >= self._worker_mib

    def work_again(self, worker: Worker) -> None:
        """Do what there was too little memory for, now that nothing runs beside it."""
        again = [number for number, found in self.results.items() if isinstance(found, ChildOutOfMemory)]
        self._waiting = [(number, self._jobs[number]) for number in sorted(again, reverse=True)]
        self.work(worker)

    def work(self, worker: Worker) -> None:
        """Do jobs until none is left to begin."""
        while (taken := self._take()) is not None:
            number, job = taken
            try:
                with self._running(worker):
                    self.results[number] = job(worker)
            except ChildOutOfMemory as error:
                self.results[number] = error
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
