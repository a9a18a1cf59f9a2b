"""What models answer: classes and confidences from scores; samples that changed sides; calibration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgeship.metrics import threshold_of
from edgeship.types import Array, Calibration, Change, Flip

#: Bins of the calibration error, and resamples of its interval.
BINS, RESAMPLES = 15, 500
#: Flips that are shown of one file, by kind.
SHOWN = {"broken": 14, "fixed": 5, "changed": 5}
#: Samples whose error grew most that are shown of one file.
WORSE = 12


@dataclass(frozen=True)
class Answers:
    """Answers for N samples: `classes` (N,), and `shares` (N, K) that sum to 1, as far as the model means them so."""

    classes: Array
    shares: Array

    @property
    def confidence(self) -> Array:
        """(N,): share of the answer."""
        return np.asarray(self.shares[np.arange(len(self.classes)), self.classes])


def answers(scores: Array, reference: Array) -> Answers:
    """Read scores as `reference`, the original's, says: shares, or logits that softmax turns into shares.

    Args:
        scores: (N, K), or (N, 1) and (N,) for a single score of two classes.
        reference: the original's, of the same shape.
    """
    flat = np.nan_to_num(np.asarray(scores, np.float64).reshape(len(scores), -1), posinf=1e30, neginf=-1e30)
    original = np.asarray(reference, np.float64).reshape(len(reference), -1)
    if flat.shape[1] == 1:
        threshold = threshold_of(original)
        positive = flat[:, 0] if threshold == 0.5 else 1 / (1 + np.exp(-np.clip(flat[:, 0], -60, 60)))
        shares = np.clip(np.column_stack([1 - positive, positive]), 0, 1)
        return Answers((flat[:, 0] > threshold).astype(np.int64), shares)
    means_shares = bool((original >= 0).all() and np.allclose(original.sum(axis=1), 1, atol=1e-2))
    if means_shares:
        shares = np.maximum(flat, 0)
        shares = shares / np.maximum(shares.sum(axis=1, keepdims=True), 1e-12)
    else:
        shares = np.exp(flat - flat.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
    return Answers(flat.argmax(axis=1), shares)


def calibration(before: Answers, after: Answers, labels: Array, seed: int = 0) -> Calibration:
    """Calibration of both on the same samples (see `Calibration`); labels are (N,) integers."""
    n, k = before.shares.shape
    hot = np.eye(k)[labels.astype(np.int64)]
    briers = [((a.shares - hot) ** 2).sum(axis=1) for a in (before, after)]
    gaps = [_Gaps(a, labels) for a in (before, after)]
    rng = np.random.default_rng(seed)
    every = np.arange(n)
    resampled = [gaps[1].ece(r) - gaps[0].ece(r) for r in (rng.integers(0, n, n) for _ in range(RESAMPLES))]
    low, high = (float(end) for end in np.quantile(resampled, [0.025, 0.975]))
    ece = [g.ece(every) for g in gaps]
    return Calibration(
        bins=BINS,
        n=n,
        ece_before=ece[0],
        ece_after=ece[1],
        ece_change=Change(ece[1] - ece[0], (low, high), "share"),
        adaptive_before=gaps[0].adaptive(),
        adaptive_after=gaps[1].adaptive(),
        brier_before=float(briers[0].mean()),
        brier_after=float(briers[1].mean()),
        brier_change=_mean_change(briers[1] - briers[0]),
        confidence_change=_mean_change(after.confidence - before.confidence),
    )


def _mean_change(change: Array) -> Change:
    from edgeship.slices.statistics import student

    low, high, _ = student(change)
    value = float(change.mean())
    return Change(value, (low, high) if len(change) > 1 else (value, value), "share")


class _Gaps:
    """Confidence minus being right, sample by sample, with the bin of each sample."""

    def __init__(self, given: Answers, labels: Array) -> None:
        self._gap = given.confidence - (given.classes == labels)
        # (0, 1] in bins that are closed on the right.
        self._bin = np.clip(np.ceil(given.confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)
        self._order = np.argsort(given.confidence, kind="stable")

    def ece(self, rows: Any) -> float:
        """Sum over bins of the share of samples times the gap of their means."""
        return float(np.abs(np.bincount(self._bin[rows], self._gap[rows], BINS)).sum() / len(rows))

    def adaptive(self) -> float:
        """The same for bins of equal numbers of samples."""
        parts = np.array_split(self._gap[self._order], BINS)
        return float(sum(abs(part.sum()) for part in parts) / len(self._gap))


def flips(before: Answers, after: Answers, labels: Array, classes: Sequence[str]) -> tuple[tuple[Flip, ...], int]:
    """Samples with another answer, those first whose true class lost the largest share; and how many were wrong twice.

    `classes` names the answers.
    """
    a, b = before.classes, after.classes
    moved = a != b
    truth = labels.astype(np.int64)
    every = np.arange(len(truth))
    loss = before.shares[every, truth] - after.shares[every, truth]
    kinds = {
        "broken": moved & (a == truth),
        "fixed": moved & (b == truth),
        "changed": moved & (a != truth) & (b != truth),
    }
    found = []
    for kind, mask in kinds.items():
        chosen = np.flatnonzero(mask)
        weight = -np.abs(loss[chosen])
        for i in chosen[np.argsort(weight, kind="stable")][: SHOWN[kind]]:
            scores = (float(before.confidence[i]), float(after.confidence[i]))
            names = (_name(classes, truth[i]), _name(classes, a[i]), _name(classes, b[i]))
            found.append(Flip(int(i), kind, *names, *scores))  # type: ignore[arg-type] # one of the kinds
    return tuple(found), int(kinds["changed"].sum())


def worse(base: Array, found: Array, direction: str) -> tuple[Flip, ...]:
    """Samples whose result became worse most, for metrics of one number a sample."""
    growth = np.asarray(found, np.float64) - base
    growth = growth if direction == "minimize" else -growth
    order = np.argsort(-growth, kind="stable")[:WORSE]
    return tuple(
        Flip(int(i), "worse", "", f"{base[i]:.4g}", f"{found[i]:.4g}", float(base[i]), float(found[i]))
        for i in order
        if growth[i] > 0 and np.isfinite(growth[i])
    )


def _name(classes: Sequence[str], index: int) -> str:
    return classes[index] if 0 <= index < len(classes) else str(index)
