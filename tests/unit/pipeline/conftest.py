"""A cache for a module of tests, and small trained networks that a worker writes once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from small_networks import write_networks
from tests.sharing import Shared

from edgeship.child import Worker


@pytest.fixture(scope="module")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache of its own for a module of tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGESHIP_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def networks(shared: Shared) -> Path:
    """The folder of `plain.keras`, `spread.keras` (see `small_networks`) and `data.npz`."""

    def make(folder: Path) -> None:
        x = np.random.default_rng(0).random((3600, 8), np.float32)
        y = (x[:, :4].sum(axis=1) > x[:, 4:].sum(axis=1)).astype("int64")
        np.savez(folder / "data.npz", x_train=x[:3000], y_train=y[:3000], x_test=x[3000:], y_test=y[3000:])
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PYTHONPATH", f"{Path(__file__).parent}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
            with Worker() as worker:
                worker.call(write_networks, folder=folder)

    return shared("small-networks", make)
