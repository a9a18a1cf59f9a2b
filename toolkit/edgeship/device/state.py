"""What a device runs: two slots, one of them active, and what is known of releases that failed here.

    a/, b/      manifest.json, files/..., and release.json once the release in it has passed its self-test
    state.json  which slot is active, its probation, what failed before, the last check

A slot without release.json is never run. Every change is one rename, made under a lock that is held for moments only.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from edgeship.codec import from_json, to_json
from edgeship.device import durable
from edgeship.device.config import Place
from edgeship.errors import InputError
from edgeship.files import sync_folder
from edgeship.releases.moments import moment_of, text_of

SLOTS = ("a", "b")
#: Failures that are remembered; an older one may be tried again.
_MOST_FAILED = 64
#: A release that took too much time or memory is tried so often, with so much time between.
_MOST_TIMES = 3
_PAUSE = timedelta(days=1)


@dataclass(frozen=True)
class Release:
    """A release that passed its self-test here.

    Attributes:
        manifest_sha256: names it and all its files.
        since: when it was installed, UTC.
        serial: larger than that of the release installed before.
        trusted: it was through a probation here.
    """

    manifest_sha256: str
    version: str
    variant: str
    since: str
    serial: int
    trusted: bool = False


@dataclass(frozen=True)
class Trial:
    """How the probation of the active release goes: since when, processes that served, and that failed."""

    since: str
    starts: int = 0
    failures: int = 0


@dataclass(frozen=True)
class Failed:
    """A release that is not tried again here; for a day only where it may be what else went on that made it fail.

    Attributes:
        manifest_sha256, version: of the release.
        reason: of the last failure.
        when: it was.
        times: how often it took too much time or memory in its self-test, one day after the other; 0: it failed in
            some other way, which is for good.
    """

    manifest_sha256: str
    version: str
    reason: str
    when: str
    times: int = 0

    def until(self) -> datetime | None:
        """When it may be tried again; None: never."""
        return moment_of(self.when) + _PAUSE if 0 < self.times < _MOST_TIMES else None


@dataclass(frozen=True)
class Check:
    """The last check for updates: `ok` False where it could not be made or what is offered was refused."""

    when: str
    ok: bool
    message: str


@dataclass(frozen=True)
class State:
    """See the module. `probation`: of the active release; None: it is trusted. `failed`: oldest first."""

    active: str | None = None
    probation: Trial | None = None
    failed: tuple[Failed, ...] = ()
    last_check: Check | None = None

    def has_failed(self, manifest_sha256: str) -> bool:
        """Whether this release failed here for good."""
        return any(found.manifest_sha256 == manifest_sha256 and found.until() is None for found in self.failed)

    def is_barred(self, manifest_sha256: str, now: datetime) -> bool:
        """Whether this release is not to be tried now."""
        ends = [found.until() for found in self.failed if found.manifest_sha256 == manifest_sha256]
        return any(end is None or now < end for end in ends)

    def with_failed(self, release: Release, reason: str, now: datetime, *, perhaps: bool = False) -> State:
        """That this release failed, too; `perhaps`: it may pass on another day."""
        before = [found.times for found in self.failed if found.manifest_sha256 == release.manifest_sha256]
        times = 1 + sum(before) if perhaps else 0
        entry = Failed(release.manifest_sha256, release.version, reason, text_of(now), times)
        return replace(self, failed=(*self.without(release).failed, entry)[-_MOST_FAILED:])

    def without(self, release: Release) -> State:
        """That this release has not failed."""
        others = tuple(found for found in self.failed if found.manifest_sha256 != release.manifest_sha256)
        return replace(self, failed=others)


def read(place: Place) -> State:
    """The state; one that is lost or damaged is made anew from the slots."""
    try:
        return _checked(from_json(State, place.state.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, InputError):
        return State(_newest(place))


def _checked(found: State) -> State:
    if found.active not in (None, *SLOTS):
        raise InputError(f"{found.active!r} is no slot")
    if found.probation is not None:
        moment_of(found.probation.since)
    if found.last_check is not None:
        moment_of(found.last_check.when)
    for entry in found.failed:
        moment_of(entry.when)
    return found


@contextmanager
def held(place: Place) -> Iterator[State]:
    """The state, which nobody changes as long as this is held."""
    with durable.locked(place.folder / "state.lock", wait=True):
        yield read(place)


def change(place: Place, step: Callable[[State], State], then: Callable[[], None] = lambda: None) -> State:
    """Make one change to the state as it is at that moment; what `step` raises changes nothing.

    `then` is done once the change is on the disk, before anybody else makes one.
    """
    with held(place) as before:
        after = step(before)
        if after != before or not place.state.exists():
            durable.write(place.state, to_json(after).encode())
        then()
        return after


def release(place: Place, slot: str | None) -> Release | None:
    """What is in a slot; None where that is nothing that may run."""
    if slot is None:
        return None
    try:
        return from_json(Release, _record(place, slot).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, InputError):
        return None


def illegible(place: Place, slot: str) -> bool:
    """Whether a slot says what is in it, and nobody can read that: what is there may not run."""
    return _record(place, slot).exists() and release(place, slot) is None


def other(slot: str | None) -> str:
    """The slot that is not this one; `a` for None."""
    return "b" if slot == "a" else "a"


def accept(place: Place, slot: str, found: Release) -> None:
    """Say that the release in a slot passed its self-test."""
    durable.write(_record(place, slot), to_json(found).encode())


def retire(place: Place, slot: str) -> None:
    """Say that what is in a slot may not run."""
    record = _record(place, slot)
    with durable.storage(record):
        if record.exists():
            record.unlink()
            sync_folder(record.parent)


def clear(place: Place, slot: str) -> None:
    """Empty a slot, so that a cut in the middle leaves one that may not run."""
    retire(place, slot)
    with durable.storage(place.slot(slot)):
        shutil.rmtree(place.slot(slot), ignore_errors=True)
        sync_folder(place.folder)


def next_serial(place: Place) -> int:
    """One more than that of any release here."""
    return 1 + max((found.serial for found in (release(place, slot) for slot in SLOTS) if found), default=0)


def serving(place: Place, state: State) -> str | None:
    """The slot whose release runs: the active one, or the other where the active one was lost."""
    for slot in (state.active, other(state.active)):
        found = release(place, slot)
        if found is not None and (slot == state.active or not state.has_failed(found.manifest_sha256)):
            return slot
    return None


def _record(place: Place, slot: str) -> Path:
    return place.slot(slot) / "release.json"


def _newest(place: Place) -> str | None:
    """The slot that was filled last, of those that hold a release which passed its self-test."""
    found = {slot: held for slot in SLOTS if (held := release(place, slot)) is not None}
    return max(found, key=lambda slot: found[slot].serial, default=None)
