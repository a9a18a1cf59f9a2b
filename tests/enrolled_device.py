"""An enrolled device with a clock of its own, for tests."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from edgeship.codec import to_json
from edgeship.device import Model, Outcome, status, update
from edgeship.device.config import Config, Limits, Place
from edgeship.device.reading import Status
from tests.device_repository import NOW, at

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
