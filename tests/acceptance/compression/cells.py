"""Cells: which there are, what each depends on, and running one."""

from __future__ import annotations

import fcntl
import platform
import shutil
import subprocess
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeship import cache, data, metrics
from edgeship.child import Limits, Worker
from edgeship.errors import EdgeshipError, UnavailableError
from edgeship.pipeline import steps
from edgeship.types import Array, Dataset
from tests.acceptance.compression import bases, code, measure, records
from tests.acceptance.compression.catalogue import METHODS, YARDSTICK, seeds
from tests.acceptance.compression.methods import CELL_SECONDS, MOST_EPOCHS, Made, Method, Work
from tests.acceptance.compression.records import Record
from tests.acceptance.compression.tasks import OPTIONS, TASKS, Task, place

if TYPE_CHECKING:
    from edgeship.types import Source

BASE = "base"
#: What decides about a record's `commit`: code that could have made the file.
_MATTERS = ("toolkit", "converters", "benchmarks", "tests/acceptance/compression")
#: What a run writes itself.
_RECORDS = "tests/acceptance/compression/records"


@dataclass(frozen=True)
class Cell:
    """One method with one seed on one task; the method `base` is the task's model as it was given or trained."""

    task: Task
    method: str
    seed: int = 0

    def __str__(self) -> str:
        return f"{self.task.name}/{self.method}-s{self.seed}"

    @property
    def folder(self) -> Path:
        """Where its file lies, outside of the repository."""
        return place() / self.task.name / (BASE if self.method == BASE else f"{self.method}-s{self.seed}")


def cells() -> list[Cell]:
    """All cells: of each task the base first, then the yardstick, then the others."""
    found = []
    for task in TASKS.values():
        found.append(Cell(task, BASE))
        found += [Cell(task, m.name, seed) for m in METHODS.values() for seed in seeds(m, task.name)]
    return found


def key(cell: Cell, folder: Path = records.FOLDER) -> str:
    """Hash of what determines the cell's result."""
    task = cell.task.determines()
    if cell.method == BASE:
        return cache.digest(task=task)
    base = records.find(cell.task.name, BASE, 0, folder)
    method = METHODS[cell.method]
    return cache.digest(
        task=task, base=base.sha256 if base else None, method=method.determines(), ours=method.ours, seed=cell.seed
    )


def due(cell: Cell, folder: Path = records.FOLDER) -> str:
    """Why the cell has to run, empty if it does not: `missing`, `stale`, or `failed`.

    What a peer cannot do is a result; where it did not come to an end, nothing is known.
    """
    found = records.find(cell.task.name, cell.method, cell.seed, folder)
    if found is None:
        return "missing"
    if found.failure and (found.unsettled or is_ours(cell) or cell.method == BASE):
        return "failed"
    return "" if found.key == key(cell, folder) else "stale"


def is_ours(cell: Cell) -> bool:
    """Whether a recipe of ours makes its file."""
    return cell.method in METHODS and METHODS[cell.method].ours


@contextmanager
def lock(name: str, *, wait: bool = False) -> Iterator[bool]:
    """Whether this process holds a lock that goes with the process; another runner may have it."""
    file = place() / "locks" / f"{name.replace('/', '.')}.lock"
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        yield True


