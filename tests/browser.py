"""A real Chromium without a window, with software for a GPU, and the pages and files that it asks for.

Flags as measured with Chromium 156 on a machine without a GPU: SwiftShader serves WebGL and, when asked, WebGPU.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from edgeship.errors import TargetUnavailable
from edgeship_benchmarks.targets.browser import processes

_FLAGS = (
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--enable-unsafe-webgpu",
    "--use-webgpu-adapter=swiftshader",
)


def missing() -> str:
    """Why no browser can be driven here; empty if one can."""
    if find_spec("playwright") is None:
        return "playwright (pip install 'edgeship[browser]')"
    return "" if executable() else "Chromium (apt-get install chromium)"


def executable() -> str | None:
    """The system's Chromium."""
    try:
        return processes.executable("chromium")
    except TargetUnavailable:
        return None


@contextmanager
def page(folders: Mapping[str, Path], path: str) -> Iterator[Any]:
    """A page of a loopback server, opened; browser and server end with it.

    Args:
        folders: first part of an address -> the folder that it stands for.
        path: of the page to open; it sets `window.ready`.
    """
    from playwright.sync_api import sync_playwright

    with _server(folders) as address, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=executable(), args=list(_FLAGS))
        try:
            found = browser.new_page()
            found.goto(f"{address}{path}")
            found.wait_for_function("window.ready === true")
            yield found
        finally:
            browser.close()


@contextmanager
def _server(folders: Mapping[str, Path]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Handler, folders))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(SimpleHTTPRequestHandler):
    """Serves folders; says nothing."""

    def __init__(self, folders: Mapping[str, Path], *args: Any) -> None:
        self._folders = folders
        super().__init__(*args)

    def translate_path(self, path: str) -> str:
        """`/models/a/b` is `b` in folder `a` of what `models` stands for."""
        _, first, *rest = path.split("?", maxsplit=1)[0].split("/")
        folder = self._folders.get(first)
        if folder is None or ".." in rest:
            return "/nonexistent"
        return str(folder.joinpath(*rest))

    def guess_type(self, path: Any) -> str:
        """Modules need the type of scripts, wherever the machine's list lacks `.mjs`."""
        return "text/javascript" if str(path).endswith(".mjs") else super().guess_type(path)

    def log_message(self, *args: Any) -> None:
        """Nothing."""
