"""Task metrics: per-sample results that are kept, and their value over the samples or any resample of them.

Outputs have shape (N, ...), labels (N, ...); both come from the same samples in the same order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np

from edgeship.contracts import Metric
from edgeship.errors import DataError, InputError
from edgeship.references import is_reference, resolve
from edgeship.types import Array, Dataset

#: Label of pixels without a class in segmentation data (PASCAL VOC's "void").
VOID = 255

#: Task -> the metrics that fit it, the default first.
BY_TASK: Mapping[str, tuple[str, ...]] = {
    "classification": ("accuracy", "auc"),
    "binary": ("accuracy", "auc"),
    "regression": ("mse",),
    "segmentation": ("miou", "accuracy"),
    "reconstruction": ("mse",),
}


def _check_samples(name: str, outputs: Array, labels: Array) -> None:
    if len(outputs) != len(labels) or len(outputs) == 0:
        raise DataError(
            f"{name}: {len(outputs)} outputs and {len(labels)} labels",
            remedy="One label a sample, and at least one sample.",
        )


def threshold_of(scores: Array) -> float:
    """Where single scores divide the classes: 0.5 for probabilities, 0 for logits (any score outside 0..1).

    Decided once, from the original's outputs: a file's outputs may leave 0..1 by a rounding.
    """
    return 0.0 if bool((scores < 0).any() or (scores > 1).any()) else 0.5


def _decide(outputs: Array, threshold: float | None) -> Array:
    """Class indices from scores: the largest of the last axis, or the threshold where that axis has one entry."""
    if outputs.shape[-1] > 1:
        largest: Array = outputs.argmax(axis=-1)
        return largest
    positive: Array = outputs[..., 0] > (threshold_of(outputs) if threshold is None else threshold)
    return positive.astype(np.int64)


def _decided(name: str, outputs: Array, labels: Array, threshold: float | None) -> Array:
    """Decisions in the shape of `labels`."""
    _check_samples(name, outputs, labels)
    scores = outputs[..., None] if outputs.ndim == labels.ndim else outputs
    if scores.ndim != labels.ndim + 1 or scores.shape[:-1] != labels.shape:
        raise DataError(f"{name}: outputs of shape {outputs.shape} do not fit labels of shape {labels.shape}")
    return _decide(scores, threshold)


def worse_by(metric: Metric, before: float, after: float) -> float:
    """How much worse `after` is (negative = better): points for metrics in 0..1, else percent of `before`."""
    return drop_of(metric.direction, metric.unit, before, after)


def drop_of(direction: str, unit: str, before: float, after: float) -> float:
    """As `worse_by`, of a metric of which only its direction and unit are kept."""
    worse = before - after if direction == "maximize" else after - before
    return 100.0 * worse if unit == "points" else 100.0 * worse / max(abs(before), 1e-12)


def constant_guess(metric: Metric, task: str, labels: Array, scores: int) -> float:
    """The metric of an answer that does not look at the input: the most frequent class, or the mean of the targets.

    Args:
        metric: of the task.
        task: `Dataset.task`, not unlabelled.
        labels: (N, ...), as the data has them.
        scores: on the last axis of the model's output; 1 for a single score. Not used for values.
    """
    if task in ("regression", "reconstruction"):
        rows = labels.reshape(len(labels), -1)
        answer = np.broadcast_to(rows.mean(axis=0, dtype=np.float64), rows.shape).reshape(labels.shape)
        return metric.value(metric.per_sample(answer, labels))
    known = labels[labels != VOID] if task == "segmentation" else labels
    most = int(np.bincount(known.ravel().astype(np.int64)).argmax()) if known.size else 0
    one = np.array([most], np.float32) if scores == 1 else np.eye(scores, dtype=np.float32)[most]
    answer = np.broadcast_to(one, (*labels.shape, scores))
    return metric.value(metric.per_sample(answer, labels))


class Accuracy:
    """Share of samples whose largest output is the label (top-1); share of right pixels for segmentation.

    NaN outputs count as wrong.
    """

    name = "accuracy"
    direction: Literal["maximize", "minimize"] = "maximize"
    unit: Literal["points", "%"] = "points"

    def __init__(self, threshold: float | None = None) -> None:
        """`threshold` divides single scores; None: as `threshold_of` says for the scores at hand."""
        self._threshold = threshold

    def per_sample(self, outputs: Array, labels: Array) -> Array:
        """(N,) of 0..1: whether a sample is right, or its share of right pixels (void pixels left out)."""
        right = _decided(self.name, outputs, labels, self._threshold) == labels
        broken = np.isnan(outputs) if outputs.ndim == labels.ndim else np.isnan(outputs).any(axis=-1)
        right &= ~broken
        if right.ndim == 1:
            hit: Array = right.astype(np.float64)
            return hit
        counted = (labels != VOID).reshape(len(labels), -1)
        hits = (right.reshape(len(labels), -1) & counted).sum(axis=1)
        share: Array = hits / np.maximum(1, counted.sum(axis=1))
        return share

    def value(self, per_sample: Array) -> float:
        """Mean over samples, 0..1."""
        return float(per_sample.mean())


class MeanSquaredError:
    """Mean of the squared error over all values of all samples."""

    name = "mse"
    direction: Literal["maximize", "minimize"] = "minimize"
    unit: Literal["points", "%"] = "%"

    def per_sample(self, outputs: Array, labels: Array) -> Array:
        """(N,): mean squared error of each sample, in squared units of the target."""
        _check_samples(self.name, outputs, labels)
        # (N, 1) against (N,) would broadcast to (N, N): only equal sizes are compared.
        if outputs[0].size != labels[0].size:
            raise DataError(f"mse: outputs of shape {outputs.shape} do not fit targets of shape {labels.shape}")
        rows = len(outputs)
        difference = outputs.reshape(rows, -1).astype(np.float64) - labels.reshape(rows, -1).astype(np.float64)
        error: Array = (difference * difference).mean(axis=1)
        return error

    def value(self, per_sample: Array) -> float:
        """Mean over samples."""
        return float(per_sample.mean())


def ranks(values: Array) -> Array:
    """(N,): ranks from 1 of (N,) values; ties get their mean rank."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[inverse])


