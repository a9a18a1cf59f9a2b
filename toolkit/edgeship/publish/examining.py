"""The golden samples of a bundle, run before it is signed: what fails here would fail on every device."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from edgeship import golden as golden_samples
from edgeship import plugins
from edgeship.encodings import decode
from edgeship.errors import ArtifactError, UnavailableError
from edgeship.golden import Golden
from edgeship.publish.cautions import Caution
from edgeship.types import Artifact, Bundle, FileEntry, Manifest, ManifestInput, ManifestOutput, TensorSpec, Tolerance

if TYPE_CHECKING:
    from edgeship.contracts import Runtime
    from edgeship.types import Array


def examine(bundle: Bundle, manifest: Manifest) -> Caution | None:
    """Run a bundle's file on its golden samples, in a child, by the runtime that runs it where it is delivered.

    Returns None where it passed, else why it was not run: the runtime is not installed here.

    Raises ArtifactError for a file that is further from its golden outputs than its manifest allows, or does not run.
    """
    runtimes = plugins.runtimes_for(manifest.format)
    usable = next((found for found in runtimes if not found.missing()), None)
    what = f"{manifest.format}/{manifest.variant}"
    if usable is None:
        remedy = runtimes[0].remedy if runtimes else f"nothing installed runs {manifest.format}"
        return Caution("not-run", f"the golden samples of {what} were not run here; for that: {remedy}")
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        try:
            _unpack(bundle, folder)
            _check(usable, manifest, folder)
        except UnavailableError as error:
            return Caution("not-run", f"the golden samples of {what} were not run here: {error.message}")
        except ArtifactError as error:
            raise ArtifactError(
                f"{bundle.path} fails its own self-test, as it would on every device: {error.message}",
                remedy=error.remedy,
            ) from error
    return None


def _check(runtime: Runtime, manifest: Manifest, folder: Path) -> None:
    names = manifest.golden
    golden = Golden(_arrays(folder, names.inputs), _arrays(folder, names.outputs), {}, {})
    artifact = _artifact(manifest, folder)
    found = runtime.run(artifact, golden.inputs)
    golden_samples.check(artifact, golden, found, _tolerance(manifest, runtime.name))


def _unpack(bundle: Bundle, folder: Path) -> None:
    """All files of a bundle as they are used."""
    for entry in bundle.files:
        plain = folder / entry.name
        plain.parent.mkdir(parents=True, exist_ok=True)
        content = (bundle.path / entry.wire.name).read_bytes()
        pieces = [content] if entry.stored is None else decode(content, entry.stored.encoding, entry.size_bytes)
        with plain.open("wb") as file:
            file.writelines(pieces)


def _artifact(manifest: Manifest, folder: Path) -> Artifact:
    golden = {*manifest.golden.inputs.values(), *manifest.golden.outputs.values()}
    files = [FileEntry(f.name, f.sha256, f.size_bytes) for f in manifest.files if f.name not in golden]
    files.sort(key=lambda found: found.name != manifest.entry)
    return Artifact(
        path=folder,
        format=manifest.format,
        variant=manifest.variant,
        files=tuple(files),
        inputs=tuple(map(_spec, manifest.inputs)),
        outputs=tuple(map(_spec, manifest.outputs)),
        source_sha256=manifest.lineage.source.sha256,
        labels=manifest.labels,
    )


def _spec(found: ManifestInput | ManifestOutput) -> TensorSpec:
    return TensorSpec(found.name, found.shape, found.dtype, found.quantization)


def _tolerance(manifest: Manifest, runtime: str) -> Tolerance:
    named = {found.runtime: found for found in manifest.golden.tolerances}
    found = named.get(runtime, named.get("*"))
    if found is None or not set(manifest.golden.outputs) <= set(found.max_abs):
        raise ArtifactError(f"its manifest has no tolerance for {runtime}")
    return found


def _arrays(folder: Path, names: Mapping[str, str]) -> dict[str, Array]:
    import numpy as np

    try:
        return {name: np.load(folder / file, allow_pickle=False) for name, file in names.items()}
    except (OSError, ValueError) as error:
        raise ArtifactError(f"its golden samples cannot be read: {error}") from error
