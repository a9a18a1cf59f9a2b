"""Random choices from a seed, as values of Python that JSON holds; the same on every machine."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")


def generator(seed: int, *names: str) -> np.random.Generator:
    """A generator of its own for each combination of seed and names."""
    digest = hashlib.sha256("/".join((str(seed), *names)).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "little"))


class Draw:
    """Choices from one generator."""

    def __init__(self, seed: int, *names: str) -> None:
        self._random = generator(seed, *names)

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return bool(self._random.random() < probability)

    def number(self, low: int, high: int) -> int:
        """An integer, both ends included."""
        return int(self._random.integers(low, high + 1))

    def real(self, low: float, high: float) -> float:
        """A real number of three digits: it reads the same in JSON."""
        return float(f"{self._random.uniform(low, high):.3g}")

    def one(self, choices: Sequence[T]) -> T:
        """One of the choices."""
        return choices[int(self._random.integers(len(choices)))]

    def shuffled(self, choices: Sequence[T]) -> list[T]:
        """All choices in random order."""
        return [choices[int(i)] for i in self._random.permutation(len(choices))]

    def numbers(self, count: int, low: int, high: int) -> list[int]:
        """Several integers, both ends included."""
        return [self.number(low, high) for _ in range(count)]
