"""Makes the planned files, several at a time where that pays; what fails costs only its own file."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import replace

from edgeship.child import Worker
from edgeship.errors import EdgeshipError, OutputError, StorageFullError
from edgeship.parallel import run_jobs
from edgeship.pipeline import checks, folder, precision, snapping, steps
from edgeship.pipeline.exports import Export, ExportPlan
from edgeship.pipeline.request import Request
from edgeship.recipe import Recipe
from edgeship.types import SNAPPED, Artifact, ConvertOptions, Failure, Progress, ProgressCallback, Source


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
    export_plan, recipe, old = planned
    told = _Told(progress, len(export_plan.exports))

    def job(export: Export, worker: Worker) -> Artifact | Failure:
        wanted = (request.recipe if export.id in export_plan.as_given else recipe, request.metric)
        model = models[export.id]
        told.begin(export)
        try:
            precise, notes = precision.resolve(worker, model, export, options, wanted, told.progress)

            def convert(wanted: Export) -> Artifact:
                return steps.convert(worker, model, wanted, precise, export_plan.baking)

            made = (
                snapping.snapped(export, old[export.format], convert) if export.variant == SNAPPED else convert(export)
            )
        except (StorageFullError, OutputError):
            raise
        except EdgeshipError as error:
            return checks.failure(export, "convert", error)
        finally:
            told.end()
        return folder.add_artifact(request.out, replace(made, notes=(*notes, *made.notes)))

    jobs = [lambda worker, export=export: job(export, worker) for export in export_plan.exports]
    files: list[tuple[Export, Artifact]] = []
    failures: list[Failure] = []
    for export, found in zip(export_plan.exports, run_jobs(worker, jobs), strict=True):
        if isinstance(found, Failure):
            failures.append(found)
            folder.drop_artifact(request.out, export.id)  # that of an earlier run must not stand for it
        else:
            files.append((export, found))
    return files, tuple(failures)


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
