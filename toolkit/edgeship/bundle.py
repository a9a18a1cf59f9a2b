"""Device bundles: one verified TFLite file with all that a device needs to use it and to check itself.

    manifest.json             schema `edgeship.manifest/1`: names and hashes all the rest
    model.tflite              of the files of the build that passed, the one with the fewest bytes to deliver
    golden/input_0.npy ...    a few test inputs
    golden/output_0.npy ...   what the file gives for them

A file that gets smaller by it is stored compressed, as `model.tflite.br` or `.zst`; the manifest says how. Made from a
build folder alone; the same build gives the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from edgeship import golden as golden_samples
from edgeship import plugins
from edgeship.artifact import hash_files
from edgeship.codec import from_data, to_data
from edgeship.encodings import MAX_BYTES, SUFFIXES, decode, smallest
from edgeship.errors import ArtifactError, GateFailed, InputError, OutputError
from edgeship.files import whole_folder, write_text
from edgeship.golden import Golden, Tolerance
from edgeship.report import schema
from edgeship.report.store import LIMIT_BYTES, check_files, loads
from edgeship.report.view import rows
from edgeship.types import (
    Artifact,
    Bundle,
    BundleFile,
    FileEntry,
    Measurement,
    Preprocessing,
    Report,
    Stored,
    TensorSpec,
)

SCHEMA = "edgeship.manifest/1"
MANIFEST = "manifest.json"

#: A manifest is read before anything about it is known to be true.
_MANIFEST_LIMIT_BYTES = 4 << 20


def device_bundle(build: Path, out: Path, *, force: bool = False) -> Bundle:
    """Write a device bundle from a build folder; it appears at `out` whole or not at all.

    The file is run once more on its golden inputs before it is delivered. With `force` an earlier bundle at `out` is
    replaced; a folder with anything else in it is never touched, because a bundle holds nothing but itself.

    Raises:
        GateFailed: no TFLite file of the build is verified and passed its gates.
        InputError: the build is not one, has no TFLite file or no golden samples, or contradicts itself.
        OutputError: `out` holds something else.
    """
    earlier = _check_out(out)
    report_text = schema.read_text(build / "report.json", LIMIT_BYTES)
    report = loads(report_text, build, str(build / "report.json"))
    artifact = _choose(report)
    golden = golden_samples.load(build, artifact)
    runtime = plugins.runtimes_for(artifact.format)[0]
    tolerances = golden_samples.tolerances(artifact, golden, runtime.name)
    golden_samples.check(artifact, golden, runtime.run(artifact, golden.inputs), tolerances[0])
    with whole_folder(out) as folder:
        files = [_store(folder, entry) for entry in hash_files(folder, _write_files(folder, artifact, golden))]
        manifest = _manifest(report, artifact, golden, tolerances)
        manifest["files"] = to_data(files)
        manifest["lineage"]["report_sha256"] = hashlib.sha256(report_text.encode()).hexdigest()
        text = json.dumps(manifest, indent=2, allow_nan=False) + "\n"
        schema.check(schema.parse(text, MANIFEST), SCHEMA, MANIFEST)
        if earlier not in (None, text) and not force:
            raise OutputError(f"{out} holds another bundle", remedy="Choose another --out, or replace it with --force.")
        write_text(folder / MANIFEST, text)
    return verify_bundle(out)


def verify_bundle(path: Path) -> Bundle:
    """Check a bundle that may come from anywhere: its manifest, and that the folder holds exactly the files it names.

    Compressed files must decode to what the manifest says.

    Raises ArtifactError naming what is wrong; nothing outside the folder is read, and memory is bounded.
    """
    try:
        text = _manifest_text(path)
        manifest = schema.parse(text, MANIFEST)
        schema.check(manifest, SCHEMA, MANIFEST)
    except InputError as error:
        raise ArtifactError(f"{path} is not a bundle: {error.message}", remedy=error.remedy) from error
    files = tuple(from_data(BundleFile, entry) for entry in manifest["files"])
    _check_names(path, manifest, files)
    for entry in files:
        if (path / entry.wire.name).stat().st_size != entry.wire.size_bytes:
            raise ArtifactError(
                f"{path / entry.wire.name} has not the {entry.wire.size_bytes:,} bytes that {MANIFEST} states"
            )
    for entry, found in zip(files, hash_files(path, [f.wire.name for f in files]), strict=True):
        if entry.wire.sha256 != found.sha256:
            raise ArtifactError(
                f"{path / entry.wire.name} is not the file that {MANIFEST} names: its SHA-256 is another one"
            )
    for entry in files:
        if entry.stored is not None:
            for _ in _decoded(path, entry):
                pass
    digest = hashlib.sha256(text.encode()).hexdigest()
    return Bundle(path, manifest["kind"], manifest["name"], manifest["artifact"], manifest["entry"], digest, files)


def read_file(bundle: Bundle, name: str) -> bytes:
    """A file of a bundle as a device uses it, decoded.

    Raises ArtifactError where the bundle has no such file, or it is not what the manifest says.
    """
    entry = next((entry for entry in bundle.files if entry.name == name), None)
    if entry is None:
        named = ", ".join(entry.name for entry in bundle.files)
        raise ArtifactError(f"{bundle.path} holds no {name!r}", remedy=f"It holds {named}.")
    return b"".join(_decoded(bundle.path, entry))


def _decoded(path: Path, entry: BundleFile) -> Iterator[bytes]:
    """The pieces of a file. Raises ArtifactError, after the last one at the latest, if it is not the named one."""
    where = path / entry.wire.name
    if entry.stored is None:
        pieces: Iterable[bytes] = (where.read_bytes(),)
    else:
        pieces = decode(where.read_bytes(), entry.stored.encoding, entry.size_bytes)
    digest = hashlib.sha256()
    try:
        for piece in pieces:
            digest.update(piece)
            yield piece
    except ArtifactError as error:
        raise ArtifactError(f"{where}: {error.message}", remedy=error.remedy) from error
    if digest.hexdigest() != entry.sha256:
        raise ArtifactError(f"{where} is not {entry.name} as {MANIFEST} names it: the SHA-256 is another one")


def _store(folder: Path, entry: FileEntry) -> BundleFile:
    """Replace a file by its smallest compressed form where that pays."""
    plain = folder / entry.name
    found = smallest(plain.read_bytes())
    if found is None:
        return BundleFile(entry.name, entry.sha256, entry.size_bytes)
    encoding, content = found
    name = entry.name + SUFFIXES[encoding]
    (folder / name).write_bytes(content)
    plain.unlink()
    stored = Stored(name, encoding, hashlib.sha256(content).hexdigest(), len(content))
    return BundleFile(entry.name, entry.sha256, entry.size_bytes, stored)


def _choose(report: Report) -> Artifact:
    """Of the TFLite files that passed, the one with the fewest bytes to deliver; its sidecar and hashes confirm it."""
    offered = [a for a in report.artifacts if a.format == "tflite"]
    if not offered:
        raise InputError(
            f"the build {report.name} has no TFLite file, which devices need",
            remedy="Build it: edgeship build MODEL --to tflite",
        )
    passed = [a for a in offered if a.verification == "passed"]
    if not passed:
        states = ", ".join(f"{a.id} {a.verification}" for a in offered)
        raise GateFailed(
            f"no TFLite file of {report.name} may be delivered: {states}",
            remedy="report.html of the build says why; a larger variant or another recipe may pass.",
        )
    chosen = passed[0] if len(passed) == 1 else min(passed, key=lambda a: (_wire_bytes(report, a), a.id))
    check_files((chosen,))
    return chosen


def _wire_bytes(report: Report, artifact: Artifact) -> int:
    from edgeship_benchmarks.sizes import sizes

    measured = report.wire_bytes(artifact)
    return sizes(artifact).wire_bytes if measured is None else measured


def _check_out(out: Path) -> str | None:
    """The manifest of an earlier bundle at `out`; None where there is nothing. Raises OutputError for all else."""
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise OutputError(f"{out} is not a folder", remedy="Choose another place with --out.")
    if not out.exists() or not any(out.iterdir()):
        return None
    try:
        text = _manifest_text(out)
        manifest = schema.parse(text, MANIFEST)
        schema.check(manifest, SCHEMA, MANIFEST)
        ours = {MANIFEST, *((entry["stored"] or entry)["name"] for entry in manifest["files"])}
    except InputError:
        ours = set()
    if not ours.issuperset(_listing(out)):
        raise OutputError(f"{out} holds files that are not a bundle's", remedy="Choose a new folder with --out.")
    return text


def _manifest_text(path: Path) -> str:
    file = path / MANIFEST
    if file.is_symlink() or not file.is_file():
        raise InputError(f"it has no {MANIFEST}")
    return schema.read_text(file, _MANIFEST_LIMIT_BYTES)


def _listing(folder: Path) -> list[str]:
    """Names of everything in a folder that is no plain folder itself; links are named, never followed."""
    found = []
    for place, folders, files in os.walk(folder):
        names = [*files, *(name for name in folders if (Path(place) / name).is_symlink())]
        found += [(Path(place) / name).relative_to(folder).as_posix() for name in names]
    return sorted(found)


def _check_names(path: Path, manifest: Mapping[str, Any], files: tuple[BundleFile, ...]) -> None:
    """The schema has refused absolute names and `..`; here names meet the folder and each other."""
    names = [entry.name for entry in files]
    stored = [entry.wire.name for entry in files]
    # Decoding writes the plain names beside the stored ones: none may stand for two files.
    every = {name.casefold() for name in (MANIFEST, *names, *(entry.stored.name for entry in files if entry.stored))}
    if len(every) != 1 + len(names) + sum(entry.stored is not None for entry in files):
        raise ArtifactError(f"{path}: {MANIFEST} names a file twice")
    total = sum(entry.size_bytes for entry in files)
    if total > MAX_BYTES:
        raise ArtifactError(f"{path}: the files of {MANIFEST} take {total:,} bytes, {MAX_BYTES:,} are allowed")
    present = set(_listing(path)) - {MANIFEST}
    for missing in sorted(set(stored) - present):
        raise ArtifactError(f"{path}: {missing} is missing")
    for extra in sorted(present - set(stored)):
        raise ArtifactError(f"{path}: {extra!r} is not named in {MANIFEST}")
    for name in stored:
        if (path / name).is_symlink() or not (path / name).is_file():
            raise ArtifactError(f"{path}: {name} is a link or no regular file")
    golden = manifest["golden"]
    for name in (manifest["entry"], *golden["inputs"].values(), *golden["outputs"].values()):
        if name not in names:
            raise ArtifactError(f"{path}: {MANIFEST} speaks of {name!r} but does not name it among the files")


def _write_files(folder: Path, artifact: Artifact, golden: Golden) -> list[str]:
    """Copy the model and save the golden samples; names relative to `folder`, the model first."""
    import numpy as np

    for entry in artifact.files:
        shutil.copyfile(artifact.path / entry.name, folder / entry.name)
    (folder / "golden").mkdir()
    names = _golden_names(golden)
    for side, arrays in (("inputs", golden.inputs), ("outputs", golden.outputs)):
        for name, array in arrays.items():
            np.save(folder / names[side][name], array, allow_pickle=False)
    return [*(entry.name for entry in artifact.files), *names["inputs"].values(), *names["outputs"].values()]


def _golden_names(golden: Golden) -> dict[str, dict[str, str]]:
    return {
        "inputs": {name: f"golden/input_{i}.npy" for i, name in enumerate(golden.inputs)},
        "outputs": {name: f"golden/output_{i}.npy" for i, name in enumerate(golden.outputs)},
    }


def _manifest(report: Report, artifact: Artifact, golden: Golden, tolerances: tuple[Tolerance, ...]) -> dict[str, Any]:
    """All of the manifest but the hashes of files."""
    return {
        "schema": SCHEMA,
        "kind": "device",
        "name": report.name,
        "created": report.created,
        "artifact": artifact.id,
        "format": artifact.format,
        "variant": artifact.variant,
        "entry": artifact.files[0].name,
        "files": [],
        "inputs": [_input(spec, artifact.preprocessing, report, golden) for spec in artifact.inputs],
        "outputs": [{**to_data(s), "range": golden.output_ranges.get(s.name)} for s in artifact.outputs],
        "labels": list(artifact.labels),
        "golden": {
            "samples": golden.n,
            **_golden_names(golden),
            "tolerances": [to_data(tolerance) for tolerance in tolerances],
        },
        "metric": _metric(report, artifact),
        "latency": [_latency(m) for m in report.measurements if m.artifact == artifact.id],
        "lineage": _lineage(report, artifact),
    }


def _input(spec: TensorSpec, preprocessing: Preprocessing, report: Report, golden: Golden) -> dict[str, Any]:
    given = next((s.dtype for s in report.source.inputs if s.name == spec.name), str(golden.inputs[spec.name].dtype))
    steps = ["quantize"] if spec.quantization is not None else []
    return {
        **to_data(spec),
        "range": golden.input_ranges.get(spec.name),
        "preprocessing": {**to_data(preprocessing), "given_dtype": given, "steps": steps},
    }


_DROP = ("value", "interval", "unit", "limit", "n")


def _metric(report: Report, artifact: Artifact) -> dict[str, Any] | None:
    row = next(row for row in rows(report) if row.artifact.id == artifact.id)
    if report.metric is None:
        return None
    gate = row.drop
    return {
        "name": report.metric,
        "direction": report.metric_direction,
        "value": row.metric,
        "baseline": report.baseline.metric if report.baseline else None,
        "drop": {name: to_data(getattr(gate, name)) for name in _DROP} if gate else None,
    }


def _latency(measurement: Measurement) -> dict[str, Any]:
    from edgeship_benchmarks import stats

    summary = stats.summary(measurement)
    return {
        "target": measurement.target,
        "provenance": measurement.provenance,
        "runtime": measurement.runtime,
        "threads": measurement.threads,
        "median_ms": summary.median_ms,
        "interval_ms": to_data(summary.interval_ms),
        "p90_ms": summary.p90_ms,
        "n": summary.n,
        "device": dict(measurement.device.facts),
    }


def _lineage(report: Report, artifact: Artifact) -> dict[str, Any]:
    source, data = report.source, report.dataset
    return {
        "source": {
            "name": source.path.name,
            "kind": source.kind,
            "sha256": source.sha256,
            "parameters": source.parameters,
        },
        "dataset": {"name": data.name, "task": data.task, "sha256": data.sha256, "counts": dict(data.counts)}
        if data
        else None,
        "recipe": dict(report.recipe),
        "made_by": dict(artifact.made_by),
        "environment": dict(report.environment),
    }
