"""A connection to a board through the system's ssh, with the user's own configuration, keys and known hosts.

Everything on the board is in one folder of its own. The first command of a connection, the lease, makes that folder and
waits on its standard input; when that ends, because we closed it, were killed, or the connection broke, it ends the
agents and removes the folder. Later commands share the connection (ControlMaster), so that each costs milliseconds.
What an earlier lease could not remove, because the board lost power for instance, the next one does.

The address never meets a shell here, and what a command on the board is given never becomes part of its script.
"""

from __future__ import annotations

import os
import selectors
import shlex
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from edgeship.errors import ConnectionLost, EdgeshipError, StorageFullError, TargetUnavailable
from edgeship_benchmarks.transports import lease
from edgeship_benchmarks.transports.address import Address
from edgeship_benchmarks.transports.lease import Board

CONNECT_SECONDS = 10
#: Exit status of ssh where it is ssh that failed, or a signal ended the command.
SSH_FAILED = 255
#: A connection without an answer for this many times three seconds is lost.
_ALIVE = ("ServerAliveInterval=3", "ServerAliveCountMax=3")
_COMMAND_SECONDS = 120.0
#: Longest time from the connection to the answer of the lease: the slowest board has to start Python.
_LEASE_SECONDS = 60.0
#: What a command may answer where the caller names no limit.
_ANSWER_BYTES = 1 << 20
_CHUNK = 1 << 16
_TAIL_BYTES = 8192
_LONGEST_FOLDER = 55
#: Time for the board to end its agents and remove its folder.
_CLEANING_SECONDS = 10
#: No network that a board is on is slower than that for long.
_SLOWEST_BYTES_PER_SECOND = 50_000

_OPTIONS = (
    "BatchMode=yes",  # nobody is there to type a password
    f"ConnectTimeout={CONNECT_SECONDS}",
    *_ALIVE,
    "ControlPersist=no",
    "LogLevel=ERROR",
    # Not what a user's interactive sessions want.
    "RemoteCommand=none",
    "RequestTTY=no",
    "ClearAllForwardings=yes",
    "ForwardAgent=no",
    "ForwardX11=no",
    "PermitLocalCommand=no",
)

#: Parts of what ssh says when it cannot connect -> what that is, and what to do; the first that is found counts.
_REFUSALS = {
    "REMOTE HOST IDENTIFICATION HAS CHANGED": (
        "answers with another host key than the known one",
        "If the board was set up anew: ssh-keygen -R '{known}', then: ssh {login}. If not, somebody is between.",
    ),
    "Host key verification failed": (
        "has a host key that is not known here",
        "Connect once by hand and compare the fingerprint: ssh {login}",
    ),
    "Permission denied": ("refuses the login", "Set up a key for it: ssh-copy-id {login}"),
    "Too many authentication failures": ("refuses the login", "Name the key in ~/.ssh/config (IdentityFile)."),
    "Connection refused": (
        "is there, but no ssh server answers",
        "On a Raspberry Pi: sudo raspi-config nonint do_ssh 0. Elsewhere: sudo apt install openssh-server.",
    ),
    "Could not resolve hostname": ("is no known name", "Try its IP address, or NAME.local in the same network."),
    "timed out": ("does not answer", "Is it switched on, and in this network? Try: ssh {login}"),
    "No route to host": ("cannot be reached", "Is it switched on, and in this network? Try: ssh {login}"),
    "Network is unreachable": ("cannot be reached", "This machine has no network to it."),
}