def _auc(scores: Array, positive: Array) -> float:
    """Area under the ROC curve as the Mann-Whitney statistic (Fawcett 2006, section 7; ties count one half)."""
    n_positive = int(positive.sum())
    n_negative = len(positive) - n_positive
    if n_positive == 0 or n_negative == 0:
        return float("nan")
    rank_sum = float(ranks(scores)[positive].sum())
    return (rank_sum - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative)


class AreaUnderCurve:
    """Area under the ROC curve: of the positive class, or one-vs-rest, macro-averaged (Fawcett 2006, section 9).

    Fawcett, "An introduction to ROC analysis", Pattern Recognition Letters 27 (2006).
    """

    name = "auc"
    direction: Literal["maximize", "minimize"] = "maximize"
    unit: Literal["points", "%"] = "points"

    def per_sample(self, outputs: Array, labels: Array) -> Array:
        """(N, K + 1): the K scores of a sample (K = 1 for two classes), then its label."""
        _check_samples(self.name, outputs, labels)
        scores = outputs.reshape(len(outputs), -1).astype(np.float64)
        if labels.ndim != 1:
            raise DataError(f"auc: labels of shape {labels.shape}; one class a sample is needed")
        if np.isnan(scores).any():
            raise DataError("auc: the outputs contain NaN")
        if scores.shape[1] == 2:
            scores = scores[:, 1:]
        return np.column_stack([scores, labels])

    def value(self, per_sample: Array) -> float:
        """0..1; classes without positives or negatives in the sample are left out, NaN if that leaves none."""
        scores, labels = per_sample[:, :-1], per_sample[:, -1]
        if scores.shape[1] == 1:
            return _auc(scores[:, 0], labels == 1)
        found = [_auc(scores[:, k], labels == k) for k in range(scores.shape[1])]
        known = [value for value in found if not np.isnan(value)]
        return float(np.mean(known)) if known else float("nan")


