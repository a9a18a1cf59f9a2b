"""What each stage of a recipe did to the file: accuracy, bytes and latency, so that a lost point has an address.

The model after each stage is exported as the build's leading file is, run on the validation split in its runtime, and
all of them are timed side by side. The first in the row is the original as trained (float32), so that what quantization
costs is told apart from what training costs.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from edgeship.child import Worker
from edgeship.errors import (
    ArtifactError,
    ChildError,
    EdgeshipError,
    OutputError,
    StorageFullError,
    UnavailableError,
)
from edgeship.names import artifact_slug
from edgeship.pipeline import measuring
from edgeship.pipeline.exports import Export
from edgeship.pipeline.validation import Validation, Weighed, weigh
from edgeship.types import (
    ConvertOptions,
    Dataset,
    Measurement,
    NotMeasured,
    Plan,
    Progress,
    ProgressCallback,
    Source,
    Stage,
)

#: Seconds of runs that are enough to compare stages with each other; files that are delivered get the whole plan.
_SECONDS = 0.3
_NO_TIME = "it gives no milliseconds"


@dataclass(frozen=True)
class Attribution:
    """Stages with their files, and what could not be told."""

    stages: tuple[Stage, ...]
    weighed: tuple[tuple[int, Weighed], ...] = ()
    notes: tuple[str, ...] = ()


def attribute(
    worker: Worker,
    validation: Validation | None,
    models: Sequence[Source],
    stages: tuple[Stage, ...],
    export: Export | None,
    options: ConvertOptions,
    progress: ProgressCallback,
) -> Attribution:
    """Export the model after each stage and run the files on the validation split.

    Args:
        worker: converts.
        validation: the original there; None where nothing can be validated.
        models: after each stage; the first is the original.
        stages: of the same length; empty for a recipe without stages, of which there is nothing to tell.
        export: as what each is exported; None where no such format can be run here.
        options: as for the files that are delivered.
        progress: told after each file.

    Returns:
        The stages with their files. A model that cannot be exported is noted and the others go on.
    """
    if not stages:
        return Attribution(stages)
    if validation is None or export is None:
        lacking = "labelled validation samples" if validation is None else "a format whose files can be run here"
        return Attribution(stages, (), (f"files after each stage were not compared: that needs {lacking}",))
    planned = _planned(len(stages), export)
    weighed: list[tuple[int, Weighed]] = []
    notes: list[str] = []
    for done, (number, wanted) in enumerate(planned):
        progress(Progress("compare stages", done, len(planned), f"{stages[number].name} {wanted.id}"))
        try:
            weighed.append((number, weigh(worker, validation, models[number], wanted, options, progress)))
        except (StorageFullError, OutputError):
            raise
        except EdgeshipError as error:
            notes.append(f"{wanted.id} after {stages[number].name} was not compared: {error.message}")
    progress(Progress("compare stages", len(planned), len(planned)))
    weighed = _with_steps(validation, weighed)
    return Attribution(_with_files(stages, weighed), tuple(weighed), tuple(notes))


def _planned(stages: int, export: Export) -> list[tuple[int, Export]]:
    """Each stage's number with what it is exported as; first the original as trained."""
    first = [] if export.variant == "float32" else [(0, replace(export, variant="float32"))]
    return [*first, *((number, export) for number in range(stages))]


def _with_steps(validation: Validation, weighed: Sequence[tuple[int, Weighed]]) -> list[tuple[int, Weighed]]:
    """Each file with what changed since the one before it."""
    found = list(weighed[:1])
    for (_, before), (number, after) in pairwise(weighed):
        step = validation.change(before.rows, after.rows)
        found.append((number, replace(after, file=replace(after.file, step=step))))
    return found


def _with_files(stages: Sequence[Stage], weighed: Sequence[tuple[int, Weighed]]) -> tuple[Stage, ...]:
    return tuple(
        replace(stage, files=tuple(w.file for at, w in weighed if at == number)) for number, stage in enumerate(stages)
    )


def timed(
    found: Attribution,
    out: Path,
    target: str,
    dataset: Dataset,
    plan: Plan,
    progress: ProgressCallback,
    turn: measuring.Turn = nullcontext,
) -> Attribution:
    """The same with latencies, all taken side by side; a target that is not there, or a file it cannot run, is noted.

    Measurements are kept in the build folder and not taken again under the same conditions.
    """
    if not found.weighed:
        return found
    artifacts = [w.artifact for _, w in found.weighed]
    plan = replace(plan, min_seconds=min(plan.min_seconds, _SECONDS))
    names = [
        f"stages/{artifact_slug(f'{number}-{found.stages[number].name}', w.artifact.id, target)}"
        for number, w in found.weighed
    ]
    try:
        with turn(target):
            rows = measuring.measure(out, artifacts, target, dataset, plan, progress, names)
    except (ArtifactError, ChildError, UnavailableError) as error:
        return replace(found, notes=(*found.notes, f"stages were not timed on {target}: {error.message}"))
    # Of several runtimes the first: all stages are compared in one.
    timings = [next((row for row in mine if isinstance(row, Measurement)), None) for mine in rows]
    weighed = tuple(
        (number, replace(w, file=replace(w.file, measurement=timing)))
        for (number, w), timing in zip(found.weighed, timings, strict=True)
    )
    failed = [next((row.reason for row in mine if isinstance(row, NotMeasured)), _NO_TIME) for mine in rows]
    notes = tuple(
        f"{artifact.id} of a stage was not timed on {target}: {reason}"
        for artifact, timing, reason in zip(artifacts, timings, failed, strict=True)
        if timing is None
    )
    return Attribution(_with_files(found.stages, weighed), weighed, (*found.notes, *notes))
