"""Probation: a new release is trusted once processes have served with it for a while, and taken back if they die.

A process that loads a release in probation makes a file in `starts/` and keeps it locked. It removes the file once it
has served. A file that is there and not locked is of a process that died before that, however it died. The file says
whether the process was at rest then: who is ended while it waits for something to do says nothing about its model.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from edgeship.device import clock, slots, state, telemetry
from edgeship.device import config as configs
from edgeship.device.config import Config, Place
from edgeship.device.seen import Seen, read_seen
from edgeship.device.state import Release, State, Trial
from edgeship.errors import EdgeshipError, InputError, UpdateRefused
from edgeship.files import sync_folder
from edgeship.releases.moments import moment_of
from edgeship.releases.names import version

#: In the file of a process: it loads the model, as it does while the file is empty, or predicts; or neither. Of one
#: length, so that a change is one block.
_WORKS, _RESTS = b"works", b"rests"


def settle(place: Place, config: Config, now: datetime) -> State:
    """Count processes that died, and end the probation one way or the other where that is due."""
    return _settle(place, config, now)


def _same(found: State) -> State:
    return found


def _settle(
    place: Place,
    config: Config,
    now: datetime,
    first: Callable[[State], State] = _same,
    last: Callable[[State], State] = _same,
) -> State:
    """Change the state by `first`, by what dead processes and the passing of time make of it, and by `last`."""
    counted: list[Path] = []

    def step(found: State) -> State:
        after, dead = _settled(place, config, first(found), now)
        counted.extend(dead)
        return last(after)

    def forget() -> None:
        for file in counted:
            file.unlink(missing_ok=True)

    return _change(place, step, forget)  # on a full disk they are counted another time


def _change(place: Place, step: Callable[[State], State], then: Callable[[], None] = lambda: None) -> State:
    """Change the state; that it goes back to the release before is counted, and what it leaves may not run."""
    before: list[str | None] = []

    def noting(found: State) -> State:
        before.append(found.active)
        return step(found)

    after = state.change(place, noting, then)
    _retire_failed(place, after)
    if [after.active] != before:
        _count_rollback(place, after)
    return after


def _count_rollback(place: Place, after: State) -> None:
    held = state.release(place, after.active)
    try:
        telemetry.count_rollback(place, configs.read(place), "" if held is None else held.version)
    except EdgeshipError:
        pass  # that it went back matters more


class Start:
    """This process, trying a release in probation; not for several threads at a time."""

    def __init__(self, place: Place, config: Config) -> None:
        self._place, self._config = place, config
        self._file: Path | None = None
        self._handle = -1
        self._release = ""

    def begin(self) -> State:
        """Say that this process loads what is active; the state, in which dead processes before it were counted."""
        self.end()
        return _settle(self._place, self._config, clock.system(), last=self._begun)

    def _begun(self, after: State) -> State:
        held = state.release(self._place, after.active)
        if after.probation is not None and held is not None:
            self._release = held.manifest_sha256
            self._place.starts.mkdir(exist_ok=True)
            # Under the lock of the state: nobody takes it for a dead process's before it is locked.
            file = self._place.starts / f"{held.manifest_sha256[:16]}-{secrets.token_hex(8)}"
            handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
            fcntl.flock(handle, fcntl.LOCK_EX)
            self._file, self._handle = file, handle
            sync_folder(self._place.starts)  # a model that takes the whole machine down is counted, too
        return after

    @property
    def open(self) -> bool:
        """Whether this process has still to show that it serves."""
        return self._file is not None

    def work(self) -> None:
        """From now on it is to blame on the release if this process dies, or the machine."""
        self._mark(_WORKS)

    def rest(self) -> None:
        """The release has done what it was asked for."""
        self._mark(_RESTS)

    def _mark(self, doing: bytes) -> None:
        if self.open:
            try:
                os.pwrite(self._handle, doing, 0)
                os.fsync(self._handle)
            except OSError:  # better not counted than counted for something else
                self.end()
                raise

    def served(self) -> None:
        """It has: with this release a process works."""
        if self.open:
            try:
                self._count(starts=1)
            finally:  # a disk that cannot take it is not asked again for each prediction
                self.end()

    def failed(self) -> State:
        """It has not, or its answers are wrong."""
        after = self._count(failures=1)
        self.end()
        return after

    def end(self) -> None:
        """Nothing more is to be said about this process."""
        file, self._file = self._file, None
        if file is not None:
            try:
                file.unlink(missing_ok=True)
            finally:
                os.close(self._handle)

    def _count(self, *, starts: int = 0, failures: int = 0) -> State:
        def counted(found: State) -> State:
            held = state.release(self._place, found.active)
            if found.probation is not None and held is not None and held.manifest_sha256 == self._release:
                trial = found.probation
                trial = replace(trial, starts=trial.starts + starts, failures=trial.failures + failures)
                found = replace(found, probation=trial)
            return found

        return _settle(self._place, self._config, clock.system(), first=counted)


def roll_back(place: Place, reason: str) -> State:
    """Go back to the release in the other slot; the one that is left is not tried again.

    Raises InputError where there is none, UpdateRefused where the policy forbids it.
    """

    def back(found: State) -> State:
        held = _before(place, found)
        if held is None:
            hurt = slots.damaged_fallback(place)
            if hurt is not None:
                raise InputError(f"{hurt[1].version}, the release to go back to, is damaged", remedy=_MEND)
            raise InputError(f"{place.folder} holds no release to go back to")
        if not allowed(held.version, read_seen(place)):
            raise UpdateRefused(f"{held.version} may not run any more: it is revoked or below the floor")
        return _left(place, found, reason, clock.system())

    return _change(place, back)


_MEND = "It is fetched again by: edgeship device update"


def allowed(release: str, seen: Seen | None) -> bool:
    """Whether the policy that was seen last lets a release run."""
    if seen is None or not seen.floor:
        return True
    return version(release) >= version(seen.floor) and release not in seen.revoked


def _settled(place: Place, config: Config, found: State, now: datetime) -> tuple[State, list[Path]]:
    """What dead processes and the passing of time make of the state, and the files of these processes."""
    held = state.release(place, found.active)
    if found.probation is None and held is not None and not held.trusted:  # a cut came before the state, or took it
        found = replace(found, probation=Trial(held.since))
    if found.probation is None or held is None:
        return found, list(_dead(place, ""))
    dead = list(_dead(place, held.manifest_sha256[:16]))
    limits = config.probation
    trial = replace(found.probation, failures=found.probation.failures + sum(map(_was_at_work, dead)))
    found = replace(found, probation=trial)
    if trial.failures >= limits.failures:
        found = _back_if_possible(place, found, f"{trial.failures} processes failed with it", now)
    elif trial.starts >= limits.starts and passed(trial, config, now):
        state.accept(place, found.active or "", replace(held, trusted=True))
        found = replace(found, probation=None)
    return found, dead


def passed(trial: Trial, config: Config, now: datetime) -> bool:
    """Whether the time of a probation has passed."""
    return now - moment_of(trial.since) >= timedelta(minutes=config.probation.minutes)


def previous(place: Place, found: State) -> Release | None:
    """What a rollback brings back; None: nothing that is whole and may run."""
    held = _before(place, found)
    return held if held is not None and allowed(held.version, read_seen(place)) else None


def _back_if_possible(place: Place, found: State, reason: str, now: datetime) -> State:
    """The release before, where there is one that may run; else what runs goes on, in probation."""
    return found if previous(place, found) is None else _left(place, found, reason, now)


def _before(place: Place, found: State) -> Release | None:
    """What ran before what runs, whole and without having failed; not what a cut has kept from running yet."""
    runs = state.serving(place, found)
    previous = state.other(runs)
    now, held = state.release(place, runs), state.release(place, previous)
    if held is None or found.has_failed(held.manifest_sha256) or (now is not None and held.serial > now.serial):
        return None
    return held if slots.is_whole(place, previous) else None


def _left(place: Place, found: State, reason: str, now: datetime) -> State:
    active = state.serving(place, found)
    leaving = state.release(place, active)
    after = found if leaving is None else found.with_failed(leaving, reason, now)
    return replace(after, active=state.other(active), probation=None)


def _retire_failed(place: Place, found: State) -> None:
    """What failed may not run, should the state be lost; after the state says so, not before."""
    for slot in state.SLOTS:
        held = state.release(place, slot)
        if slot != found.active and held is not None and found.has_failed(held.manifest_sha256):
            state.retire(place, slot)


def _was_at_work(file: Path) -> bool:
    """Whether a process died while it loaded the model or predicted."""
    try:
        return file.read_bytes() != _RESTS
    except FileNotFoundError:  # it ended as it should, at this moment
        return False


def _dead(place: Place, prefix: str) -> Iterator[Path]:
    """Files of processes that are gone."""
    for file in list(place.starts.glob(f"{prefix}*-*")):
        try:
            handle = os.open(file, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue  # it lives
        finally:
            os.close(handle)
        yield file
