"""Writing a web package from a build folder."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgeship import golden as golden_samples
from edgeship import plugins
from edgeship.bundle.reading import listing
from edgeship.bundle.web import release, scripts, texts
from edgeship.bundle.web.choosing import choose
from edgeship.bundle.web.description import describe
from edgeship.bundle.web.release import FOLDER, SCHEMA, variant_name
from edgeship.codec import strict_json
from edgeship.errors import InputError, OutputError
from edgeship.files import whole_folder, write_text
from edgeship.golden import Golden
from edgeship.report import schema
from edgeship.report.store import LIMIT_BYTES, loads
from edgeship.types import Array, Artifact, FileEntry

_MANIFEST = "manifest.json"
#: Samples that a package is checked with in Node.
_SAMPLES = 4
#: Runtimes that Node has, too.
_IN_NODE = ("tfjs-wasm", "litert-wasm")


@dataclass(frozen=True)
class WebWishes:
    """What a package is to be beyond what its build says.

    Attributes:
        artifact: `format/variant` of the file to deliver; None: the one with the fewest bytes to deliver.
        runtimes: of `edgeship.bundle.web.RUNTIMES`; empty: tfjs-wasm, or litert-wasm without a TF.js file.
        name: of the package; None: that of the build.
        version: of the package, as npm has them.
    """

    artifact: str | None = None
    runtimes: tuple[str, ...] = ()
    name: str | None = None
    version: str = "1.0.0"


@dataclass(frozen=True)
class WebPackage:
    """A written package.

    Attributes:
        artifacts: what the runtimes run, by runtime.
        wire_bytes: of the first runtime with brotli: `runtime` (scripts and WebAssembly with SIMD) and `model`.
        usage: lines of JavaScript.
        checked: the runtimes whose outputs were held against the build's, in Node; no GPU is there.
    """

    path: Path
    name: str
    version: str
    artifacts: Mapping[str, str]
    files: tuple[FileEntry, ...]
    wire_bytes: Mapping[str, int]
    install: str
    usage: tuple[str, ...]
    checked: tuple[str, ...]


def web_package(build: Path, out: Path, wishes: WebWishes = WebWishes(), *, force: bool = False) -> WebPackage:
    """Write an npm package from a build folder; it appears at `out` whole or not at all.

    The finished package is run in Node on golden inputs before it is delivered. With `force` an earlier package at
    `out` is replaced; a folder with anything else in it is never touched.

    Raises:
        GateFailed: the file that was asked for, or every file that could be taken, failed its gates.
        InputError: the build is not one, no runtime of browsers takes its files, or a name or version is not npm's.
        OutputError: `out` holds something else.
        MissingPackageError: Node or its packages are not installed.
        ArtifactError: the package gives other outputs than the build has.
    """
    earlier = _check_out(out)
    modules = scripts.modules()
    report_text = schema.read_text(build / "report.json", LIMIT_BYTES)
    report = loads(report_text, build, str(build / "report.json"))
    name = texts.package_name(report.name) if wishes.name is None else texts.checked_name(wishes.name)
    version = texts.checked_version(wishes.version)
    chosen = choose(report, wishes.artifact, wishes.runtimes)
    golden = {artifact.id: _golden(build, artifact) for artifact in chosen.values()}
    main = next(iter(chosen.values()))
    one_by_one = any(artifact.format == "tflite" for artifact in chosen.values())  # LiteRT.js resizes nothing
    described = describe(name, version, main, golden[main.id], one_by_one=one_by_one)
    description = {**described, "created": report.created}
    with whole_folder(out) as folder, tempfile.TemporaryDirectory() as scratch:
        samples = _samples(Path(scratch), description, golden[main.id])
        built = scripts.run("build.mjs", _job(modules, folder, description, chosen, samples))
        description = {**description, "runtimes": built["runtimes"]}
        for file, text in texts.written(description, built["packages"]).items():
            write_text(folder / file, text)
        checked = _check(folder, Path(scratch), chosen, golden, samples)
        release.write(folder, build, report_text, report, chosen.values())
        manifest = _manifest(folder, description, chosen)
        if earlier not in (None, manifest.encode()) and not force:
            raise OutputError(
                f"{out} holds another package", remedy="Choose another --out, or replace it with --force."
            )
        write_text(folder / _MANIFEST, manifest)
    return _told(out, description, chosen, checked)


def _job(
    modules: Path, out: Path, description: dict[str, Any], chosen: Mapping[str, Artifact], samples: list[Any]
) -> dict[str, Any]:
    folders: dict[str, Any] = {"tfjs": None, "tflite": None}
    for artifact in chosen.values():
        folders[artifact.format] = {"folder": str(artifact.path), "files": [entry.name for entry in artifact.files]}
    return {
        "modules": str(modules),
        "sources": str(scripts.SOURCES),
        "out": str(out),
        "description": description,
        "runtimes": list(chosen),
        "variants": {name: variant_name(artifact) for name, artifact in chosen.items()},
        "samples": samples,
        **folders,
    }


def _golden(build: Path, artifact: Artifact) -> Golden:
    """Golden samples of the build; where it has none, numbers and what the file's own runtime gives for them."""
    try:
        golden = golden_samples.load(build, artifact)
    except InputError:
        golden = _generated(artifact)
    rows = slice(0, _SAMPLES)
    return replace(
        golden,
        inputs={name: array[rows] for name, array in golden.inputs.items()},
        outputs={name: array[rows] for name, array in golden.outputs.items()},
    )


