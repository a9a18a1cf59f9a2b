"""Work on several targets: at once on those that are machines of their own, one after another on this one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextvars import copy_context
from typing import TypeVar

from edgeship.contracts import Target

T = TypeVar("T")


def each(places: Sequence[Target], job: Callable[[Target], T]) -> list[T]:
    """`job(place)` of every target, in their order.

    Targets that name the same `machine` wait for each other, as all do that run here: those begin when the machines
    elsewhere are done, because speaking to them is work for this one. A machine ends with its first error; that of the
    first target is raised when all machines have ended. Ctrl-C ends all at once.
    """
    results: dict[int, T] = {}
    errors: dict[int, Exception] = {}

    def work(numbers: Sequence[int]) -> None:
        for number in numbers:
            try:
                results[number] = job(places[number])
            except Exception as error:  # noqa: BLE001 - raised again by the thread that waits
                errors[number] = error
                return

    by_machine: dict[str, list[int]] = {}
    for number, place in enumerate(places):
        by_machine.setdefault(getattr(place, "machine", ""), []).append(number)
    here = by_machine.pop("", [])
    # They are left alone when the process ends: a board cleans up when its connection goes.
    threads = [
        threading.Thread(target=copy_context().run, args=(work, numbers), daemon=True)
        for numbers in by_machine.values()
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if not errors:
        work(here)
    if errors:
        raise errors[min(errors)]
    return [results[number] for number in range(len(places))]
