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

from edgeship.contracts import Metric
from edgeship.errors import ArtifactError
from edgeship.types import Array, Artifact, Gate, GateStatus

#: Resamples of a bootstrap interval; 1,000 give the ends of a 95 % interval to about 1 % of its width.
RESAMPLES = 1000


@dataclass(frozen=True)
class Limits:
    """What parity allows.

    Attributes:
        max_abs: largest difference of any output value, relative to the range of that output over the samples.
            None: not limited (one sample of an 8-bit model may be far off; `cosine` and `top1` limit how many).
        cosine: least cosine of the two outputs, each centered by its mean over the samples.
        top1: least share of samples with the same largest output.
    """

    max_abs: float | None
    cosine: float
    top1: float


#: By variant. float32: what reordering sums costs, measured at most 2e-5 over the model zoo of the tests, with a wide
#: margin that one wrong weight still breaks. float16 and uint16 follow from the step of their weights. With 8 bits a
#: correct file may be far off on single samples and on noise (cosine 0.92 was measured on an autoencoder): parity then
#: says that it is the same function, and how good it is, is the metric gate's word.
LIMITS: Mapping[str, Limits] = {
    "float32": Limits(5e-4, 0.99999, 0.998),
    "float16": Limits(5e-2, 0.999, 0.98),
    "uint16": Limits(2e-2, 0.9995, 0.99),
    "int16x8": Limits(None, 0.95, 0.9),
    "int16x8-floatio": Limits(None, 0.95, 0.9),
    "dynamic": Limits(None, 0.9, 0.85),
    "uint8": Limits(None, 0.9, 0.85),
    "int8": Limits(None, 0.9, 0.85),
    "int8-floatio": Limits(None, 0.9, 0.85),
}


@dataclass(frozen=True)
class Outputs:
    """Outputs of a model by name, each with N samples on the first axis."""

    arrays: Mapping[str, Array]

    @property
    def n(self) -> int:
        """Number of samples."""
        return len(next(iter(self.arrays.values())))


def _judge(value: float, limit: float, better: Literal["low", "high"]) -> GateStatus:
    # NaN compares false and therefore fails.
    return "pass" if (value <= limit if better == "low" else value >= limit) else "fail"


def cosine(expected: Array, found: Array) -> float:
    """Cosine of two outputs of shape (N, ...), both centered by the mean over samples of `expected`.

    Centering removes what does not depend on the input: without it two constant outputs would agree perfectly.
    """
    flat = expected.reshape(len(expected), -1).astype(np.float64)
    mean = flat.mean(axis=0)
    a, b = flat - mean, found.reshape(len(found), -1).astype(np.float64) - mean
    norm = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / norm if norm > 0 else float("nan")


def relative_max_abs(expected: Array, found: Array) -> float:
    """Largest absolute difference over the range of `expected`: shape (N, ...) twice; NaN if anything is NaN."""
    spread = float(expected.max()) - float(expected.min())
    difference = float(np.abs(expected.astype(np.float64) - found.astype(np.float64)).max())
    return difference / spread if spread > 0 else float("nan")


def top1_agreement(expected: Array, found: Array) -> float:
    """Share of samples whose largest output has the same index; (N, K) twice. NaN never agrees."""
    same = expected.argmax(axis=1) == found.argmax(axis=1)
    return float((same & ~np.isnan(found).any(axis=1)).mean())


def _values(expected: Outputs, found: Outputs, *, classes: bool) -> dict[str, float]:
    """The parity figures over all outputs, the worst of them by name; top1 of (N, K) scores only for classes."""
    found_values: dict[str, list[float]] = {"max-abs": [], "cosine": [], "top1": []}
    for name, a in expected.arrays.items():
        b = found.arrays[name]
        if a.dtype.kind in "iub":  # class indices and the like: either the same or wrong
            found_values["top1"].append(float((a == b).mean()))
            continue
        found_values["max-abs"].append(relative_max_abs(a, b))
        found_values["cosine"].append(cosine(a, b))
        if classes and a.ndim == 2 and a.shape[1] > 1:
            found_values["top1"].append(top1_agreement(a, b))
    # np.min and np.max keep NaN, which then fails its gate.
    return {
        name: float(np.max(values) if name == "max-abs" else np.min(values))
        for name, values in found_values.items()
        if values
    }


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
    """The gates `sensitivity`, `max-abs`, `cosine` and (for outputs that are scores of classes) `top1`.

    Raises ArtifactError where outputs are missing or have other shapes.
    """
    check_shapes(expected, found, artifact)
    limits = LIMITS[artifact.variant]
    values = _values(expected, found, classes=classes)
    rows: list[tuple[str, float, float, Literal["low", "high"], str]] = []
    if "max-abs" in values and limits.max_abs is not None:
        rows.append(("max-abs", values["max-abs"], limits.max_abs, "low", "of the output's range"))
    if "cosine" in values:
        rows.append(("cosine", values["cosine"], limits.cosine, "high", "cosine"))
    if "top1" in values:
        rows.append(("top1", values["top1"], limits.top1, "high", "share"))
    gates = [sensitivity(artifact, runtime, expected, classes=classes)]
    for name, value, limit, better, unit in rows:
        status = _judge(value, limit, better)
        finite = value if np.isfinite(value) else (np.finfo(np.float32).max if better == "low" else -1.0)
        detail = "" if np.isfinite(value) else "the file gives NaN or infinite values"
        gates.append(
            Gate(
                name,
                artifact.id,
                runtime,
                status,
                status == "pass",
                float(finite),
                limit,
                unit,
                expected.n,
                None,
                detail,
            )
        )
    return tuple(gates)


