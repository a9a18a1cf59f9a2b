"""The week: acts of the publisher, checks of the devices, and what must hold after every day."""

from __future__ import annotations

import sys
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from scipy.stats import binomtest

from edgeship.child import Child, Limits
from edgeship.codec import to_data
from tests import nginx
from tests.acceptance.fleet import counts, models, story
from tests.acceptance.fleet.publisher import Publisher
from tests.acceptance.fleet.story import Act, Story
from tests.acceptance.fleet.web import Web

#: Of the interval in which the announced share must lie; a week has a dozen of them.
_CONFIDENCE = 0.999
#: A worker may be silent for so long: until the next moment of the story.
_LIMITS = Limits(seconds=3600.0)


@dataclass(frozen=True)
class Announced:
    """What the repository says: who gets what, and since when."""

    stable: str = ""
    version: str = ""
    percent: float = 0.0
    since: float = 0.0
    before_halt: float = 0.0

    def after(self, act: Act) -> Announced:
        """What it says after an act of the story."""
        now = replace(self, since=act.hour)
        changes: Mapping[str, Callable[[], Announced]] = {
            "publish": lambda: self if self.stable else replace(now, stable=act.version),
            "start": lambda: replace(now, version=act.version, percent=act.percent),
            "set": lambda: replace(now, percent=act.percent),
            "halt": lambda: replace(now, percent=0.0, before_halt=self.percent),
            "resume": lambda: replace(now, percent=self.before_halt),
            "finish": lambda: replace(now, stable=self.version, version="", percent=0.0),
            "recall": lambda: replace(now, version="", percent=0.0),
        }
        return changes[act.kind]()


