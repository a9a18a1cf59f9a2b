"""What there is to say about an enrolment, and what to do about it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime, timedelta

from edgeship.device import clock, probation, slots, state
from edgeship.device import config as configs
from edgeship.device.config import Config, Place
from edgeship.device.seen import Seen, read_seen
from edgeship.device.state import Check, Failed, Release, State, Trial
from edgeship.errors import ArtifactError, EdgeshipError
from edgeship.releases.moments import moment_of, text_of

#: A device that has not checked for so long is told about.
_LONG = timedelta(days=3)


@dataclass(frozen=True)
class Status:
    """What a device runs and how that is going; nothing in it tells devices apart.

    Attributes:
        model, line, repository, channel: as enrolled.
        active: the release that runs; None: none.
        slot: in which it is.
        previous: what a rollback brings back; None: nothing.
        probation: of the active release; None: it is trusted.
        probation_needs: what ends the probation, in words; empty without one.
        floor: no release below it may run; empty: never checked.
        failed: releases that are not tried again; some of them for a day only.
        last_check: None: never.
        problems: what is wrong, each with what to do.
    """

    model: str
    line: str
    repository: str
    channel: str | None
    active: Release | None
    slot: str | None
    previous: Release | None
    probation: Trial | None
    probation_needs: str
    floor: str
    failed: tuple[Failed, ...]
    last_check: Check | None
    problems: tuple[str, ...]


def status(place: Place, *, now: clock.Clock = clock.system) -> Status:
    """Look; nothing is changed."""
    config, found, seen = configs.read(place), state.read(place), read_seen(place)
    slot = state.serving(place, found)
    previous = probation.previous(place, found)
    return Status(
        place.folder.name,
        config.line,
        config.repository,
        config.channel,
        state.release(place, slot),
        slot,
        previous,
        found.probation,
        "" if found.probation is None else _needs(found.probation, config),
        "" if seen is None else seen.floor,
        found.failed,
        found.last_check,
        (*_problems(place, found, seen, slot, now()), *_deaf(config)),
    )


def _needs(trial: Trial, config: Config) -> str:
    until = moment_of(trial.since) + timedelta(minutes=config.probation.minutes)
    served = f"{trial.starts} of {config.probation.starts} starts served"
    return f"{served}, until {text_of(until)}; {trial.failures} of {config.probation.failures} failures"


def _deaf(config: Config) -> list[str]:
    """What is counted and cannot be written where it was wanted: nothing else would say so."""
    file = config.telemetry.textfile
    if file is None or os.access(file.parent, os.W_OK):
        return []
    return [f"the counters cannot be written into {file.parent}"]


def _problems(place: Place, found: State, seen: Seen | None, slot: str | None, now: datetime) -> list[str]:
    problems = []
    if slot is None:
        problems.append("no release is installed: edgeship device update")
    else:
        held = state.release(place, slot)
        if slot != found.active:
            problems.append("the active release was lost, the one before runs: edgeship device update")
        if held is not None and not probation.allowed(held.version, seen):
            problems.append(f"{held.version} is revoked or below the floor, and nothing has replaced it yet")
        try:
            slots.check(place, slot)
        except ArtifactError as error:
            problems.append(f"{error.message}: edgeship device update")
        hurt = slots.damaged_fallback(place)
        if hurt is not None:
            problems.append(f"{hurt[1].version}, the release to go back to, is damaged: edgeship device update")
        if slot == found.active and state.illegible(place, state.other(slot)):
            problems.append("the release to go back to was lost; there is one again after the next release")
    if found.last_check is None:
        problems.append("it was never checked for updates: edgeship device update")
    elif not found.last_check.ok:
        problems.append(f"the last check failed: {found.last_check.message}")
    elif now - moment_of(found.last_check.when) > _LONG:
        problems.append("the last check was long ago; does the timer run? systemctl list-timers")
    try:
        clock.check(now, None if seen is None else moment_of(seen.passed))
    except EdgeshipError as error:
        problems.append(f"{error.message} {error.remedy}")
    if not os.access(place.folder, os.W_OK):
        problems.append(f"{place.folder} cannot be written: no updates, and no probation is counted")
    return problems
