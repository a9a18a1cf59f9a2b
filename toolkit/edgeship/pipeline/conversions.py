"""Makes the planned files, several at a time where that pays; what fails costs only its own file."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

from edgeship.child import Worker
from edgeship.errors import ChildOutOfMemory, EdgeshipError, OutputError, StorageFullError
from edgeship.parallel import WORKER_MIB, run_jobs
from edgeship.pipeline import checks, folder, precision, snapping, steps
from edgeship.pipeline.exports import Export, ExportPlan
from edgeship.pipeline.request import Request
from edgeship.recipe import Recipe
from edgeship.types import SNAPPED, Artifact, ConvertOptions, Failure, Progress, ProgressCallback, Source

#: Bytes that a conversion takes for each parameter: the model, its graph, its constants and the file, in float32.
_BYTES_A_PARAMETER = 6 * 4


def convert_all(
    request: Request,
    worker: Worker,
    models: Mapping[str, Source],
    options: ConvertOptions,
    planned: tuple[ExportPlan, Recipe, Mapping[str, Artifact]],
    progress: ProgressCallback,
) -> tuple[list[tuple[Export, Artifact]], tuple[Failure, ...]]:
    """Make every planned export of its model (by id); what fails is recorded and the others go on.

    Args:
        request: where the files go, and the recipe that was asked for.
        worker: warm; others join it where conversions take long (`edgeship.parallel`).
        models: what each export (by id) is made from.
        options: of all conversions.
        planned: with the recipe whose work is delivered, and the old files that new ones are snapped to, by format.
        progress: told from one thread at a time.
    """
    exports = planned[0].exports
    making = _Making(request, models, options, planned, _Told(progress, len(exports)))
    largest = max((model.parameters for model in models.values()), default=0) * _BYTES_A_PARAMETER
    jobs = [partial(making.outcome, export) for export in exports]
    files: list[tuple[Export, Artifact]] = []
    failures: list[Failure] = []
    found = run_jobs(worker, jobs, worker_mib=max(WORKER_MIB, largest >> 20))
    for export, made in zip(exports, found, strict=True):
        if isinstance(made, Artifact):
            files.append((export, made))
        else:
            failures.append(checks.failure(export, "convert", made))
            folder.drop_artifact(request.out, export.id)  # that of an earlier run must not stand for it
    return files, tuple(failures)


@dataclass(frozen=True)
class _Making:
    """What all conversions have in common."""

    request: Request
    models: Mapping[str, Source]
    options: ConvertOptions
    planned: tuple[ExportPlan, Recipe, Mapping[str, Artifact]]
    told: _Told

    def outcome(self, export: Export, worker: Worker) -> Artifact | EdgeshipError:
        """The file in the build's folder, or why there is none. Raises StorageFullError, OutputError: none can be.

        Raises ChildOutOfMemory too: alone there may be enough.
        """
        self.told.begin(export)
        try:
            made = folder.add_artifact(self.request.out, self._make(export, worker))
        except (StorageFullError, OutputError, ChildOutOfMemory):
            raise
        except EdgeshipError as error:
            self.told.end()
            return error
        self.told.end()
        return made

    def _make(self, export: Export, worker: Worker) -> Artifact:
        export_plan, recipe, old = self.planned
        wanted = (self.request.recipe if export.id in export_plan.as_given else recipe, self.request.metric)
        model = self.models[export.id]
        precise, notes = precision.resolve(worker, model, export, self.options, wanted, self.told.progress)

        def convert(wanted: Export) -> Artifact:
            return steps.convert(worker, model, wanted, precise, export_plan.baking)

        made = snapping.snapped(export, old[export.format], convert) if export.variant == SNAPPED else convert(export)
        return replace(made, notes=(*notes, *made.notes))


class _Told:
    """Progress of conversions that run at the same time."""

    def __init__(self, progress: ProgressCallback, total: int) -> None:
        self._progress = progress
        self._total = total
        self._done = 0
        self._lock = threading.Lock()

    def progress(self, event: Progress) -> None:
        with self._lock:
            self._progress(event)

    def begin(self, export: Export) -> None:
        self.progress(Progress("convert", self._done, self._total, export.id))

    def end(self) -> None:
        with self._lock:
            self._done += 1
            self._progress(Progress("convert", self._done, self._total))
