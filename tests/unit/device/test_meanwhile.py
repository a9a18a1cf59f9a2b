"""A rollback in the middle of an update: what it brings back goes on, and a later update gets there."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.device_repository import Published, X, expected
from tests.enrolled_device import LIMITS, Device

from edgeship.device import roll_back, selftest, state
from edgeship.device.config import Probation
from edgeship.device.fetching import Fetching
from edgeship.errors import InputError, UnavailableError


def here(device: Device) -> None:
    roll_back(device.place, "by hand")


def by_another_process(device: Device) -> None:
    command = [Path(sys.executable).with_name("edgeship"), "device", "rollback", "--dir", device.place.folder.parent]
    subprocess.run(command, check=True, capture_output=True)


def by_a_vote(device: Device) -> None:
    """Of an application: 1.1.0 is still in probation for it."""
    device.set(probation=Probation(starts=1, minutes=0, failures=1))
    held = state.release(device.place, "b")
    assert held is not None
    state.accept(device.place, "b", replace(held, trusted=False))
    with device.model() as model:
        model.report(ok=False)


@pytest.fixture
def installed(device: Device, published: Published) -> Device:
    """1.1.0 runs in slot b, 1.0.0 is in the other one."""
    device.set(probation=Probation(starts=0, minutes=0))
    device.update()
    published.release("1.1.0", 2)
    published.rollout("1.1.0")
    device.update()
    return device


def hooked(step: Callable[[], None], owner: object, name: str, patch: pytest.MonkeyPatch) -> None:
    """Do something once, before a function begins."""
    function = getattr(owner, name)

    def first(*args: object, **more: object) -> object:
        patch.setattr(owner, name, function)
        step()
        return function(*args, **more)

    patch.setattr(owner, name, first)


def serves(device: Device, version: str) -> None:
    assert device.active == version
    with device.model() as model:
        assert model.predict(X).version == version


@pytest.mark.parametrize("back", [here, by_another_process, by_a_vote])
@pytest.mark.parametrize("good", [True, False], ids=["good", "bad"])
def test_the_slot_that_was_gone_back_to_is_not_filled(
    installed: Device,
    published: Published,
    monkeypatch: pytest.MonkeyPatch,
    back: Callable[[Device], None],
    good: bool,
) -> None:
    published.release("1.2.0", 3, **({} if good else {"golden": expected(X, 4)}))
    published.rollout("1.2.0")
    hooked(lambda: back(installed), Fetching, "files", monkeypatch)
    with pytest.raises(UnavailableError, match="was rolled back during the update"):
        installed.update()
    serves(installed, "1.0.0")
    outcome = installed.update()
    assert outcome.result == ("updated" if good else "kept")
    serves(installed, "1.2.0" if good else "1.0.0")
    assert not [problem for problem in installed.status().problems if "last check" not in problem]


@pytest.mark.parametrize("good", [True, False], ids=["good", "bad"])
def test_a_release_that_was_gone_back_to_while_it_was_tried_runs(
    installed: Device, published: Published, monkeypatch: pytest.MonkeyPatch, good: bool
) -> None:
    """A halt takes 1.0.0 again, which lies here: it is only tried."""
    published.rollout("1.0.0")
    if not good:
        installed.set(limits=replace(LIMITS, test_seconds=0.001))
    hooked(lambda: here(installed), selftest, "check", monkeypatch)
    if good:
        assert installed.update().version == "1.0.0"
    else:
        with pytest.raises(UnavailableError, match="was rolled back during the update"):
            installed.update()
    serves(installed, "1.0.0")
    assert installed.update().result == "current"


def test_a_rollback_after_the_slot_was_emptied_finds_nothing(
    installed: Device, published: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    published.release("1.2.0", 3, golden=expected(X, 4))
    published.rollout("1.2.0")

    def late() -> None:
        with pytest.raises(InputError, match="no release to go back to"):
            here(installed)

    hooked(late, selftest, "check", monkeypatch)
    assert installed.update().result == "kept"
    serves(installed, "1.1.0")
