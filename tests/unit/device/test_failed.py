"""How long a release that failed its self-test is not tried again."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from tests.device_repository import Published, X, expected
from tests.enrolled_device import Device

from edgeship.device import Outcome, selftest, state
from edgeship.device.config import Probation
from edgeship.device.state import Failed, Release, State

NEVER_MET = {"latency_ms": 1e-9}


@pytest.fixture
def installed(device: Device) -> Device:
    device.set(probation=Probation(starts=0, minutes=0))
    device.update()
    return device


def offered(published: Published, **made: Any) -> None:
    published.release("1.1.0", 2, **made)
    published.rollout("1.1.0")


def after(device: Device, published: Published, **time: float) -> Outcome:
    """A check so much later; the repository is fresh."""
    device.now += timedelta(**time)
    published.now = device.now
    published.rollout("1.1.0", rollout=f"r-{device.now:%d-%H}")
    return device.update()


def test_one_that_was_too_slow_is_tried_again_a_day_later_and_three_times_in_all(
    installed: Device, published: Published
) -> None:
    offered(published, budget=NEVER_MET)
    assert len(installed.update().refused) == 1
    for times in (1, 2):
        outcome = after(installed, published, hours=23)
        assert outcome.refused == ()
        (entry,) = installed.status().failed
        assert (entry.times, entry.until()) == (times, installed.now + timedelta(hours=1))
        assert "; again by itself after 2026-12-0" in outcome.message
        assert outcome.message.endswith(", or: edgeship device update points --retry")
        assert len(after(installed, published, hours=1).refused) == 1
    (entry,) = installed.status().failed
    assert (entry.times, entry.until()) == (3, None)
    outcome = after(installed, published, days=30)
    assert outcome.refused == ()
    assert outcome.message.endswith("; again: edgeship device update points --retry")
    assert installed.active == "1.0.0"


def test_one_that_was_too_slow_on_one_day_runs_from_the_next(
    installed: Device, published: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(*_: object) -> None:
        raise selftest.TooMuch("self-test: the board is busy")

    offered(published)
    with monkeypatch.context() as patched:
        patched.setattr(selftest, "check_speed", busy)
        assert len(installed.update().refused) == 1
    assert after(installed, published, hours=1).refused == ()
    outcome = after(installed, published, days=1)
    assert (outcome.result, outcome.version) == ("updated", "1.1.0")
    assert installed.status().failed == ()
    assert installed.status().problems == ()


def test_one_whose_answers_are_wrong_is_not_tried_again(installed: Device, published: Published) -> None:
    offered(published, golden=expected(X, 3))
    assert len(installed.update().refused) == 1
    assert after(installed, published, days=30).refused == ()
    (entry,) = installed.status().failed
    assert (entry.times, entry.until()) == (0, None)


def test_a_state_of_an_earlier_version_is_read(installed: Device) -> None:
    found = json.loads(installed.place.state.read_text())
    found["failed"] = [{"manifest_sha256": "0" * 64, "version": "1.1.0", "reason": "?", "when": "2026-11-01T00:00:00Z"}]
    installed.place.state.write_text(json.dumps(found))
    assert state.read(installed.place).failed == (Failed("0" * 64, "1.1.0", "?", "2026-11-01T00:00:00Z"),)
    assert state.read(installed.place).has_failed("0" * 64)


def test_a_failure_in_the_application_is_for_good(installed: Device) -> None:
    release = Release("0" * 64, "1.1.0", "tflite-float32", "2026-11-01T00:00:00Z", 1)
    slow = State().with_failed(release, "slow", installed.now, perhaps=True)
    assert not slow.has_failed(release.manifest_sha256)
    found = slow.with_failed(release, "votes", installed.now)
    assert [(entry.reason, entry.times) for entry in found.failed] == [("votes", 0)]
    assert found.has_failed(release.manifest_sha256)
