"""One simulated device: the real client in a folder of its own, a timer, an application, and its trouble."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from edgeship.device import Model, clock, enrol, selftest, state, updating
from edgeship.device.config import Config, Place, Telemetry
from edgeship.device.network import Answer, Http
from edgeship.errors import EdgeshipError
from tests.acceptance.fleet import models, story, web
from tests.acceptance.fleet.breaking import Network
from tests.acceptance.fleet.publisher import LINE
from tests.acceptance.fleet.story import Plan, Timer
from tests.acceptance.fleet.warm import Warm

#: Of the client's changes of files during one check, the n-th kills it, n between these; a check that finds nothing new
#: makes about 25, a whole update about 90.
_CHANGES = (20, 95)
#: Hours after which a device may be killed once more.
_KILLED_AGAIN = 8.0
#: Bytes after which a network that breaks ends a connection.
_BREAKS = (600, 60_000)
_WHOLE = 1 << 30


@dataclass
class Surroundings:
    """What the devices of a process share.

    Attributes:
        folder: with a folder for each device.
        port: of nginx.
        network: the one that breaks.
        warm: tries releases.
        timer: when devices check.
        root: that they are enrolled with.
        probes: version -> what it answers to `models.PROBES`.
    """

    folder: Path
    port: int
    network: Network
    warm: Warm
    timer: Timer
    root: bytes
    probes: Mapping[str, np.ndarray]


class Device:
    """One device.

    Attributes:
        next: hour of its next check.
        active: version that runs, as its folder said after the last check.
        reached: hour of its last check that told it what it should run.
        lost: checks after which it had no release any more.
        outcomes: how its checks ended.
        refused: versions that its self-test refused.
        requests, bytes: by kind, as the client counted them.
    """

    def __init__(self, plan: Plan, around: Surroundings) -> None:
        self.plan, self._around = plan, around
        self._dice = random.Random(f"timer {plan.index}")
        self._place = Place(around.folder / str(plan.index) / models.MODEL)
        through = plan.trouble in ("breaks", "no network")
        port = around.network.port if through else around.port
        config = Config(
            f"http://127.0.0.1:{port}/device/{plan.index}", str(LINE), (models.VARIANT,),
            telemetry=Telemetry(self._place.folder.parent / "metrics.prom"),
        )  # fmt: skip
        self._place.folder.mkdir(parents=True)
        self._place.install_id.write_text(plan.install_id)
        enrol(self._place, config, around.root)
        self.next = around.timer.boot + self._dice.uniform(0, around.timer.jitter)
        self.active, self.reached, self.lost = "", -1.0, 0
        self.outcomes, self.refused = Counter[str](), Counter[str]()
        self.requests, self.bytes = Counter[str](), Counter[str]()
        self._killed, self._model = -_KILLED_AGAIN, _Kept() if plan.keeps else None

    def check(self) -> None:
        """One start by the timer; afterwards `next` is that of the next one."""
        hour, timer = self.next, self._around.timer
        if self.plan.has("off", hour):
            self.next = self.plan.ends + timer.boot + self._dice.uniform(0, timer.jitter)
            return
        self.next = hour + timer.every + self._dice.uniform(0, timer.jitter)
        now = story.moment(hour)
        if self.plan.has("clock", hour):
            now += timedelta(hours=self.plan.shift)
        self._around.network.budget = self._budget(hour)
        with _clock(now):
            result = self._update(now)
            self.outcomes[result] += 1
            if result in ("updated", "current", "kept"):
                self.reached = hour
            if result == "killed":
                self.next = hour + timer.boot + self._dice.uniform(0, timer.jitter)
            self._look()
            if self.active:
                self._serve(changed=result in ("updated", "killed"))

    def probe(self, hour: float) -> str:
        """Why the model of this device is no working one; empty: it is, and its answers are those of its release."""
        try:
            with _clock(story.moment(hour)), Model(folder=self._place.folder.parent) as model:
                found = model.predict(models.PROBES)
        except EdgeshipError as error:
            return f"{type(error).__name__}: {error.message}"
        if found.version != self.active:
            return f"{found.version} answers, {self.active or 'nothing'} is active"
        if not np.allclose(found.outputs["probabilities"], self._around.probes[found.version], atol=1e-5):
            return f"the answers are not those of {found.version}"
        return ""

    def held(self) -> set[str]:
        """Versions in its slots that may run."""
        return {found.version for slot in state.SLOTS if (found := state.release(self._place, slot)) is not None}

    def counted(self) -> dict[str, int]:
        """The client's own counters of checks, by outcome."""
        try:
            content: dict[str, Any] = json.loads(self._place.metrics.read_text())
        except FileNotFoundError:
            return {}
        return dict(content["updates"])

    def close(self) -> None:
        """End its application."""
        if self._model is not None:
            self._model.close()

    def _update(self, now: datetime) -> str:
        try:
            if self.plan.trouble == "killed":
                again = story.hours(now) - self._killed >= _KILLED_AGAIN
                kill = self._dice.randint(*_CHANGES) if again else 0
                asked = {"folder": str(self._place.folder), "now": now.isoformat(), "kill": kill}
                result = str(self._around.warm.request({"update": asked}))
                self._killed = story.hours(now) if result == "killed" else self._killed
                return result
            with _counting(self.requests, self.bytes), _trying(self._around.warm):
                outcome = updating.update(self._place, now=lambda: now)
        except EdgeshipError as error:
            return type(error).__name__
        for text in outcome.refused:
            self.refused[text.partition(":")[0]] += 1
        return outcome.result

    def _look(self) -> None:
        found = state.read(self._place)
        held = state.release(self._place, state.serving(self._place, found))
        self.lost += bool(self.active) and held is None
        self.active = "" if held is None else held.version

    def _serve(self, *, changed: bool) -> None:
        """The application predicts: one process for all the time, or one after each update."""
        if self._model is not None:
            self._model.predict(self._place.folder.parent)
        elif changed:
            with Model(folder=self._place.folder.parent) as model:
                model.predict(models.PROBES[:1])

    def _budget(self, hour: float) -> int:
        """Bytes after which a connection of this check ends."""
        breaks = self._dice.randint(*_BREAKS) if self._dice.random() < 0.5 else _WHOLE
        if self.plan.trouble == "breaks":
            return breaks
        return 0 if self.plan.has("no network", hour) else _WHOLE


