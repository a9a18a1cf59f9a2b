"""A real browser with a page that loads packages, a site that can fail in ways, and the test that says what to do.

Two servers: the site, which has pages and packages and can be shut down, and the test's own, which tells the page what
to do next. No driver is needed, so Chromium and Firefox are the same.
"""

from __future__ import annotations

import json
import mimetypes
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from edgeship_benchmarks.targets.browser.processes import Browser

_SITE = Path(__file__).with_name("site")
_SECONDS = 30
_STRICT = "default-src 'none'; img-src 'self'; connect-src 'self' http://127.0.0.1:*; "
#: Word in an address -> Content-Security-Policy of what is under it.
POLICIES = {
    "strict": _STRICT + "script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'",
    "no-worker": _STRICT + "script-src 'self' 'wasm-unsafe-eval'; worker-src 'none'",
    "no-wasm": _STRICT + "script-src 'self'; worker-src 'self'",
}
_TYPES = {".js": "text/javascript", ".wasm": "application/wasm", ".json": "application/json", ".html": "text/html"}


@dataclass
class Fault:
    """What happens to requests whose path contains a word.

    `kind`: `404`, `page` (a web page with status 200), `flip` (one bit), `cut` (the first half, and no more), `reset`
    (the connection ends in the middle), `type` (text/html in its header), `prefix` (text before the content),
    `no-store` (in its header).
    """

    word: str
    kind: str
    text: str = ""


@dataclass
class Site:
    """Folders by the first part of an address; `log`: paths that were asked for."""

    folders: dict[str, Path]
    faults: list[Fault] = field(default_factory=list)
    policy: str = "strict"
    log: list[str] = field(default_factory=list)
    sent: dict[str, int] = field(default_factory=dict)

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        path = handler.path.split("?", maxsplit=1)[0]
        self.log.append(path)
        file = self._file(path)
        fault = next((f for f in self.faults if f.word in path), None)
        if file is None or (fault and fault.kind == "404"):
            self._send(handler, 404, "text/plain", b"not here")
            return
        content = file.read_bytes()
        kind = _TYPES.get(file.suffix) or mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        if fault is not None:
            content, kind = _spoiled(fault, content, kind)
        cut = len(content) // 2 if fault and fault.kind == "reset" else None
        self.sent[path] = len(content)
        self._send(handler, 200, kind, content, cut, "no-store" if fault and fault.kind == "no-store" else "no-cache")

    def _file(self, path: str) -> Path | None:
        _, first, *rest = path.split("/")
        if first == "sw.js":
            first, rest = "packages", ["digits", "sw.js"]
        folder = self.folders.get(first)
        found = folder.joinpath(*rest) if folder and ".." not in rest else None
        return found if found is not None and found.is_file() else None

    def _send(
        self,
        handler: BaseHTTPRequestHandler,
        status: int,
        kind: str,
        content: bytes,
        cut: int | None = None,
        cache: str = "no-cache",
    ) -> None:
        handler.send_response(status)
        handler.send_header("content-type", kind)
        handler.send_header("content-length", str(len(content)))
        handler.send_header("content-security-policy", POLICIES[self.policy])
        handler.send_header("cache-control", cache)
        handler.end_headers()
        with suppress(ConnectionError):
            handler.wfile.write(content[:cut])
        if cut is not None:
            handler.close_connection = True


def _spoiled(fault: Fault, content: bytes, kind: str) -> tuple[bytes, str]:
    if fault.kind == "page":
        return b"<!doctype html><html><title>Not found</title></html>", "text/html"
    if fault.kind == "flip":
        middle = len(content) // 2
        return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :], kind
    if fault.kind == "cut":
        return content[: len(content) // 2], kind
    if fault.kind == "type":
        return content, "text/html"
    return (fault.text.encode() + content if fault.kind == "prefix" else content), kind


class Driven:
    """A browser that does what it is told."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self._orders: queue.Queue[dict[str, Any]] = queue.Queue()
        self._answers: queue.Queue[dict[str, Any]] = queue.Queue()
        self._ids = 0
        self.name = ""
        self.here = threading.Event()
        self._control = _served(self._take)
        self._server: ThreadingHTTPServer | None = _served(site.answer)
        self.port = self._server.server_address[1]

    @property
    def control(self) -> int:
        return int(self._control.server_address[1])

    def do(self, scenario: str, **given: Any) -> Any:
        """The result of a scenario of page.js. Raises AssertionError where it threw."""
        self._ids += 1
        self._orders.put({"id": self._ids, "scenario": scenario, "given": given})
        while (answer := self._answers.get(timeout=_SECONDS))["id"] != self._ids:
            pass
        assert "error" not in answer, answer["error"]
        return answer["result"]

    def go(self, policy: str = "strict") -> None:
        """Open the page anew under a policy: everything in it ends."""
        self.site.policy = policy
        self._ids += 1
        address = f"http://127.0.0.1:{self.port}/site/page.html"
        self._orders.put({"id": self._ids, "scenario": "go", "path": address})

    def fresh(self, policy: str = "strict", *faults: Fault) -> None:
        """The page under an origin that the browser has not seen: nothing is in any store."""
        self.down()
        self.site.faults = list(faults)
        self._server = _served(self.site.answer)
        self.port = self._server.server_address[1]
        self.go(policy)

    def down(self) -> None:
        """Shut the site down: its port refuses connections."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def close(self) -> None:
        self.down()
        self._control.shutdown()
        self._control.server_close()

    def _take(self, handler: BaseHTTPRequestHandler) -> None:
        if handler.command == "POST":
            length = int(handler.headers["content-length"])
            self._answers.put(json.loads(handler.rfile.read(length)))
            content: dict[str, Any] = {}
        elif handler.command == "GET" and handler.path == "/next":
            self.here.set()
            content = self._orders.get()
        else:
            content = {}
        text = json.dumps(content).encode()
        handler.send_response(200)
        for key, value in (
            ("access-control-allow-origin", "*"),
            ("content-type", "application/json"),
            ("content-length", str(len(text))),
            ("cache-control", "no-store"),
        ):
            handler.send_header(key, value)
        handler.end_headers()
        with suppress(ConnectionError):
            handler.wfile.write(text)


def _served(answer: Any) -> ThreadingHTTPServer:
    ended = threading.Event()

    class Server(ThreadingHTTPServer):
        def shutdown(self) -> None:
            ended.set()
            super().shutdown()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if ended.is_set():  # connections that were kept alive outlive the server
                self.close_connection = True
            else:
                answer(self)

        do_POST = do_GET  # noqa: N815 - as the base class calls it

        def log_message(self, *args: Any) -> None:
            pass

    server = Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    return server


@contextmanager
def driven(browser: str, packages: Path, data: Path) -> Iterator[Driven]:
    """A browser whose page has loaded; it and both servers end with this."""
    found = Driven(Site({"site": _SITE, "packages": packages, "data": data}))
    url = f"http://127.0.0.1:{found.port}/site/page.html?control={found.control}"
    try:
        with Browser(browser, url):
            assert found.here.wait(_SECONDS), f"{browser} did not load the page"
            yield found
    finally:
        found.close()


def visited(browser: str, folders: dict[str, Path], path: str) -> tuple[Any, list[str]]:
    """What a page of its own sends as its answer, and what it asked the site for."""
    found = Driven(Site(folders))
    try:
        with Browser(browser, f"http://127.0.0.1:{found.port}{path}?control={found.control}&id=1"):
            return found._answers.get(timeout=_SECONDS)["result"], found.site.log
    finally:
        found.close()
