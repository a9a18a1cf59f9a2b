"""Settings of an enrolment: what is said anew, on top of what was said before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

from edgeship.device import telemetry
from edgeship.device.config import Config, Place, read
from edgeship.errors import InputError


@dataclass(frozen=True)
class Wanted:
    """What a person says of an enrolment.

    Attributes:
        repository, line: as in `Config`.
        variants: best first; none: as they were.
        channel, textfile, otlp: None: as it was; empty: none any more.
    """

    repository: str
    line: str
    variants: tuple[str, ...] = ()
    channel: str | None = None
    textfile: str | None = None
    otlp: str | None = None


@dataclass(frozen=True)
class Changed:
    """A setting that is another one now, both as text; `none` for nothing."""

    setting: str
    before: str
    after: str


def earlier(place: Place) -> Config | None:
    """What the device was told before; None where it was not enrolled, or that is damaged."""
    try:
        return read(place)
    except InputError:
        return None


def merged(before: Config | None, wanted: Wanted) -> Config:
    """The settings of before, with what is wanted; of another line, or without any, the usual ones.

    Raises InputError for a text file that no exporter reads.
    """
    base = before if before is not None and before.line == wanted.line else Config(wanted.repository, wanted.line)
    counters = base.telemetry
    if wanted.textfile is not None:
        counters = replace(counters, textfile=telemetry.destination(wanted.textfile) if wanted.textfile else None)
    if wanted.otlp is not None:
        counters = replace(counters, otlp=wanted.otlp or None)
    channel = base.channel if wanted.channel is None else wanted.channel or None
    return replace(
        base,
        repository=wanted.repository,
        variants=wanted.variants or base.variants,
        channel=channel,
        telemetry=counters,
    )


def changes(before: Config | None, after: Config) -> tuple[Changed, ...]:
    """What differs; nothing where there was nothing before."""
    if before is None:
        return ()
    old, new = dict(_flat(before)), dict(_flat(after))
    return tuple(Changed(name, _text(old[name]), _text(new[name])) for name in new if old[name] != new[name])


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """`telemetry.otlp` -> its value, for every field."""
    for field in fields(value):
        found = getattr(value, field.name)
        if is_dataclass(found):
            yield from _flat(found, f"{prefix}{field.name}.")
        else:
            yield f"{prefix}{field.name}", found


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return "none" if value is None else str(value)
