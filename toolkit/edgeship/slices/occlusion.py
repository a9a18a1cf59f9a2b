"""Occlusion: regions of an input are covered one after another, and the answer's score is watched.

Zeiler and Fergus, Visualizing and Understanding Convolutional Networks (ECCV 2014), section 4.2. It needs nothing but
outputs, so it is the same for a model in training and a file in any runtime.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgeship.metrics import ranks
from edgeship.slices.definitions import is_image
from edgeship.slices.exhibits import TABLE
from edgeship.types import Array, Occlusion, OcclusionCase

#: Regions along a side of an image, and of a signal; samples that are looked at; cases that are shown.
SIDE, SEGMENTS, SAMPLES, CASES = 8, 24, 32, 6


@dataclass(frozen=True)
class Plan:
    """Covered inputs: for each sample the plain one, then one for each region.

    Attributes:
        inputs: (samples x (regions + 1), ...).
        indices: of the samples in their split.
    """

    inputs: Array
    indices: tuple[int, ...]
    rows: int
    columns: int


def plan(inputs: Array, indices: tuple[int, ...]) -> Plan:
    """Cover images in a grid, signals in stretches of time, and single values of a table, by their mean.

    Args:
        inputs: (N, ...) of a split.
        indices: which samples to look at.
    """
    regions, rows, columns = _regions(inputs.shape[1:])
    looked = np.asarray(inputs[: min(len(inputs), 1024)], np.float64)
    axes = tuple(range(looked.ndim - 1)) if looked.ndim > 2 else 0
    fill = np.broadcast_to(looked.mean(axis=axes), inputs.shape[1:])
    if inputs.dtype.kind in "iu":
        fill = fill.round()
    covered = []
    for i in indices:
        plain = np.asarray(inputs[i])
        covered += [plain, *(np.where(region, fill, plain).astype(inputs.dtype) for region in regions)]
    return Plan(np.stack(covered), indices, rows, columns)


def _regions(shape: tuple[int, ...]) -> tuple[list[Array], int, int]:
    """Masks of the shape of a sample, and the grid they make."""
    if is_image(shape):
        rows, columns = min(SIDE, shape[0]), min(SIDE, shape[1])
        places = np.indices(shape[:2])
        cell = (places[0] * rows // shape[0]) * columns + places[1] * columns // shape[1]
        cell = np.repeat(cell[..., None], shape[2], axis=2)
    else:
        columns = shape[0] if len(shape) == 1 and shape[0] <= TABLE else min(SEGMENTS, shape[0])
        rows = 1
        line = np.arange(shape[0]) * columns // shape[0]
        cell = np.broadcast_to(line.reshape(-1, *([1] * (len(shape) - 1))), shape)
    return [cell == k for k in range(rows * columns)], rows, columns


def maps(outputs: Array, given: Plan, watched: Array | None) -> tuple[Array, Array]:
    """How much covering each region changes the output: (samples, regions), and the watched index of each sample.

    Args:
        outputs: of the plan's inputs, first axis in its order.
        given: the plan.
        watched: index of the score to watch in each sample; None: the largest of these outputs. Outputs that are no
            scores of classes (a single value, or more than two axes) are compared by their distance.
    """
    count = given.rows * given.columns + 1
    flat = np.asarray(outputs, np.float64).reshape(len(given.indices), count, -1)
    if outputs.ndim != 2 or flat.shape[2] == 1:
        return np.sqrt(((flat[:, 1:] - flat[:, :1]) ** 2).sum(axis=2)), np.zeros(len(flat), np.int64)
    index = flat[:, 0].argmax(axis=1) if watched is None else watched
    score = flat[np.arange(len(flat)), :, index]
    return score[:, :1] - score[:, 1:], index


def compare(before: Array, after: Array, given: Plan) -> Occlusion | None:
    """Similarity of both maps, sample by sample; None where fewer than two samples have maps that are not flat."""
    told = [k for k in range(len(before)) if np.ptp(before[k]) > 0 and np.ptp(after[k]) > 0]
    if len(told) < 2:
        return None
    similar = np.array([spearman(before[k], after[k]) for k in told])
    others = [spearman(before[k], after[told[(n + 1) % len(told)]]) for n, k in enumerate(told)]
    worst = np.argsort(similar, kind="stable")[:CASES]
    return Occlusion(
        given.rows,
        given.columns,
        len(told),
        float(np.median(similar)),
        float(np.quantile(similar, 0.1)),
        float(np.median(others)),
        tuple(
            OcclusionCase(given.indices[told[k]], _short(before[told[k]]), _short(after[told[k]]), float(similar[k]))
            for k in worst
        ),
    )


def _short(values: Array) -> tuple[float, ...]:
    return tuple(float(f"{v:.4g}") for v in values)


def spearman(a: Array, b: Array) -> float:
    """Rank correlation of two arrays of the same length that are not constant; ties have their mean rank."""
    return float(np.corrcoef(ranks(a), ranks(b))[0, 1])
