"""Latencies of files that were not measured, from measurements of others: what `edgeship estimate` does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgeship import artifact as sidecar
from edgeship import codec
from edgeship.benchmarking import told_apart
from edgeship.child import Limits, Worker
from edgeship.errors import EdgeshipError, InputError
from edgeship.history import store as history
from edgeship.inspection.opening import MEMORY_MIB
from edgeship.report import schema, store
from edgeship.types import (
    CHANGING_FACTS,
    NO_GPU,
    Artifact,
    DeviceInfo,
    Estimate,
    Measurement,
    NotMeasured,
    Progress,
    ProgressCallback,
)
from edgeship_benchmarks.estimation import fit, work
from edgeship_benchmarks.estimation.work import Work
from edgeship_benchmarks.measuring import not_measured
from edgeship_benchmarks.stats import summary

#: The word for what this machine has measured so far (`edgeship history`).
HISTORY = Path("history")
#: Largest file of results that is read.
_LIMIT_BYTES = 256 << 20
#: Files of a folder that are looked at.
_SUFFIXES = (".tflite", ".onnx")
#: Facts that tell one device from another; phones and browsers do not name their processor.
_DEVICE = ("machine", "board", "cpu", "cores", "model", "soc", "build", "user_agent", "gpu", "software_gpu")

#: A measurement, and the file that was measured.
Known = tuple[Measurement, Artifact]


@dataclass(frozen=True)
class _Place:
    """Where and how something was measured; only what is equal in all of it can be compared."""

    target: str
    runtime: str
    threads: int
    device: tuple[str, ...]


def estimate(
    files: Sequence[Path], sources: Sequence[Path], progress: ProgressCallback
) -> tuple[Estimate | NotMeasured, ...]:
    """A row for each file and each place where something was measured.

    Args:
        files: exported files or build folders that were not measured.
        sources: build folders, JSON documents of `edgeship benchmark --json`, `HISTORY`, and the files (or folders of
            files) that those are about.
        progress: told meanwhile.

    Raises:
        ArtifactError, InputError: for what cannot be read, or sources in which nothing was measured.
    """
    return from_known(told_apart(_artifacts(files)), read_known(sources), progress)


def read_known(sources: Sequence[Path]) -> list[Known]:
    """Measurements and their files, from what `estimate` takes as sources. They belong together by their SHA-256."""
    measurements: list[Measurement] = []
    artifacts: list[Artifact] = []
    for path in sources:
        if (path / store.NAME).is_file():
            report = store.read(path)
            measurements += report.measurements
            artifacts += report.artifacts
        elif path == HISTORY:
            measurements += [m for record in history.read() if isinstance(m := record.result, Measurement)]
        elif path.suffix == ".json" and path.is_file() and path.name not in ("model.json", "artifact.json"):
            measurements += _measurements(path)
        else:
            artifacts += _artifacts([path])
    by_hash = {artifact.sha256: artifact for artifact in artifacts}
    known = [(m, by_hash[m.artifact_sha256]) for m in measurements if m.artifact_sha256 in by_hash]
    if not known:
        what = "no measurement of them is of a file that was given" if measurements else "nothing was measured in them"
        raise InputError(
            f"{', '.join(map(str, sources))}: {what}",
            remedy="Give build folders, or results of edgeship benchmark --json, or history, together with the files.",
        )
    return known


def _artifacts(paths: Sequence[Path]) -> list[Artifact]:
    """Exported files from paths of files, artifact folders, build folders and folders of such files; nothing runs."""
    found: list[Artifact] = []
    for path in paths:
        built = sorted(path.glob(f"artifacts/*/*/{sidecar.SIDECAR}")) if path.is_dir() else []
        plain = sorted(p for p in path.glob("*") if p.suffix in _SUFFIXES) if path.is_dir() else []
        if built or (path / sidecar.SIDECAR).is_file() or not plain:
            found += [sidecar.read_artifact(file.parent) for file in built] or [sidecar.read_artifact(path)]
        else:
            found += map(sidecar.read_artifact, plain)
    return found


def _measurements(path: Path) -> list[Measurement]:
    """What was measured, from the document of `edgeship benchmark --json`. Raises InputError."""
    document = schema.parse(schema.read_text(path, _LIMIT_BYTES), str(path))
    found = document.get("measurements") if isinstance(document, dict) else None
    if not isinstance(found, list):
        raise InputError(f"{path} holds no measurements", remedy="Write it with: edgeship benchmark FILES --json")
    return [codec.from_data(Measurement, item) for item in found]


def from_known(
    artifacts: Sequence[Artifact], known: Iterable[Known], progress: ProgressCallback
) -> tuple[Estimate | NotMeasured, ...]:
    """A row for each artifact and each (target, runtime, threads, device) among the measurements.

    What cannot be estimated is a NotMeasured row: fewer than `fit.MIN_FILES` different files, a file outside of the
    range of those that were measured, operators that cannot be counted, or software that stood for a GPU.
    """
    places: dict[_Place, list[Known]] = {}
    for m, artifact in known:
        device = tuple(m.device.facts.get(name, "") for name in _DEVICE)
        places.setdefault(_Place(m.target, m.runtime, m.threads, device), []).append((m, artifact))
    counted = _count({a.sha256: a for a in (*artifacts, *(a for found in places.values() for _, a in found))}, progress)
    rows: list[Estimate | NotMeasured] = []
    for artifact in artifacts:
        for place, found in places.items():
            try:
                rows.append(_row(artifact, place, found, counted))
            except EdgeshipError as error:
                rows.append(not_measured(artifact, place.target, error, place.runtime))
    return tuple(rows)


def _count(artifacts: Mapping[str, Artifact], progress: ProgressCallback) -> dict[str, Work | EdgeshipError]:
    """The work of each file by its SHA-256, or why it cannot be counted."""
    found: dict[str, Work | EdgeshipError] = {}
    with Worker(Limits(memory_mib=MEMORY_MIB)) as worker:
        for done, (sha256, artifact) in enumerate(artifacts.items()):
            progress(Progress("count", done, len(artifacts), artifact.id))
            try:
                found[sha256] = worker.call(work.read, path=artifact.entry)
            except EdgeshipError as error:
                found[sha256] = error
    progress(Progress("count", len(artifacts), len(artifacts)))
    return found


def _row(
    artifact: Artifact, place: _Place, known: Sequence[Known], counted: Mapping[str, Work | EdgeshipError]
) -> Estimate:
    if known[0][0].on_software_gpu:
        raise InputError(NO_GPU)
    formats = sorted({a.format for _, a in known})
    if artifact.format not in formats:
        raise InputError(f"only {' and '.join(formats)} files were measured in {place.runtime}")
    medians: dict[str, list[float]] = {}
    for m, a in known:
        medians.setdefault(a.sha256, []).append(summary(m).median_ms)
    measured = [(_known_work(counted[sha256]), sorted(ms)[len(ms) // 2]) for sha256, ms in medians.items()]
    model = fit.fit(measured)
    new = _known_work(counted[artifact.sha256])
    if new.uncounted:
        raise InputError(f"operators that cannot be counted: {', '.join(new.uncounted)}", remedy="Measure the file.")
    facts = {k: v for k, v in known[0][0].device.facts.items() if k.removesuffix("_after") not in CHANGING_FACTS}
    threads = "1 thread" if place.threads == 1 else f"{place.threads} threads"
    return Estimate(
        artifact=artifact.id,
        artifact_sha256=artifact.sha256,
        target=place.target,
        runtime=place.runtime,
        device=DeviceInfo(place.target, "estimated", facts),
        basis=f"fitted on {model.files} files measured there, {threads}: {model.sentence()}",
        fitted_ms=model.predict(new),
        leave_one_out_error=model.median_error,
        notes=_notes(artifact, known),
    )


def _known_work(found: Work | EdgeshipError) -> Work:
    if isinstance(found, EdgeshipError):
        raise found
    return found


def _notes(artifact: Artifact, known: Sequence[Known]) -> tuple[str, ...]:
    notes = []
    unstable = sum(summary(m).unstable for m, _ in known)
    if unstable:
        notes.append(f"{unstable} of the {len(known)} measurements that it rests on are unstable: measure them again")
    if any(a.sha256 == artifact.sha256 for _, a in known):
        notes.append("this very file was measured there: look at its measurement instead")
    return tuple(notes)
