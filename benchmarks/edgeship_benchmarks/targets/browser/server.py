"""The server of the page: serves a list, takes answers, counts bytes. Standard library only.

It listens on 127.0.0.1, and for a device elsewhere on this machine's address in its network.

Addresses are `/TOKEN/...`, where the token is drawn for each server; whoever does not know it gets nothing. There is no
path to a file system: an address is looked up in a list, or refused.

    GET  /                              the page (`listing.PAGE`)
    GET  /events?page=ID                its work, as a stream of events
    GET  /start/N/web|packages|model/…  what start N loads: same content, other addresses, so that no cache knows them
    GET  /data/K                        samples that a request names
    POST /answer, /bye, /data/K/F       answers; that the page is closing; outputs of a run
"""

from __future__ import annotations

import json
import secrets
import selectors
import socket
import threading
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from edgeship.errors import ChildCrashed, MissingPackageError
from edgeship_benchmarks.targets.browser import answers, listing
from edgeship_benchmarks.targets.browser.hub import Hub
from edgeship_benchmarks.targets.browser.listing import Listed

#: Largest output of one run; `check` runs so few samples at once that it fits.
MAX_DATA_BYTES = 64 << 20
#: Of all outputs of a run together: they are kept in memory until it has ended.
MAX_RUN_BYTES = 256 << 20
_BEAT_SECONDS = 0.5
_LOOPBACK = "127.0.0.1"
#: Cross-origin isolation: exact clocks, and memory that threads share. Nothing here belongs to any other site.
_HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


class Start:
    """What one start of a runtime may load, and what it was sent.

    Attributes:
        model: name of a file of the model -> that file.
        sent: path -> bytes on the wire; `encodings`: the names of how they were encoded.
        offline: everything is refused from here on.
    """

    def __init__(self, model: Mapping[str, Listed]) -> None:
        self.model = model
        self.sent: Counter[str] = Counter()
        self.encodings: set[str] = set()
        self.offline = False

    def find(self, path: str) -> Listed | None:
        """What is listed under a path."""
        kind, _, name = path.partition("/")
        if kind == "model":
            return self.model.get(name)
        if kind == "web" and name in listing.AGENT:
            return listing.web_file(name)
        if kind == "packages" and name in listing.PACKAGES:
            return listing.package_file(name)
        return None


