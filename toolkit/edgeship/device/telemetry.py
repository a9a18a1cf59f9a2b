"""Counters that a person may ask for, and nothing else: no ids, no inputs, no outputs.

Processes add to one file; from it come the text file of Prometheus (exposition format 0.0.4) and OTLP over HTTP (JSON,
opentelemetry-proto 1.x, cumulative). Without a destination in the config nothing is counted.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgeship.codec import from_json, to_json
from edgeship.device import durable
from edgeship.device.config import Config, Place
from edgeship.errors import EdgeshipError, InputError, RepositoryUnavailable

#: Upper bounds of buckets: seconds of a prediction, confidence of a class, share of values outside their range.
LATENCY_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
CONFIDENCE = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
OUTSIDE = (0.0, 0.001, 0.01, 0.05, 0.1, 0.25, 0.5)

_UPDATES = "edgeship_updates_total"
_ACTIVE = "edgeship_active_release"
#: Name -> bounds and what it says.
_HISTOGRAMS: Mapping[str, tuple[tuple[float, ...], str]] = {
    "edgeship_prediction_seconds": (LATENCY_S, "Seconds of a sample's prediction."),
    "edgeship_prediction_confidence": (CONFIDENCE, "Largest output of a classification."),
    "edgeship_input_outside_share": (OUTSIDE, "Share of a sample's values outside the range of the manifest."),
}
#: Releases of which histograms are kept: the newest.
_MOST_RELEASES = 4
_TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True)
class Histogram:
    """Counts of values up to each bound and above the last, not cumulative; and the sum of all values."""

    counts: tuple[int, ...]
    sum: float

    def plus(self, other: Histogram) -> Histogram:
        """Both."""
        pairs = zip(self.counts, other.counts, strict=True)
        return Histogram(tuple(a + b for a, b in pairs), self.sum + other.sum)


@dataclass(frozen=True)
class Totals:
    """All that was counted.

    Attributes:
        began: when, in seconds since 1970.
        updates: outcome -> checks that ended so; `rolled_back`: releases that came back.
        active: the release that runs; empty: none.
        releases: release -> name of a histogram -> its counts; newest last.
    """

    began: float
    updates: Mapping[str, int] = field(default_factory=dict)
    active: str = ""
    releases: Mapping[str, Mapping[str, Histogram]] = field(default_factory=dict)


class Recorder:
    """Counts what one process predicts with one release."""

    def __init__(self) -> None:
        self._counts = {name: [0] * (len(bounds) + 1) for name, (bounds, _) in _HISTOGRAMS.items()}
        self._sums = dict.fromkeys(_HISTOGRAMS, 0.0)

    def add(self, name: str, values: Iterable[float]) -> None:
        """Count values in the histogram of that name (without `edgeship_`); what is not finite has no place in it."""
        full = f"edgeship_{name}"
        bounds = _HISTOGRAMS[full][0]
        for value in filter(math.isfinite, values):
            place = next((k for k, bound in enumerate(bounds) if value <= bound), len(bounds))
            self._counts[full][place] += 1
            self._sums[full] += value

    def take(self) -> dict[str, Histogram]:
        """What was counted since the last time."""
        found = {name: Histogram(tuple(counts), self._sums[name]) for name, counts in self._counts.items()}
        self.__init__()  # type: ignore[misc] # begins anew
        return {name: histogram for name, histogram in found.items() if any(histogram.counts)}


def count_update(place: Place, config: Config, outcome: str, active: str) -> None:
    """Count how a check for updates ended, and tell whom the config names."""
    if config.telemetry.on:
        _send(config, _count(place, config, outcome, active))


def count_rollback(place: Place, config: Config, active: str) -> None:
    """Count that a release came back; who asked for a prediction does not wait until that is sent, with a check."""
    if config.telemetry.on:
        _count(place, config, "rolled_back", active)


def _count(place: Place, config: Config, outcome: str, active: str) -> Totals:
    def step(found: Totals) -> Totals:
        updates = {**found.updates, outcome: found.updates.get(outcome, 0) + 1}
        return Totals(found.began, updates, active, found.releases)

    return _change(place, config, step)


def count_predictions(place: Place, config: Config, release: str, counted: Mapping[str, Histogram]) -> None:
    """Add what a process counted with a release."""
    if not config.telemetry.on or not counted:
        return

    def step(found: Totals) -> Totals:
        releases = {name: held for name, held in found.releases.items() if name != release}
        before = found.releases.get(release, {})
        merged = {name: before[name].plus(new) if name in before else new for name, new in counted.items()}
        releases[release] = {**before, **merged}
        newest = dict(list(releases.items())[-_MOST_RELEASES:])
        return Totals(found.began, found.updates, found.active or release, newest)

    _change(place, config, step)


def _send(config: Config, totals: Totals) -> None:
    """Send the counters to whom the config names. A receiver that is away is no error: counters only grow."""
    if config.telemetry.otlp is not None:
        try:
            send(config.telemetry.otlp, otlp(config.of().model, totals, time.time()))
        except RepositoryUnavailable:
            pass


def read(place: Place) -> Totals:
    """What was counted; nothing where the file is lost, or counts otherwise."""
    try:
        found = from_json(Totals, place.metrics.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, InputError):
        return Totals(time.time())
    held = [(name, histogram) for counted in found.releases.values() for name, histogram in counted.items()]
    fits = all(name in _HISTOGRAMS and len(h.counts) == len(_HISTOGRAMS[name][0]) + 1 for name, h in held)
    return found if fits else Totals(time.time())


def _change(place: Place, config: Config, step: Callable[[Totals], Totals]) -> Totals:
    with durable.locked(place.folder / "metrics.lock", wait=True):
        after = step(read(place))
        durable.write(place.metrics, to_json(after).encode())
        _write_textfile(config, after)  # with the lock: by one at a time, and never an older one after a newer
    return after


def _write_textfile(config: Config, totals: Totals) -> None:
    """Write the text file of Prometheus, where the config names one."""
    path = config.telemetry.textfile
    if path is None:
        return
    try:
        with durable.storage(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        durable.write(path, prometheus(config.of().model, totals).encode())
    except EdgeshipError:
        pass  # what is counted is worth less than what is counted about


def prometheus(model: str, totals: Totals) -> str:
    """The counters in Prometheus's text format."""
    lines = [f"# HELP {_UPDATES} Checks for updates, and rollbacks, by outcome.", f"# TYPE {_UPDATES} counter"]
    lines += [f'{_UPDATES}{{model="{model}",outcome="{name}"}} {n}' for name, n in sorted(totals.updates.items())]
    lines += [f"# HELP {_ACTIVE} The release that runs.", f"# TYPE {_ACTIVE} gauge"]
    if totals.active:
        lines.append(f'{_ACTIVE}{{model="{model}",version="{totals.active}"}} 1')
    for name, (bounds, meaning) in _HISTOGRAMS.items():
        lines += [f"# HELP {name} {meaning}", f"# TYPE {name} histogram"]
        for release, held in totals.releases.items():
            if name in held:
                lines += _buckets(name, f'model="{model}",version="{release}"', bounds, held[name])
    return "\n".join(lines) + "\n"


