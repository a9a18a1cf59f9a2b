"""Data of the tasks, as `module:function` that `edgeship.build(data=...)` takes, and their augmentation.

Imports NumPy only (CIFAR-10 Pillow too): the environments of the peers use the same augmentation.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

SHARED = Path(__file__).parents[4] / "shared" / "data"
_CROP = 4
_TEST_SHARE = 0.4


def cifar10() -> dict[str, Any]:
    """50,000 training and 5,000 test images of 10 classes: JPEG, raw RGB 0..255."""
    from tests.acceptance.cifar10 import load

    return load()


def mnist() -> dict[str, Any]:
    """60,000 training and 10,000 test digits, (28, 28, 1), 0..1."""
    with np.load(SHARED / "mnist" / "mnist.npz") as arrays:
        found: dict[str, Any] = {f"y_{split}": arrays[f"y_{split}"].astype(np.int64) for split in ("train", "test")}
        for split in ("train", "test"):
            found[f"x_{split}"] = (arrays[f"x_{split}"][..., None] / 255).astype(np.float32)
    return found


def gesture() -> dict[str, Any]:
    """1,000 strokes of a wand that write digits, (64, 2); 600 to train, 400 to test, stratified and seeded."""
    with np.load(SHARED / "wand" / "wand_digits_64x2.npz") as arrays:
        strokes, digits = arrays["x"], arrays["y"].astype(np.int64)
    order = np.random.default_rng(0)
    test = np.zeros(len(digits), bool)
    for digit in range(10):
        rows = order.permutation(np.flatnonzero(digits == digit))
        test[rows[: round(_TEST_SHARE * len(rows))]] = True
    return {
        "x_train": strokes[~test],
        "y_train": digits[~test],
        "x_test": strokes[test],
        "y_test": digits[test],
    }


def flip_and_crop(inputs: Any, labels: Any, rng: np.random.Generator) -> tuple[Any, Any]:
    """Images (N, H, W, C) mirrored half of the time and shifted by up to 4 pixels, as our recipes do it."""
    n, height, width = inputs.shape[:3]
    padded = np.pad(inputs, ((0, 0), (_CROP, _CROP), (_CROP, _CROP), (0, 0)), mode="symmetric")
    tops, lefts = rng.integers(0, 2 * _CROP + 1, (2, n))
    rows = tops[:, None] + np.arange(height)
    columns = lefts[:, None] + np.arange(width)
    mirrored = rng.random(n) < 0.5
    columns[mirrored] = columns[mirrored, ::-1]
    return padded[np.arange(n)[:, None, None], rows[:, :, None], columns[:, None, :]], labels
