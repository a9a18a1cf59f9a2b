"""Where pages come from: a browser that we start for each, or a person who opens an address somewhere else."""

from __future__ import annotations

import os
import platform
import socket
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from edgeship.errors import EdgeshipError, TargetUnavailable
from edgeship.types import OPEN_PAGE, Progress, ProgressCallback
from edgeship_benchmarks.targets.browser.answers import check
from edgeship_benchmarks.targets.browser.hub import RENEW, Hub
from edgeship_benchmarks.targets.browser.processes import Browser
from edgeship_benchmarks.targets.browser.server import PageServer

#: A browser that starts on a busy machine.
START_SECONDS = 90.0
#: A person who takes out a phone.
OPEN_SECONDS = 300.0
#: A page on the same machine reconnects at once; a phone changes networks.
GRACE_SECONDS = {True: 2.0, False: 20.0}


class Pages:
    """The server, and one page at a time. Use as a context manager: leaving it ends the page's browser and the server.

    Args:
        browser: `chromium`, `firefox`, or `any`: whichever a person opens.
        progress: told the address where a person must open it.
    """

    def __init__(self, browser: str, progress: ProgressCallback | None = None) -> None:
        self._name = browser
        self._started = browser != "any"
        self._progress = progress or (lambda _: None)
        self._browser: Browser | None = None
        self._given_up: TargetUnavailable | None = None
        hub = Hub(GRACE_SECONDS[self._started])
        self.server = PageServer(hub, "127.0.0.1" if self._started else lan_address())

    def fresh(self) -> Mapping[str, str]:
        """A page that has loaded nothing yet, and its facts.

        Raises TargetUnavailable where none comes; where nobody opened one, it is not waited for again.
        """
        hub = self.server.hub
        if self._given_up is not None:
            raise self._given_up
        if not (hub.here and self._renewed()):
            if self._started:
                self._start()
            else:
                self._ask()
        try:
            facts: Mapping[str, str] = check("describe", hub.request({"op": "describe"}, 30.0))["facts"]
        except EdgeshipError as error:
            raise TargetUnavailable(f"the page does not answer: {error.message}", remedy="Try again.") from error
        return {**{key: value for key, value in facts.items() if key != "times_hidden"}, **self.machine()}

    def machine(self) -> Mapping[str, str]:
        """What this machine is, and how it is at this moment, where it is the one that measures."""
        if not self._started:
            return {}
        found = {"system": f"{platform.system()} {platform.release()}", "machine": platform.machine()}
        return {**found, "load_average": f"{os.getloadavg()[0]:.2f}"}

    def _start(self) -> None:
        self._end_browser()
        hub = self.server.hub
        hub.expect()
        self._browser = Browser(self._name, self.server.url)
        if not hub.wait_for_page(START_SECONDS, self._browser.check):
            raise TargetUnavailable(
                f"{self._name} did not open the page within {START_SECONDS:g} s", remedy="Try again with less load."
            )

    def _ask(self) -> None:
        hub = self.server.hub
        hub.expect()
        self._progress(Progress(OPEN_PAGE, 0, 1, self.server.url))
        if not hub.wait_for_page(OPEN_SECONDS):
            self._given_up = TargetUnavailable(
                f"nobody opened the page within {OPEN_SECONDS:g} s",
                remedy="Open the address on the device, in the same network; a firewall may be in the way.",
            )
            raise self._given_up
        self._progress(Progress(OPEN_PAGE, 1, 1))

    def _renewed(self) -> bool:
        """Whether the page that is there loaded itself anew."""
        hub = self.server.hub
        try:
            hub.request({"op": RENEW}, 30.0)
        except EdgeshipError:
            return False
        return hub.wait_for_page(GRACE_SECONDS[False])

    def hidden(self) -> int:
        """How often the page was hidden so far; 0 where it does not answer."""
        try:
            text = check("describe", self.server.hub.request({"op": "describe"}, 30.0))["facts"]["times_hidden"]
        except (EdgeshipError, LookupError):
            return 0
        return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0

    def show(self, **message: Any) -> None:
        """What a person sees on the page; no page, no matter."""
        if self.server.hub.here:
            with suppress(EdgeshipError):
                self.server.hub.request({"op": "show", **message}, 10.0)

    def finish(self, title: str, now: str) -> None:
        """The last thing that the page shows."""
        if self.server.hub.here:
            with suppress(EdgeshipError):
                self.server.hub.request({"op": "finish", "title": title, "now": now}, 10.0)

    def _end_browser(self) -> None:
        if self._browser is not None:
            self._browser.close()
            self._browser = None

    def close(self) -> None:
        """End the browser and the server."""
        self._end_browser()
        self.server.close()

    def __enter__(self) -> Pages:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def lan_address() -> str:
    """This machine's address in its network, by the route that a packet would take; none is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # RFC 5737: an address that belongs to nobody
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"