def sensitivity(artifact: Artifact, runtime: str, expected: Outputs, *, classes: bool) -> Gate:
    """Whether parity on these samples could fail at all.

    The outputs of each sample are compared with those of its neighbour, as a broken file might return them. The value
    is the share of parity checks that such wrong outputs fail; at least one must.
    """
    limits = LIMITS[artifact.variant]
    n = expected.n
    caught = []  # NaN (an output that never changes) compares false: not caught
    if n > 1:
        rolled = Outputs({name: np.roll(a, 1, axis=0) for name, a in expected.arrays.items()})
        wrong = _values(expected, rolled, classes=classes)
        if "max-abs" in wrong and limits.max_abs is not None:
            caught.append(wrong["max-abs"] > limits.max_abs)
        if "cosine" in wrong:
            caught.append(wrong["cosine"] < limits.cosine)
        if "top1" in wrong:
            caught.append(wrong["top1"] < limits.top1)
    value = float(np.mean(caught)) if caught else 0.0
    status: GateStatus = "pass" if value > 0 else "fail"
    detail = "" if value > 0 else "the outputs hardly depend on these inputs, so a wrong file would not be noticed"
    return Gate("sensitivity", artifact.id, runtime, status, status == "pass", value, 0.0, "share", n, None, detail)


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
        before, after = metric.value(a), metric.value(b)
        worse = before - after if metric.direction == "maximize" else after - before
        return 100.0 * worse if metric.unit == "points" else 100.0 * worse / max(abs(before), 1e-12)

    n = len(base)
    if metric.unit == "points" and base.ndim == 1 and np.isin(base, (0, 1)).all() and np.isin(found, (0, 1)).all():
        low, high = _proportions_interval(int((base > found).sum()), int((base < found).sum()), n)
        if metric.direction == "minimize":
            low, high = -high, -low
        return Drop(drop(base, found), 100 * low, 100 * high, n)
    rng = np.random.default_rng(seed)
    samples = [drop(base[rows], found[rows]) for rows in (rng.integers(0, n, n) for _ in range(RESAMPLES))]
    low, high = np.nanquantile(samples, [0.025, 0.975])
    return Drop(drop(base, found), float(low), float(high), n)


def _proportions_interval(broken: int, fixed: int, n: int) -> tuple[float, float]:
    """95 % interval of the difference of two paired proportions, of which `broken` fell and `fixed` rose."""
    worse, better = (broken + 1) / (n + 2), (fixed + 1) / (n + 2)
    half = 1.959964 * np.sqrt((worse + better - (worse - better) ** 2) / (n + 2))
    return float(worse - better - half), float(worse - better + half)


def signed(value: float) -> str:
    """Two digits with a sign; what rounds to nothing is +0.00."""
    return f"{round(value, 2) + 0.0:+.2f}"


def metric_gate(artifact: Artifact, runtime: str, drop: Drop, metric: Metric, policy: GatePolicy) -> Gate:
    """The gate on the task metric. `inconclusive`: the interval spans the limit; the policy says what that means."""
    status: GateStatus
    if drop.high <= policy.max_drop:
        status = "pass"
    elif not drop.low <= policy.max_drop:
        status = "fail"
    else:
        status = "inconclusive"
    accepted = status == "pass" or (status == "inconclusive" and policy.inconclusive == "pass")
    unit = metric.unit
    detail = f"{metric.name} drops by {signed(drop.value)} {unit} [{signed(drop.low)}, {signed(drop.high)}]"
    if status == "inconclusive":
        detail += (
            f"; {drop.n} samples cannot tell it from {policy.max_drop:g}: more test samples or a higher --max-drop"
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


def labels_gate(artifact: Artifact, classes: Sequence[str]) -> Gate:
    """Whether the class names delivered with the file are those of the data, in the same order."""
    wrong = [f"{i}: {a!r} for {b!r}" for i, (a, b) in enumerate(zip(artifact.labels, classes, strict=False)) if a != b]
    if len(artifact.labels) != len(classes):
        wrong.append(f"{len(artifact.labels)} names for {len(classes)} classes")
    status: GateStatus = "fail" if wrong else "pass"
    detail = "; ".join(wrong[:3])
    n = len(classes)
    return Gate("labels", artifact.id, "-", status, not wrong, float(len(wrong)), 0.0, "wrong names", n, None, detail)
