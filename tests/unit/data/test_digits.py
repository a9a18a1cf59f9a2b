"""The demo's baseline model."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgeship import data, source
from edgeship.child import Limits, Worker
from edgeship.demo import train_baseline
from edgeship.metrics import get_metric
from edgeship.types import Progress


def test_the_baseline_is_good_and_repeatable(tmp_path: Path) -> None:
    dataset = data.open_dataset("digits", (), (), data.DataOptions(), tmp_path / "cache")
    hashes = []
    events: list[Progress] = []
    for number in range(2):
        with Worker(Limits(seconds=300)) as worker:
            if number == 1:  # what a worker has done before must not count
                worker.call(source.inspect, path=tmp_path / "0.keras")
            path = worker.call(
                train_baseline,
                out=tmp_path / f"{number}.keras",
                dataset=dataset,
                epochs=6,
                seed=0,
                progress=events.append,
            )
            found = worker.call(source.inspect, path=path)
            hashes.append(found.sha256)
            if number == 0:
                worker.call(source.predict, source=found, dataset=dataset, split="test", out_dir=tmp_path / "out")
    assert hashes[0] == hashes[1]
    assert [e.done for e in events if e.stage == "train the baseline"] == [1, 2, 3, 4, 5, 6] * 2
    assert (found.inputs[0].name, found.outputs[0].name) == ("image", "probabilities")
    assert 10_000 <= found.parameters <= 40_000
    reopened = data.open_dataset("digits", found.inputs, found.outputs, data.DataOptions(), tmp_path / "cache")
    assert reopened == dataset
    metric = get_metric(None, dataset)
    labels = data.load(dataset, "test").labels
    assert labels is not None
    assert metric.value(metric.per_sample(np.load(tmp_path / "out" / "probabilities.npy"), labels)) > 0.96
