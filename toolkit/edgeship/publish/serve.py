"""A web server for a repository on a laptop: for demos. It sends what a real one has to send, slowly."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

from edgeship.errors import InputError, UnavailableError
from edgeship.publish.serving import NOT_FOUND, headers

_RANGE = re.compile(r"bytes=(\d{1,12})-(\d{0,12})")
_CHUNK = 1 << 16


class DemoServer(ThreadingHTTPServer):
    """Sends the files of one folder.

    Attributes:
        folder: of the repository.
    """

    daemon_threads = True

    def __init__(self, folder: Path, host: str, port: int) -> None:
        super().__init__((host, port), _Handler)
        self.folder = folder.resolve()

    @property
    def url(self) -> str:
        """Where the repository is."""
        host = str(self.server_address[0])
        return f"http://{socket.gethostname() if host == '0.0.0.0' else host}:{self.server_port}"  # noqa: S104 - compared

    def root(self) -> Path:
        """The root to enrol devices with: the first that is there, which the keys of all later ones follow from."""
        numbered = {
            int(path.name.partition(".")[0]): path for path in (self.folder / "metadata").glob("[1-9]*.root.json")
        }
        return numbered[min(numbered)]

    def lines(self) -> list[str]:
        """The lines of releases in the repository."""
        found = (self.folder / "targets" / "rollout").glob("*/*.json")
        return sorted({f"{path.parent.name}/{path.name.split('.')[1]}" for path in found})


@contextmanager
def server(folder: Path, host: str = "127.0.0.1", port: int = 0) -> Iterator[DemoServer]:
    """A server that listens, for `serve_forever`; closed afterwards.

    Raises:
        InputError: the folder is no repository.
        UnavailableError: the port is taken, or the address is not this machine's.
    """
    if not (folder / "metadata" / "timestamp.json").is_file():
        raise InputError(
            f"{folder} is no repository", remedy="Make one: edgeship publish BUNDLE --repo DIR --keys KEYS"
        )
    try:
        made = DemoServer(folder, host, port)
    except OSError as error:
        raise UnavailableError(
            f"cannot listen on {host}:{port}: {error.strerror}", remedy="Choose another --port; 0 takes a free one."
        ) from error
    with made:
        yield made


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: DemoServer

    def do_GET(self) -> None:
        """Send a file, or the part of it that was asked for."""
        self._answer(body=True)

    def do_HEAD(self) -> None:
        """As GET, without the file."""
        self._answer(body=False)

    def do_OPTIONS(self) -> None:
        """What a browser asks before it sends `Range` to another origin."""
        self.send_response(HTTPStatus.NO_CONTENT)
        self._cross_origin()
        self.send_header("Access-Control-Allow-Headers", "Range")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _answer(self, *, body: bool) -> None:
        path = unquote(urlsplit(self.path).path).lstrip("/")
        file = self._file(path)
        if file is None:
            self._head(HTTPStatus.NOT_FOUND, {"Content-Length": "0", "Cache-Control": NOT_FOUND})
            return
        with file.open("rb") as opened:
            size = file.stat().st_size
            start, end = self._range(size)
            if start >= max(size, 1):
                refused = HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
                self._head(refused, {"Content-Range": f"bytes */{size}", "Content-Length": "0"})
                return
            shown = {**headers(path), "Accept-Ranges": "bytes", "Content-Length": str(end - start)}
            if (start, end) == (0, size):
                self._head(HTTPStatus.OK, shown)
            else:
                self._head(HTTPStatus.PARTIAL_CONTENT, {**shown, "Content-Range": f"bytes {start}-{end - 1}/{size}"})
            opened.seek(start)
            left = end - start if body else 0
            while left and (piece := opened.read(min(left, _CHUNK))):
                self.wfile.write(piece)
                left -= len(piece)

    def _file(self, path: str) -> Path | None:
        """The file; None: it is not there, is not a part of a repository, or lies outside."""
        if "\0" in path or path.partition("/")[0] not in ("metadata", "targets"):
            return None
        found = (self.server.folder / path).resolve()
        return found if found.is_relative_to(self.server.folder) and found.is_file() else None

    def _range(self, size: int) -> tuple[int, int]:
        """First byte, and the one after the last; all where no single range was asked for."""
        found = _RANGE.fullmatch(self.headers.get("Range", ""))
        if found is None:
            return 0, size
        start, end = int(found[1]), min(int(found[2]) + 1, size) if found[2] else size
        return (0, size) if end <= start < size else (start, end)

    def _head(self, status: HTTPStatus, shown: dict[str, str]) -> None:
        self.send_response(status)
        self._cross_origin()
        for name, value in shown.items():
            self.send_header(name, value)
        self.end_headers()

    def _cross_origin(self) -> None:
        self.send_header("Access-Control-Allow-Origin", "*")
        self.send_header("Access-Control-Expose-Headers", "Content-Range, Content-Length")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in http.server
        """One quiet line for each request would hide what the demo is about."""
