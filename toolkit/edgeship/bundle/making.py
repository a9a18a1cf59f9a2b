"""Writing a bundle from a build folder."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

from edgeship import golden as golden_samples
from edgeship import manifest as manifests
from edgeship import plugins
from edgeship.artifact import hash_files
from edgeship.bundle.choosing import choose
from edgeship.bundle.contents import describe, golden_names
from edgeship.bundle.reading import listing, verify_bundle
from edgeship.encodings import SUFFIXES, smallest
from edgeship.errors import ArtifactError, OutputError
from edgeship.files import whole_folder, write_text
from edgeship.golden import Golden
from edgeship.report import schema
from edgeship.report.store import LIMIT_BYTES, loads
from edgeship.types import (
    NO_BUDGET,
    Artifact,
    Budget,
    Bundle,
    BundleFile,
    FileEntry,
    Manifest,
    ModelCard,
    Stored,
)


@dataclass(frozen=True)
class Wishes:
    """What a bundle is to be beyond what its build says.

    Attributes:
        artifact: `format/variant` of the file to deliver; None: the TFLite file with the fewest bytes to deliver.
        budget: what the self-test on devices holds the model to.
        card: what a person should know before using the model.
    """

    artifact: str | None = None
    budget: Budget = NO_BUDGET
    card: ModelCard | None = None


def device_bundle(build: Path, out: Path, wishes: Wishes = Wishes(), *, force: bool = False) -> Bundle:
    """Write a device bundle from a build folder; it appears at `out` whole or not at all.

    The file is run once more on its golden inputs before it is delivered. With `force` an earlier bundle at `out` is
    replaced; a folder with anything else in it is never touched, because a bundle holds nothing but itself.

    Raises:
        GateFailed: the file that was asked for, or every TFLite file, is not verified or failed its gates.
        InputError: the build is not one, has no such file or no golden samples, or contradicts itself.
        OutputError: `out` holds something else.
    """
    earlier = _check_out(out)
    report_text = schema.read_text(build / "report.json", LIMIT_BYTES)
    report = loads(report_text, build, str(build / "report.json"))
    artifact = choose(report, wishes.artifact)
    golden = golden_samples.load(build, artifact)
    runtime = plugins.runtimes_for(artifact.format)[0]
    tolerances = golden_samples.tolerances(artifact, golden, runtime.name)
    golden_samples.check(artifact, golden, runtime.run(artifact, golden.inputs), tolerances[0])
    manifest = describe(report_text, report, artifact, golden, tolerances)
    with whole_folder(out) as folder:
        text = write_bundle(folder, replace(manifest, budget=wishes.budget, card=wishes.card), artifact, golden)
        if earlier not in (None, text.encode()) and not force:
            raise OutputError(f"{out} holds another bundle", remedy="Choose another --out, or replace it with --force.")
    return verify_bundle(out)


def write_bundle(
    folder: Path, manifest: Manifest, artifact: Artifact, golden: Golden, encodings: Collection[str] = tuple(SUFFIXES)
) -> str:
    """Write the files of a bundle, each in the smallest of some encodings; the text of its manifest.

    Args:
        folder: empty.
        manifest: what `describe` says, to which the files are added.
        artifact: whose files they are.
        golden: samples to add.
        encodings: that its clients decode.
    """
    entries = hash_files(folder, _write_files(folder, artifact, golden))
    files = tuple(_store(folder, entry, encodings) for entry in entries)
    text = manifests.written(replace(manifest, files=files)).decode()
    schema.check(schema.parse(text, manifests.NAME), manifests.SCHEMA, manifests.NAME)
    write_text(folder / manifests.NAME, text)
    return text


def _store(folder: Path, entry: FileEntry, encodings: Collection[str]) -> BundleFile:
    """Replace a file by its smallest compressed form where that pays."""
    plain = folder / entry.name
    found = smallest(plain.read_bytes(), encodings)
    if found is None:
        return BundleFile(entry.name, entry.sha256, entry.size_bytes, None)
    encoding, content = found
    name = entry.name + SUFFIXES[encoding]
    (folder / name).write_bytes(content)
    plain.unlink()
    stored = Stored(name, encoding, hashlib.sha256(content).hexdigest(), len(content))
    return BundleFile(entry.name, entry.sha256, entry.size_bytes, stored)


def _check_out(out: Path) -> bytes | None:
    """The manifest of an earlier bundle at `out`; None where there is nothing. Raises OutputError for all else."""
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise OutputError(f"{out} is not a folder", remedy="Choose another place with --out.")
    if not out.exists() or not any(out.iterdir()):
        return None
    foreign = OutputError(f"{out} holds files that are not a bundle's", remedy="Choose a new folder with --out.")
    try:
        manifest, content = manifests.read_file(out / manifests.NAME)
    except ArtifactError as error:
        raise foreign from error
    if not {manifests.NAME, *(entry.wire.name for entry in manifest.files)}.issuperset(listing(out)):
        raise foreign
    return content


def _write_files(folder: Path, artifact: Artifact, golden: Golden) -> list[str]:
    """Copy the model and save the golden samples; names relative to `folder`, the model first."""
    import numpy as np

    for entry in artifact.files:
        shutil.copyfile(artifact.path / entry.name, folder / entry.name)
    (folder / "golden").mkdir()
    names = golden_names(golden)
    for side, arrays in (("inputs", golden.inputs), ("outputs", golden.outputs)):
        for name, array in arrays.items():
            np.save(folder / names[side][name], array, allow_pickle=False)
    return [*(entry.name for entry in artifact.files), *names["inputs"].values(), *names["outputs"].values()]
