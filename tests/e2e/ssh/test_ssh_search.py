"""A search whose trials are measured on a board that goes away."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from sklearn.datasets import load_digits

import edgeship
from edgeship.errors import TargetUnavailable
from edgeship.types import Progress
from tests.ssh_server import Server

_SPACE = """
schema: edgeship.search/1
recipes:
  - {name: plain, stages: [], variants: [int8]}
  - {name: half, stages: [{prune: {sparsity: 0.5, epochs: 1}}], variants: [int8]}
"""


@pytest.fixture
def given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a model, its data and a space of two recipes."""
    digits = load_digits()
    x, y = (digits.images[..., None] / 16).astype(np.float32), digits.target.astype(np.int64)
    keras.utils.set_random_seed(1)
    image = keras.Input((8, 8, 1), name="image")
    model = keras.Model(image, keras.layers.Dense(10, "softmax", name="digit")(keras.layers.Flatten()(image)))
    model.save(tmp_path / "digits.keras")
    np.savez(tmp_path / "data.npz", x_train=x[:1300], y_train=y[:1300], x_test=x[1300:], y_test=y[1300:])
    (tmp_path / "space.yaml").write_text(_SPACE)
    monkeypatch.setenv("EDGESHIP_CACHE", str(tmp_path / "cache"))
    return tmp_path


def test_a_board_that_goes_ends_the_search_and_costs_no_finished_trial(prepared: Server, given: Path) -> None:
    """Nothing can be said of trials that cannot be measured: they are tried when the board is back."""

    def searched(progress: Any) -> edgeship.Search:
        return edgeship.search(
            given / "digits.keras", given / "data.npz", space=given / "space.yaml", trials=2, targets=("ssh://board",),
            folder=given / "search", out=given / "build", max_drop=50.0, progress=progress,
        )  # fmt: skip

    def gone(said: Progress) -> None:
        if said.stage == "search" and said.done == 1:
            prepared.stop()

    with pytest.raises(TargetUnavailable, match="board"):
        searched(gone)
    first = {path: path.read_bytes() for path in (given / "search/trials").glob("*.json")}
    assert len(first) == 1
    prepared.start()
    found = searched(lambda _: None)
    assert [(trial.outcome, [timing.target for timing in trial.timings]) for trial in found.trials] == [
        ("finished", ["ssh://board"])
    ] * 2
    assert all(path.read_bytes() == content for path, content in first.items())
    assert found.choice is not None
    assert found.report is not None
