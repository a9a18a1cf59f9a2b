"""Verdicts on results against those of another session, with what the history knows about the noise between two."""

from __future__ import annotations

from collections.abc import Sequence

from edgeship.baselines.judged import Judge, Judged
from edgeship.errors import InputError
from edgeship.history.records import Record, conditions, name_of, settings
from edgeship.types import NO_GPU, Artifact, Emulation, Estimate, Measurement, NotMeasured, Result
from edgeship_benchmarks import sessions
from edgeship_benchmarks.stats import summary

_UNKNOWN = "other session, whose noise is not known: measure side by side with edgeship benchmark --compare"


def recorded(
    found: Sequence[tuple[Artifact, Result | NotMeasured]],
    before: Sequence[Record],
    history: Sequence[Record],
    allowed: float,
    *,
    assume_noise: bool = True,
) -> tuple[Judged, ...]:
    """Judge new results.

    Args:
        found: each with what it is of; the id of that artifact is that of the history, `row.artifact` how it is called.
        before: the baseline's results; without a name those of a results file, which knows no names.
        history: earlier results.
        allowed: share by which a figure may become worse.
        assume_noise: give verdicts on latencies also where the noise between sessions is not known yet.
    """
    judged: list[Judged] = []
    seen: set[str] = set()
    for artifact, row in found:
        same = [item for item in before if is_of(item, artifact, row.artifact)]
        if isinstance(row, NotMeasured):
            if any(row.is_where(item.result) for item in same):
                judged.append(Judge(row.artifact, row.target, row.runtime, allowed).lost(row))
            continue
        judge = Judge(row.artifact, row.target, row.engine, allowed)
        if row.artifact not in seen and not isinstance(row, Estimate):
            seen.add(row.artifact)
            weighed = [item.result for item in same if not isinstance(item.result, Estimate)]
            equal = any(result.artifact_sha256 == row.artifact_sha256 for result in weighed)
            judged += [judge.equal_files()] if equal else judge.sizes(weighed[0] if weighed else None, row)
        old = [item for item in same if _place(item.result) == _place(row)]
        mine = [item for item in history if is_of(item, artifact)]
        for item in _against(judge, row, old, mine):
            guessed = item.figure == "latency" and item.how == _how(None) and not assume_noise
            judged.append(judge.silent("latency", _UNKNOWN, item.before, item.now) if guessed else item)
    return tuple(judged)


def is_of(item: Record, artifact: Artifact, called: str = "") -> bool:
    """Whether a record is of an artifact by its name and id; in a results file, by what it was called there."""
    if not item.name:
        return item.result.artifact in (artifact.id, called)
    return item.name == name_of(artifact) and item.result.artifact == artifact.id


def _place(row: Result) -> tuple[object, ...]:
    """Where and how a result was taken: rows that differ in it have nothing to say about each other."""
    return (row.provenance, row.target, row.runtime, settings(row))


def _against(judge: Judge, row: Result, old: Sequence[Record], history: Sequence[Record]) -> list[Judged]:
    figure = "instructions" if isinstance(row, Emulation) else "latency"
    if isinstance(row, Estimate):
        return [judge.silent(figure, "an estimate is not compared")]
    if len(old) != 1:
        why = "several files of this name" if old else "no such result"
        return [judge.silent(figure, f"the baseline has {why}")]
    if isinstance(row, Measurement):
        return [_latency(judge, row, old[0], history)]
    before = old[0].result
    assert isinstance(before, Emulation)
    other = _other_conditions(before, row)
    return [judge.silent(figure, other)] if other else list(judge.counts(before, row))


def _latency(judge: Judge, row: Measurement, old: Record, history: Sequence[Record]) -> Judged:
    before, said = old.result, summary(row)
    assert isinstance(before, Measurement)
    assert old.summary is not None
    values = (old.summary.median_ms, said.median_ms)
    if why := _why_not(before, row, unstable=(old.summary.unstable, said.unstable)):
        return judge.silent("latency", why, *values)
    try:
        known = sessions.spread(_unchanged(row, history))
        ratio = sessions.ratio(row, before, known)
    except InputError as error:
        return judge.silent("latency", error.message, *values)
    found = judge.timed(*values, ratio, _how(known))
    if before.artifact_sha256 == row.artifact_sha256 and found.verdict in ("regression", "improvement", "allowed"):
        return judge.silent("latency", f"{ratio.value:.2f}x, but the file is the same: the machine is not", *values)
    return found


def _why_not(before: Measurement, now: Measurement, unstable: tuple[bool, bool]) -> str:
    """Why two measurements of different sessions say nothing about each other; empty where they do."""
    if before.on_software_gpu or now.on_software_gpu:
        return NO_GPU
    other = _other_conditions(before, now)
    if other:
        return other
    words = [word for word, is_so in zip(("the baseline", "this measurement"), unstable, strict=True) if is_so]
    return f"unstable: {' and '.join(words)}" if words else ""


def _other_conditions(before: Result, now: Result) -> str:
    a, b = conditions(before.device), conditions(now.device)
    keys = [key for key in sorted({*a, *b}) if a.get(key) != b.get(key)]
    changed = [f"{key} {a.get(key, 'unknown')} -> {b.get(key, 'unknown')}" for key in keys]
    return f"other conditions: {', '.join(changed)}" if changed else ""


def _unchanged(row: Measurement, history: Sequence[Record]) -> list[list[Measurement]]:
    """Stable earlier measurements under the conditions of `row`, by file."""
    groups: dict[str, list[Measurement]] = {}
    for item in history:
        old = item.result
        stable = item.summary is not None and not item.summary.unstable
        if isinstance(old, Measurement) and stable and _place(old) == _place(row) and not _other_conditions(old, row):
            groups.setdefault(old.artifact_sha256, []).append(old)
    return list(groups.values())


def _how(known: sessions.Spread | None) -> str:
    if sessions.enough(known):
        assert known is not None
        return f"between sessions; their noise: {100 * known.deviation:.1f} % (by {known.degrees + 1} or more)"
    return f"between sessions; their noise is not known yet: {100 * sessions.FLOOR:.0f} % assumed"
