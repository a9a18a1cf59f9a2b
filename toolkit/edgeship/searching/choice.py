"""The front of a search, what is chosen from it, and why. Everything here is judged on the validation samples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from edgeship.searching.limits import Limits, value_of
from edgeship.searching.trials import Trial
from edgeship.verify import signed


def front(trials: Sequence[Trial], objectives: Sequence[str]) -> tuple[Trial, ...]:
    """Finished trials that no other one dominates: as good in every objective and better in one.

    Of trials that are equal in all, the first stands for the others. Limits play no part.
    """
    points = [(t, tuple(value_of(t, o) for o in objectives)) for t in trials if t.outcome == "finished"]
    points = [(t, p) for t, p in points if all(map(math.isfinite, p))]
    kept = [
        (t, p)
        for n, (t, p) in enumerate(points)
        if not any(_dominates(q, p) or (q == p and m < n) for m, (_, q) in enumerate(points) if m != n)
    ]
    return tuple(t for t, _ in sorted(kept, key=lambda item: item[1][1:] + item[1][:1]))


def _dominates(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))


@dataclass(frozen=True)
class Choice:
    """What is built, and what would be next.

    Attributes:
        trial: None where no trial keeps all limits.
        runner_up: the next best that keeps them; None where there is none.
        why: sentences for a person.
    """

    trial: Trial | None
    runner_up: Trial | None
    why: tuple[str, ...]


def choose(trials: Sequence[Trial], objectives: Sequence[str], limits: Limits) -> Choice:
    """The trial that keeps all limits and has least of what is minimized first beside the drop.

    Trials whose whole 95 % intervals are within the limits come first, then those of which that holds for the drop:
    among many trials, the one that looks best by its drop alone is often the luckiest. Where there is none, the drop
    itself must do, as with recipe `auto`.
    """
    finished = [t for t in trials if t.outcome == "finished"]
    keeping = [t for t in finished if all(excess <= 0 for excess in limits.excess(t).values())]
    goal = objectives[1] if len(objectives) > 1 else objectives[0]
    cleared = [t for t in keeping if "max-drop" not in limits.doubts(t)]
    certain = [t for t in cleared if not limits.doubts(t)]
    pool = sorted(certain or cleared or keeping, key=lambda t: (value_of(t, goal), value_of(t, "drop"), t.number))
    if not pool:
        return Choice(None, None, (_nothing(trials, limits), *_bound(finished, None, goal, limits)))
    best = pool[0]
    second = pool[1] if len(pool) > 1 else None
    why = [f"{best.name} has the least {_words(goal)} of {len(keeping)} trials that keep all limits ({limits.text()})"]
    why += _doubtful(best, keeping, certain or cleared, limits)
    why += _bound(finished, best, goal, limits)
    why.append(_second(best, second, objectives))
    return Choice(best, second, tuple(why))


def _doubtful(best: Trial, keeping: Sequence[Trial], first: Sequence[Trial], limits: Limits) -> list[str]:
    """What is not certain of the choice, and who stood behind it for that."""
    told, doubts = [], limits.doubts(best)
    if not first:
        assert best.file is not None
        told.append(
            f"none of them is shown to keep the drop with certainty: {best.file.n:,} validation samples leave "
            f"[{', '.join(map(signed, best.file.drop.interval))}] for it"
        )
    elif doubts:
        told.append(f"none of them is shown to keep {', '.join(doubts)} with certainty: the 95 % interval goes beyond")
    if first and len(first) < len(keeping):
        told.append(f"{len(keeping) - len(first)} of them may break a limit by their 95 % intervals, and come after")
    return told


def _nothing(trials: Sequence[Trial], limits: Limits) -> str:
    counts = {word: sum(t.outcome == word for t in trials) for word in ("finished", "stopped", "failed")}
    told = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    return f"no trial keeps all limits ({limits.text()}): {told or 'none came to an end'}"


def _bound(finished: Sequence[Trial], best: Trial | None, goal: str, limits: Limits) -> list[str]:
    """Which limits stood between the choice and better trials, the one with the most first."""
    better = [t for t in finished if best is None or value_of(t, goal) < value_of(best, goal)]
    broken: dict[str, list[tuple[float, Trial]]] = {}
    for trial in better:
        for name, excess in limits.excess(trial).items():
            if excess > 0:
                broken.setdefault(name, []).append((excess, trial))
    found = []
    for name, rows in sorted(broken.items(), key=lambda item: -len(item[1])):
        _, nearest = min(rows, key=lambda row: (row[0], row[1].number))
        what = f"with less {_words(goal)} " if best is not None else ""
        count = f"{len(rows)} trial{'s' if len(rows) > 1 else ''}"
        found.append(f"limit {name} bound: it excludes {count} {what}(nearest: {nearest.name}, {figures(nearest)})")
    return found


def _second(best: Trial, second: Trial | None, objectives: Sequence[str]) -> str:
    if second is None:
        return "there is no runner-up: no other trial keeps all limits"
    parts = []
    for objective in objectives:
        a, b = value_of(best, objective), value_of(second, objective)
        parts.append(f"{_words(objective)} {_figure(objective, b)} against {_figure(objective, a)}")
    return f"runner-up: {second.name}: {'; '.join(parts)}"


def _words(objective: str) -> str:
    quantity, _, target = objective.partition("@")
    name = {"drop": "drop", "bytes": "bytes to send", "ms": "latency", "mib": "memory"}[quantity]
    return f"{name} on {target}" if target else name


def _figure(objective: str, value: float) -> str:
    quantity = objective.partition("@")[0]
    if quantity == "bytes":
        return f"{value:,.0f}"
    return {"drop": signed(value), "ms": f"{value:.3g} ms", "mib": f"{value:.0f} MiB"}[quantity]


def figures(trial: Trial) -> str:
    """What a finished trial has, in few words."""
    if trial.file is None:
        return trial.outcome
    times = [f"{t.ms:.3g} ms on {t.target}" for t in trial.timings if t.ms is not None]
    drop = trial.file.drop
    return ", ".join([f"{trial.wire_bytes:,} B", f"drop {signed(drop.value)} {drop.unit}", *times])
