"""What connections to other machines share: a command there, the lease, that holds a folder, and commands beside it.

Everything on the other machine is in that folder. The lease waits on its standard input; when that ends, because we
closed it, were killed, or the connection broke, it ends what runs there and removes the folder. What an earlier lease
could not remove, because the machine lost power for instance, the next one does.

What a command on the other machine is given never becomes part of its script.
"""

from __future__ import annotations

import os
import selectors
import shlex
import signal
import subprocess
import tempfile
import threading
import time
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from edgeship.closing import Closing
from edgeship.errors import ConnectionLost, EdgeshipError, StorageFullError, TargetUnavailable
from edgeship_benchmarks.transports import lease
from edgeship_benchmarks.transports.lease import Board

_COMMAND_SECONDS = 120.0
#: What a command may answer where the caller names no limit.
_ANSWER_BYTES = 1 << 20
_CHUNK = 1 << 16
_TAIL_BYTES = 8192
#: Time for the other machine to end what runs and remove its folder.
_CLEANING_SECONDS = 10
#: No network or cable is slower than that for long.
_SLOWEST_BYTES_PER_SECOND = 50_000
#: What programs say where a disk is full.
_FULL = ("No space left on device", "Disk quota exceeded")


class LeasedConnection(Closing):
    """An open connection. Use as a context manager; leaving it removes the folder on the other machine.

    Args:
        name: of the other machine, for messages.
        start: the command of this machine that runs the lease there.
        seconds: the longest time until the lease answers.

    Raises:
        TargetUnavailable: the other machine cannot be reached or will not let us in; with the remedy.
        StorageFullError: no folder can be made there.
    """

    #: What to do where a connection was lost.
    when_lost = "Is it still on, and connected? Then run the same command again."
    #: What to do where a disk is full.
    when_full = "Free some space there: df -h"

    def __init__(self, name: str, start: Sequence[str], seconds: float) -> None:
        self.name = name
        self._lease = subprocess.Popen(
            start,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for us, who then close it
        )
        self._errors = _Tail(self._lease.stderr)
        try:
            self.board = self._wait_for_lease(seconds)
        except BaseException:
            self.close()
            raise

    @abstractmethod
    def command(self, script: str, *arguments: str) -> list[str]:
        """The command of this machine that runs a shell script there, with `arguments` as $1 and so on."""

    @abstractmethod
    def _refused(self, status: int, text: str, said: bytes) -> EdgeshipError:
        """Why there is no connection, or no lease: what its command said on standard error, and on output."""

    def _ended(self, process: subprocess.Popen[bytes], said: str) -> tuple[int, str]:
        """Exit status of a command, and what it said on standard error. Raises ConnectionLost where that broke it."""
        return process.returncode, said

    @property
    def alive(self) -> bool:
        """Whether the connection stands, as far as is known."""
        return self._lease.poll() is None

    def run(
        self,
        script: str,
        *arguments: str,
        stdin: IO[bytes] | None = None,
        limit_bytes: int = _ANSWER_BYTES,
        seconds: float = _COMMAND_SECONDS,
    ) -> bytes:
        """What a shell script there writes on standard output.

        Args:
            script: must not be made of anything from outside.
            arguments: $1 and so on.
            stdin: what it reads.
            limit_bytes: a longer answer is refused.
            seconds: how long it may take.

        Raises:
            ConnectionLost: the connection broke.
            StorageFullError: its disk is full.
            TargetUnavailable: it failed or took too long; the message has its last lines.
        """
        with tempfile.TemporaryFile() as answer:
            self.stream(script, *arguments, stdin=stdin, stdout=answer, limit_bytes=limit_bytes, seconds=seconds)
            answer.seek(0)
            return answer.read()

    def stream(
        self,
        script: str,
        *arguments: str,
        stdin: IO[bytes] | None = None,
        stdout: IO[bytes],
        limit_bytes: int,
        seconds: float = _COMMAND_SECONDS,
    ) -> None:
        """As `run`, with the answer going to a file."""
        if not self.alive:
            raise self._lost()
        process = subprocess.Popen(
            self.command(f"export LC_ALL=C; umask 077; {script}", *arguments),
            stdin=subprocess.DEVNULL if stdin is None else stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        errors = _Tail(process.stderr)
        try:
            with _ended_after(seconds, process) as late:
                self._copy(process, stdout, limit_bytes)
        finally:
            process.kill()
            process.wait()
            said = errors.text()
        if late.is_set() and process.returncode:
            raise self._failure(process.returncode, said, seconds)
        status, said = self._ended(process, said)
        if status:
            raise self._failure(status, said, None)
        if not self.alive:  # ssh then goes a way of its own, to a machine that has begun to clean up
            raise self._lost()

    def _copy(self, process: subprocess.Popen[bytes], to: IO[bytes], limit_bytes: int) -> None:
        """What a process writes, until it ends."""
        assert process.stdout is not None
        taken = 0
        with process.stdout as pipe:
            while chunk := os.read(pipe.fileno(), _CHUNK):
                taken += len(chunk)
                if taken > limit_bytes:
                    raise TargetUnavailable(f"{self.name} sent more than {limit_bytes:,} bytes")
                to.write(chunk)
        process.wait()

    def put(self, file: Path, place: str) -> None:
        """Copy a file to a path there. Raises as `run` does."""
        with file.open("rb") as content:
            self.run('cat > "$1"', place, stdin=content, seconds=transfer_seconds(file.stat().st_size))

    def lost(self) -> ConnectionLost | None:
        """The error if the connection has broken, for a caller whose own command ended without a reason."""
        with suppress(subprocess.TimeoutExpired):
            self._lease.wait(timeout=2)  # the last of its commands may end just before ssh itself
        return None if self.alive else self._lost()

    def close(self) -> None:
        """Let the other machine clean up, and end the connection; safe to call twice."""
        assert self._lease.stdin is not None
        with suppress(OSError):
            self._lease.stdin.close()
        try:
            self._lease.wait(timeout=_CLEANING_SECONDS)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._lease.pid, signal.SIGKILL)
            self._lease.wait()
        self._errors.text()
        assert self._lease.stdout is not None
        self._lease.stdout.close()

    def _wait_for_lease(self, seconds: float) -> Board:
        said = _until(self._lease, b"\n" + lease.LAST + b"\n", seconds)
        noise, begun, rest = said.partition(lease.FIRST + b"\n")
        if not begun or not rest.endswith(lease.LAST + b"\n"):
            status = self._end()
            raise self._no_lease(status, self._errors.text(), said)
        if noise:
            raise TargetUnavailable(
                f"the shell of {self.name} prints {_first_line(noise)!r} before every command",
                remedy="Let its start-up file (such as ~/.bashrc) print only where the shell is interactive.",
            )
        pairs = (line.partition("=") for line in rest.decode(errors="replace").splitlines())
        return lease.read({key: value for key, _, value in pairs}, self.name)

    def _no_lease(self, status: int, text: str, said: bytes) -> EdgeshipError:
        if any(words in text for words in _FULL):
            return StorageFullError(f"the disk of {self.name} is full", remedy=self.when_full)
        return self._refused(status, text, said)

    def _end(self) -> int:
        try:
            return self._lease.wait(timeout=2)
        except subprocess.TimeoutExpired:
            self._lease.kill()
            return self._lease.wait()

    def _lost(self) -> ConnectionLost:
        text = last_line(self._errors.text()) if not self.alive else ""
        return ConnectionLost(
            f"the connection to {self.name} was lost{f': {text}' if text else ''}", remedy=self.when_lost
        )

    def _failure(self, status: int, text: str, late_seconds: float | None) -> EdgeshipError:
        if any(words in text for words in _FULL):
            return StorageFullError(f"the disk of {self.name} is full: {last_line(text)}", remedy=self.when_full)
        if late_seconds is not None:
            return TargetUnavailable(f"{self.name} did not finish within {late_seconds:g} s", remedy="Try again.")
        # Not only where ssh says so (255): with the connection gone it goes a way of its own, where the folder is gone.
        said = f"a command on {self.name} failed with status {status}: {last_line(text)}"
        return self.lost() or TargetUnavailable(said)


