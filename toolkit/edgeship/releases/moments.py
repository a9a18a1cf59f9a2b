"""Moments as documents and state files write them: `2026-11-20T10:00:00Z`, UTC in whole seconds."""

from __future__ import annotations

from datetime import UTC, datetime

from edgeship.errors import InputError

_FORM = "%Y-%m-%dT%H:%M:%SZ"


def text_of(moment: datetime) -> str:
    """A moment with a time zone, as it is written."""
    return moment.astimezone(UTC).strftime(_FORM)


def moment_of(text: str) -> datetime:
    """Inverse of `text_of`. Raises InputError for anything else."""
    try:
        found = datetime.strptime(text, _FORM).replace(tzinfo=UTC)
    except ValueError:
        found = None
    if found is None or found.strftime(_FORM) != text:
        raise InputError(f"{text!r} is no moment", remedy="Give it in UTC: 2026-11-20T10:00:00Z.")
    return found
