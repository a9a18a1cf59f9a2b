"""Data that several folders of tests train small networks on."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture(scope="session")
def digits():
    """scikit-learn's digits as (x_train, y_train, x_test, y_test); images 8x8x1, 0..1. Tests do not change them."""
    from sklearn.datasets import load_digits

    data = load_digits()
    x, y = (data.images[..., None] / 16).astype(np.float32), data.target.astype(np.int64)
    return x[:1300], y[:1300], x[1300:], y[1300:]
