"""GET and nothing else: bounded in time, rate and bytes, whatever a server or a network in between does.

One request at a time. A deadline covers all of it, the handshake and a header that drips byte by byte included: a timer
shuts the connection down. Only looking up a name is left to the system's own time limit.
"""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from edgeship.closing import Closing
from edgeship.device.config import Limits
from edgeship.errors import RepositoryUnavailable

_CHUNK = 64 << 10
_MOST_REDIRECTS = 4
#: A rate is judged over so many seconds: networks pause.
_WINDOW_SECONDS = 30.0
#: What urllib3 puts before some of its messages: our class of connections, with its arguments.
_CONNECTION = re.compile(r"^\w+\(host=[^)]*\): ")
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})")


@dataclass(frozen=True)
class Answer:
    """What a server answered: its status, the place in the file that it begins at, and the content as it comes.

    Attributes:
        start: first byte; None: the server says something else than was asked for.
    """

    status: int
    start: int | None
    chunks: Iterator[bytes]


class Http(Closing):
    """Connections to a repository. Use as a context manager. Not for several threads."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._sockets: list[socket.socket] = []
        self._overdue = threading.Event()
        plain, secure = _pools(self._watch)
        self._manager = urllib3.PoolManager(num_pools=4, maxsize=1, retries=False)
        self._manager.pool_classes_by_scheme = {"http": plain, "https": secure}

    @contextmanager
    def get(self, url: str, *, start: int = 0, length: int | None = None) -> Iterator[Answer]:
        """Ask for a file from byte `start`.

        Args:
            url: of the file.
            start: the first byte that is wanted.
            length: of the whole file, where it is known; the longer, the longer it may take.

        Raises RepositoryUnavailable if there is no answer, it comes too slowly, leads away, or is a page for people.
        """
        limits = self._limits
        seconds = limits.seconds + (0 if length is None else (length - start) / limits.bytes_per_second)
        self._overdue.clear()
        timer = threading.Timer(seconds, self._cut)
        timer.daemon = True
        timer.start()
        try:
            with self._typed(url):
                response = self._request(url, start)
            try:
                _refuse_pages(url, response)
                yield Answer(response.status, _start(response, length), self._chunks(url, response))
            finally:
                response.close()
        finally:
            timer.cancel()

    @property
    def patience(self) -> float:
        """Seconds that anything may take."""
        return self._limits.seconds

    def close(self) -> None:
        """End all connections."""
        self._manager.clear()
        for found in self._sockets:
            found.close()
        self._sockets.clear()

    def _request(self, url: str, start: int) -> urllib3.BaseHTTPResponse:
        headers = {"Accept-Encoding": "identity", "User-Agent": "edgeship"}
        if start:
            headers["Range"] = f"bytes={start}-"
        timeout = urllib3.Timeout(min(self._limits.seconds, _WINDOW_SECONDS))
        for _ in range(_MOST_REDIRECTS + 1):
            response = self._manager.request(
                "GET", url, headers=headers, preload_content=False, redirect=False, timeout=timeout
            )
            location = response.get_redirect_location()
            if not location:
                return response
            response.close()
            url = _redirected(url, location)
        raise RepositoryUnavailable(f"{url} leads on and on")

    def _chunks(self, url: str, response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
        """The content as it comes, as long as it comes fast enough."""
        began, count = time.monotonic(), 0
        while chunk := self._read(url, response):
            count += len(chunk)
            yield chunk
            spent = time.monotonic() - began
            if spent > _WINDOW_SECONDS:
                if count < spent * self._limits.bytes_per_second:
                    raise _slow(url, f"{count / spent:.0f} bytes a second")
                began, count = time.monotonic(), 0

    def _read(self, url: str, response: urllib3.BaseHTTPResponse) -> bytes:
        with self._typed(url):
            chunk = response.read1(_CHUNK, decode_content=False)
            if not chunk and self._overdue.is_set():
                raise TimeoutError("the deadline has passed")
            return chunk

    def _watch(self, found: socket.socket) -> None:
        """Keep a second handle of the connection: TLS takes the first for itself. There is one at a time."""
        for earlier in self._sockets:
            earlier.close()
        self._sockets[:] = [found.dup()]

    def _cut(self) -> None:
        self._overdue.set()
        for found in list(self._sockets):
            try:
                found.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # it has ended already

    @contextmanager
    def _typed(self, url: str) -> Iterator[None]:
        """What goes wrong on the way, as RepositoryUnavailable."""
        try:
            yield
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            refused = isinstance(error, urllib3.exceptions.NewConnectionError)
            timed_out = isinstance(error, TimeoutError | urllib3.exceptions.TimeoutError) and not refused
            if timed_out or self._overdue.is_set():
                raise _slow(url, str(error)) from error
            raise RepositoryUnavailable(
                f"{url} cannot be fetched: {_CONNECTION.sub('', str(error))}",
                remedy="Is the network up, and the address right?",
            ) from error


def _slow(url: str, why: str) -> RepositoryUnavailable:
    return RepositoryUnavailable(
        f"{url} answers too slowly: {why}", remedy="It is tried again at the next check, from where it stopped."
    )


def _pools(watch: Any) -> tuple[type[HTTPConnectionPool], type[HTTPSConnectionPool]]:
    """Pools whose connections are handed to `watch` before the first byte goes over them."""

    class Plain(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            found = super()._new_conn()
            watch(found)
            return found

    class Secure(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            found = super()._new_conn()
            watch(found)
            return found

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    return PlainPool, SecurePool


def _redirected(url: str, location: str) -> str:
    """Where a redirect leads. Raises RepositoryUnavailable for a place that is less safe, or none of the web's."""
    found = urljoin(url, location)
    allowed = ("https",) if urlsplit(url).scheme == "https" else ("http", "https")
    if urlsplit(found).scheme not in allowed:
        raise RepositoryUnavailable(f"{url} leads to {found[:200]}", remedy="Only https leads on from https.")
    return found


def _refuse_pages(url: str, response: urllib3.BaseHTTPResponse) -> None:
    """Networks that want a person to log in answer with a page of theirs, as if it were the file."""
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if response.status == 511 or (response.status < 400 and kind in ("text/html", "application/xhtml+xml")):
        raise page_instead(url)


def is_page(begin: bytes) -> bool:
    """Whether what begins so is a page, whatever its headers say: no metadata begins with markup."""
    return begin.lstrip()[:1] == b"<"


def page_instead(url: str) -> RepositoryUnavailable:
    """The error for a web page where a file should be."""
    return RepositoryUnavailable(
        f"{url} answers with a web page",
        remedy="Does the network want a login first? Is the address that of a repository?",
    )


def _start(response: urllib3.BaseHTTPResponse, length: int | None) -> int | None:
    """The place in the file at which the content of an answer begins."""
    if response.status != 206:
        return 0
    found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if found is None or length is None or int(found[3]) != length or int(found[2]) != length - 1:
        return None
    return int(found[1])
