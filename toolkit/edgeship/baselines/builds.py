"""What a build said, from its folder, from its `report.json` alone, or from a bundle that was made of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from edgeship import manifest as manifests
from edgeship import report as reports
from edgeship.errors import InputError
from edgeship.report.store import NAME as REPORT
from edgeship.report.view import Row, Status, rows
from edgeship.slices import membership
from edgeship.slices.definitions import Slice
from edgeship.types import Array, Change, Manifest, ManifestLatency, Report

#: Per-sample results of a file that may come from anywhere.
_LIMIT_BYTES = 1 << 30


@dataclass(frozen=True)
class Kept:
    """One exported file, as it was kept.

    Attributes:
        sha256: `Artifact.sha256`.
        wire_bytes: as it is delivered; None where that was not measured.
        metric: on `n` test samples, in the metric's own unit; None without one.
        drop: from the original model on the same samples.
        results: of each test sample, by runtime: (N,) or (N, K) (see `Metric.per_sample`); empty where not kept.
        latencies: summaries that a bundle has.
    """

    artifact: str
    sha256: str
    status: Status
    size_bytes: int
    wire_bytes: int | None
    metric: float | None
    drop: Change | None
    n: int
    results: Mapping[str, Array] = field(default_factory=dict)
    latencies: tuple[ManifestLatency, ...] = ()


@dataclass(frozen=True)
class Build:
    """What a build said; all of it is in memory, so that its folder may be replaced.

    Attributes:
        said: what it is, in words.
        model, data: SHA-256 of the trained model and of the data; `data` is None without any.
        files: by `format/variant`.
        slices: of the test samples; empty where not kept.
        samples: SHA-256 of the test samples whatever they are called; empty where not kept.
        report: None for a bundle.
    """

    said: str
    created: str
    model: str
    data: str | None
    metric: str | None
    direction: Literal["maximize", "minimize"] | None
    files: Mapping[str, Kept]
    slices: tuple[Slice, ...] = ()
    samples: str = ""
    report: Report | None = None


def open_build(path: Path) -> Build:
    """Read a build folder, its `report.json`, or a bundle.

    Raises InputError where it is none of them, or damaged.
    """
    if path.is_dir() and not (path / REPORT).is_file() and (path / manifests.NAME).is_file():
        return _of_bundle(path)
    if path.is_file() and path.name == manifests.NAME:
        return _of_bundle(path.parent)
    if path.is_file() or (path / REPORT).is_file():
        report = reports.read(path)
        folder = path if path.is_dir() else path.parent
        return of_report(report, folder, f"{path}, a build of {report.created[:16].replace('T', ' ')}")
    raise InputError(
        f"{path} is no build" if path.exists() else f"there is no {path}",
        remedy="Give a build folder, its report.json, or the folder of a bundle (--for device).",
    )


def of_report(report: Report, folder: Path, said: str) -> Build:
    """A report with the per-sample results in its folder; nothing outside of that is read.

    Raises InputError where those are damaged, or links that lead out.
    """
    kept = report.baseline
    there = kept is not None and _inside(kept.path / membership.NAME, folder)
    samples = membership.read(kept.path) if kept is not None and there else membership.Kept()
    return Build(
        said=said,
        created=report.created,
        model=report.source.sha256,
        data=report.dataset.sha256 if report.dataset is not None else None,
        metric=report.metric,
        direction=report.metric_direction,
        files={row.artifact.id: _file(report, row, folder) for row in rows(report)},
        slices=samples.slices,
        samples=samples.samples,
        report=report,
    )


def _inside(path: Path, folder: Path) -> bool:
    """Whether something is kept there; in a `report.json` that lies alone nothing is."""
    if not path.exists():
        return False
    if not path.resolve().is_relative_to(folder.resolve()):
        raise InputError(f"{path} leads out of {folder}", remedy="Run the build again.")
    return True


def _file(report: Report, row: Row, folder: Path) -> Kept:
    artifact, gate = row.artifact, row.drop
    found: dict[str, Array] = {}
    for key, prediction in report.predictions.items():
        name, _, runtime = key.partition(" ")
        mine = name == artifact.id and _inside(prediction.path / "per_sample.npy", folder)
        results = _results(prediction.path, prediction.n) if mine else None
        if results is not None:
            found[runtime] = results
    drop = Change(gate.value, gate.interval, gate.unit) if gate is not None and gate.interval else None
    n = gate.n if gate is not None else 0
    sizes = (artifact.size_bytes, report.wire_bytes(artifact))
    return Kept(artifact.id, artifact.sha256, row.status, *sizes, row.metric, drop, n, found)


def _results(folder: Path, n: int) -> Array | None:
    """Per-sample results; None where there is no file. Raises InputError for a damaged one."""
    path = folder / "per_sample.npy"
    if not path.is_file():
        return None
    try:
        if path.stat().st_size > _LIMIT_BYTES:
            raise InputError(f"{path} is larger than {_LIMIT_BYTES:,} bytes")
        # Mapped first, so that a header that claims more than there is takes no memory.
        found: Any = np.array(np.load(path, mmap_mode="r", allow_pickle=False))
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path} cannot be read: {error}", remedy="Run the build again.") from error
    if not isinstance(found, np.ndarray) or found.dtype.kind not in "fiub" or found.shape[:1] != (n,):
        raise InputError(f"{path} does not hold the results of {n} samples", remedy="Run the build again.")
    return found


def _of_bundle(path: Path) -> Build:
    from edgeship.bundle import verify_bundle

    verify_bundle(path)
    manifest, _ = manifests.read_file(path / manifests.NAME)
    line, metric = manifest.lineage, manifest.metric
    return Build(
        said=f"{path}, a bundle of {manifest.artifact} of {manifest.created[:16].replace('T', ' ')}",
        created=manifest.created,
        model=line.source.sha256,
        data=line.dataset.sha256 if line.dataset is not None else None,
        metric=metric.name if metric is not None else None,
        direction=metric.direction if metric is not None else None,
        files={manifest.artifact: _bundled(manifest)},
    )


def _bundled(manifest: Manifest) -> Kept:
    """The model of a bundle; a bundle is made of nothing but files that passed."""
    files = [entry for entry in manifest.files if not entry.name.startswith("golden/")]
    wire = sum(entry.stored.size_bytes if entry.stored is not None else entry.size_bytes for entry in files)
    plain = sum(entry.size_bytes for entry in files)
    drop = manifest.metric.drop if manifest.metric is not None else None
    change = Change(drop.value, drop.interval, drop.unit) if drop is not None and drop.interval else None
    value = manifest.metric.value if manifest.metric is not None else None
    n = drop.n if drop is not None else 0
    sha256 = files[0].sha256 if len(files) == 1 else ""
    latencies = tuple(manifest.latency)
    return Kept(manifest.artifact, sha256, "pass", plain, wire, value, change, n, latencies=latencies)
