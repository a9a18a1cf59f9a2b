"""Supervised child processes that speak JSON lines: the ground for workers and measuring agents.

One request is one line on the child's standard input; the answer is one line `{"result": ...}` or `{"error": ...}` on
its standard output, after any number of `{"progress": ...}` lines. A child has its own session (process group), a time
limit for each request, a memory limit (Linux), no GPU, and its standard error kept in a file from
which the last lines go into the error message. Whatever happens to it, the parent gets a typed error.
"""

from __future__ import annotations

import fcntl
import functools
import json
import os
import select
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Concatenate, NoReturn, ParamSpec, Protocol, TypeVar, get_type_hints

from edgeship.closing import Closing
from edgeship.codec import from_data, from_json, to_data, to_json
from edgeship.errors import (
    ChildCrashed,
    ChildError,
    ChildOutOfMemory,
    ChildTimeout,
    EdgeshipError,
    InputError,
    TargetUnavailable,
    from_wire,
)
from edgeship.types import Progress, ProgressCallback

T = TypeVar("T")
P = ParamSpec("P")

#: What Python prints on standard error, or the kernel sends, when memory runs out.
_MEMORY_SIGNS = ("MemoryError", "std::bad_alloc", "OOM when allocating", "JavaScript heap out of memory")

#: A child may be on a board that nobody here trusts; real answers are some MiB at most.
_LONGEST_LINE_BYTES = 256 << 20

#: What is kept of a child's standard error: so much at most, this much at least; and how often that is looked after.
_MOST_STDERR_BYTES, _TAIL_BYTES, _LOOK_SECONDS = 16 << 20, 8192, 1.0


@dataclass(frozen=True)
class Limits:
    """Limits of a child.

    Attributes:
        seconds: longest time without an answer or a sign of progress.
        memory_mib: bound of its private data (RLIMIT_DATA); None = this machine's physical memory.
    """

    seconds: float = 900.0
    memory_mib: int | None = None


#: How a worker is told under which limits it was started, for what it starts itself.
_INHERITED = "EDGESHIP_CHILD_LIMITS"


def _inherited() -> Limits:
    try:
        return from_json(Limits, os.environ.get(_INHERITED, "{}"))
    except InputError:
        return Limits()


#: Where no request says otherwise.
_OUTSIDE = _inherited()
_IN_FORCE: ContextVar[Limits] = ContextVar("limits", default=_OUTSIDE)


def limits_in_force() -> Limits:
    """Those of the request that is worked on, for children that are started deep inside it."""
    return _IN_FORCE.get()


@contextmanager
def limited(limits: Limits) -> Iterator[None]:
    """Put limits in force for this block. A thread that is started in it has its own, unless it runs in our context."""
    before = _IN_FORCE.set(limits)
    try:
        yield
    finally:
        _IN_FORCE.reset(before)


class _Limiting(Protocol):
    @property
    def limits(self) -> Limits: ...


R = TypeVar("R", bound=_Limiting)


def under_its_limits(work: Callable[Concatenate[R, P], T]) -> Callable[Concatenate[R, P], T]:
    """Work on a request with the limits that it names in force."""

    @functools.wraps(work)
    def limiting(request: R, /, *more: P.args, **named: P.kwargs) -> T:
        with limited(request.limits):
            return work(request, *more, **named)

    return limiting


def _physical_memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"{word} is no JSON number")