class _Tail:
    """The last bytes of a pipe, which is read all the time so that nobody waits for us."""

    def __init__(self, pipe: IO[bytes] | None) -> None:
        assert pipe is not None
        self._pipe, self._last = pipe, b""
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while chunk := os.read(self._pipe.fileno(), _CHUNK):
            self._last = (self._last + chunk)[-_TAIL_BYTES:]

    def text(self) -> str:
        """What came last, once its writer has ended."""
        self._thread.join(timeout=2)
        if not self._thread.is_alive():
            self._pipe.close()
        return self._last.decode(errors="replace")


@contextmanager
def _ended_after(seconds: float, process: subprocess.Popen[bytes]) -> Iterator[threading.Event]:
    """Kills a process once what is inside has taken so many seconds; the event says that it has."""
    late = threading.Event()

    def end() -> None:
        late.set()  # first: who waits for the process may go on at once when it is killed
        process.kill()

    timer = threading.Timer(seconds, end)
    timer.start()
    try:
        yield late
    finally:
        timer.cancel()


def _until(process: subprocess.Popen[bytes], end: bytes, seconds: float) -> bytes:
    """What a process writes up to `end`, or until it ends, time is over, or it is more than a lease says."""
    assert process.stdout is not None
    found, deadline = b"", time.monotonic() + seconds
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while not found.endswith(end) and len(found) < lease.MOST_BYTES:
            if not selector.select(max(0.0, deadline - time.monotonic())):
                break
            chunk = os.read(process.stdout.fileno(), _CHUNK)
            if not chunk:
                break
            found += chunk
    return found


def _first_line(text: bytes) -> str:
    return text.splitlines()[0][:100].decode(errors="replace")


def last_line(text: str) -> str:
    """The last line that says something, without what a terminal would obey."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return "".join(c if c.isprintable() else "?" for c in lines[-1][:300]) if lines else ""


def transfer_seconds(size_bytes: int) -> float:
    """The longest time that copying so many bytes may take."""
    return _COMMAND_SECONDS + size_bytes / _SLOWEST_BYTES_PER_SECOND


def script_command(script: str, *arguments: str, name: str = "edgeship") -> str:
    """For the user's login shell on the board: a script and its arguments, which only sh reads."""
    return "exec " + shlex.join(["sh", "-c", script, name, *arguments])
