"""A build against an earlier one, file by file: metric, slices, bytes, time, gates, stages; and what is worse."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from edgeship.baselines.builds import Build, Kept
from edgeship.baselines.find import records_of
from edgeship.baselines.judged import Judge, Judged, Word
from edgeship.baselines.recorded import recorded
from edgeship.contracts import Metric
from edgeship.errors import InputError
from edgeship.history.records import Record
from edgeship.slices.comparison import METRICS, MIN_N, Settings, contrast
from edgeship.slices.definitions import Slice
from edgeship.slices.statistics import Z95, estimate
from edgeship.types import Array, Change, Report, Result, SliceRow, StageFile

#: Of `recorded`, what is not said here otherwise.
_TIMES = ("latency", "instructions", "arena", "run")
#: Metrics whose result of a sample is a row of numbers.
_OF_ROWS = ("auc", "miou")


@dataclass(frozen=True)
class Limits:
    """How much worse a file may become than the baseline's.

    Attributes:
        drop: of the metric, and of the metric of each slice: points, or % of the value before.
        share: of bytes and milliseconds: 0.02 for 2 %.
        min_n: slices with fewer samples are not tested.
    """

    drop: float = 0.0
    share: float = 0.0
    min_n: int = MIN_N


@dataclass(frozen=True)
class MetricChange:
    """The metric of a file against that of the baseline's file.

    Attributes:
        change: positive is worse than the baseline; None where nothing can be told.
        how: what it rests on, or why there is none.
    """

    before: float | None
    now: float | None
    change: Change | None
    verdict: Word
    how: str


@dataclass(frozen=True)
class FileChange:
    """One file of either build.

    Attributes:
        there: in both, only now (`new`), or only before (`gone`).
        before, now: what its gates said: pass, fail, inconclusive or UNVERIFIED; empty where it is not there.
        worse: a gate that was passed is not passed any more, or the file cannot be made any more.
        fallen: slices that certainly lost more than is allowed, worst first (Holm-corrected over `tested` slices).
    """

    artifact: str
    there: Literal["both", "new", "gone"]
    before: str
    now: str
    worse: bool = False
    metric: MetricChange | None = None
    figures: tuple[Judged, ...] = ()
    fallen: tuple[SliceRow, ...] = ()
    tested: int = 0

    @property
    def regressions(self) -> int:
        """How much of it is worse than allowed."""
        found = [*(f.verdict for f in self.figures), *([self.metric.verdict] if self.metric is not None else [])]
        return found.count("regression") + len(self.fallen) + int(self.worse)


@dataclass(frozen=True)
class StageChange:
    """The file after one stage of the recipe, on the validation samples; `change` as in `MetricChange`."""

    stage: str
    artifact: str
    metric: tuple[float | None, float | None]
    brotli_bytes: tuple[int | None, int | None]
    change: Change | None


@dataclass(frozen=True)
class Comparison:
    """All that differs between two builds.

    Attributes:
        baseline: what it is, in words.
        same_model, same_data: whether both were made from the same trained model, and tested on the same data.
        limits: as they were given.
    """

    baseline: str
    metric: str | None
    unit: str
    same_model: bool
    same_data: bool
    limits: Limits
    files: tuple[FileChange, ...]
    stages: tuple[StageChange, ...] = ()

    @property
    def regressions(self) -> int:
        """How much is worse than allowed."""
        return sum(file.regressions for file in self.files)

    @property
    def untold(self) -> int:
        """Files whose metric could not be compared."""
        return sum(file.metric is not None and file.metric.verdict == "no verdict" for file in self.files)

    @property
    def passed(self) -> bool:
        """Whether nothing is worse; a metric that nobody could compare is no such thing."""
        return not (self.regressions or self.untold)


def compare(now: Build, before: Build, limits: Limits, history: Sequence[Record] = ()) -> Comparison:
    """Hold a build against an earlier one.

    Args:
        now: a build with its report.
        before: a build, or a bundle.
        limits: how much worse a file may become.
        history: earlier results, which tell the noise between sessions.

    Raises:
        InputError: they have no file of the same format and variant, or other metrics.
    """
    assert now.report is not None
    _check(now, before)
    same = (now.model == before.model, _same_data(now, before))
    times = _times(now.report, before, limits, history)
    names = dict.fromkeys((*now.files, *before.files))
    files = [
        _both(now.files[name], before.files[name], _Scene(now, before, limits, same), times.get(name, ()))
        if name in now.files and name in before.files
        else _one_sided(name, now, before)
        for name in names
    ]
    unit = next((f.metric.change.unit for f in files if f.metric and f.metric.change), "points")
    return Comparison(before.said, now.metric, unit, *same, limits, tuple(files), _stages(now, before, same))


def _same_data(now: Build, before: Build) -> bool:
    """Whether the test samples are the same: by themselves where both kept that, else by all of the data."""
    if now.samples and before.samples:
        return now.samples == before.samples
    return now.data is not None and now.data == before.data


def _check(now: Build, before: Build) -> None:
    if not now.files.keys() & before.files.keys():
        raise InputError(
            f"nothing to compare: {before.said} has {', '.join(before.files) or 'no files'}, "
            f"not {', '.join(now.files) or 'any'}",
            remedy="Give a build with files of the same format and variant.",
        )
    if None not in (now.metric, before.metric) and (now.metric, now.direction) != (before.metric, before.direction):
        raise InputError(
            f"{before.said} was judged by {before.metric}, this build by {now.metric}",
            remedy=f"Build one of them again with --metric {now.metric}.",
        )


@dataclass(frozen=True)
class _Scene:
    """Both builds, and whether model and data are the same."""

    now: Build
    before: Build
    limits: Limits
    same: tuple[bool, bool]

    @property
    def metric(self) -> Metric | None:
        """What rows of results are compared by."""
        if self.now.metric is None or self.now.direction is None:
            return None
        return METRICS.get(self.now.metric) or _Mean(self.now.metric, self.now.direction, self._unit())

    def _unit(self) -> Literal["points", "%"]:
        units = {file.drop.unit for file in self.now.files.values() if file.drop is not None}
        return "%" if units == {"%"} else "points"


@dataclass
class _Mean:
    """A metric of the user's: of rows of one number, the mean."""

    name: str
    direction: Literal["maximize", "minimize"]
    unit: Literal["points", "%"]

    def per_sample(self, outputs: Array, labels: Array) -> Array:
        """Not needed: rows are kept."""
        raise NotImplementedError

    def value(self, per_sample: Array) -> float:
        """Mean over samples."""
        return float(per_sample.mean())


