"""What happens in the week: when the publisher does what, and which devices have which trouble; the same each time."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from edgeship.device import clock, systemd
from tests.acceptance.fleet.models import MODEL

#: The virtual moment 0, UTC.
START = clock.BUILT + timedelta(days=10)
#: Signed anew so often, by the online keys, some hours away from what else happens.
REFRESH_EVERY, REFRESH_AT = 12.0, 9.0
_UNITS = {"min": 1 / 60, "h": 1.0}


@dataclass(frozen=True)
class Act:
    """One thing that the publisher does.

    Attributes:
        hour: since the start.
        kind: `publish`, `start`, `set`, `halt`, `resume`, `finish`, or `recall` (halt, and revoke offline).
        version: that it is about; empty where the rollout says it.
        percent: of `start` and `set`.
    """

    hour: float
    kind: str
    version: str = ""
    percent: float = 0.0


@dataclass(frozen=True)
class Story:
    """A fleet and its time."""

    devices: int
    days: int
    acts: tuple[Act, ...]


WEEK = (
    Act(0, "publish", "1.0.0"),
    Act(24, "publish", "1.1.0"), Act(24, "start", "1.1.0", 1),
    Act(48, "set", percent=10), Act(60, "halt"), Act(72, "resume"),
    Act(84, "set", percent=50), Act(96, "set", percent=100), Act(108, "finish"),
    Act(120, "publish", "1.2.0"), Act(120, "start", "1.2.0", 1), Act(126, "recall", "1.2.0"),
    Act(127, "publish", "1.2.1"), Act(127, "start", "1.2.1", 1), Act(133, "set", percent=10),
    Act(139, "set", percent=50), Act(145, "set", percent=100), Act(156, "finish"),
)  # fmt: skip
TWO_DAYS = (
    Act(0, "publish", "1.0.0"),
    Act(6, "publish", "1.1.0"), Act(6, "start", "1.1.0", 50), Act(12, "halt"), Act(18, "resume"),
    Act(24, "set", percent=100), Act(30, "finish"),
    Act(30, "publish", "1.2.0"), Act(30, "start", "1.2.0", 30), Act(36, "recall", "1.2.0"),
    Act(36, "publish", "1.2.1"), Act(36, "start", "1.2.1", 100), Act(42, "finish"),
)  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """A device, and what goes wrong with it.

    Attributes:
        index: its number in addresses; no part of the product.
        install_id: given, so that a run can be repeated.
        trouble: `none`; between `begins` and `ends`: `off`, `no network`, `clock` (wrong by `shift` hours); all the
            time: `breaks` (connections end in the middle), `killed` (in the middle of checks).
        keeps: one process of the application for all the time, instead of one after each update.
    """

    index: int
    install_id: str
    trouble: str = "none"
    begins: float = 0.0
    ends: float = 0.0
    shift: float = 0.0
    keeps: bool = False

    def has(self, trouble: str, hour: float) -> bool:
        """Whether it has this trouble at that hour."""
        return self.trouble == trouble and (self.begins <= hour < self.ends or self.ends == 0.0)


#: Trouble -> share of devices.
TROUBLES = {"off": 0.05, "no network": 0.03, "clock": 0.04, "breaks": 0.05, "killed": 0.02}
#: Hours by which clocks are wrong: in 1970 and 2040, two days behind, three ahead.
_SHIFTS = (-56.9 * 365.25 * 24, 13.1 * 365.25 * 24, -48.0, 72.0)


def plan(index: int, days: int, troubles: dict[str, float] = TROUBLES) -> Plan:
    """What is drawn for a device."""
    dice = random.Random(f"device {index}")
    install_id = dice.randbytes(16).hex()
    place, trouble = dice.random(), "none"
    for name, share in troubles.items():
        if place < share:
            trouble = name
            break
        place -= share
    length = dice.uniform(0.15, 0.45) * days * 24
    # After it is enrolled, and over early enough to catch up.
    begins = dice.uniform(4, days * 24 * 0.94 - length - 8)
    timed = trouble in ("off", "no network", "clock")
    return Plan(
        index, install_id, trouble, begins if timed else 0.0, begins + length if timed else 0.0,
        dice.choice(_SHIFTS) if trouble == "clock" else 0.0, index % 10 == 0,
    )  # fmt: skip


@dataclass(frozen=True)
class Timer:
    """When a device checks, in hours: after its start, after the last check, and up to how much later."""

    boot: float
    every: float
    jitter: float


def timer() -> Timer:
    """What the client's own systemd timer says."""
    text = systemd.units(MODEL)[f"edgeship-{MODEL}.timer"]
    return Timer(*(_hours(text, key) for key in ("OnBootSec", "OnUnitActiveSec", "RandomizedDelaySec")))


def _hours(text: str, key: str) -> float:
    found = re.search(rf"^{key}=(\d+)(min|h)$", text, re.MULTILINE)
    assert found is not None, key
    return int(found[1]) * _UNITS[found[2]]


def moment(hour: float) -> datetime:
    """The virtual time at an hour."""
    return START + timedelta(hours=hour)


def hours(now: datetime) -> float:
    """The hour at a virtual time."""
    return (now - START).total_seconds() / 3600
