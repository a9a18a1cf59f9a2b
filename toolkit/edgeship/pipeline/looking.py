"""Whether files look at the same parts of their inputs as the original: both run on covered inputs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from edgeship import cache, plugins
from edgeship.child import Worker
from edgeship.data import load as load_split
from edgeship.errors import EdgeshipError, OutputError, StorageFullError
from edgeship.files import whole_folder
from edgeship.pipeline import steps
from edgeship.pipeline.checks import Baseline, Checked
from edgeship.pipeline.request import Request
from edgeship.slices import occlusion
from edgeship.types import Array, Dataset, Progress, ProgressCallback, SliceStudy, Source
from edgeship.verify import Outputs

_STAGE = "compare where they look"


def studies(
    request: Request, source: Source, base: Baseline, checked: Sequence[Checked], progress: ProgressCallback
) -> tuple[tuple[SliceStudy, ...], tuple[str, ...]]:
    """What was found about slices, by file and runtime, with maps of occlusion where they are wanted; and notes."""
    found = [(item, study) for item in checked for study in item.slices]
    plain = tuple(study for _, study in found)
    if not request.occlusion:
        return plain, ()
    if not found:
        return plain, ("where files look was not compared: no file was compared by a metric",)
    reason = _why_not(request, base.dataset)
    if reason:
        return plain, (f"where files look was not compared: {reason}",)
    inputs = load_split(base.dataset, "test").inputs[base.dataset.inputs[0].name]
    given = occlusion.plan(inputs, _samples(plain, len(inputs)))
    covered = _materialize(base.dataset, given)
    with Worker(request.limits) as worker:
        original = steps.reference(worker, source, covered, progress)
    before, watched = occlusion.maps(_first(original), given, None)
    looked: list[SliceStudy] = []
    notes: list[str] = []
    for done, (item, study) in enumerate(found):
        progress(Progress(_STAGE, done, len(found), study.artifact))
        runtime = next(r for r in plugins.runtimes_for(item.artifact.format) if r.name == study.runtime)
        try:
            outputs = steps.run_artifact(item.artifact, runtime, covered, progress)
        except (StorageFullError, OutputError):
            raise
        except EdgeshipError as error:
            notes.append(f"where {study.artifact} looks in {study.runtime} was not compared: {error.message}")
            looked.append(study)
            continue
        after, _ = occlusion.maps(_first(outputs), given, watched)
        looked.append(replace(study, occlusion=occlusion.compare(before, after, given)))
    progress(Progress(_STAGE, len(found), len(found)))
    return tuple(looked), tuple(notes)


def _why_not(request: Request, dataset: Dataset) -> str:
    first = load_split(dataset, "test").inputs[dataset.inputs[0].name]
    if request.bake_preprocessing:
        return "files take other values than the model, because preprocessing is in them"
    if len(dataset.inputs) != 1 or first.ndim < 2:
        return "the model has several inputs, or none that has parts"
    return ""


def _first(outputs: Outputs) -> Array:
    return next(iter(outputs.arrays.values()))


def _samples(found: Sequence[SliceStudy], n: int) -> tuple[int, ...]:
    """Half of them samples that most files answer otherwise than the original, half of them evenly spread."""
    votes = Counter(flip.index for study in found for flip in study.flips)
    most = [index for index, _ in votes.most_common(occlusion.SAMPLES // 2)]
    spread = np.linspace(0, n - 1, min(n, occlusion.SAMPLES)).round().astype(int).tolist()
    return tuple(dict.fromkeys([*most, *spread]))[: occlusion.SAMPLES]


def _materialize(dataset: Dataset, given: occlusion.Plan) -> Dataset:
    """The covered inputs as the test split of a dataset of their own, in the cache."""
    name = dataset.inputs[0].name
    shape = [given.rows, given.columns]
    sha256 = cache.digest(kind="covered/1", dataset=dataset.sha256, samples=list(given.indices), grid=shape)
    place = cache.root() / "datasets" / cache.key("dataset", sha256=sha256)[:40]
    found = replace(
        dataset, path=place, sha256=sha256, task="unlabelled", slices=(), counts={"test": len(given.inputs)}
    )
    if not place.is_dir():
        with whole_folder(place, keep=True) as folder:
            target: Path = folder / "test" / "x"
            target.mkdir(parents=True)
            np.save(target / f"{name}.npy", given.inputs)
    return found
