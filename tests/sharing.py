"""What is slow to make is made once for all processes of a test run (pytest-xdist)."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Shared:
    """Folders in that of the test run; one process makes each of them, the others wait for it.

    They are to be read only: nobody knows who else reads them at the moment.
    """

    base: Path

    def __call__(self, name: str, make: Callable[[Path], None]) -> Path:
        """The folder `name`, filled by `make`; what failed half-way is made again by the next process that asks."""
        place, done = self.base / name, self.base / f"{name}.done"
        with (self.base / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not done.exists():
                shutil.rmtree(place, ignore_errors=True)
                place.mkdir()
                make(place)
                done.touch()
        return place
