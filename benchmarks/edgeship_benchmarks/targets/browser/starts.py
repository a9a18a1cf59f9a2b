"""Starts of an artifact in a runtime, as users of a web page meet them: a first visit, the next, one offline."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from edgeship.types import Artifact, PageStart, Parity
from edgeship_benchmarks.targets.browser import listing
from edgeship_benchmarks.targets.browser.server import PageServer, Start
from edgeship_benchmarks.targets.browser.worker import PageSession

if TYPE_CHECKING:
    from edgeship.types import Tensors
    from edgeship_benchmarks.agreement import Expected

#: Addresses as browsers write them: those that a service worker kept must be those that are asked for.
_UNQUOTED = "/@!*'()"


@dataclass(frozen=True)
class Cold:
    """A start with nothing in any cache.

    Attributes:
        import_ms, download_ms, load_ms, first_inference_ms: its parts.
        facts: what the worker says about itself.
    """

    import_ms: float
    download_ms: float
    load_ms: float
    first_inference_ms: float
    threads: int
    facts: Mapping[str, str]
    parity: Parity | None
    notes: tuple[str, ...]

    @property
    def total_ms(self) -> float:
        """From nothing to the first answer."""
        return self.import_ms + self.download_ms + self.load_ms + self.first_inference_ms


class Starter:
    """Starts one artifact in one runtime of the page again and again.

    Args:
        server: that serves it.
        artifact: what to start.
        runtime: see `runtimes.RUNTIMES`.
        threads: to ask for.
        inputs: some samples; a start ends with the inference of the first.

    Raises:
        ArtifactError: its files are not what its sidecar says.
        MissingPackageError: an npm package is not there.
    """

    def __init__(self, server: PageServer, artifact: Artifact, runtime: str, threads: int, inputs: Tensors) -> None:
        self.artifact = artifact
        self._server, self._runtime, self._threads = server, runtime, threads
        self._first = {name: value[:1] for name, value in inputs.items()}
        self._number = server.number()
        files = listing.model_files(artifact)
        for thing in (*map(listing.package_file, listing.packages(runtime)), *files.values()):
            thing.encoded(server.accepts)  # before anyone waits for it: to compress the largest takes seconds
        self._start = server.starts[self._number] = Start(files)
        self._sent: Mapping[str, int] = {}

    def cold(self, expected: Expected) -> Cold:
        """The first start, and what it computes. Raises what loading and comparing raise."""
        session, first = self._begin()
        with session:
            self._sent = dict(self._start.sent)
            parity, notes = expected.compare(session)
            loaded = session.loaded
            parts = (loaded.import_ms, session.channel.download_ms, loaded.load_ms, first)
            return Cold(*parts, session.channel.threads, session.describe(), parity, notes)

    def _begin(self) -> tuple[PageSession, float]:
        """A session after its first inference, which took so many milliseconds."""
        session = self.open()
        try:
            return session, session.warm_up(self._first, 1).first_inference_ms
        except BaseException:
            session.close()
            raise

    def open(self) -> PageSession:
        """A session with the artifact loaded; the caller closes it."""
        return PageSession.opened(self._server, self._number, self.artifact, self._runtime, self._threads)

    def again_ms(self) -> float:
        """Milliseconds of one more start, from the browser's own cache of HTTP."""
        session, first = self._begin()
        with closing(session):
            return session.loaded.import_ms + session.channel.download_ms + session.loaded.load_ms + first

    def offline_ms(self) -> float:
        """Milliseconds of a start while we send nothing: a service worker has kept what the first one loaded."""
        base = f"{self._server.root}start/{self._number}/"
        urls = [base + quote(path, safe=_UNQUOTED) for path in self._sent]
        self._server.hub.request({"op": "offline", "urls": urls}, 60.0)
        self._start.offline = True
        return self.again_ms()

    def page_start(self, cold: Cold, warm_ms: float | None, offline_ms: float | None) -> PageStart:
        """All starts as a value."""
        model = sum(size for path, size in self._sent.items() if path.startswith("model/"))
        return PageStart(
            runtime_bytes=sum(self._sent.values()) - model,
            model_bytes=model,
            encoding=" and ".join(sorted(self._start.encodings)),
            download_ms=cold.download_ms,
            cold_ms=cold.total_ms,
            warm_ms=warm_ms,
            offline_ms=offline_ms,
        )

    def close(self) -> None:
        """Serve it no more."""
        self._server.starts.pop(self._number, None)
