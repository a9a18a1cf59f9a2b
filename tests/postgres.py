"""A real PostgreSQL of its own on loopback, run by a user without rights and ended by its process."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import psycopg

from edgeship.closing import Closing

_PLACES = ("/usr/lib/postgresql/15/bin", "/usr/lib/postgresql/16/bin", "/usr/lib/postgresql/17/bin")
SERVER = next((path for place in _PLACES if (path := shutil.which("postgres", path=place))), shutil.which("postgres"))
#: A start on a busy machine; what is over sooner is noticed sooner.
_START_SECONDS = 60


class Postgres(Closing):
    """A database server on a free port, empty, until it is closed; `address` is what `--storage` takes."""

    def __init__(self) -> None:
        assert SERVER is not None, "needs PostgreSQL"
        self._folder = Path(tempfile.mkdtemp(prefix="edgeship-postgres-"))
        # It refuses to run as root, and its user must reach its folder.
        self._as: dict[str, Any] = {"cwd": self._folder}
        if os.geteuid() == 0:
            shutil.chown(self._folder, "nobody", "nogroup")
            self._as |= {"user": "nobody", "group": "nogroup", "extra_groups": []}
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self._port = int(found.getsockname()[1])
        self._process: subprocess.Popen[bytes] | None = None
        try:
            command = [str(Path(SERVER).with_name("initdb")), "-D", str(self._data), "-U", "edgeship", "-A", "trust"]
            subprocess.run([*command, "-N", "--no-locale"], check=True, capture_output=True, **self._as)
            self.start()
        except BaseException:
            self.close()
            raise

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    @property
    def address(self) -> str:
        """Of the storage."""
        return f"postgresql://edgeship@127.0.0.1:{self._port}/postgres"

    def start(self) -> None:
        """Begin to serve; what was committed before is there."""
        options = ["-p", str(self._port), "-h", "127.0.0.1", "-k", str(self._folder), "-c", "fsync=off"]
        with (self._folder / "log").open("ab") as log:
            assert SERVER is not None
            self._process = subprocess.Popen([SERVER, "-D", str(self._data), *options], stderr=log, **self._as)
        ready = [str(Path(SERVER).with_name("pg_isready")), "-q", "-h", "127.0.0.1", "-p", str(self._port), "-t", "1"]
        for _ in range(_START_SECONDS * 10):
            if subprocess.run(ready, check=False).returncode == 0:
                return
            try:
                self._process.wait(timeout=0.1)
            except subprocess.TimeoutExpired:
                continue
            raise RuntimeError((self._folder / "log").read_text())
        raise TimeoutError("PostgreSQL does not answer")

    def crash(self) -> None:
        """Cut all connections and end at once, as in a crash; `start` recovers."""
        assert self._process is not None
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait()

    def connections(self) -> int:
        """Cut the connections of all clients; returns how many there were."""
        with psycopg.connect(self.address, autocommit=True) as connection:
            rows = connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
            ).fetchall()
        return len(rows)

    def close(self) -> None:
        """End it, and remove what it wrote."""
        if self._process is not None and self._process.poll() is None:
            self.crash()
        shutil.rmtree(self._folder, ignore_errors=True)
