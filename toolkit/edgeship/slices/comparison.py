"""One result against another on the same samples, slice by slice."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from edgeship.contracts import Metric
from edgeship.errors import DataError
from edgeship.metrics import Accuracy, AreaUnderCurve, MeanIntersectionOverUnion, MeanSquaredError
from edgeship.slices.definitions import Slice, Wanted, slices_of
from edgeship.slices.statistics import Estimate, estimate, excess, holm, is_mean
from edgeship.types import Array, GateStatus, SliceRow

#: Fewer samples than this are not tested: with 30, a fifth of them must break before the test can notice.
MIN_N = 30
#: Level of the tests, after correction.
LEVEL = 0.05
#: What is known of per-sample rows without the task that they are of.
METRICS: Mapping[str, Metric] = {
    "accuracy": Accuracy(),
    "auc": AreaUnderCurve(),
    "miou": MeanIntersectionOverUnion(),
    "mse": MeanSquaredError(),
}


@dataclass(frozen=True)
class Settings:
    """How slices are compared: fewest samples, level of the tests, and the limit of a drop (None: no limit)."""

    min_n: int = MIN_N
    level: float = LEVEL
    limit: float | None = None

    def __post_init__(self) -> None:
        if self.min_n < 2:
            raise DataError(f"min_n is {self.min_n}", remedy="Allowed: 2 and more.")
        if not 0 < self.level < 1:
            raise DataError(f"level is {self.level}", remedy="Allowed: between 0 and 1, such as 0.05.")


@dataclass(frozen=True)
class Compared:
    """All samples; the slices that were tested, worst first; those that were not, and why."""

    overall: SliceRow
    rows: tuple[SliceRow, ...]
    small: tuple[SliceRow, ...]


def compare(
    base: Any,
    compressed: Any,
    groups: Mapping[str, Any],
    *,
    pairs: Sequence[tuple[str, str]] = (),
    metric: str = "accuracy",
    min_n: int = MIN_N,
    level: float = LEVEL,
) -> tuple[SliceRow, ...]:
    """What a change of the model did to each slice of the same samples.

    Right and wrong get the exact McNemar test and Bonett and Price's interval for paired proportions; other means of
    one number a sample the paired t-test; AUC and mIoU the paired bootstrap. Holm's correction is over all tested
    slices.

    Args:
        base: result of each sample before: (N,) of 0 and 1 or scores, or the rows of `metric` as a build keeps them
            (`predictions/original/per_sample.npy`).
        compressed: the same after, in the same order.
        groups: name -> (N,) values. Numbers of many values are divided at their quartiles; a bool array is a predicate.
        pairs: names of groups whose values are combined.
        metric: `accuracy` (any score of which more is better), `mse` (any error), `auc` or `miou`.
        min_n: slices with fewer samples are listed last, without interval and test.
        level: of the tests.

    Returns:
        A row for each slice: slice, n, before, after, delta (after - before), low, high (95 %), broken, fixed, p,
        p_adjusted, significant, excess (over the change of all samples). Significant losses first, then by loss.

    Raises:
        DataError: for arrays that do not fit each other, or a metric that is not known.
    """
    if metric not in METRICS:
        raise DataError(f"no metric is called {metric!r} here", remedy=f"Allowed: {', '.join(METRICS)}.")
    before, after = (np.asarray(rows) for rows in (base, compressed))
    columns = {str(name): np.asarray(values) for name, values in groups.items()}
    wanted = [*(Wanted(name) for name in columns), *(Wanted(*map(str, pair)) for pair in pairs)]
    _check(before, after, columns)
    if before.dtype.kind == "b":
        before, after = before.astype(np.float64), after.astype(np.float64)
    found = contrast(METRICS[metric], before, after, slices_of(columns, wanted), Settings(min_n, level))
    return (*found.rows, *found.small)


def _check(before: Array, after: Array, columns: Mapping[str, Array]) -> None:
    if before.ndim not in (1, 2) or before.shape != after.shape or len(before) == 0:
        raise DataError(
            f"results of shape {before.shape} and {after.shape} are not of the same samples",
            remedy="Give one number, or one row of numbers, for each sample, in the same order.",
        )
    for array in (before, after):
        if array.dtype.kind not in "biuf" or not np.isfinite(array.astype(np.float64)).all():
            raise DataError("results are not all finite numbers", remedy="Give 0 and 1, or scores, or errors.")
    for name, values in columns.items():
        if values.shape != before.shape[:1] or values.dtype.kind not in "biufUO":
            raise DataError(f"group {name!r} has shape {values.shape} for {len(before)} samples")
        if values.dtype.kind == "O":
            columns[name] = values.astype(str)  # type: ignore[index] # it is a dict of ours


def contrast(
    metric: Metric, base: Array, found: Array, slices: Sequence[Slice], settings: Settings, *, exact: bool = False
) -> Compared:
    """Compare two results by slice.

    Args:
        metric: of the rows.
        base: per-sample rows of the original.
        found: per-sample rows of the other.
        slices: which samples belong to which.
        settings: how.
        exact: nothing changed and nothing can have: intervals have no width (see `edgeship.verify.file_drop`).
    """
    everything = estimate(metric, base, found)
    tested: list[tuple[Slice, Estimate]] = []
    small: list[SliceRow] = []
    for part in slices:
        n = int(part.mask.sum())
        if n < settings.min_n:
            small.append(_untested(metric, base, found, part, f"fewer than {settings.min_n} samples"))
            continue
        measured = estimate(metric, base[part.mask], found[part.mask])
        if measured.finite:
            tested.append((part, measured))
        else:
            small.append(_untested(metric, base, found, part, f"{metric.name} is not defined here"))
    adjusted = holm([measured.p for _, measured in tested])
    rows = [
        _with_excess(
            replace(_row(part.name, measured, settings, exact=exact), p_adjusted=p, significant=p < settings.level),
            metric,
            (base, found),
            (part, measured, everything),
        )
        for (part, measured), p in zip(tested, adjusted, strict=True)
    ]
    return Compared(
        _row("all", everything, replace(settings, limit=None), exact=exact),
        tuple(sorted(rows, key=_badness)),
        tuple(sorted(small, key=lambda row: (-row.n, row.slice))),
    )


def _badness(row: SliceRow) -> tuple[bool, float, str]:
    drop = row.drop.value if row.drop else 0.0
    return (not (row.significant and drop > 0), -drop, row.slice)


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _row(name: str, found: Estimate, settings: Settings, *, exact: bool) -> SliceRow:
    low, high, drop = found.low, found.high, found.drop
    if exact:
        low = high = 0.0
        drop = replace(drop, interval=(0.0, 0.0))
    known = found.finite and all(map(math.isfinite, (low, high, *drop.interval)))
    return SliceRow(
        slice=name,
        n=found.n,
        before=_number(found.before),
        after=_number(found.after),
        delta=_number(found.delta),
        low=low if known else None,
        high=high if known else None,
        broken=found.broken,
        fixed=found.fixed,
        p=_number(found.p),
        drop=drop if known else None,
        status=status(drop.interval, settings.limit) if known and settings.limit is not None else None,
    )


def status(interval: tuple[float, float], limit: float) -> GateStatus:
    """`pass`: all of the interval is within the limit; `fail`: none of it is; else `inconclusive`."""
    low, high = interval
    return "pass" if high <= limit else "fail" if low > limit else "inconclusive"


def _with_excess(
    row: SliceRow, metric: Metric, results: tuple[Array, Array], which: tuple[Slice, Estimate, Estimate]
) -> SliceRow:
    """The row with its excess over all samples; an interval only for means, and where others are left."""
    base, found = results
    part, measured, everything = which
    others = ~part.mask
    if row.low == row.high == 0:  # nothing changed, and nothing can have
        return replace(row, excess=0.0, excess_low=0.0, excess_high=0.0)
    if not is_mean(metric, base) or others.sum() < 2:
        return replace(row, excess=_number(measured.delta - everything.delta))
    value, low, high = excess(measured, estimate(metric, base[others], found[others]))
    return replace(row, excess=_number(value), excess_low=_number(low), excess_high=_number(high))


def _untested(metric: Metric, base: Array, found: Array, part: Slice, note: str) -> SliceRow:
    a, b = base[part.mask], found[part.mask]
    before, after = metric.value(a), metric.value(b)
    down = up = None
    if a.ndim == 1:
        down, up = int((b < a).sum()), int((b > a).sum())
        down, up = (down, up) if metric.direction == "maximize" else (up, down)
    delta = _number(after - before)
    return SliceRow(part.name, len(a), _number(before), _number(after), delta, broken=down, fixed=up, note=note)
