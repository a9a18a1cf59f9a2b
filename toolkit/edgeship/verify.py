"""Does an exported file still compute, and predict, what the original does? Arrays in, `Gate` values out.

Parity compares the outputs of the file, run in its own runtime, with those of the model it was converted from, on the
same inputs. It is only worth something if a wrong file would fail it, so the check is also made on outputs that are
wrong on purpose (those of the neighbouring sample): if those pass too, the `sensitivity` gate fails. The metric gate
limits the paired drop of the task metric against the original model, with a bootstrap interval.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from edgeship.comparison import compare, equality, top1_agreement
from edgeship.contracts import Metric
from edgeship.errors import ArtifactError
from edgeship.metrics import worse_by
from edgeship.slices.statistics import RESAMPLES, proportions_interval
from edgeship.types import SNAPPED, Array, Artifact, Gate, GateStatus


@dataclass(frozen=True)
class Tolerance:
    """What parity allows; the figures are those of `edgeship.comparison`.

    Attributes:
        max_abs: largest difference in any column, relative to its range. None: not limited (single samples of an 8-bit
            model may be far off; `error` limits how far it is as a whole).
        error: largest relative error of any column.
        cosine: least cosine.
        top1: least share of samples with the same largest output.
        floor: share of the widest column below which a column's changes are rounding.
    """

    max_abs: float | None
    error: float
    cosine: float
    top1: float
    floor: float


_8_BIT = Tolerance(None, error=0.5, cosine=0.9, top1=0.85, floor=0.1)
_HALVES = Tolerance(5e-2, error=5e-2, cosine=0.999, top1=0.98, floor=1e-2)
#: By variant. float32: what reordering sums costs, measured at most 2e-5 over the model zoo of the tests, with a wide
#: margin that one wrong weight still breaks. float16 and uint16 follow from the step of their weights. With 8 bits a
#: correct file may be far off on single samples and on noise (an error of 0.4 was measured on an autoencoder): parity
#: then says that it is the same function, and how good it is, is the metric gate's word. So with 4 bits (ResNet-8 in
#: int4 without samples: error 0.69, cosine 0.86, top1 0.78, 12 points lost; with samples 0.25, 0.98 and 0.92).
TOLERANCES: Mapping[str, Tolerance] = {
    "float32": Tolerance(5e-4, error=1e-3, cosine=0.99999, top1=0.998, floor=1e-5),
    "float16": _HALVES,
    "uint16": Tolerance(2e-2, error=3e-2, cosine=0.9995, top1=0.99, floor=1e-2),
    "int16x8": Tolerance(None, error=0.4, cosine=0.95, top1=0.9, floor=0.1),
    "int16x8-floatio": Tolerance(None, error=0.4, cosine=0.95, top1=0.9, floor=0.1),
    "dynamic": _8_BIT,
    "uint8": _8_BIT,
    "int8": _8_BIT,
    "int8-floatio": _8_BIT,
    "mixed": _8_BIT,
    "int4-mixed": _8_BIT,
    "int4": Tolerance(None, error=0.8, cosine=0.8, top1=0.7, floor=0.1),
    SNAPPED: _HALVES,
}


@dataclass(frozen=True)
class Outputs:
    """Outputs of a model by name, each with N samples on the first axis."""

    arrays: Mapping[str, Array]

    @property
    def n(self) -> int:
        """Number of samples."""
        return len(next(iter(self.arrays.values())))


@dataclass(frozen=True)
class _Figures:
    """One output's figures; None where a figure makes no sense for it."""

    max_abs: float | None = None
    error: float | None = None
    cosine: float | None = None
    top1: float | None = None

    def broken(self, tolerance: Tolerance) -> bool:
        """Whether any gate fails. NaN compares false and therefore fails."""
        return not (
            (self.max_abs is None or tolerance.max_abs is None or self.max_abs <= tolerance.max_abs)
            and (self.error is None or self.error <= tolerance.error)
            and (self.cosine is None or self.cosine >= tolerance.cosine)
            and (self.top1 is None or self.top1 >= tolerance.top1)
        )


def _figures(expected: Array, found: Array, tolerance: Tolerance, *, classes: bool, shift: int = 0) -> _Figures:
    if expected.dtype.kind in "iub":
        return _Figures(top1=equality(expected, found, shift))
    compared = compare(expected, found, tolerance.floor, shift)
    scores = classes and expected.ndim == 2 and expected.shape[1] > 1
    agreement = top1_agreement(expected, found, shift) if scores else None
    return _Figures(compared.max_abs, compared.error, compared.cosine, agreement)


def check_shapes(expected: Outputs, found: Outputs, artifact: Artifact) -> None:
    """Raise ArtifactError where the file's outputs are not those of the model at all."""
    for name, a in expected.arrays.items():
        if name not in found.arrays:
            have = ", ".join(found.arrays)
            raise ArtifactError(f"{artifact.id}: output {name!r} of the model is missing; the file has {have}")
        if found.arrays[name].shape != a.shape:
            raise ArtifactError(
                f"{artifact.id}: output {name!r} has shape {found.arrays[name].shape}, the model gives {a.shape}"
            )


