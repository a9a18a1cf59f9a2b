"""One check for updates, from the repository's metadata to an active release."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeVar

from edgeship.device import clock, durable, fallback, probation, selftest, slots, state, telemetry
from edgeship.device import config as configs
from edgeship.device.config import Config, Place
from edgeship.device.fetching import Fetching
from edgeship.device.network import Http
from edgeship.device.seen import remember
from edgeship.device.state import Check, Release, State, Trial
from edgeship.device.trust import Repository, Target
from edgeship.errors import EdgeshipError, InputError, UpdateRefused
from edgeship.releases import documents
from edgeship.releases.choice import Member, Wish, wish
from edgeship.releases.documents import Policy, Rollout
from edgeship.releases.moments import text_of
from edgeship.releases.names import Line, Version, manifest_path, policy_path, release_of, rollout_path, version
from edgeship.releases.withheld import Withheld, withheld
from edgeship.types import Manifest

T = TypeVar("T")

_LINE = re.compile(r"models/([^/]+/v\d+)/")
_MOST_LINES = 8
#: Newer releases that are spoken of.
_MOST_WITHHELD = 4


@dataclass(frozen=True)
class Outcome:
    """What came of a check.

    Attributes:
        result: `updated`, `current`, `available` (not taken, only looked), `waiting` (for the end of a probation), or
            `kept` (nothing that this device may or can run is offered; it goes on with what it has).
        version, variant: of the release that the result is about; None: this device has none.
        reason: why this one: `stable`, `halted`, `channel`, `arm`, `constraints`.
        message: all of it in one line.
        refused: releases that were tried and not taken, with the reason.
        withheld: releases that are newer and that this device does not get, the newest first, a few.
        fallback: what was done about a release to go back to that was damaged; empty: nothing was to do.
    """

    result: str
    version: str | None
    variant: str | None
    reason: str
    message: str
    refused: tuple[str, ...] = ()
    withheld: tuple[Withheld, ...] = ()
    fallback: str = ""


@dataclass(frozen=True)
class _Candidate:
    """A release that the repository offers and this device can run."""

    release: Version
    variant: str
    manifest: Target


@dataclass(frozen=True)
class _Told:
    """What the repository says, and what that means for this device."""

    policy: Policy
    rollout: Rollout
    member: Member
    wish: Wish


def update(place: Place, *, check_only: bool = False, retry: bool = False, now: clock.Clock = clock.system) -> Outcome:
    """Check for updates, and take what there is; what runs goes on whatever happens.

    Args:
        place: of the enrolment.
        check_only: look only; nothing is fetched but metadata and documents.
        retry: forget which releases failed here, so that they are tried again.
        now: the clock.

    Raises:
        UpdateRefused: what is offered is not signed, not fresh, too old, or all of it failed here.
        RepositoryUnavailable: no check could be made.
        UnavailableError: another update is running, or a rollback came between; StorageFullError; LiteRT is missing.
        OutputError: the folder cannot be written.
    """
    config = configs.read(place)
    with durable.locked(place.folder / "update.lock", wait=False):
        moment = now()
        try:
            with Http(config.limits) as http:
                outcome = _Update(place, config, http, moment).run(check_only=check_only, retry=retry)
        except EdgeshipError as error:
            _note(place, config, Check(text_of(moment), False, error.message), type(error).__name__)
            raise
        ok = not outcome.refused
        _note(place, config, Check(text_of(moment), ok, outcome.message), outcome.result if ok else "failed")
    return outcome


def _note(place: Place, config: Config, check: Check, outcome: str) -> None:
    """Keep the result of a check, where the disk lets us."""
    try:
        after = state.change(place, lambda found: replace(found, last_check=check))
        held = state.release(place, state.serving(place, after))
        telemetry.count_update(place, config, outcome, "" if held is None else held.version)
    except EdgeshipError:
        pass  # of a full or read-only disk the check itself has spoken


def _is_it(held: Release | None, candidate: _Candidate) -> bool:
    """Whether what lies in a slot is this release."""
    wanted = candidate.manifest.sha256, str(candidate.release), candidate.variant
    return held is not None and (held.manifest_sha256, held.version, held.variant) == wanted


class _Update:
    """A check that is under way."""

    def __init__(self, place: Place, config: Config, http: Http, now: datetime) -> None:
        self._place, self._config, self._now = place, config, now
        self._repository = Repository(place, config, http, now)
        self._fetching = Fetching(place, config, http, self._repository)
        self._line = config.of()
        self._refused: list[str] = []

    def run(self, *, check_only: bool, retry: bool) -> Outcome:
        """Take the best release that passes its self-test."""
        probation.settle(self._place, self._config, self._now)
        told = self._look()
        if retry:
            state.change(self._place, lambda found: replace(found, failed=()))
        outcome = self._run(told, check_only=check_only)
        if not check_only:
            if outcome.result != "updated":  # which leaves in the other slot what ran before
                done = fallback.mend(self._place, self._fetching, self._repository, told.policy)
                outcome = replace(outcome, fallback=done)
            self._fetching.tidy()
        return replace(outcome, message=_message(self._line, outcome))

    def _run(self, told: _Told, *, check_only: bool) -> Outcome:
        for candidate in self._candidates(told.wish):
            if state.read(self._place).is_barred(candidate.manifest.sha256, self._now):
                continue
            outcome = self._take(candidate, told, check_only=check_only)
            if outcome is not None:
                return outcome
        found = state.read(self._place)
        held = state.release(self._place, state.serving(self._place, found))
        if held is None:
            raise UpdateRefused(
                f"{self._config.repository} has no release of {self._line} that this device can run and may",
                remedy="; ".join((*self._refused, *(f"{each.version}: {each.why}" for each in self._withheld(told)))),
            )
        return self._outcome("kept", held.version, held.variant, told)

    def _look(self) -> _Told:
        """What the repository says now, and what that means for this device."""
        seen = self._repository.refresh()
        policy = documents.no_policy(self._line)
        target = self._repository.offline(policy_path(self._line))
        if target is not None:
            policy = self._read(target, documents.policy)
        remember(self._place, replace(seen, floor=policy.floor, revoked=policy.revoked))
        target = self._repository.delegated(rollout_path(self._line))
        if target is None:
            raise UpdateRefused(
                f"{self._config.repository} has no rollout of {self._line}",
                remedy=f"It has releases of {', '.join(self._lines()) or 'nothing'}: device init with another --line.",
            )
        rollout = self._read(target, documents.rollout)
        member = configs.member(self._place, self._config)
        return _Told(policy, rollout, member, wish(rollout, policy, member, self._now))

    def _lines(self) -> list[str]:
        """Of this model first, of which somebody may have meant another major version."""
        found = {match[1] for path in self._repository.offline_paths() if (match := _LINE.match(path))}
        return sorted(found, key=lambda text: (not text.startswith(f"{self._line.model}/"), text))[:_MOST_LINES]

    def _read(self, target: Target, read: Callable[[bytes, Line], T]) -> T:
        content = self._fetching.document(target, documents.LIMIT_BYTES)
        try:
            return read(content, self._line)
        except InputError as error:
            raise UpdateRefused(f"{target.path}: {error.message}", remedy=error.remedy) from error

    def _candidates(self, wanted: Wish) -> Iterator[_Candidate]:
        """What is offered of the wanted releases, each in the variant that this device prefers."""
        for release in wanted.versions:
            for variant in self._config.variants:
                target = self._repository.offline(manifest_path(self._line.model, release, variant))
                if target is not None:
                    yield _Candidate(release, variant, target)
                    break

    def _take(self, candidate: _Candidate, told: _Told, *, check_only: bool) -> Outcome | None:
        """Run this release, if it passes its self-test; None: it did not."""
        found = state.read(self._place)
        active = state.serving(self._place, found)
        held = state.release(self._place, active)
        said = str(candidate.release), candidate.variant, told
        if _is_it(held, candidate) and slots.is_whole(self._place, active or ""):
            return self._outcome("current", *said)
        if check_only:
            return self._outcome("available", *said)
        spare = self._spare(active)
        there = state.release(self._place, spare)
        installed = _is_it(there, candidate) and slots.is_whole(self._place, spare)
        if not installed and spare != active and self._must_wait(found, held, told.policy):
            return self._outcome("waiting", *said)
        manifest = self._install(candidate, spare, active, installed=installed)
        runs = None if active is None else state.other(spare)
        if manifest is None or not self._passes(candidate, spare, manifest, runs):
            return None
        self._activate(candidate, spare, trusted=installed and there is not None and there.trusted)
        return self._outcome("updated", *said)

    def _install(self, candidate: _Candidate, slot: str, active: str | None, *, installed: bool) -> Manifest | None:
        """Bring a release into the slot that does not run; None: it is not what was signed, or none for this client."""
        try:
            manifest, content = self._fetching.manifest(candidate.manifest, candidate.release, candidate.variant)
            if not installed:
                files = self._fetching.files(manifest, candidate.release, candidate.variant)
                slots.fill(self._place, slot, content, files, active)
        except UpdateRefused as error:
            # Not remembered: the network may be to blame, and stable is there.
            self._refused.append(f"{candidate.release}: {error.message}")
            return None
        return manifest

    def _passes(self, candidate: _Candidate, slot: str, manifest: Manifest, runs: str | None) -> bool:
        """Try a release; one that fails is remembered, and not kept."""
        try:
            selftest.check(self._place, self._config, slot, manifest, runs)
        except UpdateRefused as error:
            entry, why, perhaps = self._release(candidate), error.message, isinstance(error, selftest.TooMuch)
            self._refused.append(f"{candidate.release}: {why}")
            slots.drop(self._place, slot, lambda found: found.with_failed(entry, why, self._now, perhaps=perhaps))
            return False
        return True

    def _must_wait(self, found: State, held: Release | None, policy: Policy) -> bool:
        """Whether the other slot is still needed: it holds what comes back if the probation fails."""
        if found.probation is None or held is None or state.release(self._place, state.other(found.active)) is None:
            return False
        return policy.allows(version(held.version)) and not probation.passed(found.probation, self._config, self._now)

    def _spare(self, active: str | None) -> str:
        """The slot to fill: the one that does not run; where what should run is damaged and that is not, the other."""
        other = state.other(active)
        if active is not None and not slots.is_whole(self._place, active) and slots.is_whole(self._place, other):
            return active
        return other

    def _activate(self, candidate: _Candidate, slot: str, *, trusted: bool) -> None:
        made = replace(self._release(candidate), trusted=trusted)
        state.accept(self._place, slot, made)
        trial = None if trusted else Trial(text_of(self._now))
        state.change(self._place, lambda found: replace(found.without(made), active=slot, probation=trial))

    def _release(self, candidate: _Candidate) -> Release:
        since, serial = text_of(self._now), state.next_serial(self._place)
        return Release(candidate.manifest.sha256, str(candidate.release), candidate.variant, since, serial)

    def _outcome(self, result: str, release: str, variant: str, told: _Told) -> Outcome:
        reason, held_back = told.wish.reason_for(version(release)), self._withheld(told, version(release))
        return Outcome(result, release, variant, reason, "", tuple(self._refused), held_back)

    def _withheld(self, told: _Told, than: Version | None = None) -> tuple[Withheld, ...]:
        """Releases of the line that are newer than this one, and why this device has none of them."""
        there: dict[Version, list[str]] = {}
        for path in self._repository.offline_paths():
            named = release_of(path, self._line.model)
            if named is not None and named[0].major == self._line.major:
                there.setdefault(named[0], []).append(named[1])
        newer = [release for release in sorted(there, reverse=True) if than is None or release > than]
        found = (self._why_not(release, there[release], told) for release in newer[:_MOST_WITHHELD])
        return tuple(why for why in found if why is not None)

    def _why_not(self, release: Version, variants: Sequence[str], told: _Told) -> Withheld | None:
        text = str(release)
        if release not in told.wish.versions:
            return withheld(release, told.rollout, told.policy, told.member, self._now)
        candidate = next((c for c in self._candidates(told.wish) if c.release == release), None)
        if candidate is None:
            runs = ", ".join(self._config.variants)
            return Withheld(text, "variant", f"it is published as {', '.join(variants)}, and this device runs {runs}")
        for failed in state.read(self._place).failed:
            if failed.manifest_sha256 == candidate.manifest.sha256 and f"{text}: {failed.reason}" not in self._refused:
                until = failed.until()
                alone = "" if until is None else f" by itself after {text_of(until)}, or"
                again = f"again{alone}: edgeship device update {self._place.folder.name} --retry"
                return Withheld(text, "failed", f"it failed here at {failed.when}: {failed.reason}; {again}")
        return None


def _message(line: Line, found: Outcome) -> str:
    """All that came of a check, in one line."""
    words = {
        "updated": "is active now, in probation",
        "current": "is active",
        "available": "is available",
        "waiting": "is available, and waits for the end of the probation of what runs",
        "kept": "goes on: nothing else that this device may run is offered",
    }
    said = [f"{line.model} {found.version} ({found.variant}, {found.reason}) {words[found.result]}"]
    if found.withheld:
        said.append(f"{found.withheld[0].version} is withheld: {found.withheld[0].why}")
    elif found.result == "current":
        said.append("nothing is newer for this device")
    if found.refused:
        said.append(f"refused: {'; '.join(found.refused)}")
    return "; ".join((*said, *([found.fallback] if found.fallback else [])))
