"""What `edgeship publish` takes of a web package: its files as bundles, each a variant of a release.

They lie in the folder `release` of a package, which npm does not take along. What a browser decodes without help is
plain; all else is zstd, for which the update client has a decoder of its own: Chromium has none for brotli.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from edgeship import golden as golden_samples
from edgeship import plugins
from edgeship.bundle.contents import describe
from edgeship.bundle.making import write_bundle
from edgeship.errors import ArtifactError, InputError
from edgeship.report import schema
from edgeship.types import SNAPPED, Artifact, Report

FOLDER = "release"
#: Schema of the manifest of a package.
SCHEMA = "edgeship.web/1"
_ENCODINGS = ("zstd",)
_LIMIT_BYTES = 64 << 20


def variant_name(artifact: Artifact) -> str:
    """`tfjs-uint8`: what a file of a build is called in releases."""
    return f"{artifact.format}-{'float32' if artifact.variant == SNAPPED else artifact.variant}"


def write(package: Path, build: Path, report_text: str, report: Report, artifacts: Iterable[Artifact]) -> None:
    """Write a bundle of each file of a package; none where the build has no golden samples for a self-test."""
    for artifact in {artifact.id: artifact for artifact in artifacts}.values():
        try:
            golden = golden_samples.load(build, artifact)
        except InputError:
            continue
        runtime = plugins.runtimes_for(artifact.format)[0]
        tolerances = golden_samples.tolerances(artifact, golden, runtime.name)
        folder = package / FOLDER / variant_name(artifact)
        folder.mkdir(parents=True)
        manifest = describe(report_text, report, artifact, golden, tolerances)
        write_bundle(folder, manifest, artifact, golden, _ENCODINGS)


def bundles(path: Path) -> tuple[Path, ...]:
    """The bundles of a web package; of all else the path itself.

    Raises:
        InputError: the package has none.
        ArtifactError: it holds links in their place.
    """
    try:
        document = schema.parse(schema.read_text(path / "manifest.json", _LIMIT_BYTES), str(path / "manifest.json"))
    except InputError:
        return (path,)  # whose own reader says what is wrong
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        return (path,)
    folder = path / FOLDER
    found = sorted(folder.iterdir()) if folder.is_dir() else []
    if not found:
        raise InputError(
            f"the web package {path} has no release: its build has no golden samples for the self-test in browsers",
            remedy="Build it with data: edgeship build MODEL --data D --to tfjs, then bundle it again.",
        )
    if any(each.is_symlink() for each in (folder, *found)):
        raise ArtifactError(f"{folder} is a link, or holds one")
    return tuple(found)
