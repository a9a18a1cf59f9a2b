"""A web server for the built app: its policy, types, brotli and caching, as a real host should send them."""

from __future__ import annotations

from contextlib import suppress
from functools import cached_property
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import brotli

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
    ".wasm": "application/wasm",
}
#: Quality 11 takes 20 s for what LiteRT.js brings.
_QUALITY = 5


def policy(*repositories: str) -> str:
    """The Content-Security-Policy of the page; `repositories`: origins that it takes updates from."""
    return "; ".join(
        (
            "default-src 'none'",
            "script-src 'self' 'wasm-unsafe-eval'",
            "style-src 'self'",
            "img-src 'self'",
            "manifest-src 'self'",
            "worker-src 'self'",
            " ".join(("connect-src 'self'", *repositories)),
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )


class File:
    """A file of the app as it is sent."""

    def __init__(self, path: Path, immutable: bool) -> None:
        self.content = path.read_bytes()
        self.headers = {
            "Content-Type": TYPES.get(path.suffix, "application/octet-stream"),
            "Cache-Control": "public, max-age=31536000, immutable" if immutable else "no-cache",
        }

    @cached_property
    def compressed(self) -> bytes:
        """With brotli."""
        return bytes(brotli.compress(self.content, quality=_QUALITY))


class AppServer(ThreadingHTTPServer):
    """Sends the files of a built app, and nothing else.

    Args:
        folder: what Vite wrote; names in `assets` have the digest of their content, and are never asked for again.
        port: on loopback; 0: a free one.
        policy: Content-Security-Policy of every answer.
    """

    daemon_threads = True

    def __init__(self, folder: Path, port: int, policy: str) -> None:
        self.files = {
            f"/{path.relative_to(folder).as_posix()}": File(path, path.parent.name == "assets")
            for path in folder.rglob("*")
            if path.is_file()
        }
        self.headers = {
            "Content-Security-Policy": policy,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
            "Cross-Origin-Opener-Policy": "same-origin",
        }
        super().__init__(("127.0.0.1", port), _Handler)

    @property
    def url(self) -> str:
        """Address of the page."""
        return f"http://127.0.0.1:{self.server_port}/"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: AppServer

    def do_GET(self) -> None:
        """Send a file."""
        path = unquote(urlsplit(self.path).path)
        file = self.server.files.get("/index.html" if path == "/" else path)
        if file is None:
            self._send(HTTPStatus.NOT_FOUND, {"Content-Type": "text/plain", "Cache-Control": "no-store"}, b"not here")
            return
        small = "br" in [part.split(";")[0].strip() for part in self.headers.get("Accept-Encoding", "").split(",")]
        encoding = {"Content-Encoding": "br"} if small else {}
        content = file.compressed if small else file.content
        self._send(HTTPStatus.OK, {**file.headers, "Vary": "Accept-Encoding", **encoding}, content)

    def _send(self, status: HTTPStatus, headers: dict[str, str], content: bytes) -> None:
        self.send_response(status)
        for name, value in {**self.server.headers, **headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        with suppress(ConnectionError):
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in http.server
        """Say nothing: the terminal is for the address."""
