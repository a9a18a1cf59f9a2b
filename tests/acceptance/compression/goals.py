"""The goals, held against the records. They are those of the project's plan and are not changed to fit results."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from edgeship.types import Array
from edgeship.verify import Drop
from tests.acceptance.compression.catalogue import METHODS, YARDSTICK, seeds
from tests.acceptance.compression.records import Record, drop_between, unpack
from tests.acceptance.compression.tasks import FRONT_TASK

#: Recipe -> the largest mean drop in points that it may cost, on any task.
DROPS: Mapping[str, float] = {"int8": 0.2, "small": 0.5, "tiny": 2.0, "fast": 1.0}
#: Recipe -> brotli bytes on CIFAR-10, and the stretch.
BYTES: Mapping[str, tuple[int, int]] = {"small": (32_000, 24_000), "tiny": (18_000, 12_000)}
#: Times fewer milliseconds than the yardstick, on CIFAR-10.
SPEED: Mapping[str, float] = {"fast": 2.0}
#: A file with a smaller share of the base's accuracy is not one that anybody would deliver.
USEFUL = 0.5


@dataclass(frozen=True)
class Goal:
    """One goal; `met` is None while records are missing."""

    name: str
    met: bool | None
    found: str


@dataclass(frozen=True)
class Point:
    """A method on the front: the mean of its seeds, since a method with more of them has a luckier best one.

    Attributes:
        size: brotli bytes.
        right: (n,) share of the seeds that were right about each test sample.
    """

    method: str
    size: float
    accuracy: float
    base_accuracy: float
    right: Array = field(compare=False, repr=False)


def check(records: Sequence[Record], tasks: Iterable[str]) -> list[Goal]:
    """All goals."""
    found = []
    for task in tasks:
        for recipe, limit in DROPS.items():
            found.append(_drop(records, task, recipe, limit))
    found.append(_not_worse_than_yardstick(records))
    for recipe, (limit, _) in BYTES.items():
        found.append(_size(records, recipe, limit))
    for recipe, times in SPEED.items():
        found.append(_speed(records, recipe, times))
    found.append(_front(records))
    return found


def of(records: Sequence[Record], task: str, method: str) -> list[Record]:
    """The records of a method that have a file, if no seed is missing; else none."""
    wanted = seeds(METHODS[method], task) if method in METHODS else ()
    found = [r for r in records if r.task == task and r.method == method and not r.failure]
    return found if wanted and {r.seed for r in found} >= set(wanted) else []


def mean_drop(found: Sequence[Record]) -> float:
    """Points, over seeds."""
    return float(np.mean([r.drop for r in found]))


def _drop(records: Sequence[Record], task: str, recipe: str, limit: float) -> Goal:
    name, found = f"{task}: {recipe} drops at most {limit:g} points", of(records, task, recipe)
    if not found:
        return _missing(name)
    value = mean_drop(found)
    return _goal(name, round(value, 9) <= limit, f"{value:+.2f}, {_over(found)}", found)


def _not_worse_than_yardstick(records: Sequence[Record]) -> Goal:
    name = f"{FRONT_TASK}: int8 drops no more than the yardstick"
    found, yardstick = of(records, FRONT_TASK, "int8"), of(records, FRONT_TASK, YARDSTICK)
    if not found or not yardstick:
        return _missing(name)
    ours, theirs = mean_drop(found), yardstick[0].drop
    return _goal(name, round(ours - theirs, 9) <= 0, f"{ours:+.2f} against {theirs:+.2f}", [*found, *yardstick])


def _size(records: Sequence[Record], recipe: str, limit: int) -> Goal:
    name, found = f"{FRONT_TASK}: {recipe} takes at most {limit:,} bytes brotli", of(records, FRONT_TASK, recipe)
    if not found:
        return _missing(name)
    value = float(np.mean([r.sizes["brotli"] for r in found]))
    return _goal(name, value <= limit, f"{value:,.0f}, {_over(found)}; stretch {BYTES[recipe][1]:,}", found)


def _speed(records: Sequence[Record], recipe: str, times: float) -> Goal:
    name = f"{FRONT_TASK}: {recipe} takes {times:g} times fewer ms than the yardstick"
    found = of(records, FRONT_TASK, recipe)
    ratios = [r.latency.ratio for r in found if r.latency]
    if not ratios:
        return _missing(name)
    value = 1 / float(np.exp(np.mean(np.log(ratios))))
    return _goal(name, value >= times, f"{value:.2f} times, geometric mean of {len(ratios)} seeds", found)


def _front(records: Sequence[Record]) -> Goal:
    name = f"{FRONT_TASK}: no peer dominates our front beyond the paired interval"
    made = sides(records)
    ours, peers = (points(side) for side in made)
    if not ours or not peers:
        return _missing(name)
    beaten = [
        f"{o.method} by {p.method}: {p.size:,.0f} B against {o.size:,.0f} B, "
        f"{lead.value:+.2f} [{lead.low:+.2f}, {lead.high:+.2f}] points"
        for o in front(ours)
        for p in peers
        if (lead := domination(p, o)) is not None
    ]
    used = [record for side in made for record in side]
    if beaten:
        return _goal(name, False, "; ".join(beaten), used)
    lacking, methods = missing_peers(records), f"{len(front(ours))} recipes of ours, {len(peers)} peers"
    said = f"{methods}; no records yet of {', '.join(lacking)}" if lacking else methods
    return _goal(name, None if lacking else True, said, used)


def missing_peers(records: Sequence[Record]) -> list[str]:
    """Peers of which nothing is known on the front's task; one that could not make a file has a record that says so."""
    known = {r.method for r in records if r.task == FRONT_TASK and not r.unsettled}
    return [m.name for m in METHODS.values() if not m.ours and m.name not in known]