def _buckets(name: str, labels: str, bounds: tuple[float, ...], held: Histogram) -> list[str]:
    lines, total = [], 0
    for bound, n in zip((*map(str, bounds), "+Inf"), held.counts, strict=True):
        total += n
        lines.append(f'{name}_bucket{{{labels},le="{bound}"}} {total}')
    return [*lines, f"{name}_sum{{{labels}}} {held.sum}", f"{name}_count{{{labels}}} {total}"]


def otlp(model: str, totals: Totals, now: float) -> dict[str, Any]:
    """The counters as an ExportMetricsServiceRequest of OTLP."""
    times = {"startTimeUnixNano": str(int(totals.began * 1e9)), "timeUnixNano": str(int(now * 1e9))}

    def attributes(**given: str) -> list[dict[str, Any]]:
        return [{"key": key, "value": {"stringValue": value}} for key, value in given.items()]

    updates = [{"attributes": attributes(outcome=k), **times, "asInt": str(n)} for k, n in totals.updates.items()]
    active = [{"attributes": attributes(version=totals.active), **times, "asInt": "1"}] if totals.active else []
    cumulative = {"aggregationTemporality": 2}
    metrics: list[dict[str, Any]] = [
        {"name": _UPDATES, "sum": {**cumulative, "isMonotonic": True, "dataPoints": updates}},
        {"name": _ACTIVE, "gauge": {"dataPoints": active}},
    ]
    for name, (bounds, _) in _HISTOGRAMS.items():
        points = [
            {
                "attributes": attributes(version=release),
                **times,
                "count": str(sum(held[name].counts)),
                "sum": held[name].sum,
                "bucketCounts": [str(n) for n in held[name].counts],
                "explicitBounds": list(bounds),
            }
            for release, held in totals.releases.items()
            if name in held
        ]
        metrics.append({"name": name, "histogram": {**cumulative, "dataPoints": points}})
    resource = {"attributes": attributes(**{"service.name": "edgeship", "model": model})}
    scope = {"scope": {"name": "edgeship.device"}, "metrics": metrics}
    return {"resourceMetrics": [{"resource": resource, "scopeMetrics": [scope]}]}


def send(address: str, message: Mapping[str, Any]) -> None:
    """POST a message to an OTLP/HTTP receiver. Raises RepositoryUnavailable where it is not taken."""
    import urllib3

    try:
        with urllib3.PoolManager(retries=False, timeout=_TIMEOUT_SECONDS) as manager:
            body = json.dumps(message, allow_nan=False).encode()
            headers = {"Content-Type": "application/json", "User-Agent": "edgeship"}
            answer = manager.request("POST", address, body=body, headers=headers, redirect=False)
    except urllib3.exceptions.HTTPError as error:
        raise RepositoryUnavailable(f"{address} cannot be reached: {error}") from error
    if answer.status >= 300:
        raise RepositoryUnavailable(f"{address} answers {answer.status}")


def destination(text: str) -> Path:
    """A text file's path as given. Raises InputError where Prometheus would not read it."""
    path = Path(text)
    if path.suffix != ".prom":
        raise InputError(f"{text!r} is no text file of Prometheus", remedy="Its collector reads *.prom files.")
    return path.absolute()