def _generated(artifact: Artifact) -> Golden:
    import numpy as np

    rng = np.random.default_rng(0)
    inputs: dict[str, Array] = {}
    for spec in artifact.inputs:
        shape = (_SAMPLES, *(8 if size is None else size for size in spec.shape[1:]))
        real = np.dtype(spec.dtype).kind == "f"
        inputs[spec.name] = rng.random(shape).astype(spec.dtype) if real else np.zeros(shape, spec.dtype)
    return Golden(inputs, plugins.runtimes_for(artifact.format)[0].run(artifact, inputs), {}, {})


def _samples(scratch: Path, description: dict[str, Any], golden: Golden) -> list[Any]:
    """Golden inputs one by one; of a model that takes any batch, two at once as well."""
    specs = description["inputs"]

    def sample(number: int, rows: slice) -> list[dict[str, Any]]:
        arrays = [(spec["name"], spec["dtype"], golden.inputs[spec["name"]][rows]) for spec in specs]
        return scripts.write_sample(scratch, number, arrays)

    found = [sample(k, slice(k, k + 1)) for k in range(golden.n)]
    if golden.n > 1 and all(spec["shape"][0] is None for spec in specs):
        found.append(sample(golden.n, slice(0, 2)))
    return found


def _check(
    folder: Path, scratch: Path, chosen: Mapping[str, Artifact], golden: Mapping[str, Golden], samples: list[Any]
) -> tuple[str, ...]:
    """Hold the package's outputs in Node against the build's. Raises ArtifactError."""
    import numpy as np

    runtimes = [name for name in chosen if name in _IN_NODE]
    if not runtimes:
        return ()
    count = min(found.n for found in golden.values())
    job = {"entry": str(folder / "node.js"), "runtimes": runtimes, "out": str(scratch)}
    for name, found in scripts.run("check.mjs", {**job, "samples": samples[:count]}).items():
        artifact = chosen[name]
        expected = golden[artifact.id]
        single = [{output["name"]: scripts.read_output(output) for output in sample} for sample in found]
        outputs = {key: np.concatenate([sample[key] for sample in single]) for key in expected.outputs}
        own, other = golden_samples.tolerances(artifact, expected, name)
        golden_samples.check(artifact, expected, outputs, own if artifact.format == "tfjs" else other)
    return tuple(runtimes)


def _manifest(folder: Path, description: Mapping[str, Any], chosen: Mapping[str, Artifact]) -> str:
    entries = []
    for name in listing(folder):
        content = (folder / name).read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        entries.append({"name": name, "sha256": digest, "size_bytes": len(content)})
    document = {
        "schema": SCHEMA,
        "name": description["name"],
        "version": description["version"],
        "artifacts": {name: {"id": a.id, "sha256": a.sha256} for name, a in chosen.items()},
        "source_sha256": next(iter(chosen.values())).source_sha256,
        "inputs": description["inputs"],
        "outputs": description["outputs"],
        "labels": description["labels"],
        "runtimes": description["runtimes"],
        "files": [entry for entry in entries if not _is_release(entry)],
        "release": [entry for entry in entries if _is_release(entry)],
    }
    return json.dumps(document, indent=2, allow_nan=False) + "\n"


def _is_release(entry: Mapping[str, Any]) -> bool:
    return str(entry["name"]).startswith(f"{FOLDER}/")


def _check_out(out: Path) -> bytes | None:
    """The manifest of an earlier package at `out`; None where there is nothing. Raises OutputError for all else."""
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise OutputError(f"{out} is not a folder", remedy="Choose another place with --out.")
    if not out.exists() or not any(out.iterdir()):
        return None
    foreign = OutputError(f"{out} holds files that are not a package's", remedy="Choose a new folder with --out.")
    try:
        content = (out / _MANIFEST).read_bytes()
        document = strict_json(content)
        entries = [*document["files"], *document["release"]]
        names = {entry["name"] for entry in entries} if document["schema"] == SCHEMA else None
    except (OSError, ValueError, TypeError, KeyError, InputError) as error:
        raise foreign from error
    if names is None or not {_MANIFEST, *names}.issuperset(listing(out)):
        raise foreign
    return content


def _told(
    out: Path, description: Mapping[str, Any], chosen: Mapping[str, Artifact], checked: tuple[str, ...]
) -> WebPackage:
    from edgeship.encodings import encode

    def wire(*names: str) -> int:
        return sum(len(encode((out / name).read_bytes(), "br")) for name in names)

    first = description["runtimes"][0]
    fetched = next(iter(first["wasm"].values()), None)
    parts = [fetched, first["module"]]
    runtime = ["index.js", "worker.js", *(part["path"] for part in parts if part)]
    document = strict_json((out / _MANIFEST).read_bytes())
    return WebPackage(
        path=out,
        name=description["name"],
        version=description["version"],
        artifacts={name: artifact.id for name, artifact in chosen.items()},
        files=tuple(FileEntry(e["name"], e["sha256"], e["size_bytes"]) for e in document["files"]),
        wire_bytes={"runtime": wire(*runtime), "model": wire(*(a["path"] for a in first["model"].values()))},
        install=f"npm install {texts.shell_path(out)}",
        usage=texts.usage(description),
        checked=checked,
    )
