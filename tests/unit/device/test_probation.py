"""Releases that pass the self-test and fail in the application."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from tests.device_repository import Published, X
from tests.enrolled_device import Device, offer_release, try_release

from edgeship.device import state
from edgeship.device.config import Place
from edgeship.device.probation import Start, roll_back, settle
from edgeship.device.state import State, Trial
from edgeship.errors import InputError, StorageFullError, UpdateRefused
from edgeship.releases.moments import text_of

#: An application: does as it is told, says which release it has, and ends.
APPLICATION = """
import os, signal, sys
from pathlib import Path
import numpy as np
from edgeship.device import Model
from edgeship.device.engine import Engine

signal.signal(signal.SIGINT, signal.default_int_handler)  # a test run in the background has children that ignore it

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

def hang(*_):
    print("predicts", flush=True)
    sys.stdin.readline()

if "die-loading" in sys.argv:
    Engine.__init__ = die
model = Model("points", folder=Path(sys.argv[1]))
for word in sys.argv[2:]:
    if word == "predict":
        model.predict(np.zeros((1, 4), np.float32))
    elif word in ("die-predicting", "hang-predicting"):
        if model.version == "1.1.0":
            Engine.run = die if word == "die-predicting" else hang
        model.predict(np.zeros((1, 4), np.float32))
    elif word == "say":
        print(model.version, flush=True)
    elif word == "die":
        die()
    elif word == "raise":
        raise SystemError("something of its own")
    elif word == "wait":
        sys.stdin.readline()
