"""Keys of every role are replaced, and devices follow: those that check often, and those that were off meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edgeship.publish.keys import ROLES

from .on_keys import rotated
from .world import Origin, World, world


@pytest.fixture
def here(origin: Origin, tmp_path: Path) -> Iterator[World]:
    with world(origin, tmp_path, "1.0.0") as found:
        yield found


@pytest.mark.parametrize("role", ROLES)
def test_a_device_follows_new_keys(here: World, role: str) -> None:
    rotated(here, role)
    assert here.attempt().startswith("updated 1.1.0")
    here.check_serving("1.1.0")
    here.published.repository.refresh()
    assert here.attempt().startswith("current 1.1.0")


def test_a_device_that_was_off_follows_all_rotations(here: World) -> None:
    for role in (*ROLES, "root", "timestamp"):
        rotated(here, role)
    assert here.attempt().startswith("updated 1.1.0")
    here.check_serving("1.1.0")


def test_a_device_that_checks_follows_each_rotation(here: World) -> None:
    for role in (*ROLES, "root", "timestamp"):
        rotated(here, role)
        assert here.attempt(check_only=True).startswith("available 1.1.0")
    here.check_serving("1.0.0")


def test_a_device_that_lost_its_metadata_follows_from_the_first_root(here: World) -> None:
    rotated(here, "root")
    assert here.attempt(check_only=True).startswith("available")
    for file in here.device.place.tuf.rglob("*.json"):
        file.unlink()
    assert here.attempt().startswith("updated 1.1.0")