class PageServer:
    """Serves until it is closed. Use as a context manager.

    Args:
        host: address to bind; an ephemeral port is taken. This machine's own address gets the same port, for devices on
            a cable that forwards to it.
        hub: where answers go.
    """

    def __init__(self, hub: Hub, host: str = _LOOPBACK) -> None:
        self.hub = hub
        self.token = secrets.token_urlsafe(16)
        self.starts: dict[int, Start] = {}
        self.samples: dict[int, bytes] = {}
        self.outputs: dict[int, dict[str, bytes]] = {}
        #: `Accept-Encoding` of the browser that asked for the page.
        self.accepts = ""
        #: Held while an output is read, so that no more of them are in memory than are counted.
        self.posting = threading.Lock()
        self._lock = threading.Lock()
        self._numbers = 0
        first = _HTTP((host, 0), _Handler, self)
        self._listening = [first]
        if host != _LOOPBACK:
            with suppress(OSError):  # taken by another program; the address in the network is what was asked for
                self._listening.append(_HTTP((_LOOPBACK, first.server_address[1]), _Handler, self))
        self._threads = [
            threading.Thread(target=http.serve_forever, args=(0.05,), daemon=True) for http in self._listening
        ]
        for thread in self._threads:
            thread.start()

    @property
    def url(self) -> str:
        """Address of the page."""
        host, port = self._listening[0].server_address[:2]
        return f"http://{host!s}:{port}{self.root}"

    @property
    def root(self) -> str:
        """Path that every address begins with."""
        return f"/{self.token}/"

    def number(self) -> int:
        """A number that no address of this server has used."""
        with self._lock:
            self._numbers += 1
            return self._numbers

    def close(self) -> None:
        """End all streams and the server; safe to call twice."""
        self.hub.expect()
        for http, thread in zip(self._listening, self._threads, strict=True):
            http.shutdown()
            http.server_close()
            thread.join()

    def __enter__(self) -> PageServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _HTTP(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler], owner: PageServer) -> None:
        self.owner = owner
        super().__init__(address, handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that goes away in the middle is no news."""


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server_version = "edgeship"
    sys_version = ""
    timeout = 60
    server: _HTTP

    @property
    def _owner(self) -> PageServer:
        return self.server.owner

    def do_GET(self) -> None:
        """Send what is listed."""
        path = self._path()
        if path is None:
            self._refuse(404)
        elif path == "events":
            self._stream()
        elif path in listing.PAGE:
            self._owner.accepts = self.headers.get("Accept-Encoding", "")
            self._send(listing.web_file(listing.PAGE[path]), "no-store")
        elif path.startswith("start/"):
            self._send_start(path.removeprefix("start/"))
        else:
            content = self._owner.samples.get(_number(path.removeprefix("data/")))
            if content is None:
                self._refuse(404)
            else:
                self._reply(200, content, {"Content-Type": "application/octet-stream", "Cache-Control": "no-store"})

    def do_POST(self) -> None:
        """Take an answer."""
        path = self._path()
        if path is None:
            self._refuse(404)
            return
        try:
            taken = self._keep(path.removeprefix("data/")) if path.startswith("data/") else self._take(path)
        except ChildCrashed:
            taken = False
        if taken:
            self._reply(204, b"", {})
        else:
            self._refuse(400)

    def _take(self, path: str) -> bool:
        hub = self._owner.hub
        body = self._body({"answer": answers.MAX_ANSWER_BYTES, "bye": 1000}.get(path, -1))
        if body is None:
            return False
        if path == "answer":
            return hub.answer(*answers.parse(body))
        try:
            page = json.loads(body)["page"]
        except (ValueError, LookupError, TypeError, RecursionError):
            return False
        hub.leave(page)
        return True

    def _keep(self, path: str) -> bool:
        """An output of a run that waits for it, as long as there is room for it."""
        number, _, name = path.partition("/")
        place = self._owner.outputs.get(_number(number))
        if place is None or not _output_name(name):
            return False
        with self._owner.posting:
            left = MAX_RUN_BYTES - sum(map(len, place.values()))
            fits = name not in place and len(place) < answers.MAX_ITEMS
            body = self._body(min(MAX_DATA_BYTES, left)) if fits else None
            if body is not None:
                place[name] = body
        return body is not None

    def _path(self) -> str | None:
        """What is asked for, below the token; None for whoever does not know it, or comes from another site."""
        parts = urlsplit(self.path)
        origin = self.headers.get("Origin")
        root = self._owner.root
        known = secrets.compare_digest(parts.path[: len(root)].encode(), root.encode())
        if not known or origin not in (None, f"http://{self.headers.get('Host')}"):
            return None
        return unquote(parts.path[len(root) :])

    def _body(self, limit: int) -> bytes | None:
        length = self.headers.get("Content-Length", "")
        if not length.isascii() or not length.isdigit() or len(length) > 12 or int(length) > limit:
            return None
        body = self.rfile.read(int(length))
        return body if len(body) == int(length) else None

    def _send_start(self, path: str) -> None:
        number, _, name = path.partition("/")
        start = self._owner.starts.get(_number(number))
        found = None
        try:
            found = start.find(name) if start else None
        except MissingPackageError:
            pass  # not listed then
        if start is None or found is None:
            self._refuse(404)
        elif start.offline:
            self._refuse(503)
        else:
            encoding, content = found.encoded(self.headers.get("Accept-Encoding", ""))
            start.sent[name] += len(content)  # before the page can have it, and say that it has all
            start.encodings.add(encoding or "none")
            self._send(found, "public, max-age=3600, immutable")

    def _send(self, thing: Listed, caching: str) -> None:
        encoding, content = thing.encoded(self.headers.get("Accept-Encoding", ""))
        headers = {
            "Content-Type": thing.type,
            "Cache-Control": caching,
            "ETag": f'"{thing.sha256}"',
            "Vary": "Accept-Encoding",
        }
        self._reply(200, content, {**headers, "Content-Encoding": encoding} if encoding else headers)

    def _stream(self) -> None:
        """Hand out work until the page goes away or is no longer ours."""
        page = parse_qs(urlsplit(self.path).query).get("page", [""])[0][:64]
        self.close_connection = True
        self.send_response(200)
        for name, value in {**_HEADERS, "Content-Type": "text/event-stream", "Cache-Control": "no-store"}.items():
            self.send_header(name, value)
        self.end_headers()
        hub = self._owner.hub
        if not page or not hub.attach(page):
            reason = "Another page is measuring already, or this one came too late. Ask the computer for a new address."
            self.wfile.write(b"event: refused\ndata: " + json.dumps({"reason": reason}).encode() + b"\n\n")
            return
        try:
            self._hand_out(hub, page)
        except OSError:
            pass  # the page is gone; detach says so
        finally:
            hub.detach(page)

    def _hand_out(self, hub: Hub, page: str) -> None:
        sent: set[int] = set()
        while not _closed(self.connection):
            work = hub.work(page, sent, _BEAT_SECONDS)
            if work is None:
                return
            for message in work:
                self.wfile.write(b"data: " + json.dumps(message, allow_nan=False).encode() + b"\n\n")
                sent.add(message["id"])
            self.wfile.write(b":\n\n")

    def _refuse(self, status: int) -> None:
        self.close_connection = True  # a body that was not read must not be taken for the next request
        self._reply(status, b"", {"Connection": "close"})

    def _reply(self, status: int, content: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {**_HEADERS, **headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Nothing."""


def _closed(connection: socket.socket) -> bool:
    """Whether the other side has closed; it sends nothing else on a stream."""
    with selectors.DefaultSelector() as selector:
        selector.register(connection, selectors.EVENT_READ)
        return bool(selector.select(0))


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else -1


def _output_name(name: str) -> bool:
    stem, dot, end = name.partition(".")
    return dot == "." and end == "npy" and _number(stem) >= 0
