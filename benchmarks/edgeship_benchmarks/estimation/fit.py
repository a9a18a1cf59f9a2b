"""A latency model from the user's own measurements: few terms, none negative, with the error that it has on new files.

Milliseconds are a sum of what a file does times what each of it costs on that device in that runtime. The costs are
those with the least squared relative error that are not negative (non-negative least squares, Lawson and Hanson 1974,
chapter 23). How wrong the model is for a file that it has not seen is measured by leaving out each file in turn.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgeship.errors import InputError
from edgeship_benchmarks.estimation.work import Work

if TYPE_CHECKING:
    from edgeship.types import Array

#: Fewer say nothing about the next one: there are as many terms.
MIN_FILES = 6
#: What a file does, of which each has a cost.
TERMS = ("inferences", "operators", "float MACs", "int8 MACs", "depthwise MACs", "bytes")


@dataclass(frozen=True)
class Fit:
    """A model of latencies on one device in one runtime.

    Attributes:
        costs: milliseconds for one of each term; 0 where a term explains nothing.
        ranges: smallest and largest value of each term among the files.
        files: how many it was fitted on.
        median_error, worst_error: relative, of each file by a model that was fitted on the others.
    """

    costs: Mapping[str, float]
    ranges: Mapping[str, tuple[float, float]]
    files: int
    median_error: float
    worst_error: float

    def predict(self, work: Work) -> float:
        """Milliseconds of a file. Raises InputError where it does more or less of something than any measured one."""
        values = dict(zip(TERMS, terms(work), strict=True))
        outside = [
            f"{name} {values[name]:,.4g}, measured {low:,.4g} to {high:,.4g}"
            for name, (low, high) in self.ranges.items()
            if not low <= values[name] <= high
        ]
        if outside:
            raise InputError(
                f"the file lies outside of the {self.files} that were measured ({'; '.join(outside)})",
                remedy="Measure files on both sides of it as well, or measure the file itself.",
            )
        return sum(self.costs[name] * value for name, value in values.items())

    def sentence(self) -> str:
        """`0.013 ms each inference, 26.1 billion float MACs/s, worst error 31 %`."""
        parts = []
        for name, cost in self.costs.items():
            if not cost:
                continue
            if name in ("inferences", "operators"):
                parts.append(f"{cost:.3g} ms each {name.removesuffix('s')}")
            else:
                parts.append(f"{1e3 / cost / 1e9:.3g} billion {name}/s")
        return f"{', '.join(parts)}; worst leave-one-out error {100 * self.worst_error:.0f} %"


def terms(work: Work) -> tuple[float, ...]:
    """The values of `TERMS` for one inference of one sample."""
    int8 = work.macs.get("int8", 0.0)
    return (
        1.0 / work.batch,
        work.operators / work.batch,
        sum(work.macs.values()) - int8,
        int8,
        sum(work.depthwise_macs.values()),
        work.weight_bytes / work.batch + work.activation_bytes,
    )


def fit(measured: Sequence[tuple[Work, float]]) -> Fit:
    """A model from (work, median milliseconds) of different files, all measured in the same way.

    Raises InputError for fewer than `MIN_FILES`, or a file whose work cannot be counted.
    """
    if len(measured) < MIN_FILES:
        raise InputError(
            f"{len(measured)} measured files are too few for an estimate",
            remedy=f"Measure at least {MIN_FILES} different files there.",
        )
    uncounted = sorted({name for work, _ in measured for name in work.uncounted})
    if uncounted:
        raise InputError(f"operators that cannot be counted: {', '.join(uncounted)}", remedy="Leave those files out.")
    x = np.array([terms(work) for work, _ in measured])
    y = np.array([ms for _, ms in measured])
    if y.min() <= 0:
        raise InputError("a median of 0 ms: the clock there is too coarse", remedy="Leave that file out.")
    errors = [
        abs(float(x[i] @ costs(np.delete(x, i, 0), np.delete(y, i))) - float(y[i])) / float(y[i]) for i in range(len(y))
    ]
    return Fit(
        costs=dict(zip(TERMS, map(float, costs(x, y)), strict=True)),
        ranges={name: (float(x[:, k].min()), float(x[:, k].max())) for k, name in enumerate(TERMS)},
        files=len(y),
        median_error=float(np.median(errors)),
        worst_error=max(errors),
    )


def costs(x: Array, y: Array) -> Array:
    """Non-negative costs (K,) of K terms that give the latencies `y` (N,) of files with values `x` (N, K).

    The least squared relative error. With so few terms every set of them that may be in use is tried: the answer is
    the plain least squares on the best set whose costs are all positive.
    """
    scale = np.where(x.max(axis=0) > 0, x.max(axis=0), 1.0)
    rows = x / scale / y[:, None]
    best, least = np.zeros(x.shape[1]), float("inf")
    for count in range(1, min(x.shape) + 1):
        for chosen in itertools.combinations(range(x.shape[1]), count):
            some = rows[:, chosen]
            found, _, rank, _ = np.linalg.lstsq(some, np.ones(len(y)), rcond=None)
            error = float(((some @ found - 1.0) ** 2).sum())
            if rank == count and found.min() > 0 and error < least - 1e-12:
                best, least = np.zeros(x.shape[1]), error
                best[list(chosen)] = found
    return best / scale
