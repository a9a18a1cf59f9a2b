"""Sixty minutes on ResNet-8 (CIFAR-10) from an empty cache; then the front on the test images."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import edgeship
from edgeship import cache
from edgeship import recipe as recipes
from edgeship.child import Limits, Worker
from edgeship.codec import to_json
from edgeship.errors import UnavailableError
from edgeship.searching.run import Search
from edgeship.searching.trials import Trial
from tests.acceptance.compression import cells, measure, records
from tests.acceptance.compression.tasks import OPTIONS, TASKS, place

TASK = TASKS["cifar10"]
_DATA_OPTIONS = replace(OPTIONS, augment=TASK.augment)
_LIMITS = Limits(seconds=3600)


def search(minutes: float, workers: int, folder: Path | None = None) -> dict[str, Any]:
    """Search for so many minutes in all, those of runs that were stopped counted; then the front on the test images.

    Its cache is its own: what other acceptance tests have trained is not found there.
    """
    folder = folder or place() / "search-resnet8"
    folder.mkdir(parents=True, exist_ok=True)
    base = TASK.base()
    os.environ["EDGESHIP_CACHE"] = str(folder / "cache")
    spent = _spent(folder)
    found = _search(base, folder, max(1.0, 60 * minutes - spent), workers)
    ours = [_tested(base, folder, trial) for trial in found.front]
    return {
        "minutes": minutes,
        "workers": workers,
        "cores": os.cpu_count(),
        "outcomes": {word: sum(t.outcome == word for t in found.trials) for word in ("finished", "stopped", "failed")},
        "why": list(found.why),
        "front": [json.loads(to_json(record)) for record in ours],
    }


def _spent(folder: Path) -> float:
    path = folder / "seconds"
    return float(path.read_text()) if path.is_file() else 0.0


def _search(base: Path, folder: Path, seconds: float, workers: int) -> Search:
    began, before = time.monotonic(), _spent(folder)

    def told(_: object) -> None:
        (folder / "seconds").write_text(f"{before + time.monotonic() - began:.0f}")

    return edgeship.search(
        base, TASK.data, budget_seconds=seconds, folder=folder / "search", out=folder / "build", workers=workers,
        data_options=_DATA_OPTIONS, limits=_LIMITS, max_drop=0.5, force=True, progress=told,
    )  # fmt: skip


def _tested(base: Path, folder: Path, trial: Trial) -> records.Record:
    """A trial's file on all test images, as the compression acceptance keeps one."""
    recipe = recipes.parse(dict(trial.recipe), trial.name)
    report = edgeship.build(
        base, TASK.data, recipe=recipe, to="tflite", targets=(), out=folder / "front" / str(trial.number),
        data_options=replace(_DATA_OPTIONS, calibration_samples=recipe.calibration_samples), limits=_LIMITS,
    )  # fmt: skip
    (artifact,) = report.artifacts
    with Worker(_LIMITS) as worker:
        _, dataset = TASK.open(worker)
    right = measure.right(artifact, dataset)
    known = records.find(TASK.name, "base", 0)
    if known is None:
        raise UnavailableError("there is no record of the base", remedy="python -m tests.acceptance.compression")
    drop = records.drop_between(records.unpack(known), right)
    return records.Record(
        TASK.name, trial.name, recipe.seed, key="", commit=cells.commit(), created=datetime.now(UTC).isoformat(),
        versions=cache.versions(), machine=cells.machine(), seconds=trial.seconds, settings={"recipe": trial.recipe},
        format=artifact.format, sha256=artifact.sha256, sizes=measure.sizes(artifact), n=len(right),
        base_accuracy=known.accuracy, accuracy=float(right.mean()), drop=drop.value, interval=(drop.low, drop.high),
        right=records.pack(right),
    )  # fmt: skip