def _parse(line: bytes) -> dict[str, Any] | None:
    """An answer, or None for anything else."""
    try:
        answer = json.loads(line, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    if not isinstance(answer, dict) or not answer.keys() & {"progress", "result", "error"}:
        return None
    return answer if isinstance(answer.get("error", {}), dict) else None


class Child(Closing):
    """A running child process. Use as a context manager: leaving it ends the whole process group."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        name: str,
        limits: Limits = Limits(),
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self._limits = limits
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed in close()
        # The child then goes on at the end, wherever that is after `_cut_stderr`.
        fcntl.fcntl(self._stderr, fcntl.F_SETFL, os.O_APPEND)
        try:
            self._process = subprocess.Popen(
                list(command),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._stderr,
                env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1", **(env or {})},
                start_new_session=True,
            )
        except OSError as error:
            self._stderr.close()
            raise TargetUnavailable(f"{name}: cannot start {command[0]}: {error}") from error
        self._limit_memory()
        self._buffer = bytearray()
        self._selector = selectors.DefaultSelector()
        assert self._process.stdout is not None
        self._selector.register(self._process.stdout, selectors.EVENT_READ)

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None

    @property
    def pid(self) -> int:
        """Process id, which is also the id of its process group."""
        return self._process.pid

    def request(
        self, message: Mapping[str, Any], *, progress: ProgressCallback | None = None, seconds: float | None = None
    ) -> Any:
        """Send one request and wait for its result.

        Raises the child's own typed error, or ChildCrashed, ChildTimeout, ChildOutOfMemory; after these three, and
        after anything that `progress` raises, the child is gone.
        """
        if self._stderr.closed:
            raise ChildCrashed(f"{self.name} has ended already")
        text = json.dumps(message).encode() + b"\n"
        try:
            answer = self._exchange(text, progress, self._limits.seconds if seconds is None else seconds)
        except BaseException:
            # Whatever went wrong, the answer may still come: the next request would take it for its own.
            self.close()
            raise
        if "error" not in answer:
            return answer["result"]
        error = from_wire(answer["error"])
        if isinstance(error, ChildError):
            self.close()
        raise error

    def _exchange(self, text: bytes, progress: ProgressCallback | None, seconds: float) -> Mapping[str, Any]:
        """Send a request; the answer with a result or an error."""
        deadline = time.monotonic() + seconds
        self._write(text, deadline, seconds)
        while True:
            line = self._read_line(deadline, seconds)
            answer = _parse(line)
            if answer is None:
                raise ChildCrashed(f"{self.name} gave no valid answer but {line[:200].decode(errors='replace')!r}")
            if "progress" not in answer:
                return answer
            deadline = time.monotonic() + seconds
            if progress is not None:
                progress(from_data(Progress, answer["progress"]))

    def _write(self, text: bytes, deadline: float, seconds: float) -> None:
        """Write all of a request, which a child that hangs may never read."""
        assert self._process.stdin is not None
        pipe = self._process.stdin.fileno()
        with selectors.DefaultSelector() as selector:
            selector.register(pipe, selectors.EVENT_WRITE)
            while text:
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    raise self._timeout(seconds)
                try:
                    text = text[os.write(pipe, text[: select.PIPE_BUF]) :]  # that much never blocks now
                except BrokenPipeError:
                    raise self._death() from None

    def _timeout(self, seconds: float) -> ChildTimeout:
        return ChildTimeout(
            f"{self.name} gave no sign for {seconds:g} s and was stopped",
            remedy="Raise the limit with --time-limit SECONDS, or leave this format out.",
        )

    def _read_line(self, deadline: float, seconds: float) -> bytes:
        assert self._process.stdout is not None
        while b"\n" not in self._buffer:
            self._cut_stderr()
            left = deadline - time.monotonic()
            if left <= 0:
                raise self._timeout(seconds)
            if not self._selector.select(min(left, _LOOK_SECONDS)):
                continue
            chunk = os.read(self._process.stdout.fileno(), 1 << 16)
            if not chunk:
                raise self._death()
            self._buffer += chunk
            if len(self._buffer) > _LONGEST_LINE_BYTES:
                raise ChildCrashed(f"{self.name} gave an answer of more than {_LONGEST_LINE_BYTES >> 20} MiB")
        line, _, rest = bytes(self._buffer).partition(b"\n")
        self._buffer = bytearray(rest)
        return line

    def status(self) -> int | None:
        """Exit status of a child that closed its output; None if it lives on regardless."""
        try:
            return self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            return None

    def _death(self) -> EdgeshipError:
        """The error for a child that closed its output without an answer."""
        status = self.status()
        tail = self.last_lines()
        if status == -signal.SIGKILL or any(sign in tail for sign in _MEMORY_SIGNS):
            return ChildOutOfMemory(f"{self.name} ran out of memory and was stopped", remedy=tail)
        if status is None:
            what = "closed its output"
        else:
            what = f"died of {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        return ChildCrashed(f"{self.name} {what}", remedy=f"Its last lines:\n{tail}" if tail else "")

    def last_lines(self, count: int = 8) -> str:
        """The last lines that the child wrote on standard error."""
        lines = self._stderr_tail().decode(errors="replace").splitlines()
        return "\n".join(line[:400] for line in lines[-count:])

    def _stderr_tail(self) -> bytes:
        file = self._stderr.fileno()
        return os.pread(file, _TAIL_BYTES, max(0, os.fstat(file).st_size - _TAIL_BYTES))

    def _cut_stderr(self) -> None:
        """Keep only the end of what the child wrote, should it write without end: a worker lives for hours."""
        file = self._stderr.fileno()
        if os.fstat(file).st_size > _MOST_STDERR_BYTES:
            tail = self._stderr_tail()
            os.ftruncate(file, 0)
            os.write(file, tail)

    def close(self) -> None:
        """End the child and everything it started; safe to call twice."""
        if self._stderr.closed:
            return
        with suppress(ProcessLookupError, PermissionError):  # already gone (macOS refuses to signal a zombie)
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._selector.close()
        for stream in (self._process.stdin, self._process.stdout, self._stderr):
            try:
                if stream is not None:
                    stream.close()
            except BrokenPipeError:
                pass  # an unsent request of a dead child

    def kill(self) -> None:
        """End the child from another thread than the one that waits for its answer, which then gets a ChildCrashed."""
        if self.alive:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def _limit_memory(self) -> None:
        if sys.platform != "linux":
            return  # macOS does not enforce RLIMIT_DATA; the time limit still holds there
        import resource

        mib = self._limits.memory_mib
        limit = _physical_memory_bytes() if mib is None else mib << 20
        try:
            resource.prlimit(self._process.pid, resource.RLIMIT_DATA, (limit, limit))
        except ProcessLookupError:
            pass  # died at once; the first request reports it


class Worker(Closing):
    """A warm child that runs functions of ours which may need TensorFlow: `worker.call(inspect, path=...)`.

    Arguments and results are values of `edgeship.types` or plain data. If the child dies, only the running call is
    lost: the next call starts a fresh one. The child is `python -m edgeship_converters.worker`, a plain command, so
    that an unguarded training script is never run again. Keras has its standard settings there, whatever the user's
    `keras.json` and `KERAS_BACKEND` say.
    """

    def __init__(self, limits: Limits = Limits()) -> None:
        self.limits = limits
        self._child: Child | None = None
        self._stopped = False

    def call(self, function: Callable[..., T], /, *, progress: ProgressCallback | None = None, **arguments: Any) -> T:
        """Run `function(**arguments)` in the child and return its result.

        A parameter of the function named `progress` is filled in the child and arrives at `progress` here. Raises
        what the function raised (typed errors keep their class), or a ChildError.
        """
        if self._child is None or not self._child.alive:
            self.close()
            # -P: nothing is imported from the working directory but what the user names (see edgeship.references).
            command = [sys.executable, "-P", "-m", "edgeship_converters.worker"]
            env = {_INHERITED: to_json(self.limits)}
            self._child = Child(command, name="worker", limits=self.limits, env=env)
        if self._stopped:
            self.close()
            raise ChildCrashed("the worker was stopped")
        self._child.name = f"worker ({function.__qualname__})"
        message = {"call": f"{function.__module__}:{function.__qualname__}", "arguments": to_data(arguments)}
        result = self._child.request(message, progress=progress)
        returns: type[T] = get_type_hints(function)["return"]
        return result if returns is type(None) else from_data(returns, result)

    def stop(self) -> None:
        """End the child from another thread: the call that runs, and any later one, raises ChildCrashed."""
        self._stopped = True
        child = self._child
        if child is not None:
            child.kill()

    def close(self) -> None:
        """End the child, if one runs."""
        if self._child is not None:
            self._child.close()
            self._child = None
