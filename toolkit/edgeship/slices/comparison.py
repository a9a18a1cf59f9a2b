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
from edgeship.slices.statistics import Estimate, estimate, excess, holm, is_mean, signs
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


@dataclass(frozen=True)
class _Pair:
    """Two results of the same samples; `exact`: nothing changed and nothing can have."""

    metric: Metric
    base: Array
    found: Array
    exact: bool

    def of(self, rows: Any) -> Estimate:
        return estimate(self.metric, self.base[rows], self.found[rows])


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
        DataError: for arrays that do not fit each other, two slices of one name, or a metric that is not known.
    """
    before, after = _numbers(base), _numbers(compressed)
    columns = {str(name): np.asarray(values) for name, values in groups.items()}
    wanted = [*(Wanted(name) for name in columns), *(Wanted(*map(str, pair)) for pair in pairs)]
    _check(metric, before, after, columns)
    found = contrast(METRICS[metric], before, after, slices_of(columns, wanted), Settings(min_n, level))
    return (*found.rows, *found.small)


def _numbers(rows: Any) -> Array:
    found = np.asarray(rows)
    return found.astype(np.float64) if found.dtype.kind == "b" else found


def _check(metric: str, before: Array, after: Array, columns: Mapping[str, Array]) -> None:
    if metric not in METRICS:
        raise DataError(f"no metric is called {metric!r} here", remedy=f"Allowed: {', '.join(METRICS)}.")
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
    pair = _Pair(metric, base, found, exact)
    rows: list[SliceRow] = []
    small: list[SliceRow] = []
    tested: list[Slice] = []
    for part in slices:
        row = _untested(pair, part)
        if row.no_number:  # that is certain with one sample: it needs no test
            rows.append(replace(row, status=None if settings.limit is None else "fail"))
        elif row.n < settings.min_n:
            small.append(replace(row, note=f"fewer than {settings.min_n} samples"))
        elif row.before is None:
            small.append(replace(row, note=f"{metric.name} is not defined here"))
        else:
            tested.append(part)
    everything = pair.of(slice(None))
    rows += _tested(pair, tested, everything, settings)
    return Compared(
        _row("all", everything, exact=exact),
        tuple(sorted(rows, key=_badness)),
        tuple(sorted(small, key=lambda row: (-row.n, row.slice))),
    )


def _badness(row: SliceRow) -> tuple[bool, bool, float, str]:
    return (not row.no_number, not row.lost, -row.drop.value if row.drop else 0.0, row.slice)


def _untested(pair: _Pair, part: Slice) -> SliceRow:
    base, found = pair.base[part.mask], pair.found[part.mask]
    before, after = pair.metric.value(base), pair.metric.value(found)
    broken, fixed = signs(pair.metric, base, found) if base.ndim == 1 else (None, None)
    values = (_number(before), _number(after), _number(after - before))
    return SliceRow(part.name, len(base), *values, broken=broken, fixed=fixed)


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _tested(pair: _Pair, parts: Sequence[Slice], everything: Estimate, settings: Settings) -> list[SliceRow]:
    """Rows with intervals and both tests, of no change and of the limit; Holm's correction is over these slices."""
    measured = [pair.of(part.mask) for part in parts]
    adjusted = holm([one.p for one in measured])
    limit = settings.limit
    above = [None] * len(parts) if limit is None else holm([one.spread.above(limit) for one in measured])
    rows = []
    for part, one, p, p_limit in zip(parts, measured, adjusted, above, strict=True):
        row = _with_excess(_row(part.name, one, exact=pair.exact), pair, part, (one, everything))
        row = replace(row, p_adjusted=p, significant=p < settings.level, p_limit=p_limit)
        rows.append(replace(row, status=_status(row, settings)))
    return rows


def _row(name: str, found: Estimate, *, exact: bool) -> SliceRow:
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
    )


def _status(row: SliceRow, settings: Settings) -> GateStatus | None:
    """`pass`: all of the interval is within the limit. `fail`: none of it is, and that remains after the correction.

    Of many intervals of 95 % each, some lie beyond a limit that no slice exceeds. A `pass` needs no correction: the
    gate passes only where every slice does.
    """
    if settings.limit is None or row.drop is None or row.p_limit is None:
        return None
    low, high = row.drop.interval
    if high <= settings.limit:
        return "pass"
    return "fail" if low > settings.limit and row.p_limit < settings.level else "inconclusive"


def _with_excess(row: SliceRow, pair: _Pair, part: Slice, measured: tuple[Estimate, Estimate]) -> SliceRow:
    """The row with its excess over all samples; an interval only for means, and where others are left."""
    if pair.exact:
        return replace(row, excess=0.0, excess_low=0.0, excess_high=0.0)
    mine, everything = measured
    others = ~part.mask
    if not is_mean(pair.metric, pair.base) or others.sum() < 2:
        return replace(row, excess=_number(mine.delta - everything.delta))
    value, low, high = excess(mine, pair.of(others))
    return replace(row, excess=_number(value), excess_low=_number(low), excess_high=_number(high))
