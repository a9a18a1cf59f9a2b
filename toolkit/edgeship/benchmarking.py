"""What `edgeship benchmark` measures: exported files of ours or of others, interleaved, wherever they are to run."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from edgeship import machines, plugins
from edgeship.baselines import Baseline, Judged, find, is_of, recorded, side_by_side
from edgeship.contracts import Target
from edgeship.errors import EdgeshipError, HistoryError, InputError
from edgeship.history import store
from edgeship.history.records import Record, name_of
from edgeship.history.remembering import check_label, remember
from edgeship.pipeline import measuring
from edgeship.standalone import find_artifacts, load_inputs
from edgeship.types import Array, Artifact, NotMeasured, Plan, ProgressCallback, Result, TensorSpec

#: How the ids of a baseline's files end, which are measured beside the new ones.
BASELINE = "@baseline"

Rows = tuple[Result | NotMeasured, ...]


@dataclass(frozen=True)
class Wanted:
    """What is measured, where and how, and what it is held against.

    Attributes:
        targets: addresses.
        inputs: a file of samples; None: seeded noise.
        baseline: as `edgeship.baselines.find` takes it; None: nothing.
        allowed: share by which a figure may become worse than the baseline's.
        label: of the session in the history; empty without one.
    """

    files: tuple[Path, ...]
    targets: tuple[str, ...]
    inputs: Path | None
    plan: Plan
    baseline: str | None = None
    allowed: float = 0.0
    label: str = ""


@dataclass(frozen=True)
class Found:
    """Rows of all files, those of the baseline's too where they were measured beside them.

    Attributes:
        artifacts: those of the rows, by the same ids.
        baseline: what it is, in words; empty without one.
        judged: against it.
        notes: what a person should know beside the rows.
        created: when, in ISO 8601.
    """

    rows: Rows
    artifacts: tuple[Artifact, ...] = ()
    baseline: str = ""
    judged: tuple[Judged, ...] = ()
    notes: tuple[str, ...] = ()
    created: str = ""


def benchmark(wanted: Wanted, progress: ProgressCallback) -> Found:
    """Measure, judge, remember. A history that cannot be written costs a note.

    Raises:
        ArtifactError: a file is no exported model.
        DataError: the samples do not fit.
        InputError: the targets, the label or the baseline are none.
    """
    started = datetime.now(UTC).isoformat(timespec="seconds")
    if wanted.label:
        check_label(wanted.label)
    plain = find_artifacts(wanted.files)
    own = told_apart(plain)
    mine = {named.id: artifact for named, artifact in zip(own, plain, strict=True)}
    names = tuple(dict.fromkeys(map(name_of, plain)))
    baseline = None if wanted.baseline is None else find(wanted.baseline, names)
    pairs = _pairs(mine, baseline) if baseline is not None else {}
    others = {old.id: old for new, old in pairs.values() if new.sha256 != old.sha256}
    artifacts = (*others.values(), *own)
    rows = measure(artifacts, wanted, progress)
    ours = [(mine[row.artifact], row) for row in rows if row.artifact in mine]
    results = [(artifact, row) for artifact, row in ours if isinstance(row, Result)]
    judged: tuple[Judged, ...] = side_by_side(rows, pairs, wanted.allowed)
    notes: tuple[str, ...] = ()
    if baseline is not None and baseline.records:
        history, notes = _history(names)
        judged = recorded(ours, baseline.records, history, wanted.allowed)
    notes += remember("benchmark", results, wanted.label)
    return Found(rows, artifacts, baseline.said if baseline is not None else "", judged, notes, started)


def _history(names: Sequence[str]) -> tuple[list[Record], tuple[str, ...]]:
    """Earlier results, and a note where they cannot be had."""
    try:
        return store.read(names=names), ()
    except HistoryError as error:
        return [], (f"the noise between sessions is unknown: {error.message}",)


def _pairs(mine: Mapping[str, Artifact], baseline: Baseline) -> dict[str, tuple[Artifact, Artifact]]:
    """Each new artifact and its counterpart: that of the same format and variant; two single files go together.

    None where the baseline is of another time. Raises InputError where it has nothing of what is measured.
    """
    theirs = {artifact.id: artifact for artifact in baseline.artifacts}
    if len(theirs) < len(baseline.artifacts):
        raise InputError(f"{baseline.said}: a format and variant are there twice", remedy="Give one of them.")
    if len(mine) == len(theirs) == 1:
        theirs = dict(zip((artifact.id for artifact in mine.values()), theirs.values(), strict=True))
    found = {name: (new, theirs[new.id]) for name, new in mine.items() if new.id in theirs}
    recorded_too = any(is_of(item, new, name) for item in baseline.records for name, new in mine.items())
    if not found and not recorded_too:
        has = dict.fromkeys((*theirs, *(item.result.artifact for item in baseline.records)))
        raise InputError(
            f"nothing to compare: {baseline.said} has {', '.join(has)}, not {', '.join(mine)}",
            remedy="Give a build or a file of the same format and variant.",
        )
    return {
        name: (new, replace(old, variant=f"{name.removeprefix(f'{new.format}/')}{BASELINE}"))
        for name, (new, old) in found.items()
    }


def measure(artifacts: Sequence[Artifact], wanted: Wanted, progress: ProgressCallback) -> Rows:
    """Measure artifacts with ids of their own interleaved on each target, on several boards at once.

    Of a target that is not there, and of a file that it cannot run, the rows say why; the others go on.
    """
    places = [plugins.target(address) for address in wanted.targets]
    specs = artifacts[0].inputs
    arrays = _noise(specs, wanted.plan.seed) if wanted.inputs is None else load_inputs(wanted.inputs, specs)

    def on(place: Target) -> Sequence[Result | NotMeasured]:
        try:
            return place.measure(artifacts, arrays, wanted.plan, progress)
        except InputError:
            raise
        except EdgeshipError as error:
            why = (place.name, "", error.message, error.remedy, type(error).__name__)
            return [NotMeasured(artifact.id, *why) for artifact in artifacts]

    return tuple(row for rows in machines.each(places, on) for row in rows)


def told_apart(artifacts: Sequence[Artifact]) -> list[Artifact]:
    """With ids that tell files of the same format and variant apart: by what differs in their paths, else by number.

    A file of others has its name in place of a variant.
    """
    found: list[Artifact] = []
    for artifact in artifacts:
        alike = [a.entry.absolute() for a in artifacts if a.id == artifact.id]
        shared = Path(os.path.commonpath([entry.parent for entry in alike]))
        path = artifact.entry.absolute().relative_to(shared)
        name = artifact.variant if len(alike) == 1 else f"{artifact.variant}:{path.as_posix()}"
        if artifact.variant == "foreign":
            name = path.with_suffix("").as_posix()
        again = sum(a.entry.absolute() == artifact.entry.absolute() for a in found)
        number = f"#{again + 1}" if again else ""
        found.append(replace(artifact, variant=f"{name}{number}"))
    return found


def _noise(specs: Sequence[TensorSpec], seed: int) -> dict[str, Array]:
    rng = np.random.default_rng(seed)
    arrays: dict[str, Array] = {}
    for spec in specs:
        shape = (measuring.BENCHMARK_SAMPLES, *(1 if d is None else d for d in spec.shape[1:]))
        real = np.dtype(spec.dtype).kind == "f" or spec.quantization is not None
        arrays[spec.name] = rng.random(shape, np.float32) if real else rng.integers(0, 2, shape).astype(spec.dtype)
    return arrays
