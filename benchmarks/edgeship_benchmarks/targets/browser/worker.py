"""A model in a worker of the page, as a session like any other: the way to it, and its files."""

from __future__ import annotations

import math
import re
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeship.errors import ChildCrashed, EdgeshipError
from edgeship.types import Artifact, ProgressCallback
from edgeship_benchmarks.session import AgentSession
from edgeship_benchmarks.targets.browser import answers

if TYPE_CHECKING:
    from edgeship_benchmarks.targets.browser.server import PageServer

#: The only form that `web/npy.mjs` writes.
_NPY = re.compile(
    rb"\x93NUMPY\x01\x00(?P<length>[\s\S]{2})"
    rb"\{'descr': '[<|][fiub](?P<size>[1248])', 'fortran_order': False, "
    rb"'shape': \((?P<shape>[0-9]{1,10},|[0-9]{1,10}(?:, [0-9]{1,10}){1,31})\), \} *\n"
)
#: Longest time without an answer or a sign of progress, which comes between any two inferences.
SECONDS = 180.0


class WorkerChannel:
    """Requests to one worker of the page, which starts with the first of them.

    Attributes:
        download_ms: of the model's files; known once it is loaded.
        threads: that the runtime runs on; the same.
        inferences_per_time: what one time is a mean of, because the clock is coarse.
    """

    pid = 0

    def __init__(self, server: PageServer, start: int, artifact: Artifact) -> None:
        self._server = server
        self._start = start
        self._artifact = artifact
        self._name = f"{start}-{server.number()}"
        self.download_ms = 0.0
        self.threads = 1
        self.inferences_per_time = 1

    def request(
        self, message: Mapping[str, Any], *, progress: ProgressCallback | None = None, seconds: float | None = None
    ) -> Any:
        """Result of a request, checked. Raises the page's own typed error, ChildCrashed, ChildTimeout."""
        operation = str(message["op"])
        sent = {**message, "session": self._name, "base": f"{self._server.root}start/{self._start}/"}
        if operation == "load":
            sent["files"] = [entry.name for entry in self._artifact.files]
        hub = self._server.hub
        result = dict(answers.check(operation, hub.request(sent, seconds or SECONDS, progress)))
        if operation == "load":
            self.download_ms, self.threads = result.pop("download_ms"), result.pop("threads")
        if operation == "measure":
            self.inferences_per_time = result.pop("inferences_per_time")
        return result

    def close(self) -> None:
        """End the worker; safe to call twice, and when the page is gone."""
        if self._server.hub.here:
            with suppress(EdgeshipError):
                self._server.hub.request({"op": "end", "session": self._name}, 10.0)


class PageFiles:
    """What a worker reads and writes: it fetches what we list, and posts its outputs."""

    def __init__(self, server: PageServer, artifact: Artifact) -> None:
        self._server = server
        self._artifact = artifact
        self._numbers: list[int] = []
        self._folder = tempfile.TemporaryDirectory(prefix="edgeship-")

    def send(self, file: Path) -> str:
        """The model by its name, which belongs to the start; anything else as data that are listed from now on."""
        if file == self._artifact.entry:
            return file.name
        return self._address(self._server.samples, file.read_bytes())

    def make_folder(self) -> str:
        """Where outputs may be posted to."""
        return self._address(self._server.outputs, {})

    def fetch(self, folder: str) -> Path:
        """What was posted, checked: it is no more than what its header says. Raises ChildCrashed.

        Nothing more is taken, and nothing of it stays in memory.
        """
        number = int(folder.rpartition("/")[2])
        place = Path(tempfile.mkdtemp(dir=self._folder.name))
        for name, content in self._server.outputs.pop(number).items():
            _check_npy(content)
            (place / name).write_bytes(content)
        return place

    def close(self) -> None:
        """List nothing of it any more."""
        for number in self._numbers:
            self._server.samples.pop(number, None)
            self._server.outputs.pop(number, None)
        self._folder.cleanup()

    def _address(self, place: dict[int, Any], content: Any) -> str:
        number = self._server.number()
        self._numbers.append(number)
        place[number] = content
        return f"{self._server.root}data/{number}"


def _check_npy(content: bytes) -> None:
    """NumPy reads a header with Python's parser, and allocates what it says before it looks at how much there is."""
    found = _NPY.match(content)
    if found is None:
        raise ChildCrashed(f"the page sent {len(content)} bytes that are no .npy data of its kind")
    itemsize = int(found["size"])
    shape = [int(size) for size in found["shape"].split(b",") if size.strip()]
    header = 10 + int.from_bytes(found["length"], "little")
    if header != found.end() or math.prod(shape) * itemsize != len(content) - header:
        raise ChildCrashed(f"the page sent {len(content)} bytes for {itemsize} bytes in each element of shape {shape}")


class PageSession(AgentSession):
    """A session whose agent is a worker of the page."""

    def __init__(self, server: PageServer, start: int, artifact: Artifact, runtime: str) -> None:
        self.channel = WorkerChannel(server, start, artifact)
        super().__init__(name=f"{artifact.id} in {runtime}", files=PageFiles(server, artifact))

    def _start(self) -> WorkerChannel:
        return self.channel

    @classmethod
    def opened(cls, server: PageServer, start: int, artifact: Artifact, runtime: str, threads: int) -> PageSession:
        """A session with the artifact loaded. Raises what loading raises."""
        session = cls(server, start, artifact, runtime)
        try:
            session.load(runtime, artifact.entry, threads)
        except BaseException:
            session.close()
            raise
        return session
