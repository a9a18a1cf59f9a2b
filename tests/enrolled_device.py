"""An enrolled device with a clock of its own, for tests."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from edgeship.codec import to_json
from edgeship.device import Model, Outcome, status, update
from edgeship.device.config import Config, Limits, Place, Probation
from edgeship.device.reading import Status
from tests.device_repository import NOW, Published, at

#: Little patience, so that tests of slow servers are quick; and a self-test that a busy machine passes.
LIMITS = Limits(seconds=2.0, bytes_per_second=1, slowdown=50.0)


@dataclass
class Device:
    """An enrolled device and its clock."""

    place: Place
    config: Config
    now: datetime = NOW

    def update(self, **options: Any) -> Outcome:
        return update(self.place, now=at(self.now), **options)

    def status(self) -> Status:
        return status(self.place, now=at(self.now))

    def model(self) -> Model:
        return Model(folder=self.place.folder.parent)

    def set(self, **changes: Any) -> None:
        self.config = replace(self.config, **changes)
        self.place.config.write_text(to_json(self.config))

    @property
    def active(self) -> str | None:
        found = self.status().active
        return None if found is None else found.version


def offer_release(device: Device, published: Published) -> None:
    """1.0.0 is trusted, 1.1.0 will be in probation: one start within an hour ends it, two failures take it back."""
    device.set(probation=Probation(starts=0, minutes=0))
    device.update()
    device.update()
    device.set(probation=Probation(starts=1, minutes=60, failures=2))
    published.release("1.1.0", 2)
    published.rollout("1.1.0")


def try_release(device: Device, published: Published) -> None:
    """1.1.0 of `offer_release` runs."""
    offer_release(device, published)
    device.update()
    assert device.active == "1.1.0"
