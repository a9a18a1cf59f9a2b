"""A device that follows a real repository over loopback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.device_repository import LINE, Published, Server, served
from tests.enrolled_device import LIMITS, Device

from edgeship.device import enrol
from edgeship.device.config import Config, Place, Probation


@pytest.fixture
def published(tmp_path: Path) -> Published:
    """A repository with the release 1.0.0, which all devices get."""
    made = Published(tmp_path / "publisher")
    made.release("1.0.0", 1)
    return made


@pytest.fixture
def server(published: Published) -> Iterator[Server]:
    with served(published.folder / "repo") as found:
        yield found


@pytest.fixture
def device(published: Published, server: Server, tmp_path: Path) -> Device:
    """Enrolled, and nothing more."""
    config = Config(server.url, str(LINE), ("tflite-float32",), limits=LIMITS, probation=Probation(minutes=60))
    place = Place(tmp_path / "devices" / LINE.model)
    enrol(place, config, published.root)
    return Device(place, config)