class MeanIntersectionOverUnion:
    """Mean over classes of intersection / union of pixels, over all samples together (PASCAL VOC; Long et al. 2015).

    Pixels labelled 255 (void) are left out, and classes that are neither labelled nor predicted.
    """

    name = "miou"
    direction: Literal["maximize", "minimize"] = "maximize"
    unit: Literal["points", "%"] = "points"

    def __init__(self, threshold: float | None = None) -> None:
        """`threshold` divides single scores; None: as `threshold_of` says for the scores at hand."""
        self._threshold = threshold

    def per_sample(self, outputs: Array, labels: Array) -> Array:
        """(N, K * K): confusion matrix of each sample, rows are labels, columns are predictions."""
        found = _decided(self.name, outputs, labels, self._threshold).reshape(len(labels), -1)
        single = outputs.ndim == labels.ndim or outputs.shape[-1] == 1
        classes = 2 if single else outputs.shape[-1]
        truth = labels.reshape(len(labels), -1).astype(np.int64)
        counted = truth != VOID
        if ((truth < 0) | (truth >= classes))[counted].any():
            raise DataError(f"miou: labels outside 0..{classes - 1}", remedy=f"Mark pixels without class as {VOID}.")
        rows = np.zeros((len(labels), classes * classes), np.int64)
        for n, (t, f, c) in enumerate(zip(truth, found, counted, strict=True)):
            rows[n] = np.bincount(t[c] * classes + f[c], minlength=classes * classes)
        return rows

    def value(self, per_sample: Array) -> float:
        """0..1, from the summed confusion matrix."""
        classes = int(np.sqrt(per_sample.shape[1]))
        matrix = per_sample.sum(axis=0).reshape(classes, classes)
        hits = np.diag(matrix)
        union = matrix.sum(axis=0) + matrix.sum(axis=1) - hits
        present = union > 0
        return float((hits[present] / union[present]).mean()) if present.any() else float("nan")


class CustomMetric:
    """A metric of the user's: `function(outputs, labels)` gives one score a sample; their mean is maximized."""

    direction: Literal["maximize", "minimize"] = "maximize"
    unit: Literal["points", "%"] = "points"

    def __init__(self, reference: str) -> None:
        self.name = reference
        self._function: Callable[[Array, Array], Any] = resolve(reference, DataError)

    def per_sample(self, outputs: Array, labels: Array) -> Array:
        """(N,): the function's scores. Raises DataError for another shape or non-finite scores."""
        _check_samples(self.name, outputs, labels)
        scores = np.asarray(self._function(outputs, labels), np.float64)
        if scores.shape != (len(outputs),):
            raise DataError(
                f"{self.name} returned shape {scores.shape} for {len(outputs)} samples",
                remedy="Return one score for each sample; edgeship takes their mean.",
            )
        if not np.isfinite(scores).all():
            raise DataError(f"{self.name} returned {int((~np.isfinite(scores)).sum())} scores that are not finite")
        return scores

    def value(self, per_sample: Array) -> float:
        """Mean over samples."""
        return float(per_sample.mean())


_BUILT_IN: Mapping[str, Callable[..., Metric]] = {
    "accuracy": Accuracy,
    "auc": AreaUnderCurve,
    "miou": MeanIntersectionOverUnion,
    "mse": MeanSquaredError,
}


def get_metric(name: str | None, dataset: Dataset, scores: Array | None = None) -> Metric:
    """A metric by name or `module:function`; None gives the default of the dataset's task.

    `scores` are the original's outputs, which say whether single scores are probabilities or logits.

    Raises:
        InputError: for an unknown name, or one that does not fit the task; says what is allowed.
    """
    allowed = BY_TASK[dataset.task]
    if name is None:
        name = allowed[0]
    if is_reference(name):
        return CustomMetric(name)
    if name not in _BUILT_IN:
        raise InputError(
            f"no metric is called {name!r}", remedy=f"Allowed: {', '.join(_BUILT_IN)}, or module:function."
        )
    if name not in allowed:
        raise InputError(
            f"metric {name!r} does not fit a {dataset.task} dataset",
            remedy=f"For {dataset.task}: {', '.join(allowed)}, or module:function.",
        )
    metric = _BUILT_IN[name]
    if scores is not None and metric in (Accuracy, MeanIntersectionOverUnion):
        return metric(threshold_of(scores))
    return metric()
