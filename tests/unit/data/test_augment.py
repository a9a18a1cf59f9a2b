"""Augmentation varies training batches only as its name says, and never anything else."""

from __future__ import annotations

import numpy as np
import pytest

from edgeship.data import DataOptions
from edgeship.data.augment import augmentation
from edgeship.errors import DataError


def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (64, 16, 8, 3)).astype(np.float32)


def doubled(inputs, labels, random):
    """A user's own augmentation."""
    return {name: 2 * array for name, array in inputs.items()}, labels + 1


def test_nothing_asked_nothing_done():
    assert augmentation(()) is None


def test_flip_mirrors_about_half():
    x, labels = images(), np.arange(64)
    found, kept = augmentation(["flip"])({"image": x}, labels, np.random.default_rng(1))
    same = np.array([np.array_equal(a, b) for a, b in zip(found["image"], x, strict=True)])
    mirrored = np.array([np.array_equal(a, b[:, ::-1]) for a, b in zip(found["image"], x, strict=True)])
    assert np.all(same | mirrored)
    assert 15 < mirrored.sum() < 49
    assert np.array_equal(kept, labels)


def test_crop_moves_by_at_most_an_eighth_and_mirrors_the_border():
    x = images()
    found = augmentation(["crop"])({"image": x}, np.arange(64), np.random.default_rng(1))[0]["image"]
    assert found.shape == x.shape
    padded = np.pad(x, ((0, 0), (2, 2), (1, 1), (0, 0)), mode="symmetric")
    offsets = set()
    for image, wide in zip(found, padded, strict=True):
        places = [(r, c) for r in range(5) for c in range(3) if np.array_equal(image, wide[r : r + 16, c : c + 8])]
        assert places
        offsets.update(places)
    assert len(offsets) > 8


def test_equal_seeds_equal_batches_and_inputs_stay():
    x = images()
    before = x.copy()
    both = augmentation(["flip", "crop"])
    first, second = (both({"image": x}, np.arange(64), np.random.default_rng(5))[0]["image"] for _ in range(2))
    assert np.array_equal(first, second)
    assert np.array_equal(x, before)


def test_a_function_of_the_users():
    found, labels = augmentation([f"{__name__}:doubled"])({"a": np.ones((3, 2))}, np.zeros(3), np.random.default_rng(0))
    assert found["a"].max() == 2
    assert labels.tolist() == [1, 1, 1]


def test_only_images_are_flipped():
    with pytest.raises(DataError, match=r"no input is an image.*row \(5,\)"):
        augmentation(["flip"])({"row": np.ones((3, 5))}, np.zeros(3), np.random.default_rng(0))


def test_unknown_names_are_refused_at_once():
    with pytest.raises(DataError, match="no augmentation 'rotate'"):
        DataOptions(augment=("rotate",))