def _one_sided(name: str, now: Build, before: Build) -> FileChange:
    if name in now.files:
        return FileChange(name, "new", "", now.files[name].status)
    assert now.report is not None
    failed = any(failure.artifact == name for failure in now.report.failures)
    return FileChange(name, "gone", before.files[name].status, "", worse=failed)


def _both(now: Kept, before: Kept, scene: _Scene, times: Sequence[Judged]) -> FileChange:
    judge = Judge(now.artifact, "", "", scene.limits.share)
    equal = now.sha256 == before.sha256
    figures = [judge.equal_files()] if equal else [judge.exact("size", "B", before.size_bytes, now.size_bytes)]
    if not equal and None not in (now.wire_bytes, before.wire_bytes):
        assert now.wire_bytes is not None
        assert before.wire_bytes is not None
        figures.append(judge.exact("compressed size", "B", before.wire_bytes, now.wire_bytes))
    metric = None if now.metric is None and before.metric is None else _metric(now, before, scene)
    fallen, tested = _fallen(now, before, scene)
    worse = before.status == "pass" and now.status != "pass"
    return FileChange(
        now.artifact, "both", before.status, now.status, worse, metric, (*figures, *times), fallen, tested
    )


def _metric(now: Kept, before: Kept, scene: _Scene) -> MetricChange:
    values = (_number(before.metric), _number(now.metric))
    if not scene.same[1]:
        return MetricChange(*values, None, "no verdict", "other test data")
    if now.sha256 == before.sha256 and before.metric == now.metric:
        return MetricChange(*values, Change(0.0, (0.0, 0.0), _unit(now)), "same", "equal files")
    paired = _paired(now, before, scene)
    if paired is not None:
        base, found, metric = paired
        change = estimate(metric, base, found).drop
        how = f"paired, {len(found):,} samples"
    elif scene.same[0] and now.drop is not None and before.drop is not None:
        change = apart(before.drop, now.drop)
        how = "from both drops from the same original: wider than a paired interval"
    elif scene.now.metric == "accuracy" and now.metric is not None and before.metric is not None and now.n == before.n:
        change = shares_apart(before.metric, now.metric, now.n)
        how = "from two accuracies on the same samples: wider than a paired interval"
    else:
        return MetricChange(*values, None, "no verdict", "the baseline keeps no result of single samples")
    if not np.isfinite([change.value, *change.interval]).all():
        return MetricChange(*values, None, "no verdict", "not a number")
    return MetricChange(*values, change, _word(change, scene.limits.drop), how)


def _number(value: float | None) -> float | None:
    return value if value is not None and np.isfinite(value) else None


def _unit(file: Kept) -> str:
    return file.drop.unit if file.drop is not None else "points"


def apart(before: Change, now: Change) -> Change:
    """The difference of two drops from one original, whatever their correlation: half-widths add up.

    The standard deviation of a difference is at most the sum of both standard deviations.
    """
    value = now.value - before.value
    low = value - (now.value - now.interval[0]) - (before.interval[1] - before.value)
    high = value + (now.interval[1] - now.value) + (before.value - before.interval[0])
    return Change(value, (low, high), now.unit)


