"""The samples that the analysis runs on, in batches that fit into memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from edgeship import data
from edgeship.errors import DataError
from edgeship.types import Array, Dataset, Source

#: Values of all layers' outputs for one batch, at most (128 MiB).
_BATCH_VALUES = 1 << 25
_LARGEST_BATCH = 64


@dataclass(frozen=True)
class Batches:
    """Samples of a split as lists of arrays in the order of the model's inputs; can be walked again.

    Attributes:
        names: of the inputs.
        inputs: memory-mapped, one array for each input.
        rows: which samples, in order.
        size: samples in a batch.
        labels: of the split; None for calibration.
        order: all rows of the split as they are drawn, of which `rows` are the first; empty where there are no more.
    """

    names: tuple[str, ...]
    inputs: tuple[Array, ...]
    rows: Array
    size: int
    labels: Array | None = None
    order: Array = field(default_factory=lambda: np.zeros(0, np.int64))

    def __iter__(self) -> Iterator[list[Array]]:
        for chosen in self.chosen():
            yield [np.asarray(array[chosen], np.float32) for array in self.inputs]

    def chosen(self) -> Iterator[Array]:
        """Rows of each batch."""
        for start in range(0, len(self.rows), self.size):
            yield self.rows[start : start + self.size]

    def wider(self) -> Batches:
        """These and as many samples more, or all that the split has."""
        more = self.order[: 2 * len(self.rows)]
        return replace(self, rows=np.sort(more)) if len(more) > len(self.rows) else self

    def by_name(self) -> dict[str, Array]:
        """All samples, by input."""
        return {name: array[self.rows] for name, array in zip(self.names, self.inputs, strict=True)}


def batch_size(values: int) -> int:
    """Samples in a batch of a network whose layers give `values` values for one sample."""
    return int(np.clip(_BATCH_VALUES // max(1, values), 1, _LARGEST_BATCH))


def take(source: Source, dataset: Dataset, split: str, limit: int, seed: int) -> Batches:
    """At most `limit` samples of a split, a seeded choice, in their order; batches of one until `size` is known.

    Raises DataError for a split that is missing, or without labels where there must be some.
    """
    if dataset.task == "unlabelled":
        raise DataError(
            f"{dataset.name} has no labels: there is no metric to lose",
            remedy="Give data with labels; see docs/data.md.",
        )
    samples = data.load(dataset, split)
    inputs = tuple(samples.inputs[spec.name] for spec in source.inputs)
    order = np.random.default_rng(seed).permutation(len(inputs[0]))
    rows = np.sort(order[:limit])
    return Batches(tuple(spec.name for spec in source.inputs), inputs, rows, 1, samples.labels, order)
