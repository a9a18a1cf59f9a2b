"""Verdicts on rows that were measured interleaved with those of the baseline's files: the best there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgeship.baselines.judged import Judge, Judged
from edgeship.errors import InputError
from edgeship.types import NO_GPU, Artifact, Emulation, Estimate, Measurement, NotMeasured, Result
from edgeship_benchmarks.comparison import VERDICT_LEVEL, ratio
from edgeship_benchmarks.stats import may_be_compared, summary

Rows = Sequence[Result | NotMeasured]


def side_by_side(rows: Rows, pairs: Mapping[str, tuple[Artifact, Artifact]], allowed: float) -> tuple[Judged, ...]:
    """Judge new artifacts by the rows of one call.

    Args:
        rows: of the new artifacts and of their counterparts, which were not measured where the files are equal.
        pairs: id of a new artifact, as in its rows -> it and its counterpart, whose id is that in its rows.
        allowed: share by which a figure may become worse.
    """
    found: list[Judged] = []
    for name, (new, old) in pairs.items():
        judge = Judge(name, "", "", allowed)
        if new.sha256 == old.sha256:
            found.append(judge.equal_files())
            continue
        mine = [row for row in rows if row.artifact == name]
        theirs = [row for row in rows if row.artifact == old.id]
        found += judge.sizes(_weighed(theirs), _weighed(mine))
        for row in mine:
            found += _judged(row, theirs, allowed)
    return tuple(found)


def _weighed(rows: Rows) -> Result | None:
    return next((row for row in rows if isinstance(row, Measurement | Emulation)), None)


def _judged(row: Result | NotMeasured, theirs: Rows, allowed: float) -> list[Judged]:
    if isinstance(row, NotMeasured):
        ran = any(isinstance(other, Result) and row.is_where(other) for other in theirs)
        return [Judge(row.artifact, row.target, row.runtime, allowed).lost(row)] if ran else []
    judge = Judge(row.artifact, row.target, row.engine, allowed)
    figure = "instructions" if isinstance(row, Emulation) else "latency"
    same = [other for other in theirs if (other.target, other.runtime) == (row.target, row.runtime)]
    other = next((item for item in same if isinstance(item, Result) and item.engine == row.engine), None)
    if isinstance(row, Estimate):
        return [judge.silent(figure, "an estimate is not compared")]
    if isinstance(row, Emulation) and isinstance(other, Emulation):
        return list(judge.counts(other, row))
    if isinstance(row, Measurement) and isinstance(other, Measurement):
        return [_latency(judge, row, other)]
    why = next((item.reason for item in same if isinstance(item, NotMeasured)), "there is no result")
    return [judge.silent(figure, f"of the baseline: {why}")]


def _latency(judge: Judge, row: Measurement, other: Measurement) -> Judged:
    before, now = summary(other).median_ms, summary(row).median_ms
    if row.on_software_gpu or other.on_software_gpu:
        return judge.silent("latency", NO_GPU, before, now)
    if not (may_be_compared(row) and may_be_compared(other)):
        return judge.silent("latency", "unstable: stop other work, raise --repeats", before, now)
    try:
        found = ratio(row, other, VERDICT_LEVEL)
    except InputError as error:
        return judge.silent("latency", error.message, before, now)
    if found.interval is None:
        return judge.silent("latency", "a single round says nothing", before, now)
    starts = "1 start of both" if found.repeats == 1 else f"{found.repeats} starts of both"
    return judge.timed(before, now, found, f"interleaved, {starts}")
