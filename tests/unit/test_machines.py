"""Several targets: who runs at once, who waits."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest

from edgeship import machines
from edgeship.child import Limits, limited, limits_in_force


def _place(name: str, machine: str | None = None) -> Any:
    return SimpleNamespace(name=name, **({} if machine is None else {"machine": machine}))


def test_machines_work_at_once_and_this_one_after_them() -> None:
    places = [_place("local"), _place("a", "a"), _place("b", "b"), _place("coral")]
    both = threading.Barrier(2, timeout=10)
    ended: list[str] = []

    def job(place: Any) -> str:
        if place.name in "ab":
            both.wait()  # fails unless a and b are here together
            time.sleep(0.05)
        ended.append(place.name)
        return place.name.upper()

    assert machines.each(places, job) == ["LOCAL", "A", "B", "CORAL"]
    assert sorted(ended[:2]) == ["a", "b"]
    assert ended[2:] == ["local", "coral"]


def test_targets_on_one_machine_take_turns() -> None:
    places = [_place("plain", "board"), _place("with a Coral", "board")]
    busy = threading.Lock()

    def job(place: Any) -> str:
        assert busy.acquire(blocking=False)
        time.sleep(0.05)
        busy.release()
        return str(place.name)

    assert machines.each(places, job) == ["plain", "with a Coral"]


def test_an_error_is_raised_when_the_others_have_ended() -> None:
    ended: list[str] = []

    def job(place: Any) -> None:
        if place.name == "bad":
            raise ValueError("bad board")
        time.sleep(0.1)
        ended.append(place.name)

    with pytest.raises(ValueError, match="bad board"):
        machines.each([_place("good", "g"), _place("bad", "b"), _place("local")], job)
    assert ended == ["good"]


def test_an_interruption_ends_all_at_once() -> None:
    begun: list[str] = []

    def job(place: Any) -> None:
        begun.append(place.name)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        machines.each([_place("local"), _place("browser"), _place("emulated")], job)
    assert begun == ["local"]


def test_every_machine_has_the_limits_of_the_request() -> None:
    given = Limits(seconds=77)
    with limited(given):
        assert machines.each([_place("local"), _place("a", "a")], lambda _: limits_in_force()) == [given, given]
