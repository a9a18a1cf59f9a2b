"""Requests to a page and its answers: the meeting place of the target and of the server's threads.

A page takes its work from one long stream and posts its answers. The stream is also its sign of life: a tab that
crashes or is closed takes its connections with it, which the server sees within a second.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from edgeship.codec import from_data
from edgeship.errors import ChildCrashed, ChildTimeout, from_wire
from edgeship.types import Progress, ProgressCallback

#: The operation that a page answers and then loads itself anew: the next page that comes is the one to work with.
RENEW = "renew"
_KEEP_OPEN = "Keep it open and in front until it says that it is done."


class Hub:
    """One page at a time. All methods may be called from any thread."""

    def __init__(self, grace_seconds: float) -> None:
        self._grace_seconds = grace_seconds
        self._changed = threading.Condition()
        self._page = ""
        self._streams = 0
        self._lost_at = 0.0
        self._bye = False
        self._number = 0
        self._open: dict[int, Mapping[str, Any]] = {}
        self._answers: dict[int, list[Mapping[str, Any]]] = {}

    def expect(self) -> None:
        """Forget the page: the next one that comes is the one to work with."""
        with self._changed:
            self._forget()

    def _forget(self) -> None:
        self._page, self._streams, self._bye = "", 0, False
        self._open.clear()
        self._changed.notify_all()

    def wait_for_page(self, seconds: float, check: Callable[[], None] = lambda: None) -> bool:
        """Whether a page came in time. `check` is called now and then; what it raises ends the wait."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while not self._here() and time.monotonic() < deadline:
                check()
                self._changed.wait(0.2)
            return self._here()

    def _here(self) -> bool:
        if not self._page or self._bye:
            return False
        return self._streams > 0 or time.monotonic() - self._lost_at < self._grace_seconds

    @property
    def here(self) -> bool:
        """Whether a page is there, or may come back any moment."""
        with self._changed:
            return self._here()

    def attach(self, page: str) -> bool:
        """A page opened its stream; whether it is the one to work with."""
        with self._changed:
            if self._page not in ("", page) and self._here():
                return False
            if self._page and self._page != page:
                return False  # another page than the one that was lost: `expect` comes first
            self._page, self._bye = page, False
            self._streams += 1
            self._changed.notify_all()
            return True

    def detach(self, page: str) -> None:
        """A stream of the page ended."""
        with self._changed:
            if page == self._page:
                self._streams = max(0, self._streams - 1)
                self._lost_at = time.monotonic()
                self._changed.notify_all()

    def leave(self, page: str) -> None:
        """The page says that it is being closed."""
        with self._changed:
            if page == self._page:
                self._bye = True
                self._changed.notify_all()

    def work(self, page: str, sent: set[int], seconds: float) -> list[Mapping[str, Any]] | None:
        """Requests that the stream has not sent yet, after waiting for one; None when the page is no longer ours."""
        with self._changed:
            if page == self._page and not set(self._open) - sent:
                self._changed.wait(seconds)
            if page != self._page:
                return None
            return [self._open[number] for number in sorted(set(self._open) - sent)]

    def answer(self, page: str, number: int, answer: Mapping[str, Any]) -> bool:
        """An answer came, or a sign of progress; whether anyone waits for it."""
        with self._changed:
            if page != self._page or number not in self._open:
                return False
            self._answers.setdefault(number, []).append(answer)
            if "progress" not in answer and self._open.pop(number).get("op") == RENEW:
                self._forget()  # at once: the next page may be here before who asked hears of the answer
            self._changed.notify_all()
            return True

    def request(
        self, message: Mapping[str, Any], seconds: float, progress: ProgressCallback | None = None
    ) -> Mapping[str, Any]:
        """The page's result. Raises its own typed error, ChildCrashed where it is gone, or ChildTimeout.

        Args:
            message: `op` and what belongs to it.
            seconds: longest time without an answer or a sign of progress.
            progress: told meanwhile.
        """
        with self._changed:
            self._number += 1
            number = self._number
            self._open[number] = {**message, "id": number}
            self._changed.notify_all()
        try:
            while True:
                answer = self._next(number, str(message.get("op")), seconds)
                if "error" in answer:
                    raise from_wire(answer["error"])
                if "result" in answer:
                    result: Mapping[str, Any] = answer["result"]
                    return result
                if progress is not None:
                    progress(from_data(Progress, answer["progress"]))
        finally:
            with self._changed:
                self._open.pop(number, None)
                self._answers.pop(number, None)

    def _next(self, number: int, what: str, seconds: float) -> Mapping[str, Any]:
        deadline = time.monotonic() + seconds
        with self._changed:
            while not self._answers.get(number):
                if not self._here():
                    raise ChildCrashed("the page was closed or crashed", remedy=_KEEP_OPEN)
                if time.monotonic() > deadline:
                    raise ChildTimeout(f"the page gave no answer to {what} for {seconds:g} s")
                self._changed.wait(0.2)
            return self._answers[number].pop(0)
