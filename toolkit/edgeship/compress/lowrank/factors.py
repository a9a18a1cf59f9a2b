"""Kernels as products of two smaller ones: linear algebra only, in float64, without Keras layers.

A kernel has shape (h, w, in, out); Dense is (1, 1, in, out). With y = M'p, where the rows of M belong to the patch p
(h, w, in), the two ways are

- `Channels` (arXiv 1505.06798, section 3.1): the outputs lie near a plane of r dimensions; an h x w convolution to r
  channels, then 1 x 1 to all. For Dense and 1 x 1 convolutions it is the truncated SVD.
- `Spatial` (arXiv 1412.6553 and 1511.06067, section 3): h x 1 to r channels, then 1 x w to all.

Both minimize the error of the outputs under the second moments of the patches (1505.06798, eq. 3); without data these
are taken as equal and uncorrelated, which is the error of the weights. "Energy" is 1 minus the share of the outputs'
variance that is lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from edgeship.types import Array

#: Variance, relative to the mean one, that every direction is given besides: those without data stay defined.
_RIDGE = 1e-6
_TINY = 1e-38


@dataclass(frozen=True)
class Moments:
    """Of patches: `mean` (h*w*in) and `covariance` (h*w*in, h*w*in), in the order (h, w, in)."""

    mean: Array
    covariance: Array


@dataclass(frozen=True)
class Drift:
    """How patches have changed because layers before are approximate.

    Attributes:
        count: patches that were looked at.
        before: mean of the patches (h*w*in) as they were.
        now: their mean as they are.
        covariance: (h*w*in, h*w*in) of those of now.
        cross: covariance of those of now (rows) with those as they were.
    """

    count: int
    before: Array
    now: Array
    covariance: Array
    cross: Array


def estimated(count: int, total: Array, squares: Array) -> Moments:
    """Moments from sums over `count` patches p: `total` of p, `squares` of pp'.

    The covariance is shrunk towards a multiple of the identity, the more the fewer patches there are ("oracle
    approximating shrinkage", arXiv 0907.4698, eq. 23).
    """
    mean = total / count
    return Moments(mean, _ridged(_shrunk(squares / count - np.outer(mean, mean), count)))


def _shrunk(covariance: Array, count: int) -> Array:
    size = len(covariance)
    trace, square = float(np.trace(covariance)), float(np.sum(covariance**2))
    spread = (count + 1 - 2 / size) * (square - trace**2 / size)
    share = min(1.0, ((1 - 2 / size) * square + trace**2) / spread) if spread > 0 else 1.0
    shrunk: Array = (1 - share) * covariance + share * trace / size * np.eye(size)
    return shrunk


def _ridged(covariance: Array) -> Array:
    size = len(covariance)
    ridged: Array = covariance + max(_RIDGE * float(np.trace(covariance)) / size, _TINY) * np.eye(size)
    return ridged


@dataclass(frozen=True)
class Factors:
    """A kernel as two: `first` (h, w or 1, in, r), then `second` (1, 1 or w, r, out); `offset` (out) goes to the bias.

    The offset keeps the mean of the outputs (1505.06798, eq. 4).
    """

    first: Array
    second: Array
    offset: Array


class Split(Protocol):
    """One way to split a kernel."""

    #: Parameters per rank of the two kernels.
    sizes: tuple[int, int]
    #: From here on the product is the kernel.
    full: int

    def energy(self, rank: int) -> float:
        """Share of the outputs' variance that is kept, 0..1."""

    def factors(self, rank: int) -> Factors:
        """The two kernels."""

    def corrected(self, factors: Factors, drift: Drift) -> Factors:
        """Another second kernel and offset, which bring the outputs of now back to what they were."""


class _Weighted:
    """What both ways share: the kernel as a matrix from patches to outputs, and the patches' moments."""

    def __init__(self, kernel: Array, moments: Moments | None) -> None:
        self.shape = kernel.shape
        self.matrix = kernel.astype(np.float64).reshape(-1, kernel.shape[-1])
        self.moments = moments

    def weighted(self, matrix: Array) -> Array:
        """The patches' covariance times `matrix`."""
        product: Array = matrix if self.moments is None else self.moments.covariance @ matrix
        return product

    @cached_property
    def responses(self) -> Array:
        """Covariance of the outputs."""
        found: Array = self.matrix.T @ self.weighted(self.matrix)
        return found

    def lost(self, kernel: Array) -> float:
        """Share of the outputs' variance that another kernel (as a matrix) loses."""
        error = self.matrix - kernel
        total = float(np.trace(self.responses))
        return float(np.sum(error * self.weighted(error))) / total if total > 0 else 0.0

    def offset(self, kernel: Array) -> Array:
        """What the mean of the outputs loses."""
        error: Array = self.matrix - kernel
        return np.zeros(error.shape[1]) if self.moments is None else self.moments.mean @ error

    def corrected(self, factors: Factors, drift: Drift) -> Factors:
        """Least squares of the outputs as they were in the first convolution's of now (arXiv 1505.06798, section 3.3).

        Directions that the data does not determine keep the second kernel that they had.
        """
        seen, second = self.seen(factors.first), factors.second.reshape(-1, factors.second.shape[-1])
        moment = seen.T @ drift.covariance @ seen
        missing = seen.T @ drift.cross @ self.matrix - moment @ second
        second = second + np.linalg.solve(_ridged(_shrunk(moment, drift.count)), missing)
        offset = drift.before @ self.matrix - drift.now @ seen @ second
        return Factors(factors.first, second.reshape(factors.second.shape), offset)

    def seen(self, first: Array) -> Array:
        """The matrix from a patch to what the first convolution gives for it: r numbers for each of its columns."""
        across, rank = first.shape[1], first.shape[3]
        width = self.shape[1] // across
        found: Array = np.einsum("awik,xv->awxivk", first, np.eye(width)).reshape(-1, width * rank)
        return found


def _balanced(first: Array, second: Array) -> tuple[Array, Array]:
    """Columns of `first` and rows of `second` with equal norms, so that both train at one rate."""
    norms = np.linalg.norm(first, axis=0), np.linalg.norm(second, axis=1)
    scale = np.sqrt(np.maximum(norms[1], 1e-30) / np.maximum(norms[0], 1e-30))
    return first * scale, second / scale[:, None]


class Channels(_Weighted):
    """h x w to r channels, then 1 x 1."""

    def __init__(self, kernel: Array, moments: Moments | None = None) -> None:
        super().__init__(kernel, moments)
        self.sizes = self.matrix.shape
        self.full = min(self.sizes)
        values, vectors = np.linalg.eigh(self.responses)
        self._vectors: Array = vectors[:, ::-1]
        kept = np.cumsum(np.maximum(values[::-1], 0))
        self._energies = kept / kept[-1] if kept[-1] > 0 else np.ones_like(kept)

    def energy(self, rank: int) -> float:
        """Sum of the largest eigenvalues of the outputs' covariance, relative to all."""
        return float(self._energies[rank - 1])

    def factors(self, rank: int) -> Factors:
        """Onto the principal directions of the outputs, and back."""
        plane = self._vectors[:, :rank]
        first, second = _balanced(self.matrix @ plane, plane.T)
        height, width, channels, outputs = self.shape
        return Factors(
            first.reshape(height, width, channels, rank),
            second.reshape(1, 1, rank, outputs),
            self.offset(first @ second),
        )


class Spatial(_Weighted):
    """h x 1 to r channels, then 1 x w."""

    def __init__(self, kernel: Array, moments: Moments | None = None) -> None:
        super().__init__(kernel, moments)
        height, width, channels, outputs = self.shape
        self.sizes = (height * channels, width * outputs)
        self.full = min(self.sizes)
        columns = self.matrix.reshape(height, width, channels, outputs).transpose(0, 2, 1, 3).reshape(self.sizes)
        root = np.eye(self.sizes[0])
        if moments is not None:
            # The same for each of the w columns of a patch; the second kernel then corrects for what they share.
            moment = moments.covariance.reshape(height, width, channels, height, width, channels)
            root = np.linalg.cholesky(np.einsum("awibwj->aibj", moment).reshape(self.sizes[0], -1) / width)
        left, values, right = np.linalg.svd(root.T @ columns, full_matrices=False)
        self._first = np.linalg.solve(root.T, left) * np.sqrt(values)
        self._second = np.sqrt(values)[:, None] * right
        self._energies: dict[int, float] = {}

    def energy(self, rank: int) -> float:
        """Of the two kernels as they are."""
        if rank not in self._energies:
            self._energies[rank] = 1 - self.lost(self._product(*self._solved(rank)))
        return self._energies[rank]

    def factors(self, rank: int) -> Factors:
        """The columns' directions, and the least squares of the outputs in them."""
        first, second = self._solved(rank)
        offset = self.offset(self._product(first, second))
        first, second = _balanced(first, second)
        height, width, channels, outputs = self.shape
        return Factors(
            first.reshape(height, 1, channels, rank),
            second.reshape(rank, width, outputs).transpose(1, 0, 2)[None],
            offset,
        )

    def _product(self, first: Array, second: Array) -> Array:
        """The kernel (as a matrix from patches) of both after another."""
        height, width, channels, outputs = self.shape
        product = (first @ second).reshape(height, channels, width, outputs)
        return product.transpose(0, 2, 1, 3).reshape(-1, outputs)

    def _solved(self, rank: int) -> tuple[Array, Array]:
        """`first` (h*in, r) and `second` (r, w*out)."""
        first, second = self._first[:, :rank], self._second[:rank]
        if self.moments is None:
            return first, second
        height, width, channels, outputs = self.shape
        seen = self.seen(first.reshape(height, 1, channels, rank))
        moment = _ridged(seen.T @ self.weighted(seen))
        missing = seen.T @ self.weighted(self.matrix - self._product(first, second))
        change = np.linalg.solve(moment, missing).reshape(width, rank, outputs)
        return first, second + change.transpose(1, 0, 2).reshape(rank, width * outputs)
