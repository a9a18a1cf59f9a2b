"""What compression did to parts of the data: slices, calibration, samples that changed sides, where models look."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from edgeship.types.changes import Change, GateStatus


@dataclass(frozen=True)
class SliceRow:
    """One slice before and after, on the same samples.

    Attributes:
        slice: `label=cat`, `sex=Female x race=Black`, `age>60`; `all` for all samples.
        n: number of samples.
        before, after: the metric, in its own unit (accuracy 0..1); None where it is not defined on these samples.
        delta: `after - before`; negative is worse where more is better.
        low, high: 95 % interval of `delta`; None where the slice was not tested.
        broken, fixed: samples whose result became worse, better; for accuracy right to wrong, wrong to right. None for
            metrics that are not one number a sample (AUC, mIoU).
        p: of the test that nothing changed (exact McNemar for right and wrong, paired t for other means, else by a
            bootstrap); None: not tested.
        p_adjusted: the same after Holm's correction over all tested slices of this comparison.
        significant: whether `p_adjusted` is below the level.
        excess: `delta` minus that of all samples; `excess_low`, `excess_high`: its 95 % interval, where there is one.
        drop: how much worse, in the unit of gates (points, or % of the value before); positive is worse.
        status: against the limit of a slice; None without a limit, or where the slice was not tested.
        note: why a slice was not tested; empty where it was.
        p_limit: of the one-sided test that the drop is within the limit, after the same correction; None without one.
    """

    slice: str
    n: int
    before: float | None
    after: float | None
    delta: float | None
    low: float | None = None
    high: float | None = None
    broken: int | None = None
    fixed: int | None = None
    p: float | None = None
    p_adjusted: float | None = None
    significant: bool = False
    excess: float | None = None
    excess_low: float | None = None
    excess_high: float | None = None
    drop: Change | None = None
    status: GateStatus | None = None
    note: str = ""
    p_limit: float | None = None

    @property
    def no_number(self) -> bool:
        """Whether the metric was a number and is none any more: the file gives NaN or infinity here."""
        return self.before is not None and self.after is None

    @property
    def lost(self) -> bool:
        """Whether the slice certainly lost something."""
        return self.no_number or (self.significant and self.drop is not None and self.drop.value > 0)


@dataclass(frozen=True)
class Calibration:
    """How far confidence and truth are apart, before and after; shares of 1.

    Attributes:
        ece_before, ece_after: expected calibration error in `bins` bins of equal width (Naeini et al., AAAI 2015).
        adaptive_before, adaptive_after: the same in bins of equal numbers of samples (Nguyen and O'Connor, EMNLP 2015).
        ece_change: of `ece`, after minus before, with a percentile bootstrap interval.
        brier_before, brier_after: mean over samples of the summed squared distance of the scores from the one-hot row
            of the label (Brier 1950; 0..2).
        brier_change: of `brier`, with its interval.
        confidence_change: of the largest score, after minus before, with its interval.
    """

    bins: int
    n: int
    ece_before: float
    ece_after: float
    ece_change: Change
    adaptive_before: float
    adaptive_after: float
    brier_before: float
    brier_after: float
    brier_change: Change
    confidence_change: Change


@dataclass(frozen=True)
class Flip:
    """One sample that the file answers otherwise than the original, or whose error grew most.

    Attributes:
        index: in the test split; the sample itself is in `Report.exhibits`.
        kind: `broken` (right to wrong), `fixed`, `changed` (wrong to wrong otherwise), `worse` (for errors).
        label: the truth; empty for errors.
        before, after: both answers as text.
        before_score, after_score: score of each answer, or its error.
    """

    index: int
    kind: Literal["broken", "fixed", "changed", "worse"]
    label: str
    before: str
    after: str
    before_score: float
    after_score: float


@dataclass(frozen=True)
class Exhibit:
    """One input, small enough for a page.

    Attributes:
        kind: `image` (`picture` is a PNG as a data URI), `signal` (`values` over time), `row` (`values` of a table).
        facts: what the data says about the sample: its columns.
        names: of the `values` of a row: `[3]`, `age`, `person[3]`.
        total: how many values a row has; `values` are at most 12 of them, those furthest from the mean of the data.
        input: which input of the model it is, where there are several; empty for rows, which show all.
    """

    index: int
    kind: Literal["image", "signal", "row"]
    picture: str = ""
    values: tuple[float, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    total: int = 0
    input: str = ""


@dataclass(frozen=True)
class OcclusionCase:
    """Maps of one sample: how much the score of the original's answer falls when a region is covered.

    `before` and `after` have a value for each region, row by row.
    """

    index: int
    before: tuple[float, ...]
    after: tuple[float, ...]
    similarity: float


@dataclass(frozen=True)
class Occlusion:
    """Whether a file looks at the same parts of its inputs as the original.

    Attributes:
        rows, columns: of the grid of regions.
        n: samples that were looked at; those without any effect in one of the maps are left out.
        similarity: median over samples of Spearman's rank correlation of the two maps.
        lowest_tenth: the same, of the lowest tenth of the samples.
        unrelated: the median between maps of different samples, which any two maps reach.
        cases: the least similar.
    """

    rows: int
    columns: int
    n: int
    similarity: float
    lowest_tenth: float
    unrelated: float
    cases: tuple[OcclusionCase, ...]


@dataclass(frozen=True)
class SliceStudy:
    """All that was found about the slices of one file in one runtime.

    Attributes:
        metric, direction, unit: as of the `Metric`; `unit` is that of drops.
        level: of the tests; intervals are of 95 % each.
        min_n: slices with fewer samples are not tested.
        limit: of `--max-slice-drop`, in `unit`; None without one.
        overall: all samples.
        rows: tested slices, worst first: those whose metric is no number any more, significant ones, then by drop.
        small: slices that were not tested, and why.
        changed: samples with another answer, wrong before and after; None where there are no answers.
    """

    artifact: str
    runtime: str
    metric: str
    direction: Literal["maximize", "minimize"]
    unit: str
    level: float
    min_n: int
    limit: float | None
    overall: SliceRow
    rows: tuple[SliceRow, ...]
    small: tuple[SliceRow, ...] = ()
    changed: int | None = None
    calibration: Calibration | None = None
    flips: tuple[Flip, ...] = ()
    occlusion: Occlusion | None = None
