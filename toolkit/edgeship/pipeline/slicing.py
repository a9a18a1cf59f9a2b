"""What compression did to slices of the test samples: prepared once for a build, studied for each file and runtime."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgeship import verify
from edgeship.contracts import Metric
from edgeship.data import load as load_split
from edgeship.errors import DataError
from edgeship.slices import membership
from edgeship.slices.answers import answers, calibration, flips, worse
from edgeship.slices.comparison import MIN_N, Settings, contrast
from edgeship.slices.definitions import MAX_VALUES, QUALITIES, Slice, Wanted, parse, quality, slices_of
from edgeship.slices.exhibits import exhibits as pictures
from edgeship.types import Array, Artifact, Dataset, Exhibit, Gate, GateStatus, SliceRow, SliceStudy

if TYPE_CHECKING:
    from edgeship.pipeline.checks import Baseline

#: The column of classes, which every labelled dataset has.
LABEL = "label"
_CLASSES = ("classification", "binary")


@dataclass(frozen=True)
class Wishes:
    """What a user wants of slices.

    Attributes:
        text: as `--slices`; None: the label, and every column of the data.
        max_drop: limit of the gate `slices`, in the metric's drop unit; None: no gate.
        min_n: slices with fewer samples are not tested.
    """

    text: str | None = None
    max_drop: float | None = None
    min_n: int = MIN_N

    def __post_init__(self) -> None:
        if self.max_drop is not None and not 0 <= self.max_drop <= 100:
            raise DataError(f"the limit of a slice's drop is {self.max_drop:g}", remedy="Allowed: 0 to 100.")


@dataclass(frozen=True)
class Slicing:
    """The slices of a test split, and what they are held to; `inconclusive` as in `GatePolicy`."""

    parts: tuple[Slice, ...]
    settings: Settings
    inconclusive: str


def prepare(
    wishes: Wishes, dataset: Dataset, metric: Metric | None, policy: verify.GatePolicy, split: str = "test"
) -> Slicing | None:
    """The slices that are wanted of a split; None for data without labels, where nobody asked for any.

    Raises DataError for slices that the data does not have, or cannot have.
    """
    if metric is None:
        if wishes.text is not None or wishes.max_drop is not None:
            raise DataError("slices are compared by a metric, which needs labels", remedy="Add --data with labels.")
        return None
    samples = load_split(dataset, split)
    columns: dict[str, Array] = {name: np.asarray(values) for name, values in samples.slices.items()}
    if dataset.task in _CLASSES and samples.labels is not None:
        columns.setdefault(LABEL, _named(np.asarray(samples.labels), dataset.classes))
    wanted = parse(wishes.text) if wishes.text is not None else _usual(columns)
    first = samples.inputs[dataset.inputs[0].name]
    asked = {name for want in wanted for name in (want.column, want.other)} - set(columns)
    columns |= {word: quality(word, first) for word in QUALITIES if word in asked}
    settings = Settings(min_n=wishes.min_n, limit=wishes.max_drop)
    return Slicing(slices_of(columns, wanted), settings, policy.inconclusive)


def _named(labels: Array, classes: Sequence[str]) -> Array:
    names = np.array([*classes, ""], dtype=np.str_)
    known = labels < len(classes)
    return np.where(known, names[np.where(known, labels, -1).astype(np.int64)], labels.astype(str))


def _usual(columns: Mapping[str, Array]) -> tuple[Wanted, ...]:
    """All columns, but those of so many texts that they name single samples."""
    few = [name for name, v in columns.items() if v.dtype.kind in "fiu" or len(np.unique(v)) <= MAX_VALUES]
    return tuple(Wanted(name) for name in few)


@dataclass(frozen=True)
class Found:
    """One file in one runtime: per-sample rows of the metric, and the first output's scores."""

    artifact: Artifact
    runtime: str
    rows: Array
    scores: Array
    untouched: bool


def study(base: Baseline, found: Found) -> tuple[SliceStudy, tuple[Gate, ...]]:
    """All about the slices of one file, and the gate on them where a limit was given."""
    metric, slicing = base.metric, base.slicing
    assert metric is not None
    assert slicing is not None
    original = base.per_sample(base.original)
    same = np.array_equal(original, found.rows)
    exact = same and found.untouched and verify.TOLERANCES[found.artifact.variant].max_abs is not None
    compared = contrast(metric, original, found.rows, slicing.parts, slicing.settings, exact=exact)
    made = SliceStudy(
        artifact=found.artifact.id,
        runtime=found.runtime,
        metric=metric.name,
        direction=metric.direction,
        unit=metric.unit,
        level=slicing.settings.level,
        min_n=slicing.settings.min_n,
        limit=slicing.settings.limit,
        overall=compared.overall,
        rows=compared.rows,
        small=compared.small,
    )
    made = _with_answers(made, base, found, original)
    gate = () if made.limit is None else (slice_gate(made, metric, slicing.inconclusive),)
    return made, gate


