"""Bit by bit: equal is equal, also NaN; anything else is a difference."""

from __future__ import annotations

import numpy as np
import pytest

from edgeship.errors import ArtifactError
from edgeship_benchmarks.parity import parity

X = np.array([[1.0, np.nan], [np.inf, -2.0]], np.float32)


def test_the_same_bits() -> None:
    found = parity({"y": X.copy()}, {"y": X}, "elsewhere")
    assert (found.reference, found.samples, found.identical, found.largest_difference) == ("elsewhere", 2, True, 0.0)


@pytest.mark.parametrize(
    ("place", "value", "difference"), [((0, 0), 1.25, 0.25), ((0, 1), 0.0, None), ((1, 0), 0.0, None)]
)
def test_one_other_value(place: tuple[int, int], value: float, difference: float | None) -> None:
    other = X.copy()
    other[place] = value
    found = parity({"y": other}, {"y": X}, "elsewhere")
    assert not found.identical
    assert found.largest_difference == difference


def test_other_shapes_cannot_be_compared() -> None:
    with pytest.raises(ArtifactError, match=r"in elsewhere"):
        parity({"y": X[:, :1]}, {"y": X}, "elsewhere")
    with pytest.raises(ArtifactError, match=r"in elsewhere"):
        parity({"z": X}, {"y": X}, "elsewhere")
