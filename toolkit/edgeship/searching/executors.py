"""Where trials run: in processes of this machine, on a Dask cluster, or on Ray."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

from edgeship import codec
from edgeship.child import Worker
from edgeship.errors import EdgeshipError, InputError, MissingPackageError, UnavailableError
from edgeship.searching.trial import run, run_text
from edgeship.searching.trials import Job, Task, Trial
from edgeship.types import Progress, ProgressCallback

#: For the result of a trial, a short text, to come from the worker.
_FETCH_SECONDS = 60
#: A result, or what kept a worker from giving one.
Result = Trial | EdgeshipError


class Executor(Protocol):
    """Runs trials, several at once."""

    def submit(self, job: Job) -> None:
        """Begin a trial."""

    def ended(self, seconds: float) -> list[tuple[int, Result]]:
        """Numbers and results of trials that came to an end; waits up to `seconds` for one."""

    def close(self) -> None:
        """End all that runs."""


def make(name: str, task: Task, workers: int, progress: ProgressCallback) -> Executor:
    """The executor `local`, `dask://ADDRESS` or `ray`.

    Raises InputError for another name, MissingPackageError, and UnavailableError where the cluster does not answer.
    """
    if name == "local":
        return LocalExecutor(task, workers, progress)
    if name.startswith("dask://"):
        return DaskExecutor(task, name.removeprefix("dask://"))
    if name == "ray":
        return RayExecutor(task, workers)
    raise InputError(f"no executor is called {name[:100]!r}", remedy="Allowed: local, dask://HOST:PORT, ray.")


class LocalExecutor:
    """Threads, each with a child process of its own that does the heavy work."""

    def __init__(self, task: Task, workers: int, progress: ProgressCallback) -> None:
        self._task, self._progress = task, progress
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._results: queue.SimpleQueue[tuple[int, Result]] = queue.SimpleQueue()
        self._workers = [Worker(task.limits) for _ in range(workers)]
        self._threads = [threading.Thread(target=self._work, args=(worker,), daemon=True) for worker in self._workers]
        for thread in self._threads:
            thread.start()

    def submit(self, job: Job) -> None:
        """Begin a trial as soon as a worker is free."""
        self._jobs.put(job)

    def ended(self, seconds: float) -> list[tuple[int, Result]]:
        """As `Executor`."""
        try:
            return [self._results.get(timeout=seconds)]
        except queue.Empty:
            return []

    def close(self) -> None:
        """End the children."""
        for worker in self._workers:
            worker.stop()
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join(timeout=30)
        for worker in self._workers:
            worker.close()

    def _work(self, worker: Worker) -> None:
        while (job := self._jobs.get()) is not None:
            told = _telling(self._progress, job)
            try:
                self._results.put((job.number, run(self._task, job, worker, told)))
            except EdgeshipError as error:
                self._results.put((job.number, error))
            except Exception as error:  # noqa: BLE001 - a bug costs its trial, and is told
                self._results.put((job.number, EdgeshipError(f"a bug of edgeship: {type(error).__name__}: {error}")))


def _telling(progress: ProgressCallback, job: Job) -> ProgressCallback:
    """Progress of a trial as a message of the search."""

    def told(event: Progress) -> None:
        progress(Progress("search", -1, None, f"{job.number}: {job.recipe['name']}: {event.stage} {event.message}"))

    return told


class DaskExecutor:
    """Trials as tasks of a Dask cluster, which begins them again where a worker was lost."""

    def __init__(self, task: Task, address: str, run: Callable[[str, str], str] = run_text) -> None:
        try:
            import distributed
        except ImportError as error:
            raise MissingPackageError("dask:// needs Dask", remedy="Get it: pip install 'edgeship[dask]'") from error
        self._text, self._run = codec.to_json(task), run
        try:
            client: Any = distributed.Client
            self._client: Any = client(address, timeout=10, set_as_default=False)
        except (OSError, TimeoutError) as error:
            raise _no_cluster(address, error) from error
        self._address = address
        self._futures: dict[Any, int] = {}
        self._done: queue.SimpleQueue[tuple[Any, Result]] = queue.SimpleQueue()

    def submit(self, job: Job) -> None:
        """Begin a trial on a worker of the cluster."""
        future = self._client.submit(self._run, self._text, codec.to_json(job), pure=False, retries=2)
        self._futures[future] = job.number
        # Results are fetched as they come: they would be lost with the scheduler.
        future.add_done_callback(lambda done: self._done.put((done, self._result(done))))

    def ended(self, seconds: float) -> list[tuple[int, Result]]:
        """As `Executor`. Raises UnavailableError where the scheduler is gone."""
        lost = self._client.status not in ("running", "newly-created")
        try:
            future, result = self._done.get(timeout=0.0 if lost else seconds)
        except queue.Empty:
            if lost:
                raise _no_cluster(self._address, f"the client is {self._client.status}") from None
            return []
        return [(self._futures.pop(future), result)]

    def _result(self, future: Any) -> Result:
        try:
            if future.status == "finished":
                return codec.from_json(Trial, future.result(timeout=_FETCH_SECONDS))
            if future.status not in ("cancelled", "lost"):
                error = future.exception(timeout=_FETCH_SECONDS)
                return error if isinstance(error, EdgeshipError) else EdgeshipError(f"{type(error).__name__}: {error}")
        except Exception as error:  # noqa: BLE001 - whatever Dask raises when its scheduler goes meanwhile
            return UnavailableError(f"the scheduler lost the trial: {type(error).__name__}")
        return UnavailableError("the scheduler lost the trial")

    def close(self) -> None:
        """Give the trials up that run; the cluster stays."""
        with suppress(Exception):  # the scheduler may be gone
            self._client.cancel(list(self._futures), force=True)
        with suppress(Exception):
            self._client.close(timeout=5)


def _no_cluster(address: str, error: object) -> UnavailableError:
    return UnavailableError(
        f"the Dask scheduler at {address} does not answer: {error}",
        remedy="Start one (dask scheduler; dask worker ADDRESS --nthreads 1), and run the same command again.",
    )


class RayExecutor:
    """Trials as tasks of Ray, which begins them again where a worker was lost."""

    def __init__(self, task: Task, workers: int, run: Callable[[str, str], str] = run_text) -> None:
        try:
            import ray
        except ImportError as error:
            raise MissingPackageError("ray needs Ray", remedy="Get it: pip install 'edgeship[ray]'") from error
        self._ray, self._text = ray, codec.to_json(task)
        self._begun = not ray.is_initialized()
        if self._begun:
            ray.init(num_cpus=None if _ray_address() else workers, include_dashboard=False, log_to_driver=False)
        self._run = ray.remote(num_cpus=1, max_retries=2)(run)
        self._tasks: dict[Any, int] = {}

    def submit(self, job: Job) -> None:
        """Begin a trial on a worker of Ray."""
        self._tasks[self._run.remote(self._text, codec.to_json(job))] = job.number

    def ended(self, seconds: float) -> list[tuple[int, Result]]:
        """As `Executor`."""
        if not self._tasks:
            return []
        done, _ = self._ray.wait(list(self._tasks), num_returns=1, timeout=seconds)
        return [(self._tasks.pop(task), self._result(task)) for task in done]

    def _result(self, task: Any) -> Result:
        try:
            return codec.from_json(Trial, self._ray.get(task))
        except self._ray.exceptions.RayTaskError as error:
            cause = error.cause
            return cause if isinstance(cause, EdgeshipError) else EdgeshipError(f"{type(cause).__name__}: {cause}")
        except self._ray.exceptions.RayError as error:
            return UnavailableError(f"Ray lost the trial: {type(error).__name__}")

    def close(self) -> None:
        """Give the trials up that run; leave Ray if it was begun here."""
        for task in self._tasks:
            with suppress(Exception):  # it may have ended
                self._ray.cancel(task, force=True)
        if self._begun:
            self._ray.shutdown()


def _ray_address() -> str | None:
    import os

    return os.environ.get("RAY_ADDRESS")
