"""The server of the comparison: brotli, caching, a link that may be slow, and what was sent."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import brotli

from edgeship import cache
from tests import npm
from tests.acceptance.web_comparison.models import Model

HERE = Path(__file__).parent
_TYPES = {".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm", ".json": "application/json"}
_CHUNK = 1 << 14
#: Of the slow link: bits a second, and seconds until the first byte of each answer, and again for each connection.
BITS_PER_SECOND, DELAY_S = 10e6, 0.04


def scripts(out: Path, models: Iterable[Model]) -> None:
    """The subjects, bundled as a web developer would: minified, as modules for browsers."""
    found = npm.installed(HERE)
    out.mkdir(parents=True, exist_ok=True)
    options = ("--bundle", "--minify", "--format=esm", "--platform=browser", "--log-level=error")
    for name in ("tfjs", "onnx", "litert"):
        place = found.parent / f"{name}.mjs"  # beside node_modules, where its imports are found
        shutil.copyfile(HERE / "subjects" / f"{name}.mjs", place)
        subprocess.run([found / ".bin/esbuild", place, *options, f"--outfile={out / name}.mjs"], check=True)
    for model in models:
        package = f"--alias:package={model.folder / 'package/index.js'}"
        place, made = HERE / "subjects/edgeship.mjs", out / f"edgeship-{model.name}.mjs"
        subprocess.run([found / ".bin/esbuild", place, package, *options, f"--outfile={made}"], check=True)


def folders(work: Path) -> dict[str, Path]:
    """First parts of addresses -> where they are."""
    found = npm.installed(HERE)
    return {
        "page": HERE / "page",
        "subjects": work / "subjects",
        "models": work / "models",
        "modules/tfjs": found / "@tensorflow/tfjs-backend-wasm/dist",
        "modules/onnx": found / "onnxruntime-web/dist",
        "modules/litert": found / "@litertjs/core/wasm",
    }


@lru_cache(maxsize=256)
def _encoded(path: Path) -> bytes:
    """A file with brotli at its best quality, which takes a minute for the largest; kept in the user's cache."""
    content = path.read_bytes()
    place = cache.root() / "brotli" / hashlib.sha256(content).hexdigest()
    if not place.is_file():
        place.parent.mkdir(parents=True, exist_ok=True)
        part = place.with_suffix(".part")
        part.write_bytes(brotli.compress(content, quality=11))
        part.replace(place)
    return place.read_bytes()


class Link:
    """What all connections of a page share."""

    def __init__(self, slow: bool) -> None:
        self.slow = slow
        self.sent = 0
        self._lock = threading.Lock()
        self._free = 0.0

    def delay(self) -> None:
        if self.slow:
            time.sleep(DELAY_S)

    def send(self, handler: BaseHTTPRequestHandler, content: bytes) -> None:
        for start in range(0, len(content), _CHUNK):
            piece = content[start : start + _CHUNK]
            if self.slow:
                with self._lock:
                    self._free = max(self._free, time.monotonic()) + len(piece) * 8 / BITS_PER_SECOND
                    until = self._free
                time.sleep(max(0.0, until - time.monotonic()))
            handler.wfile.write(piece)
            self.sent += len(piece)


class Site:
    """A running server.

    Attributes:
        url: without a slash at its end.
        link: counts bytes of content as they were sent.
    """

    def __init__(self, server: ThreadingHTTPServer, link: Link) -> None:
        self.url = f"http://127.0.0.1:{server.server_port}"
        self.link = link
        self._server = server

    def down(self) -> None:
        """Its port refuses connections from now on."""
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def site(places: Mapping[str, Path], *, slow: bool = False) -> Iterator[Site]:
    """A server on a port of its own: for browsers an origin of which nothing is stored."""
    link = Link(slow)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # What is small must not wait for what was sent before to be confirmed.
        disable_nagle_algorithm = True

        def setup(self) -> None:
            super().setup()
            link.delay()

        def do_GET(self) -> None:
            link.delay()
            path = _file(places, urlsplit(self.path).path)
            content = b"" if path is None else _encoded(path)
            self.send_response(404 if path is None else 200)
            fixed = path is not None and path.name not in ("index.html", "sw.js")
            headers = {
                "Content-Length": str(len(content)),
                "Cache-Control": "public, max-age=31536000, immutable" if fixed else "no-cache",
                "Content-Type": "text/html" if path is None or path.suffix == ".html" else _type(path),
            }
            if path is not None:
                headers["Content-Encoding"] = "br"
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            with suppress(ConnectionError):
                link.send(self, content)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield Site(server, link)
        finally:
            server.shutdown()


def _type(path: Path) -> str:
    return _TYPES.get(path.suffix, "application/octet-stream")


def _file(places: Mapping[str, Path], path: str) -> Path | None:
    if path == "/":
        return places["page"] / "index.html"
    if path == "/sw.js":
        return next(places["models"].glob("*/package/sw.js"), None)
    for first, folder in places.items():
        if path.startswith(f"/{first}/") and ".." not in path:
            found = folder / path.removeprefix(f"/{first}/")
            return found if found.is_file() else None
    return None


def facts() -> dict[str, str]:
    """Versions of what is compared with."""
    names = ("@tensorflow/tfjs", "onnxruntime-web", "@litertjs/core")
    return {name: json.loads((npm.installed(HERE) / name / "package.json").read_text())["version"] for name in names}
