"""The builds of a folder, one line for each, from what their reports say; what cannot be read is named."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from edgeship import report as reports
from edgeship.errors import InputError
from edgeship.pipeline import lineage
from edgeship.report.store import NAME
from edgeship.report.view import rows
from edgeship.types import Change, Gate, Report


@dataclass(frozen=True)
class BuildLine:
    """One build.

    Attributes:
        created: ISO 8601.
        model_sha256: of the trained model's content.
        revision: commit of the repository that it was made in; empty outside of one, or where nobody noted it.
        baseline: the metric of the original model on the test samples.
        files, passed: how many were made, and passed all gates.
        best: the smallest file that passed, `format/variant`; empty without one. All below are its own.
        wire_bytes: as it is delivered; None where that was not measured.
        drop: from the original model, with its 95 % interval; positive is worse.
        latency_ms: median; `where` says of what, where and how that was taken.
    """

    path: str
    created: str
    name: str
    model_sha256: str
    revision: str
    recipe: str
    metric: str | None
    baseline: float | None
    files: int
    passed: int
    best: str = ""
    value: float | None = None
    drop: Change | None = None
    size_bytes: int | None = None
    wire_bytes: int | None = None
    latency_ms: float | None = None
    where: str = ""


@dataclass(frozen=True)
class Unreadable:
    """What looks like a build and cannot be read, or is none."""

    path: str
    reason: str


@dataclass(frozen=True)
class Builds:
    """What lies in some folders; the newest build first."""

    builds: tuple[BuildLine, ...]
    unreadable: tuple[Unreadable, ...]


def is_place(word: str) -> bool:
    """Whether a word names a folder or a `report.json`, and not results in the history."""
    path = Path(word)
    return path.is_dir() or (path.name == NAME and path.is_file())


def listed(places: Iterable[Path]) -> Builds:
    """Builds among the folders that are given, and among the folders in those that are no builds themselves."""
    found: list[BuildLine] = []
    unreadable: list[Unreadable] = []
    for path in dict.fromkeys(path for place in places for path in _candidates(place)):
        try:
            found.append(line(path))
        except InputError as error:
            unreadable.append(Unreadable(str(path), error.message))
    return Builds(tuple(sorted(found, key=lambda item: item.created, reverse=True)), tuple(unreadable))


def _candidates(place: Path) -> list[Path]:
    if place.is_file() or (place / NAME).exists():
        return [place]
    try:
        inside = sorted(path for path in place.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError as error:
        raise InputError(f"cannot read {place}: {error.strerror}") from error
    return inside or [place]


def line(path: Path) -> BuildLine:
    """One build in short. Raises InputError where it is none, or damaged."""
    if path.is_dir() and not (path / NAME).exists():
        raise InputError(f"{path} is no build: it has no {NAME}")
    report = reports.read(path)
    folder = path if path.is_dir() else path.parent
    passed = sum(artifact.verification == "passed" for artifact in report.artifacts)
    head = BuildLine(
        path=str(path),
        created=report.created,
        name=report.name,
        model_sha256=report.source.sha256,
        revision=_revision(folder),
        recipe=str(report.recipe.get("name", "")),
        metric=report.metric,
        baseline=_finite(report.baseline.metric) if report.baseline is not None else None,
        files=len(report.artifacts),
        passed=passed,
    )
    return _with_best(head, report)


def _with_best(head: BuildLine, report: Report) -> BuildLine:
    row = next((row for row in rows(report) if row.best), None)
    if row is None:
        return head
    gate, timing = row.drop, next(iter(row.timings), None)
    return replace(
        head,
        best=row.artifact.id,
        value=_finite(row.metric),
        drop=_change(gate),
        size_bytes=row.artifact.size_bytes,
        wire_bytes=row.wire_bytes,
        latency_ms=timing.summary.median_ms if timing is not None else None,
        where=timing.where if timing is not None else "",
    )


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _change(gate: Gate | None) -> Change | None:
    if gate is None or gate.interval is None or not all(map(math.isfinite, (gate.value, *gate.interval))):
        return None
    return Change(gate.value, gate.interval, gate.unit)


def _revision(folder: Path) -> str:
    """The commit that the lineage names, with `-dirty` where files differed from it."""
    try:
        found = lineage.read(folder)
    except InputError:
        return ""
    for entry in found["predicate"]["buildDefinition"]["resolvedDependencies"] if found is not None else ():
        commit = entry.get("digest", {}).get("gitCommit")
        if commit:
            return f"{commit}-dirty" if entry["annotations"].get("dirty") else str(commit)
    return ""