class Connection:
    """An open connection. Use as a context manager; leaving it removes the folder on the board.

    Raises:
        TargetUnavailable: ssh is missing, or the board cannot be reached or will not let us in; with the remedy.
        StorageFullError: no folder can be made there.
    """

    def __init__(self, address: Address) -> None:
        self.address = address
        if shutil.which("ssh") is None:
            raise TargetUnavailable("ssh is not installed here", remedy="Get it: sudo apt install openssh-client")
        # The name of a socket holds some 100 bytes, of which ssh adds some.
        short = len(tempfile.gettempdir()) < _LONGEST_FOLDER
        self._private = tempfile.TemporaryDirectory(prefix="edgeship-ssh-", dir=None if short else "/tmp")  # noqa: S108 - a new folder in it
        self._lease = subprocess.Popen(
            [*self._ssh("ControlMaster=yes"), _script(lease.SCRIPT, name="edgeship-lease")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for us, who then close it
        )
        self._errors = _Tail(self._lease.stderr)
        try:
            self.board = self._wait_for_lease()
        except BaseException:
            self.close()
            raise

    def _ssh(self, master: str) -> list[str]:
        options = [part for option in (*_OPTIONS, master) for part in ("-o", option)]
        user = ["-l", self.address.user] if self.address.user else []
        port = ["-p", str(self.address.port)] if self.address.port else []
        return ["ssh", "-T", "-S", f"{self._private.name}/s", *options, *user, *port, "--", self.address.host]

    @property
    def alive(self) -> bool:
        """Whether the connection stands, as far as is known."""
        return self._lease.poll() is None

    def command(self, script: str, *arguments: str) -> list[str]:
        """The command of this machine that runs a shell script on the board, with `arguments` as $1 and so on."""
        return [*self._ssh("ControlMaster=no"), _script(script, *arguments)]

    def run(
        self,
        script: str,
        *arguments: str,
        stdin: IO[bytes] | None = None,
        limit_bytes: int = _ANSWER_BYTES,
        seconds: float = _COMMAND_SECONDS,
    ) -> bytes:
        """What a shell script on the board writes on standard output.

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
        timer = threading.Timer(seconds, process.kill)
        timer.start()
        try:
            self._copy(process, stdout, limit_bytes)
            late = not timer.is_alive()
        finally:
            timer.cancel()
            process.kill()
            process.wait()
            said = errors.text()
        if process.returncode:
            raise self._failure(process.returncode, said, seconds if late else None)
        if not self.alive:  # ssh then goes a way of its own, to a board that has begun to clean up
            raise self._lost()

    def _copy(self, process: subprocess.Popen[bytes], to: IO[bytes], limit_bytes: int) -> None:
        """What a process writes, until it ends."""
        assert process.stdout is not None
        taken = 0
        with process.stdout as pipe:
            while chunk := os.read(pipe.fileno(), _CHUNK):
                taken += len(chunk)
                if taken > limit_bytes:
                    raise TargetUnavailable(f"{self.address} sent more than {limit_bytes:,} bytes")
                to.write(chunk)
        process.wait()

    def put(self, file: Path, place: str) -> None:
        """Copy a file to a path on the board. Raises as `run` does."""
        with file.open("rb") as content:
            self.run('cat > "$1"', place, stdin=content, seconds=_transfer_seconds(file.stat().st_size))

    def lost(self) -> ConnectionLost | None:
        """The error if the connection has broken, for a caller whose own command ended without a reason."""
        with suppress(subprocess.TimeoutExpired):
            self._lease.wait(timeout=2)  # the last of its commands may end just before ssh itself
        return None if self.alive else self._lost()

    def close(self) -> None:
        """Let the board clean up, and end the connection; safe to call twice."""
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
        self._private.cleanup()

    def _wait_for_lease(self) -> Board:
        said = _until(self._lease, b"\n" + lease.LAST + b"\n", CONNECT_SECONDS + _LEASE_SECONDS)
        noise, begun, rest = said.partition(lease.FIRST + b"\n")
        if not begun or not rest.endswith(lease.LAST + b"\n"):
            raise self._refusal(said)
        if noise:
            raise TargetUnavailable(
                f"the shell of {self.address} prints {_first_line(noise)!r} before every command",
                remedy="Let its start-up file (such as ~/.bashrc) print only where the shell is interactive.",
            )
        pairs = (line.partition("=") for line in rest.decode(errors="replace").splitlines())
        return lease.read({key: value for key, _, value in pairs}, str(self.address))

    def _refusal(self, said: bytes) -> EdgeshipError:
        """Why there is no connection, or no lease."""
        status = self._end()
        text = self._errors.text()
        if "No space left on device" in text:
            return StorageFullError(f"the disk of {self.address} is full", remedy="Free some space there: df -h /tmp")
        login = self.address.login
        for part, (what, remedy) in _REFUSALS.items():
            if part in text:
                return TargetUnavailable(
                    f"{self.address} {what}: {_last_line(text)}",
                    remedy=remedy.format(known=self.address.known, login=login),
                )
        heard = text or said.decode(errors="replace") or "nothing"
        return TargetUnavailable(
            f"ssh to {self.address} ended with status {status} and said: {_last_line(heard)}",
            remedy=f"Does this work, and print a line? ssh {login} uname -a",
        )

    def _end(self) -> int:
        try:
            return self._lease.wait(timeout=2)
        except subprocess.TimeoutExpired:
            self._lease.kill()
            return self._lease.wait()

    def _lost(self) -> ConnectionLost:
        text = _last_line(self._errors.text()) if not self.alive else ""
        return ConnectionLost(
            f"the connection to {self.address} was lost{f': {text}' if text else ''}",
            remedy="Is the board still on, and in the network? Then run the same command again.",
        )

    def _failure(self, status: int, text: str, late_seconds: float | None) -> EdgeshipError:
        if "No space left on device" in text or "Disk quota exceeded" in text:
            return StorageFullError(
                f"the disk of {self.address} is full: {_last_line(text)}", remedy="Free some space there: df -h"
            )
        if late_seconds is not None:
            return TargetUnavailable(f"{self.address} did not finish within {late_seconds:g} s", remedy="Try again.")
        # Not only where ssh says so (255): with the connection gone it goes a way of its own, where the folder is gone.
        said = f"a command on {self.address} failed with status {status}: {_last_line(text)}"
        return self.lost() or TargetUnavailable(said)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


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


def _last_line(text: str) -> str:
    """The last line that says something, without what a terminal would obey."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return "".join(c if c.isprintable() else "?" for c in lines[-1][:300]) if lines else ""


def _transfer_seconds(size_bytes: int) -> float:
    return _COMMAND_SECONDS + size_bytes / _SLOWEST_BYTES_PER_SECOND


def _script(script: str, *arguments: str, name: str = "edgeship") -> str:
    """For the user's login shell on the board: a script and its arguments, which only sh reads."""
    return "exec " + shlex.join(["sh", "-c", script, name, *arguments])