def parity(artifact: Artifact, runtime: str, expected: Outputs, found: Outputs, *, classes: bool) -> tuple[Gate, ...]:
    """The gates `sensitivity`, `max-abs`, `error`, `cosine` and (for scores of classes, and integers) `top1`.

    Each is the worst over the outputs. Raises ArtifactError where outputs are missing or have other shapes, or for a
    variant without tolerance.
    """
    tolerance = TOLERANCES.get(artifact.variant)
    if tolerance is None:
        raise ArtifactError(
            f"{artifact.id}: there is no tolerance for the variant {artifact.variant!r}",
            remedy=f"Known: {', '.join(TOLERANCES)}.",
        )
    check_shapes(expected, found, artifact)
    pairs = [(a, found.arrays[name]) for name, a in expected.arrays.items()]
    figures = [_figures(a, b, tolerance, classes=classes) for a, b in pairs]
    gates = [sensitivity(artifact, runtime, expected, tolerance, classes=classes)]
    rows: tuple[tuple[str, list[float | None], float | None, Literal["low", "high"], str], ...] = (
        ("max-abs", [f.max_abs for f in figures], tolerance.max_abs, "low", "of the range"),
        ("error", [f.error for f in figures], tolerance.error, "low", "relative"),
        ("cosine", [f.cosine for f in figures], tolerance.cosine, "high", "cosine"),
        ("top1", [f.top1 for f in figures], tolerance.top1, "high", "share"),
    )
    for name, values, limit, better, unit in rows:
        known = [value for value in values if value is not None]
        if known and limit is not None:
            gates.append(_parity_gate((name, artifact.id, runtime, unit), known, limit, better, expected.n))
    return tuple(gates)


def _parity_gate(
    labels: tuple[str, str, str, str], values: list[float], limit: float, better: Literal["low", "high"], n: int
) -> Gate:
    name, artifact, runtime, unit = labels
    # np.min and np.max keep NaN, which then fails.
    value = float(np.max(values) if better == "low" else np.min(values))
    passed = value <= limit if better == "low" else value >= limit
    detail = "" if np.isfinite(value) else "the file gives NaN or infinite values, or changes what never changes"
    status: GateStatus = "pass" if passed else "fail"
    return Gate(name, artifact, runtime, status, passed, _finite(value, better), limit, unit, n, None, detail)


def _finite(value: float, better: Literal["low", "high"]) -> float:
    """A number that JSON has, for a figure that is none: as bad as can be."""
    worst = float(np.finfo(np.float32).max)
    return value if np.isfinite(value) else (worst if better == "low" else -1.0)


def sensitivity(artifact: Artifact, runtime: str, expected: Outputs, tolerance: Tolerance, *, classes: bool) -> Gate:
    """Whether parity on these samples could fail at all.

    The outputs of each sample are compared with those of its neighbour, as a broken file might return them; each output
    must then fail. The value is the share of outputs for which a wrong file would be noticed.
    """
    n = expected.n
    caught = [
        n > 1 and _figures(a, a, tolerance, classes=classes, shift=1).broken(tolerance) and _changes(a)
        for a in expected.arrays.values()
    ]
    value = float(np.mean(caught))
    passed = value == 1.0
    blind = [name for name, noticed in zip(expected.arrays, caught, strict=True) if not noticed]
    detail = "" if passed else f"{', '.join(blind)} hardly depends on these inputs: a wrong file would not be noticed"
    status: GateStatus = "pass" if passed else "fail"
    return Gate("sensitivity", artifact.id, runtime, status, passed, value, 1.0, "share", n, None, detail)


def _changes(output: Array) -> bool:
    return bool((np.asarray(output[1:]) != np.asarray(output[:1])).any())


@dataclass(frozen=True)
class Drop:
    """A paired drop (positive = worse than the original) with its 95 % interval, in the metric's drop unit."""

    value: float
    low: float
    high: float
    n: int


def paired_drop(metric: Metric, base: Array, found: Array, seed: int = 0) -> Drop:
    """Drop of a metric between two results on the same samples.

    Shares of right samples get the adjusted Wald interval for paired proportions (Bonett and Price, Journal of
    Educational and Behavioral Statistics 37, 2012), which stays honest where no sample changed; other metrics the
    percentile bootstrap over samples (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13).

    Args:
        metric: computes the value from rows.
        base: per-sample rows of the original, (N,) or (N, K).
        found: per-sample rows of the exported file, same shape.
        seed: of the resampling.
    """

    def drop(a: Array, b: Array) -> float:
        return worse_by(metric, metric.value(a), metric.value(b))

    n = len(base)
    if metric.unit == "points" and base.ndim == 1 and np.isin(base, (0, 1)).all() and np.isin(found, (0, 1)).all():
        low, high = proportions_interval(int((base > found).sum()), int((base < found).sum()), n)
        if metric.direction == "maximize":
            low, high = -high, -low
        return Drop(drop(base, found), 100 * low, 100 * high, n)
    rng = np.random.default_rng(seed)
    samples = [drop(base[rows], found[rows]) for rows in (rng.integers(0, n, n) for _ in range(RESAMPLES))]
    low, high = np.nanquantile(samples, [0.025, 0.975])
    return Drop(drop(base, found), float(low), float(high), n)