def _with_answers(made: SliceStudy, base: Baseline, found: Found, original: Array) -> SliceStudy:
    """The same with flips and calibration where labels are classes, else with the samples that became worse most."""
    labels = np.asarray(base.labels)
    if base.dataset.task not in _CLASSES or labels.ndim != 1:
        shown = worse(original, found.rows, made.direction) if original.ndim == 1 else ()
        return replace(made, flips=shown)
    reference = next(iter(base.original.arrays.values()))
    if reference.ndim > 2 or (reference.ndim == 2 and reference.shape[1] > 1 and labels.max() >= reference.shape[1]):
        return made
    before, after = answers(reference, reference), answers(found.scores, reference)
    shown, changed = flips(before, after, labels, base.dataset.classes)
    return replace(made, flips=shown, changed=changed, calibration=calibration(before, after, labels))


def slice_gate(made: SliceStudy, metric: Metric, inconclusive: str) -> Gate:
    """One gate for all slices of a file: it passes where each tested slice does; its value is the worst one's drop."""
    assert made.limit is not None
    status: GateStatus = "pass"
    if any(row.status == "fail" for row in made.rows):
        status = "fail"
    elif not made.rows or any(row.status != "pass" for row in made.rows):
        status = "inconclusive"
    accepted = status == "pass" or (status == "inconclusive" and inconclusive == "pass")
    labels = (made.artifact, made.runtime, status, accepted)
    if not made.rows:
        why = f"no slice has {made.min_n} samples: give more test samples, other --slices, or a lower --min-slice"
        return Gate("slices", *labels, 0.0, made.limit, made.unit, 0, None, why)
    worst = _worst(made.rows, status)
    drop = worst.drop
    if drop is None:  # the file gives values that are no numbers
        value = float(np.finfo(np.float32).max)
        return Gate("slices", *labels, value, made.limit, made.unit, worst.n, None, f"{worst.slice}: not a number")
    return Gate(
        "slices", *labels, drop.value, made.limit, made.unit, worst.n, drop.interval, _detail(made, metric, worst)
    )


def _worst(rows: Iterable[SliceRow], status: GateStatus) -> SliceRow:
    """Of the slices that decide, the one with the largest drop."""
    deciding = [row for row in rows if (row.status or "inconclusive") == status]
    return max(deciding, key=lambda row: row.drop.value if row.drop else np.inf)


def _detail(made: SliceStudy, metric: Metric, worst: SliceRow) -> str:
    assert worst.drop is not None
    low, high = worst.drop.interval
    verb = "drops" if metric.direction == "maximize" else "rises"
    first = (
        f"{worst.slice}: {metric.name} {verb} by {verify.signed(worst.drop.value)} {made.unit} "
        f"[{verify.signed(low)}, {verify.signed(high)}]"
    )
    words = [first]
    counts = {word: sum(row.status == word for row in made.rows) for word in ("fail", "inconclusive")}
    total = len(made.rows)
    if counts["fail"]:
        words.append(f"{counts['fail']} of {total} slices exceed {made.limit:g}")
    if counts["inconclusive"]:
        words.append(f"{counts['inconclusive']} of {total} have too few samples to tell")
    if made.small:
        words.append(f"{len(made.small)} were not tested")
    return "; ".join(words)


def exhibits(studies: Iterable[SliceStudy], dataset: Dataset) -> tuple[Exhibit, ...]:
    """The samples that studies name, those first that lead their lists."""
    lists = [[flip.index for flip in made.flips] for made in studies]
    lists += [[case.index for case in made.occlusion.cases] for made in studies if made.occlusion]
    depth = max(map(len, lists), default=0)
    rows = list(dict.fromkeys(found[k] for k in range(depth) for found in lists if k < len(found)))
    samples = load_split(dataset, "test")
    columns = {name: np.asarray(values) for name, values in samples.slices.items()}
    inputs = {spec.name: samples.inputs[spec.name] for spec in dataset.inputs}
    return pictures(inputs, rows, columns, dataset.preprocessing)


def keep(folder: Path, slicing: Slicing, dataset: Dataset) -> None:
    """Write beside the original's results what later builds are compared by: the slices, and which samples they are."""
    samples = load_split(dataset, "test")
    assert samples.labels is not None
    inputs = [np.asarray(samples.inputs[spec.name]) for spec in dataset.inputs]
    digest = membership.samples_sha256(inputs, np.asarray(samples.labels))
    membership.write(folder, membership.Kept(slicing.parts, digest), len(samples.labels))
