"""Enrolling again: what is not said stays as it was."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.enrolled_device import Device

from edgeship.device import settings, state
from edgeship.device.config import Limits, Telemetry
from edgeship.device.settings import Changed, Wanted
from edgeship.device.state import Check
from edgeship.errors import InputError


def test_what_is_not_said_stays(device: Device) -> None:
    """Edited by hand, too."""
    device.set(
        channel="canary", limits=Limits(seconds=5), telemetry=Telemetry(Path("/x/y.prom"), "http://h/v1/metrics")
    )
    before = settings.earlier(device.place)
    assert before == device.config
    same = settings.merged(before, Wanted(before.repository, before.line))
    assert same == before
    assert settings.changes(before, same) == ()
    after = settings.merged(before, Wanted("http://other", before.line, ("tflite-int8",), "", otlp=""))
    assert settings.changes(before, after) == (
        Changed("repository", before.repository, "http://other"),
        Changed("variants", "tflite-float32", "tflite-int8"),
        Changed("channel", "canary", "none"),
        Changed("telemetry.otlp", "http://h/v1/metrics", "none"),
    )
    assert (after.limits, after.telemetry.textfile) == (before.limits, Path("/x/y.prom"))


def test_a_device_that_was_told_nothing_gets_the_usual(device: Device) -> None:
    device.place.config.write_text("{")
    assert settings.earlier(device.place) is None
    made = settings.merged(None, Wanted("http://h", "points/v1", textfile="/x/y.prom"))
    assert (made.channel, made.telemetry.textfile, made.limits) == (None, Path("/x/y.prom"), Limits())
    assert settings.changes(None, made) == ()
    assert settings.merged(device.config, Wanted("http://h", "other/v1")).limits == Limits()
    with pytest.raises(InputError, match="no text file"):
        settings.merged(None, Wanted("http://h", "points/v1", textfile="/x/y.txt"))


def test_settings_of_a_newer_edgeship_are_not_guessed_at(device: Device) -> None:
    device.set(schema="edgeship.device/2")
    with pytest.raises(InputError, match=r"cannot be used: it is of 'edgeship\.device/2'"):
        device.update()


def test_a_state_with_a_check_at_no_moment_is_made_anew(device: Device) -> None:
    device.update()
    state.change(device.place, lambda found: replace(found, last_check=Check("soon", ok=True, message="")))
    assert device.status().last_check is None
    assert device.active == "1.0.0"
