"""Chromium and Firefox driven as by a person: keys, the pointer, what is shown. The same calls for both.

Chromium is driven by Playwright. Firefox as distributions ship it speaks Marionette, on which geckodriver rests too:
JSON with its length in front, over TCP (https://firefox-source-docs.mozilla.org/testing/marionette/Protocol.html).
"""

from __future__ import annotations

import base64
import json
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol
from unittest import mock

import pytest

from edgeship.errors import TargetUnavailable
from edgeship_benchmarks.targets.browser import processes
from tests.browser import executable as chromium
from tests.browser import missing as missing_chromium

_SECONDS = 60
#: Of a single call, which waits for what the page does.
_LONGEST = 600
#: Names of keys as pages see them -> as WebDriver has them (https://www.w3.org/TR/webdriver2/#keyboard-actions).
_KEYS = {
    "Tab": "\ue004",
    "Enter": "\ue007",
    "Escape": "\ue00c",
    "Space": " ",
    "ArrowLeft": "\ue012",
    "ArrowUp": "\ue013",
    "ArrowRight": "\ue014",
    "ArrowDown": "\ue015",
    "Backspace": "\ue003",
    "Delete": "\ue017",
}
#: Resolves once `return ...` is true; looks at each frame, and at timers where a hidden page has none.
_UNTIL = """new Promise((resolve, reject) => {{
  const end = setTimeout(() => {{ clearInterval(timer); reject(new Error('never')); }}, {milliseconds});
  const timer = setInterval(() => {{ if ({what}) {{ clearInterval(timer); clearTimeout(end); resolve(true); }} }}, 20);
}})"""


class Page(Protocol):
    """An open page."""

    def goto(self, url: str) -> None:
        """Load an address."""

    def js(self, expression: str) -> Any:
        """The value of an expression, as JSON has it; promises are awaited."""

    def press(self, *keys: str) -> None:
        """Press keys one after another, by the names that pages see."""

    def drag(self, points: Sequence[tuple[float, float]]) -> None:
        """Draw with the mouse through places of the window, CSS pixels."""

    def look(self, width: int, height: int, *, dark: bool = False) -> None:
        """Another window, in CSS pixels; `dark` as a person prefers it, in Chromium only."""

    def screenshot(self, path: Path) -> None:
        """A PNG of what is in the window."""


def until(page: Page, what: str, seconds: float = _SECONDS) -> None:
    """Wait for an expression to be true. Fails with what the page shows."""
    try:
        page.js(_UNTIL.format(what=what, milliseconds=int(seconds * 1000)))
    except Exception as error:
        raise AssertionError(f"never: {what}\n{page.js('document.body.innerText')}") from error


class _Chromium:
    def __init__(self, page: Any) -> None:
        self._page = page

    def goto(self, url: str) -> None:
        self._page.goto(url)

    def js(self, expression: str) -> Any:
        return self._page.evaluate(f"async () => ({expression})")

    def press(self, *keys: str) -> None:
        for key in keys:
            self._page.keyboard.press(key)

    def drag(self, points: Sequence[tuple[float, float]]) -> None:
        mouse = self._page.mouse
        mouse.move(*points[0])
        mouse.down()
        for point in points[1:]:
            mouse.move(*point, steps=4)
        mouse.up()

    def look(self, width: int, height: int, *, dark: bool = False) -> None:
        self._page.set_viewport_size({"width": width, "height": height})
        self._page.emulate_media(color_scheme="dark" if dark else "light")

    def screenshot(self, path: Path) -> None:
        self._page.screenshot(path=path)


class _Firefox:
    def __init__(self, connection: socket.socket) -> None:
        self._file = connection.makefile("rwb")
        self._ids = 0
        self._read()  # how it introduces itself
        self._ask("WebDriver:NewSession", {"capabilities": {"alwaysMatch": {"timeouts": {"script": _LONGEST * 1000}}}})

    def _read(self) -> Any:
        length = b""
        while (byte := self._file.read(1)) != b":":
            assert byte, "Firefox ended"
            length += byte
        return json.loads(self._file.read(int(length)))

    def _ask(self, command: str, parameters: dict[str, Any]) -> Any:
        self._ids += 1
        content = json.dumps([0, self._ids, command, parameters]).encode()
        self._file.write(f"{len(content)}:".encode() + content)
        self._file.flush()
        _, number, error, result = self._read()
        assert number == self._ids
        assert error is None, f"{command}: {error['error']}: {error['message']}"
        return result

    def goto(self, url: str) -> None:
        self._ask("WebDriver:Navigate", {"url": url})

    def js(self, expression: str) -> Any:
        answered = ".then((value) => done({ value }), (error) => done({ error: String(error) }))"
        script = f"const [done] = arguments; (async () => ({expression}))(){answered}"
        found = self._ask("WebDriver:ExecuteAsyncScript", {"script": script, "args": []})["value"]
        assert "error" not in found, found["error"]
        return found.get("value")

    def press(self, *keys: str) -> None:
        actions = [{"type": kind, "value": _KEYS.get(key, key)} for key in keys for kind in ("keyDown", "keyUp")]
        self._act({"type": "key", "id": "keyboard", "actions": actions})

    def drag(self, points: Sequence[tuple[float, float]]) -> None:
        moves = [{"type": "pointerMove", "x": round(x), "y": round(y), "duration": 20} for x, y in points]
        button = {"button": 0}
        actions = [moves[0], {"type": "pointerDown", **button}, *moves[1:], {"type": "pointerUp", **button}]
        self._act({"type": "pointer", "id": "mouse", "parameters": {"pointerType": "mouse"}, "actions": actions})

    def _act(self, source: dict[str, Any]) -> None:
        self._ask("WebDriver:PerformActions", {"actions": [source]})

    def look(self, width: int, height: int, *, dark: bool = False) -> None:
        assert not dark
        frame = self.js("[outerWidth - innerWidth, outerHeight - innerHeight]")
        self._ask("WebDriver:SetWindowRect", {"width": width + frame[0], "height": height + frame[1]})

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self._ask("WebDriver:TakeScreenshot", {"full": False})["value"]))


@contextmanager
def driven(browser: str, *flags: str) -> Iterator[Page]:
    """A page of a browser with a profile of its own; skips the test where the browser cannot be driven.

    Args:
        browser: `chromium` or `firefox`.
        flags: for Chromium's command line.
    """
    with _chromium(flags) if browser == "chromium" else _firefox() as page:
        yield page


@contextmanager
def _chromium(flags: Sequence[str]) -> Iterator[Page]:
    if why := missing_chromium():
        pytest.skip(f"needs {why}")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=chromium(), args=list(flags))
        try:
            yield _Chromium(started.new_page())
        finally:
            started.close()


@contextmanager
def _firefox() -> Iterator[Page]:
    try:
        processes.executable("firefox")
    except TargetUnavailable:
        pytest.skip("needs Firefox")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # The option stands where the address of a first page would.
    with mock.patch.dict(processes._FIREFOX_SETTINGS, {"marionette.port": port}):
        running = processes.Browser("firefox", "--marionette")
    with running, _connected(port, running) as connection:
        yield _Firefox(connection)


def _connected(port: int, running: processes.Browser) -> socket.socket:
    """A connection, once Firefox listens; it has no other way to say that it does."""
    for _ in range(_SECONDS * 10):
        running.check()
        with suppress(ConnectionRefusedError):
            return socket.create_connection(("127.0.0.1", port), timeout=_LONGEST)
        time.sleep(0.1)
    raise AssertionError("Firefox does not listen")
