"""Stratified, seeded choice of samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from edgeship.types import Array


def choose(strata: Array | None, rows: int, count: int, seed: int, *, leave: int = 0) -> Array:
    """Sorted indices of `count` of `rows` samples, in the proportions of the strata (largest remainders).

    Args:
        strata: (rows,) integers such as class labels; None chooses without strata.
        rows: number of samples.
        count: how many to choose; fewer where `leave` does not allow it.
        seed: equal seeds and data give equal choices.
        leave: how many samples of each stratum must stay unchosen.

    Returns:
        (n,) int64, n <= count.
    """
    generator = np.random.default_rng(seed)
    labels = np.zeros(rows, np.int64) if strata is None else strata
    _, groups, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    room = np.maximum(0, sizes - leave)
    shares = sizes * (count / rows)
    quota = np.minimum(np.floor(shares).astype(np.int64), room)
    for group in np.argsort(-(shares - np.floor(shares)), kind="stable"):
        if quota.sum() >= count:
            break
        quota[group] += int(quota[group] < room[group])
    chosen = [generator.permutation(np.flatnonzero(groups == group))[:number] for group, number in enumerate(quota)]
    return np.sort(np.concatenate(chosen)).astype(np.int64)


def remaining(rows: int, taken: Array) -> Array:
    """Sorted indices of the samples that were not taken."""
    return np.setdiff1d(np.arange(rows, dtype=np.int64), taken)