class Run:
    """One run of a story.

    Args:
        told: the story.
        folder: empty; for everything.
        workers: processes with devices.
        say: called with a line about each moment.
    """

    def __init__(self, told: Story, folder: Path, workers: int, say: Callable[[str], None] = lambda _: None) -> None:
        self._told, self._folder, self._workers, self._say = told, folder, workers, say
        self._made = models.make(folder / "models")
        self._publisher = Publisher(folder, self._made, story.moment(0))
        self._announced = Announced()
        self.violations: list[str] = []
        self._samples: dict[int, Counter[str]] = {}
        self._shares: list[dict[str, Any]] = []
        self._days: list[dict[str, Any]] = []
        self._refused: Counter[str] = Counter()

    def run(self) -> dict[str, Any]:
        """All of it; the record."""
        began = time.monotonic()
        plans = [story.plan(index, self._told.days) for index in range(self._told.devices)]
        with ExitStack() as stack:
            web = stack.enter_context(Web(self._folder / "nginx", self._publisher.repository))
            pool = stack.enter_context(ThreadPoolExecutor(self._workers))
            command = [sys.executable, "-m", "tests.acceptance.fleet.worker"]
            children = [
                stack.enter_context(Child(command, name="devices", limits=_LIMITS)) for _ in range(self._workers)
            ]
            fleet = _Fleet(children, pool)
            fleet.start(self._folder / "devices", web.port, self._publisher.root, self._made, plans)
            for hour in self._moments():
                self._advance(fleet, web, hour)
                self._act(hour)
            ended = fleet.ask("end", 0)
            self.violations += [
                f"{count} times {version} was refused"
                for version, count in self._refused.items()
                if version != models.BAD
            ]
            web.close()
            log = counts.Log(web.lines())
        devices = [row for part in ended for row in part["devices"]]
        self.violations += log.disagreements(devices)
        return {
            "nginx": nginx.version(), "devices": self._told.devices, "days": self._told.days, "workers": self._workers,
            "seconds": round(time.monotonic() - began), "violations": self.violations,
            "acts": [to_data(act) for act in self._told.acts], "refresh_hours": story.REFRESH_EVERY,
            "timer_hours": to_data(story.timer()),
            "samples": [[hour, dict(found)] for hour, found in sorted(self._samples.items())],
            "shares": self._shares, "daily": self._days, "refused": dict(self._refused),
            "broken_connections": sum(part["broken"] for part in ended),
            **counts.summary(devices), **log.summary(),
            "files": self._files(),
            "patches": [
                {"to": to, **to_data(delta)} for to, deltas in self._publisher.deltas.items() for delta in deltas
            ],
        }  # fmt: skip

    def _moments(self) -> list[float]:
        end = self._told.days * 24.0
        days = {day * 24.0 for day in range(1, self._told.days + 1)}
        refreshes = {story.REFRESH_AT + k * story.REFRESH_EVERY for k in range(int(end / story.REFRESH_EVERY))}
        return sorted({act.hour for act in self._told.acts} | days | refreshes)

    def _advance(self, fleet: _Fleet, web: Web, hour: float) -> None:
        """Bring all devices up to an hour, and look at them where a stage or a day ends."""
        if not hour:
            return
        refused: Counter[str] = Counter()
        for part in fleet.ask("advance", hour):
            for at, found in part["samples"]:
                self._samples.setdefault(at, Counter()).update(found)
            self.violations += [f"hour {hour:g}: device {index} holds {models.BAD}" for index in part["bad"]]
            self.violations += [f"hour {hour:g}: device {index} has lost its model" for index in part["lost"]]
            refused.update(part["refused"])
        self._refused = refused
        stage = hour in {act.hour for act in self._told.acts}
        if stage or hour % 24 == 0:
            self._check_shares(hour, [row for part in fleet.ask("look", hour) for row in part])
        if hour % 24 == 0:
            self._check_models(hour, fleet)
            self._days[-1]["requests"] = counts.Log(web.lines()).by_kind()
        self._say(f"hour {hour:g}: {dict(self._samples[int(hour)])} {len(self.violations)} violations")

    def _check_shares(self, hour: float, rows: Sequence[Mapping[str, Any]]) -> None:
        """Devices that heard of what is announced must run that, in the announced shares."""
        said = self._announced
        reached = [row for row in rows if row["reached"] >= said.since]
        found = Counter(row["active"] for row in reached)
        version, percent = (said.version, said.percent) if said.version != models.BAD else (said.version, 0.0)
        strange = {name: n for name, n in found.items() if name not in (version, said.stable)}
        if percent == 100:
            late = [row["index"] for row in reached if row["active"] != version]
            self.violations += [f"hour {hour:g}: device {index} has heard of {version}" for index in late]
        if strange or models.BAD in found:
            self.violations.append(f"hour {hour:g}: {strange} run besides {said}")
        if not version or not reached:
            low = high = 0.0
        else:
            interval = binomtest(found[version], len(reached)).proportion_ci(_CONFIDENCE)
            low, high = 100 * interval.low, 100 * interval.high
            if not low <= percent <= high:
                self.violations.append(
                    f"hour {hour:g}: {found[version]} of {len(reached)} run {version}, not {percent} %"
                )
        self._shares.append(
            {
                "hour": hour, "stable": said.stable, "version": said.version, "announced_percent": said.percent,
                "reached": len(reached), "have": found[version] if version else 0, "low": low, "high": high,
            }
        )  # fmt: skip

    def _check_models(self, hour: float, fleet: _Fleet) -> None:
        """Every device answers a probe as the release does that it says it runs."""
        faults = {index: why for part in fleet.ask("probe", hour) for index, why in part.items()}
        self.violations += [f"hour {hour:g}: device {index}: {why}" for index, why in faults.items()]
        self._days.append({"hour": hour, "without": len(faults), "releases": dict(self._samples[int(hour)])})

    def _act(self, hour: float) -> None:
        """What the publisher does at an hour."""
        self._publisher.now = story.moment(hour)
        if (hour - story.REFRESH_AT) % story.REFRESH_EVERY == 0:
            self._publisher.refresh()
        for act in self._told.acts:
            if act.hour == hour:
                if act.kind == "recall" and not self._refused[act.version]:
                    self.violations.append(f"hour {hour:g}: no device has refused {act.version}")
                self._publisher.do(act)
                self._announced = self._announced.after(act)

    def _files(self) -> dict[str, Any]:
        """Version -> bytes of its model as devices run it and as it is stored, and its accuracy."""
        found = {}
        for version, made in self._made.items():
            stored = next(path for path in made.bundle.iterdir() if path.name.startswith("model.tflite"))
            sizes = {"plain_bytes": made.file.stat().st_size, "stored_bytes": stored.stat().st_size}
            found[version] = {**sizes, "accuracy": made.accuracy}
        return found


class _Fleet:
    """All workers."""

    def __init__(self, children: Sequence[Child], pool: ThreadPoolExecutor) -> None:
        self._children, self._pool = children, pool

    def start(
        self, folder: Path, port: int, root: bytes, made: Mapping[str, models.Made], plans: Sequence[story.Plan]
    ) -> None:
        """Give each worker its devices."""
        probes = {version: found.probes.tolist() for version, found in made.items()}
        shared = {"folder": str(folder), "port": port, "root": b64encode(root).decode(), "probes": probes}
        parts = [plans[number :: len(self._children)] for number in range(len(self._children))]
        list(self._each({"start": {**shared, "plans": [to_data(plan) for plan in part]}} for part in parts))

    def ask(self, word: str, given: float) -> list[Any]:
        """The answers of all workers, which work at the same time."""
        return list(self._each({word: given} for _ in self._children))

    def _each(self, messages: Iterator[dict[str, Any]]) -> Iterator[Any]:
        return self._pool.map(lambda child, message: child.request(message), self._children, messages)
