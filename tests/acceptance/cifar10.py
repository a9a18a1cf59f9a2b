"""CIFAR-10 from ../shared/data, for `--data tests.acceptance.cifar10:load` (all) and `:calibrate` (few to train on)."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

FOLDER = Path(__file__).parents[3] / "shared" / "data"
FILE = FOLDER / "cifar10" / "cifar10_jpeg.npz"


def _images(data: Any, split: str, count: int | None) -> Any:
    """Decode the JPEGs of a split: (N, 32, 32, 3) uint8."""
    raw, offsets = data[f"{split}_jpeg"].tobytes(), data[f"{split}_offsets"]
    n = len(offsets) - 1 if count is None else count
    found = np.empty((n, 32, 32, 3), np.uint8)
    for i in range(n):
        found[i] = np.asarray(Image.open(io.BytesIO(raw[offsets[i] : offsets[i + 1]])).convert("RGB"))
    return found


def load(train_samples: int | None = None) -> dict[str, Any]:
    """All 50,000 training and 5,000 test images; raw RGB 0..255."""
    with np.load(FILE) as data:
        return {
            "x_train": _images(data, "train", train_samples),
            "y_train": data["y_train"][:train_samples],
            "x_test": _images(data, "test", None),
            "y_test": data["y_test"],
            "classes": np.asarray(data["classes"], dtype=np.str_),
        }


def calibrate() -> dict[str, Any]:
    """5,000 training images, enough to calibrate, and all test images."""
    return load(5000)
