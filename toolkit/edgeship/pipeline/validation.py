"""Exported files on the validation split: what recipes choose by. Gates are held on the test split, never here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgeship import plugins, verify
from edgeship.child import Worker
from edgeship.contracts import Metric, Runtime
from edgeship.data import load as load_split
from edgeship.metrics import get_metric, worse_by
from edgeship.pipeline import steps
from edgeship.pipeline.exports import Export
from edgeship.types import Array, Artifact, Change, ConvertOptions, Dataset, ProgressCallback, Source, StageFile

SPLIT = "validation"
#: Draws that an interval is made of; one end of it, roughly, is all that is asked.
_RESAMPLES = 1000


def leading(planned: Sequence[Export]) -> Export | None:
    """The export that speaks for a model: TFLite before other formats, int8 before other variants, else the first.

    Only formats whose runtime is here and takes all samples can; None if there is none.
    """
    runnable = [export for export in planned if _runtime(export.format) is not None]
    return min(runnable, key=lambda e: (e.format != "tflite", not e.variant.startswith("int8")), default=None)


def _runtime(format_name: str) -> Runtime | None:
    found = (r for r in plugins.runtimes_for(format_name) if r.sample_limit is None and not r.missing())
    return next(found, None)


@dataclass(frozen=True)
class Validation:
    """The original on the validation split, and what is held against it.

    Attributes:
        original: its per-sample rows of `metric`.
        sha256: its content (`Source.sha256`).
    """

    dataset: Dataset
    metric: Metric
    original: Array
    sha256: str

    @property
    def labels(self) -> Array:
        """Labels of the split."""
        labels = load_split(self.dataset, SPLIT).labels
        assert labels is not None  # `open_validation` has looked
        return labels

    def change(self, before: Array, after: Array) -> Change:
        """The paired drop from one model's rows to another's."""
        return _change(verify.paired_drop(self.metric, before, after), self.metric)


def _change(drop: verify.Drop, metric: Metric) -> Change:
    return Change(drop.value, (drop.low, drop.high), metric.unit)


def open_validation(
    worker: Worker, source: Source, dataset: Dataset, metric: str | None, progress: ProgressCallback
) -> Validation | None:
    """Run the original on the validation split; None for data without labels, or without that split."""
    if SPLIT not in dataset.counts or load_split(dataset, SPLIT).labels is None:
        return None
    outputs = steps.reference(worker, source, dataset, progress, split=SPLIT)
    scores = next(iter(outputs.arrays.values()))
    chosen = get_metric(metric, dataset, scores=scores)
    labels = load_split(dataset, SPLIT).labels
    assert labels is not None
    return Validation(dataset, chosen, chosen.per_sample(scores, labels), source.sha256)


def seen_before(validation: Validation, test: Array) -> tuple[str, ...]:
    """A note where the original answers the validation samples better than others: it was trained with them.

    What is trained on without them then loses what the original knew by heart, which counts as a drop. The interval is
    the percentile bootstrap of two samples that have nothing to do with each other, shares with one more right and one
    more wrong on either side (Agresti and Caffo, The American Statistician 54, 2000), since few samples that are all
    right are no certainty.

    Args:
        validation: the original on the validation split.
        test: per-sample rows of the original on the test split.
    """
    metric, rng = validation.metric, np.random.default_rng(0)

    def better(known: Array, other: Array) -> float:
        return worse_by(metric, metric.value(known), metric.value(other))

    def drawn(rows: Array) -> Array:
        return rows[rng.integers(0, len(rows), len(rows))]

    known, sides = validation.original, [validation.original, test]
    if known.ndim == 1 and all(np.isin(rows, (0, 1)).all() for rows in sides):
        sides = [np.append(rows, (0.0, 1.0)) for rows in sides]
    low = float(np.nanquantile([better(*map(drawn, sides)) for _ in range(_RESAMPLES)], 0.025))
    if not low > 0:
        return ()
    note = (
        f"the original's {metric.name} is {metric.value(known):.4g} on the validation samples and "
        f"{metric.value(test):.4g} on the test samples, a gap beyond chance: it has probably been trained with the "
        "validation samples. Drops on them of stages that train are upper bounds, and choices made by them are biased "
        "against training; give samples that it has not seen as x_validation and y_validation"
    )
    return (note,)


@dataclass(frozen=True)
class Weighed:
    """An exported file with what it does on the validation split: per-sample rows, and the figures of a report."""

    artifact: Artifact
    rows: Array
    file: StageFile


def weigh(
    worker: Worker,
    validation: Validation,
    model: Source,
    export: Export,
    options: ConvertOptions,
    progress: ProgressCallback,
) -> Weighed:
    """Export a model and run the file on the validation split.

    Raises what the converter and the runtime raise.
    """
    from edgeship_benchmarks.sizes import sizes

    artifact = steps.convert(worker, model, export, options)
    runtime = _runtime(export.format)
    assert runtime is not None  # `leading` has looked
    outputs = steps.run_artifact(artifact, runtime, validation.dataset, progress, SPLIT)
    metric = validation.metric
    rows = metric.per_sample(next(iter(outputs.arrays.values())), validation.labels)
    untouched = model.sha256 == validation.sha256
    found = verify.file_drop(metric, validation.original, rows, export.variant, of_the_original=untouched)
    size, drop = sizes(artifact), _change(found, metric)
    file = StageFile(
        artifact=artifact.id,
        sha256=artifact.sha256,
        runtime=runtime.name,
        n=len(rows),
        metric=metric.value(rows),
        drop=drop,
        step=drop,
        size_bytes=size.raw_bytes,
        gzip_bytes=size.gzip_bytes,
        brotli_bytes=size.brotli_bytes,
        zstd_bytes=size.zstd_bytes,
    )
    return Weighed(artifact, rows, file)
