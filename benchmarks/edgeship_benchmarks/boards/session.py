"""Agents on a board: the sessions of `edgeship_benchmarks.session` over a connection that may break."""

from __future__ import annotations

import itertools
import re
import tarfile
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO

from edgeship.child import Child, Limits
from edgeship.errors import ChildCrashed, EdgeshipError, TargetUnavailable, UnavailableError
from edgeship_benchmarks.packing import packed_agent
from edgeship_benchmarks.session import AgentSession, Turns
from edgeship_benchmarks.transports import link
from edgeship_benchmarks.transports.address import Address
from edgeship_benchmarks.transports.ssh import SSH_FAILED, Connection

#: What an agent may write for one call.
_OUTPUT_BYTES = 4 << 30
#: Longest silence of an agent on a board.
LIMITS = Limits(seconds=900)

# The lease ends what is named by a file pid.N when the connection goes.
_START = """cd "$1" || exit 1; : > "pid.$$" || exit 1; export PYTHONPATH="$2"; exec "$3" agent.pyz"""


class Link(link.Link[Connection]):
    """The connection to a board, with the agent in its folder. Use as a context manager."""

    def __init__(self, address: Address) -> None:
        self.address = address
        super().__init__(self._with_agent)

    def _with_agent(self) -> Connection:
        connection = Connection(self.address)
        try:
            connection.put(packed_agent(), f"{connection.board.folder}/agent.pyz")
        except BaseException:
            connection.close()
            raise
        return connection


class BoardFiles:
    """Where an agent on a board reads and writes: a folder of its own in that of the connection."""

    _numbers = itertools.count()

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._folder = f"{connection.board.folder}/{next(self._numbers)}"
        self._names = itertools.count()
        self._sent: dict[tuple[Path, int, int], str] = {}
        self._here = tempfile.TemporaryDirectory(prefix="edgeship-")
        connection.run('mkdir "$1"', self._folder)

    def send(self, file: Path) -> str:
        """Copy a file over, once. Names from outside never become file names there."""
        known = file.stat()
        key = file, known.st_size, known.st_mtime_ns
        if key in self._sent:
            return self._sent[key]
        suffix = file.suffix if re.fullmatch(r"\.[A-Za-z0-9]{1,10}", file.suffix) else ""
        place = f"{self._folder}/{next(self._names)}{suffix}"
        self._connection.put(file, place)
        self._sent[key] = place
        return place

    def make_folder(self) -> str:
        """Beside what was sent."""
        place = f"{self._folder}/{next(self._names)}"
        self._connection.run('mkdir "$1"', place)
        return place

    def fetch(self, folder: str) -> Path:
        """The plain files of a folder, in a folder of this machine that goes with the session."""
        here = Path(tempfile.mkdtemp(dir=self._here.name))
        with tempfile.TemporaryFile() as packed:
            script = 'cd "$1" && exec tar -cf - .'
            self._connection.stream(script, folder, stdout=packed, limit_bytes=_OUTPUT_BYTES, seconds=900)
            packed.seek(0)
            _unpack(packed, here, str(self._connection.address))
        return here

    def close(self) -> None:
        """Remove the folder there, if the connection stands; else the board has done so."""
        with suppress(UnavailableError):
            if self._connection.alive:
                self._connection.run('rm -rf "$1"', self._folder)
        self._here.cleanup()


def _unpack(packed: IO[bytes], place: Path, board: str) -> None:
    """Write the plain files of an archive, whose names and links are not trusted, side by side into a folder."""
    try:
        with tarfile.open(fileobj=packed, mode="r:") as archive:
            for member in archive:
                content = archive.extractfile(member) if member.isreg() else None
                name = Path(member.name).name
                if content is not None and re.fullmatch(r"[A-Za-z0-9_]{1,40}\.npy", name):
                    (place / name).write_bytes(content.read())
    except tarfile.TarError as error:
        raise TargetUnavailable(f"{board} sent no archive of the outputs: {error}") from error


class _BoardChild(Child):
    """The ssh that an agent on a board is spoken to through."""

    def __init__(self, connection: Connection, runtime: str, name: str) -> None:
        self._connection = connection
        board = connection.board
        command = connection.command(_START, board.folder, runtime, board.python)
        super().__init__(command, name=name, limits=LIMITS)

    def _death(self) -> EdgeshipError:
        """What ended: the connection, or the agent."""
        lost = self._connection.lost()
        if lost is not None:
            return lost
        if self.status() == SSH_FAILED:  # ssh has no other word for a command that a signal ended
            return ChildCrashed(
                f"{self.name} was killed on {self._connection.address}",
                remedy="Most often its memory ran out: look at dmesg there, and measure fewer files at once.",
            )
        return super()._death()


class BoardSession(AgentSession):
    """A session whose agent runs on a board.

    Beside what other sessions raise, methods raise ConnectionLost; `restart` then takes it up on a new connection.

    Args:
        link: to the board.
        runtime: folder of the light runtime there.
        name: who is to blame in messages.
        turns: see `AgentSession`.
    """

    def __init__(self, link: Link, runtime: str, name: str, turns: Turns | None = None) -> None:
        self._link, self._runtime = link, runtime
        self._connection = link.connection()
        super().__init__(name=name, files=BoardFiles(self._connection), turns=turns)

    def _start(self) -> Child:
        connection = self._link.connection()
        if connection is not self._connection:
            self._files.close()
            self._connection, self._files = connection, BoardFiles(connection)
        return _BoardChild(connection, self._runtime, self._name)