class _Kept:
    """The model of an application that is never started again."""

    def __init__(self) -> None:
        self._model: Model | None = None

    def predict(self, folder: Path) -> None:
        self._model = self._model or Model(folder=folder)
        for _ in range(10):
            self._model.predict(models.PROBES[:1])

    def close(self) -> None:
        if self._model is not None:
            self._model.close()


def _clock(now: datetime) -> AbstractContextManager[object]:
    """The clock of this device, for what takes no clock from its caller, too."""

    def system() -> datetime:
        return now

    return mock.patch.object(clock, "system", system)


def _trying(warm: Warm) -> AbstractContextManager[object]:
    """Self-tests in processes that are forked from a warm child."""
    return mock.patch.object(selftest, "Child", warm.trying)


def _counting(requests: Counter[str], sizes: Counter[str]) -> AbstractContextManager[object]:
    """The client's network, with counters."""

    class Counting(Http):
        @contextmanager
        def get(self, url: str, *, start: int = 0, length: int | None = None) -> Iterator[Answer]:
            name = web.kind(url.split("/", 5)[5])
            with super().get(url, start=start, length=length) as answer:
                requests[name] += 1
                yield replace(answer, chunks=_counted(answer.chunks, name, sizes))

    return mock.patch.object(updating, "Http", Counting)


def _counted(chunks: Iterator[bytes], name: str, sizes: Counter[str]) -> Iterator[bytes]:
    for chunk in chunks:
        sizes[name] += len(chunk)
        yield chunk
