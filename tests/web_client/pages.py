"""A page in a real browser that runs what it was given, and says what came of it."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from edgeship_benchmarks.targets.browser import processes

_SECONDS = 240.0
_PAGE = b'<!doctype html><meta charset="utf-8"><script type="module" src="/script.js"></script>'
#: Nothing that the client does needs more than this.
_POLICY = "default-src 'none'; script-src 'self'; connect-src 'self'"


def run_in(browser: str, files: Mapping[str, bytes]) -> Any:
    """What `/script.js` of these files sends to `/result`. Fails where the browser ends, or takes too long."""
    with _server({"/": _PAGE, **files}) as (address, results), processes.Browser(browser, address) as running:
        try:
            return json.loads(results.get(timeout=_SECONDS))
        except queue.Empty:
            running.check()
            raise


@contextmanager
def _server(files: Mapping[str, bytes]) -> Iterator[tuple[str, queue.Queue[bytes]]]:
    results: queue.Queue[bytes] = queue.Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(200 if self.path in files else 404, files.get(self.path, b""))

        def do_POST(self) -> None:
            results.put(self.rfile.read(int(self.headers["Content-Length"])))
            self._answer(200, b"")

        def _answer(self, status: int, content: bytes) -> None:
            kind = {"js": "text/javascript", "json": "application/json"}.get(self.path.rpartition(".")[2], "text/html")
            self.send_response(status)
            headers = {"Content-Type": kind, "Content-Length": len(content), "Content-Security-Policy": _POLICY}
            for name, value in headers.items():
                self.send_header(name, str(value))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/", results
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