def run(cell: Cell, folder: Path = records.FOLDER) -> Record:
    """Run a cell and keep its record; a method that fails has a record that says why.

    Raises UnavailableError where something is not here that the cell needs (a base, data, an environment).
    """
    started = time.monotonic()
    record = Record(
        task=cell.task.name,
        method=cell.method,
        seed=cell.seed,
        key=key(cell, folder),
        commit=commit(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        versions=cache.versions(),
        machine=machine(),
        seconds=0.0,
    )
    try:
        record = _base(cell, record) if cell.method == BASE else _compressed(cell, METHODS[cell.method], record, folder)
    except UnavailableError:
        raise
    except EdgeshipError as error:
        record = replace(record, failure=f"{type(error).__name__}: {error.message}")
    except Exception as error:  # noqa: BLE001 - a bug of ours costs its own cell, not those after it
        traceback.print_exc()
        record = replace(record, failure=f"bug: {type(error).__name__}: {error}")
    trained = sum(float(stage.get("seconds", 0)) for stage in record.stages)  # also where it came from a cache
    record = replace(record, seconds=round(max(time.monotonic() - started, trained), 1))
    records.write(record, folder)
    return record


def _base(cell: Cell, record: Record) -> Record:
    task, epochs = cell.task, 0
    with Worker(Limits(seconds=CELL_SECONDS)) as worker:
        if not task.given and not _is_trained(cell, record.key):
            from tests.acceptance.compression import train_base  # needs Keras, seldom

            dataset = data.open_dataset(
                task.data, (bases.INPUTS[task.name],), bases.OUTPUTS, OPTIONS, cache.root() / "datasets"
            )
            arguments = {"name": task.name, "dataset": dataset, "augment": bool(task.augment), "out_dir": cell.folder}
            epochs = worker.call(train_base.train, **arguments)
        source, dataset = task.open(worker)
        right = _right_of_base(worker, source, dataset)
    found = measure.artifact(task.base())
    return replace(
        record,
        epochs=epochs,
        format="keras",
        sha256=source.sha256,
        sizes=measure.sizes(found),
        n=len(right),
        base_accuracy=float(right.mean()),
        accuracy=float(right.mean()),
        right=records.pack(right),
        settings={"parameters": source.parameters},
    )


def _is_trained(cell: Cell, wanted: str) -> bool:
    """Whether the base is there, made as it would be made now; what another training left is cleared away."""
    note = cell.folder / "key"
    if not note.is_file() or note.read_text() != wanted:
        shutil.rmtree(cell.folder, ignore_errors=True)
        cell.folder.mkdir(parents=True)
        note.write_text(wanted)
    return (cell.folder / "model.keras").is_file()


def _right_of_base(worker: Worker, source: Source, dataset: Dataset) -> Array:
    outputs = steps.reference(worker, source, dataset, lambda _: None)
    labels = data.load(dataset, "test").labels
    assert labels is not None
    return metrics.Accuracy().per_sample(np.asarray(next(iter(outputs.arrays.values()))), labels)


def _compressed(cell: Cell, method: Method, record: Record, folder: Path) -> Record:
    with Worker(Limits(seconds=CELL_SECONDS)) as worker:
        source, dataset = cell.task.open(worker)
    base = records.find(cell.task.name, BASE, 0, folder)
    if base is None or base.sha256 != source.sha256:
        remedy = f"python -m tests.acceptance.compression --again --only '{cell.task.name}/base*'"
        problem = f"{cell.task.name}: the record of the base is missing or of another model"
        raise UnavailableError(problem, remedy=remedy)
    shutil.rmtree(cell.folder, ignore_errors=True)
    cell.folder.mkdir(parents=True)
    made = method.make(Work(cell.task, source.path, dataset, cell.seed, cell.folder))
    if made.epochs > MOST_EPOCHS:
        raise EdgeshipError(f"{cell} trained for {made.epochs} epochs; {MOST_EPOCHS} are allowed")
    kept = cell.folder / f"model{made.file.suffix}"
    if made.file != kept:
        shutil.copyfile(made.file, kept)
    return measured(cell, _with(record, made), kept, dataset, base)


def remeasure(cell: Cell, folder: Path = records.FOLDER) -> Record:
    """Measure the file that the cache holds again (a quieter machine), as long as it is the record's.

    Raises UnavailableError where there is no such record or file.
    """
    record = records.find(cell.task.name, cell.method, cell.seed, folder)
    base = records.find(cell.task.name, BASE, 0, folder)
    if cell.method == BASE or record is None or base is None or record.failure:
        raise UnavailableError(f"{cell}: there is no file to measure")
    file = cell.folder / f"model.{record.format}"
    if not file.is_file() or measure.artifact(file).sha256 != record.sha256:
        raise UnavailableError(f"{cell}: the file of the record is not in the cache", remedy="Run it with --again.")
    with Worker(Limits(seconds=CELL_SECONDS)) as worker:
        _, dataset = cell.task.open(worker)
    found = measured(cell, replace(record, machine=machine()), file, dataset, base)
    records.write(found, folder)
    return found


def _with(record: Record, made: Made) -> Record:
    return replace(
        record,
        epochs=made.epochs,
        settings=made.settings,
        sweep=made.sweep,
        stages=made.stages,
        versions=made.versions,
        gate=made.gate,
    )


def measured(cell: Cell, record: Record, file: Path, dataset: Dataset, base: Record) -> Record:
    """The record with everything that is measured about the file."""
    found = measure.artifact(file)
    right, before = measure.right(found, dataset), records.unpack(base)
    drop = records.drop_between(before, right)
    yardstick = file if cell.method == YARDSTICK else yardstick_file(cell.task)
    with lock("timing", wait=True):
        latency = measure.latency(found, measure.artifact(yardstick, YARDSTICK), dataset)
    return replace(
        record,
        format=found.format,
        sha256=found.sha256,
        sizes=measure.sizes(found),
        n=len(right),
        base_accuracy=base.accuracy,
        accuracy=float(right.mean()),
        drop=drop.value,
        interval=(drop.low, drop.high),
        right=records.pack(right),
        latency=latency,
    )


def yardstick_file(task: Task) -> Path:
    """The yardstick's file. Raises UnavailableError where it has not been made here."""
    file = Cell(task, YARDSTICK).folder / "model.tflite"
    if not file.is_file():
        remedy = f"python -m tests.acceptance.compression --again --only '{task.name}/{YARDSTICK}*'"
        raise UnavailableError(f"{task.name}: the yardstick's file is not in the cache", remedy=remedy)
    return file


def commit() -> str:
    """HEAD, with `+` where files that matter differ from it."""
    return _git("rev-parse", "--short=12", "HEAD").strip() + ("+" if changed() else "")


def changed() -> list[str]:
    """Files that matter and differ from HEAD, or are not in it."""
    lines = _git("status", "--porcelain", "--", *_MATTERS, f":(exclude){_RECORDS}").splitlines()
    return [line[3:] for line in lines]


def _git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=code.ROOT, capture_output=True, text=True, check=True).stdout


def machine() -> Mapping[str, Any]:
    """The machine's facts that do not change from moment to moment."""
    from edgeship_benchmarks.targets.local import LocalTarget

    facts = LocalTarget().probe().facts
    kept = ("cpu", "cores", "memory_mib", "system")
    return {"python": platform.python_version(), **{name: facts[name] for name in kept if name in facts}}