"""


def start(device: Device, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", APPLICATION, str(device.place.folder.parent), *words]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )


def run(device: Device, *words: str) -> str:
    """The release that an application got."""
    with start(device, "say", *words) as process:
        return process.communicate()[0].strip()


@pytest.fixture
def trying(device: Device, published: Published) -> Device:
    """1.0.0 is trusted, 1.1.0 in probation."""
    try_release(device, published)
    return device


def settled(device: Device, *, minutes: float = 0) -> state.State:
    return settle(device.place, device.config, device.now + timedelta(minutes=minutes))


def test_an_application_that_dies_again_and_again_gets_the_release_before(trying: Device) -> None:
    assert [run(trying, "die-predicting") for _ in range(3)] == ["1.1.0", "1.1.0", "1.0.0"]
    assert trying.active == "1.0.0"
    assert "2 processes failed" in trying.status().failed[0].reason
    assert (trying.update().result, trying.active) == ("kept", "1.0.0")


def test_one_that_dies_after_its_first_answers_does_so_too(trying: Device) -> None:
    assert [run(trying, "predict", "die-predicting") for _ in range(3)] == ["1.1.0", "1.1.0", "1.0.0"]


def test_one_that_dies_while_it_loads_the_model_does_so_too(trying: Device) -> None:
    assert [run(trying, "die-loading") for _ in range(2)] == ["", ""]
    assert run(trying) == "1.0.0"


@pytest.mark.parametrize("words", [(), ("predict",), ("predict", "predict")], ids=len)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
def test_one_that_is_ended_while_it_waits_says_nothing_about_the_release(
    trying: Device, number: signal.Signals, words: tuple[str, ...]
) -> None:
    """A restart of a service, a reboot, a full memory: it is no fault of the model."""
    for _ in range(3):
        with start(trying, *words, "say", "wait") as process:
            assert process.stdout is not None
            assert process.stdout.readline().strip() == "1.1.0"
            process.send_signal(number)
            assert process.wait() == -number
    found = settled(trying)
    assert found.probation is not None
    assert found.probation.failures == 0
    assert trying.active == "1.1.0"
    assert list(trying.place.starts.iterdir()) == []


def test_one_that_is_killed_after_a_wait_counts_if_it_predicts_then(trying: Device) -> None:
    assert run(trying, "predict", "die") == "1.1.0"
    assert run(trying, "predict", "die-predicting") == "1.1.0"
    found = settled(trying)
    assert found.probation is not None
    assert found.probation.failures == 1


def test_an_exception_that_nobody_catches_is_a_failure(trying: Device) -> None:
    assert [run(trying, "predict", "raise") for _ in range(3)] == ["1.1.0", "1.1.0", "1.0.0"]


def test_an_application_that_ends_as_it_should_has_served(trying: Device) -> None:
    assert run(trying, "predict") == "1.1.0"
    found = settled(trying)
    assert found.probation is not None
    assert (found.probation.starts, found.probation.failures) == (1, 0)
    assert settled(trying, minutes=61).probation is None
    held = state.release(trying.place, found.active)
    assert held is not None
    assert held.trusted


def test_time_alone_ends_no_probation(trying: Device) -> None:
    assert settled(trying, minutes=61).probation is not None


def test_a_process_that_lives_has_not_died(trying: Device) -> None:
    processes = [start(trying, "hang-predicting") for _ in range(3)]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline().strip() == "predicts"
        found = settled(trying)
        assert found.probation is not None
        assert found.probation.failures == 0
        processes[0].send_signal(signal.SIGKILL)
        processes[0].wait()
        found = settled(trying)
        assert found.probation is not None
        assert found.probation.failures == 1
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def test_a_release_without_one_before_goes_on(device: Device) -> None:
    """Nothing better has passed its self-test."""
    device.update()
    assert [run(device, "die-loading") for _ in range(4)] == [""] * 4
    assert run(device) == "1.0.0"
    found = settled(device)
    assert found.probation is not None
    assert found.probation.failures >= 3


def test_the_release_before_is_not_taken_back_below_the_floor(trying: Device, published: Published) -> None:
    published.policy("1.1.0")
    trying.update()
    assert [run(trying, "die-predicting") for _ in range(4)] == ["1.1.0"] * 4
    with pytest.raises(UpdateRefused, match="below the floor"):
        roll_back(trying.place, "by hand")


def test_votes_of_the_application_count(trying: Device) -> None:
    with trying.model() as model:
        model.report(ok=False)
        assert model.predict(X).version == "1.1.0"
        model.report(ok=False, reason="nothing is recognized")
        assert model.predict(X).version == "1.0.0"
        model.report(ok=False)
        assert model.predict(X).version == "1.0.0"
    assert trying.active == "1.0.0"


def test_a_vote_for_a_release_is_a_start(trying: Device) -> None:
    with trying.model() as model:
        model.report(ok=True)
    found = settled(trying)
    assert found.probation is not None
    assert found.probation.starts == 1


def test_rolling_back_by_hand(trying: Device) -> None:
    roll_back(trying.place, "by hand")
    assert (trying.active, trying.status().previous) == ("1.0.0", None)
    assert (trying.update().result, trying.active) == ("kept", "1.0.0")
    with pytest.raises(InputError, match="no release to go back to"):
        roll_back(trying.place, "by hand")


def test_after_a_rollback_a_lost_state_does_not_bring_the_failed_release_back(trying: Device) -> None:
    roll_back(trying.place, "by hand")
    trying.place.state.unlink()
    assert trying.active == "1.0.0"


def test_files_of_dead_processes_do_not_pile_up(trying: Device) -> None:
    run(trying, "die-predicting")
    settled(trying)
    assert list(Path(trying.place.starts).iterdir()) == []


def test_deaths_are_counted_though_the_disk_was_full_at_first(trying: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    run(trying, "die-predicting")
    with monkeypatch.context() as full:
        full.setattr("edgeship.device.durable.write", refusing)
        with pytest.raises(StorageFullError):
            settle(trying.place, trying.config, trying.now)
    assert len(list(trying.place.starts.iterdir())) == 1
    after = settle(trying.place, trying.config, trying.now)
    assert after.probation is not None
    assert after.probation.failures == 1
    assert not list(trying.place.starts.iterdir())


def test_a_disk_that_cannot_take_that_a_process_served_is_asked_once(
    trying: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = Start(trying.place, trying.config)
    begun.begin()
    assert begun.open
    monkeypatch.setattr("edgeship.device.durable.write", refusing)
    with pytest.raises(StorageFullError):
        begun.served()
    assert not begun.open
    begun.served()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES], ids=errno.errorcode.get)
def test_a_start_that_could_not_be_written_is_written_the_next_time(
    trying: Device, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    opened, begun = os.open, Start(trying.place, trying.config)

    def refused(path: Path, *args: int) -> int:
        if Path(path).parent == trying.place.starts:
            raise OSError(number, os.strerror(number))
        return opened(path, *args)

    with monkeypatch.context() as full:
        full.setattr("os.open", refused)
        with pytest.raises(OSError, match=os.strerror(number)):
            begun.begin()
    assert not begun.open
    begun.end()
    begun.begin()
    assert begun.open
    begun.served()
    assert state.read(trying.place).probation == Trial(text_of(trying.now), starts=1)


def refusing(path: Path, content: bytes) -> None:
    raise StorageFullError(f"the disk is full: {path}")


class Killed(BaseException):
    """What a test ends a process with."""


@pytest.fixture
def cut(device: Device, published: Published, monkeypatch: pytest.MonkeyPatch) -> Device:
    """1.0.0 is trusted; 1.1.0 passed its self-test, and power failed before the state said that it runs."""
    offer_release(device, published)
    change = state.change

    def dying(place: Place, step: Callable[[State], State], then: Callable[[], None] = lambda: None) -> State:
        if step(state.read(place)).active != state.read(place).active:
            raise Killed
        return change(place, step, then)

    with monkeypatch.context() as patched:
        patched.setattr("edgeship.device.state.change", dying)
        with pytest.raises(Killed):
            device.update()
    return device


def test_what_never_ran_is_nothing_to_go_back_to(cut: Device) -> None:
    with pytest.raises(InputError, match="no release to go back to"):
        roll_back(cut.place, "by hand")
    assert run(cut, "predict") == "1.0.0"
    assert cut.update().version == "1.1.0"
    assert state.read(cut.place).probation is not None


def test_a_release_whose_state_was_lost_is_in_probation(trying: Device) -> None:
    assert state.read(trying.place).probation is not None
    trying.place.state.unlink()
    assert state.read(trying.place).probation is None
    after = settle(trying.place, trying.config, trying.now)
    held = state.release(trying.place, after.active)
    assert held is not None
    assert after.probation == Trial(held.since)
    for _ in range(2):
        run(trying, "die-predicting")
    assert run(trying, "predict") == "1.0.0"