def shares_apart(before: float, now: float, n: int) -> Change:
    """Points that a share of `n` samples fell, whatever the correlation of both: half-widths add up, as in `apart`.

    Those of the single shares are Agresti and Coull's (The American Statistician 52, 1998).
    """
    halves = []
    for share in (before, now):
        adjusted = (share * n + 2) / (n + 4)
        halves.append(Z95 * math.sqrt(adjusted * (1 - adjusted) / (n + 4)))
    value, half = 100 * (before - now), 100 * sum(halves)
    return Change(value, (value - half, value + half), "points")


def _word(change: Change, allowed: float) -> Word:
    low, high = change.interval
    if low > 0:
        return "regression" if low > allowed else "allowed"
    if high < 0:
        return "improvement"
    return "same" if low == high == 0 else "within the noise"


def _paired(now: Kept, before: Kept, scene: _Scene) -> tuple[Array, Array, Metric] | None:
    """Results of the same samples in the same runtime: before, now, and what they are compared by."""
    metric = scene.metric
    for runtime, found in now.results.items():
        base = before.results.get(runtime)
        if metric is None or base is None or base.shape != found.shape:
            continue
        if found.ndim == (2 if metric.name in _OF_ROWS else 1):
            return base.astype(np.float64), found.astype(np.float64), metric
    return None


def _fallen(now: Kept, before: Kept, scene: _Scene) -> tuple[tuple[SliceRow, ...], int]:
    """Slices that certainly lost more than is allowed against the baseline's file, and how many were tested."""
    paired = _paired(now, before, scene) if scene.same[1] and now.sha256 != before.sha256 else None
    parts = _fitting(scene.now.slices or scene.before.slices, paired[0]) if paired is not None else ()
    if paired is None or not parts:
        return (), 0
    base, found, metric = paired
    if not (np.isfinite(base).all() and np.isfinite(found).all()):
        return (), 0
    settings = Settings(min_n=scene.limits.min_n, limit=scene.limits.drop)
    compared = contrast(metric, base, found, parts, settings)
    return tuple(row for row in compared.rows if row.significant and row.status == "fail"), len(compared.rows)


def _fitting(parts: Sequence[Slice], rows: Array) -> tuple[Slice, ...]:
    return tuple(part for part in parts if len(part.mask) == len(rows))


def _times(now: Report, before: Build, limits: Limits, history: Sequence[Record]) -> Mapping[str, list[Judged]]:
    """Verdicts on milliseconds and counts by file; of a bundle only what it says."""
    by_id = {artifact.id: artifact for artifact in now.artifacts}
    rows: tuple[Result, ...] = (*now.measurements, *now.emulations)
    mine = [(by_id[row.artifact], row) for row in rows if row.artifact in by_id]
    found: dict[str, list[Judged]] = {}
    if before.report is None:
        for artifact, row in mine:
            for old in before.files[artifact.id].latencies if artifact.id in before.files else ():
                if (old.target, old.runtime) == (row.target, row.engine):
                    judge = Judge(artifact.id, row.target, row.engine, limits.share)
                    why = "a bundle has no rounds, which tell the noise"
                    found.setdefault(artifact.id, []).append(judge.silent("latency", why, old.median_ms))
        return found
    for judged in recorded(mine, records_of(before.report), history, limits.share, assume_noise=False):
        if judged.figure in _TIMES:
            found.setdefault(judged.artifact, []).append(judged)
    return found


def _stages(now: Build, before: Build, same: tuple[bool, bool]) -> tuple[StageChange, ...]:
    """Files after the stages of both, by name of the stage and of the file."""
    if now.report is None or before.report is None:
        return ()
    sides = [_stage_files(side.report) for side in (before, now) if side.report is not None]
    found = []
    for key in dict.fromkeys((*sides[0], *sides[1])):
        old, new = (side.get(key) for side in sides)
        change = apart(old.drop, new.drop) if old is not None and new is not None and all(same) else None
        if change is not None and not np.isfinite([change.value, *change.interval]).all():
            change = None
        metrics = (_number(old.metric if old else None), _number(new.metric if new else None))
        sizes = (old.brotli_bytes if old else None, new.brotli_bytes if new else None)
        found.append(StageChange(key[0], key[2], metrics, sizes, change))
    return tuple(found)


def _stage_files(report: Report) -> dict[tuple[str, int, str], StageFile]:
    """By stage, how often its name was there before, and file."""
    found: dict[tuple[str, int, str], StageFile] = {}
    seen: dict[str, int] = {}
    for stage in report.stages:
        number = seen[stage.name] = seen.get(stage.name, -1) + 1
        found |= {(stage.name, number, file.artifact): file for file in stage.files}
    return found
