"""The device's clock, and what it cannot be before: boards without a battery start in 1970, or where they stopped."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from edgeship.errors import RepositoryUnavailable

Clock = Callable[[], datetime]

#: This code was not there before; raised with every release of edgeship.
BUILT = datetime(2026, 11, 21, tzinfo=UTC)
#: How long a timestamp of a repository lives (docs/updates/repository.md): it was signed no later than this before it
#: expires, whatever the clock of the device says.
TIMESTAMP_LIFE = timedelta(days=1)


def system() -> datetime:
    """What the system's clock says."""
    return datetime.now(UTC)


def check(now: datetime, passed: datetime | None) -> None:
    """Raise RepositoryUnavailable where the clock is behind what has passed for certain.

    With such a clock old metadata would look fresh.

    Args:
        now: what the clock says.
        passed: a moment that was proven to have passed; None: none was.
    """
    floor = BUILT if passed is None else max(BUILT, passed)
    if now < floor:
        raise RepositoryUnavailable(
            f"the clock says {now:%Y-%m-%d %H:%M} UTC, and {floor:%Y-%m-%d %H:%M} has passed already",
            remedy="Set the clock (timedatectl), or wait until the network has; the model goes on meanwhile.",
        )


def proven(now: datetime, expires: datetime) -> datetime:
    """The latest moment that a verified timestamp proves to have passed.

    Not `now`: a clock that runs ahead would prove what has not happened, and stop all checks once it is right again.
    """
    return min(now, expires - TIMESTAMP_LIFE)