def file_drop(metric: Metric, base: Array, found: Array, variant: str, *, of_the_original: bool) -> Drop:
    """As `paired_drop` for an exported file.

    A float file of the original whose decisions are all the original's has no drop, and no interval: parity holds every
    value of it to the original's, so that there is no other sample left to fear.
    """
    drop = paired_drop(metric, base, found)
    if of_the_original and TOLERANCES[variant].max_abs is not None and np.array_equal(base, found):
        return Drop(0.0, 0.0, 0.0, drop.n)
    return drop


def signed(value: float) -> str:
    """Two digits with a sign; what rounds to nothing is +0.00."""
    return f"{round(value, 2) + 0.0:+.2f}"


def metric_gate(artifact: Artifact, runtime: str, drop: Drop, metric: Metric, policy: GatePolicy) -> Gate:
    """The gate on the task metric. `inconclusive`: the interval spans the limit; the policy says what that means."""
    status: GateStatus
    if not np.isfinite([drop.value, drop.low, drop.high]).all():
        worst = _finite(float("nan"), "low")
        detail = f"{metric.name} is not a number: the file gives values that are not finite"
        n, limit = drop.n, policy.max_drop
        return Gate("metric", artifact.id, runtime, "fail", False, worst, limit, metric.unit, n, None, detail)
    if drop.high <= policy.max_drop:
        status = "pass"
    elif not drop.low <= policy.max_drop:
        status = "fail"
    else:
        status = "inconclusive"
    accepted = status == "pass" or (status == "inconclusive" and policy.inconclusive == "pass")
    unit = metric.unit
    verb = "drops" if metric.direction == "maximize" else "rises"
    detail = f"{metric.name} {verb} by {signed(drop.value)} {unit} [{signed(drop.low)}, {signed(drop.high)}]"
    if status == "inconclusive":
        detail += (
            f"; with {drop.n} samples up to {signed(drop.high)} cannot be excluded, and {policy.max_drop:g} is "
            "allowed: give more test samples or a higher --max-drop"
        )
    interval = (drop.low, drop.high)
    return Gate(
        "metric", artifact.id, runtime, status, accepted, drop.value, policy.max_drop, unit, drop.n, interval, detail
    )


@dataclass(frozen=True)
class GatePolicy:
    """The recipe's word on the metric gate: the limit in the metric's drop unit, and what inconclusive means."""

    max_drop: float
    inconclusive: Literal["fail", "pass"]


def baseline_gate(artifact: Artifact, runtime: str, scores: Array, labels: Array) -> Gate:
    """Whether the original knows anything about these labels: an accuracy that is chance anyway cannot drop.

    The value is Cohen's kappa (Educational and Psychological Measurement 20, 1960) of the original's classes and the
    labels: 0 = as if drawn at random, 1 = always right. Labels in another order than the outputs give about 0 or less.

    Args:
        artifact: the file that is held against the original.
        runtime: where the file ran.
        scores: (N, K) of the original.
        labels: (N,) integers.
    """
    named = scores.reshape(len(scores), -1).argmax(axis=1) if scores.ndim > 1 else scores.round().astype(int)
    observed = float((named == labels).mean())
    kinds = np.union1d(named, labels)
    chance = float(sum((named == kind).mean() * (labels == kind).mean() for kind in kinds))
    kappa = (observed - chance) / (1 - chance) if chance < 1 else 0.0
    passed = kappa > 0
    detail = (
        ""
        if passed
        else f"the original itself is right on {observed:.1%} of the test samples, which is chance: "
        "are the labels in the order of the model's outputs, and the inputs as in training (--scale)?"
    )
    status: GateStatus = "pass" if passed else "fail"
    return Gate("baseline", artifact.id, runtime, status, passed, kappa, 0.0, "kappa", len(labels), None, detail)


def labels_gate(artifact: Artifact, classes: Sequence[str]) -> Gate:
    """Whether the class names delivered with the file are those of the data, in the same order."""
    wrong = [f"{i}: {a!r} for {b!r}" for i, (a, b) in enumerate(zip(artifact.labels, classes, strict=False)) if a != b]
    if len(artifact.labels) != len(classes):
        wrong.append(f"{len(artifact.labels)} names for {len(classes)} classes")
    status: GateStatus = "fail" if wrong else "pass"
    detail = "; ".join(wrong[:3])
    n = len(classes)
    return Gate("labels", artifact.id, "-", status, not wrong, float(len(wrong)), 0.0, "wrong names", n, None, detail)