def sides(records: Sequence[Record]) -> tuple[list[Record], list[Record]]:
    """Files for the front: ours and the peers'."""
    made = [r for r in records if r.task == FRONT_TASK and r.method in METHODS and not r.failure]
    return [r for r in made if METHODS[r.method].ours], [r for r in made if not METHODS[r.method].ours]


def points(records: Iterable[Record]) -> list[Point]:
    """Each method once, in the order of the records."""
    seeds_of: dict[str, list[Record]] = {}
    for record in records:
        seeds_of.setdefault(record.method, []).append(record)
    return [_point(found) for found in seeds_of.values()]


def _point(found: Sequence[Record]) -> Point:
    """Shares of each sample, not the seeds' rows one after the other: these would count a sample several times."""
    return Point(
        method=found[0].method,
        size=float(np.mean([r.sizes["brotli"] for r in found])),
        accuracy=float(np.mean([r.accuracy for r in found])),
        base_accuracy=found[0].base_accuracy,
        right=np.mean([unpack(r) for r in found], axis=0),
    )


def front(given: Sequence[Point]) -> list[Point]:
    """Those that no other one beats in both wire bytes and accuracy, fewest bytes first."""
    kept: list[Point] = []
    for point in sorted(given, key=lambda p: (p.size, -p.accuracy)):
        if not kept or point.accuracy > kept[-1].accuracy:
            kept.append(point)
    return kept


def domination(peer: Point, ours: Point) -> Drop | None:
    """How far a peer that is no larger is more accurate, where the paired 95 % interval excludes zero."""
    if peer.size > ours.size:
        return None
    lead = drop_between(peer.right, ours.right)
    return lead if lead.low > 0 else None


def unmatched(peer: Point, ours: Sequence[Point]) -> bool:
    """Whether a peer's file is of use, and none of ours as small without being less accurate beyond the interval."""
    if peer.accuracy < USEFUL * peer.base_accuracy:
        return False
    return all(o.size > peer.size or drop_between(peer.right, o.right).low > 0 for o in ours)


def _goal(name: str, met: bool | None, found: str, used: Sequence[Record]) -> Goal:
    """What records say whose code has changed since is said, and that it has."""
    return Goal(name, met, found + (" (stale)" if any(r.stale for r in used) else ""))


def _over(found: Sequence[Record]) -> str:
    return "one seed" if len(found) == 1 else f"mean of {len(found)} seeds"


def _missing(name: str) -> Goal:
    return Goal(name, None, "records are missing")
