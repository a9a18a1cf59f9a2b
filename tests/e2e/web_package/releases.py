"""A real repository with releases of the digits package: the package's own files, then two with other weights."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from edgeship import golden as golden_samples
from edgeship import manifest as manifests
from edgeship.artifact import hash_files
from edgeship.bundle.making import write_bundle
from edgeship.plugins import runtimes_for
from edgeship.publish import keymaking, release, rollout
from edgeship.publish.draft import Draft
from edgeship.publish.repository import Repository
from edgeship.publish.stores import open_store
from edgeship.releases.documents import Constraints
from edgeship.releases.names import line, release_folder, version
from edgeship.report import read
from edgeship.types import Artifact

LINE = line("digits/v1")
VARIANT = "tfjs-uint8"
#: An input for which the releases differ by 1e-3 and more.
FILL = 0.3


def retrained(build: Path, package: Path, folder: Path, seed: int, *, honest: bool = True) -> Path:
    """The release of a package with other weights, and golden samples that its runtime gave, if `honest`."""
    artifact = next(a for a in read(build).artifacts if a.id == "tfjs/uint8")
    place = folder / f"model-{seed}"
    shutil.copytree(artifact.path, place)
    _shift(place, seed)
    changed = replace(artifact, path=place, files=hash_files(place, [entry.name for entry in artifact.files]))
    golden = golden_samples.load(build, artifact)
    made = runtimes_for("tfjs")[0].run(changed, golden.inputs)
    golden = replace(golden, outputs=made if honest else {name: values[::-1].copy() for name, values in made.items()})
    found, _ = manifests.read_file(package / "release" / VARIANT / manifests.NAME)
    source = replace(found.lineage.source, sha256=hashlib.sha256(str(seed).encode()).hexdigest())
    out = folder / f"bundle-{seed}"
    out.mkdir()
    manifest = replace(found, lineage=replace(found.lineage, source=source))
    write_bundle(out, manifest, changed, golden, ("zstd",))
    return out


def _shift(place: Path, seed: int) -> None:
    """Move one in twenty of the quantized weights by one step."""
    groups: list[Mapping[str, Any]] = json.loads((place / "model.json").read_text())["weightsManifest"]
    (group,) = groups
    (shard,) = group["paths"]
    content = np.frombuffer((place / shard).read_bytes(), np.uint8).copy()
    rng, start = np.random.default_rng(seed), 0
    for spec in group["weights"]:
        kind = spec["quantization"]["dtype"] if "quantization" in spec else spec["dtype"]
        size = int(np.prod(spec["shape"])) * {"uint8": 1, "uint16": 2, "float32": 4, "int32": 4, "bool": 1}[kind]
        if kind == "uint8":
            part = content[start : start + size]
            moved = rng.random(size) < 0.05
            part[moved] = np.clip(part[moved].astype(int) + rng.choice([-1, 1], moved.sum()), 0, 255)
        start += size
    (place / shard).write_bytes(content.tobytes())


def _put(repository: Repository, bundle: Path, text: str) -> None:
    """What `publish` refuses, because it runs golden samples itself."""
    found, _ = manifests.read_file(bundle / manifests.NAME)
    folder = release_folder("digits", version(text), VARIANT)
    contents = {entry.wire.name: (bundle / entry.wire.name).read_bytes() for entry in found.files}
    contents[manifests.NAME] = manifests.written(replace(found, version=text))

    def edit(draft: Draft) -> None:
        for name, content in contents.items():
            draft.put(f"{folder}/{name}", content)

    repository.change(edit)


def _answers(artifact: Artifact, place: Path) -> list[float]:
    """What a release gives for an input of which every number is `FILL`, in Python's runtime."""
    changed = replace(artifact, path=place, files=hash_files(place, [entry.name for entry in artifact.files]))
    (spec,) = artifact.inputs
    given = np.full((1, *(size or 1 for size in spec.shape[1:])), FILL, np.float32)
    (values,) = runtimes_for("tfjs")[0].run(changed, {spec.name: given}).values()
    return [float(value) for value in values[0]]


def publish(build: Path, package: Path, folder: Path) -> None:
    """Write folders of releases: the repository as it was with each of them for all.

    `1.0.0` has the package's own files, `1.1.0` and `1.2.0` other weights, `1.3.0` golden samples that its weights do
    not give; `litert` both formats of one model. Beside them `root.json`, and `answers.json`: what each release gives.
    """
    keys = keymaking.create(folder / "keys", keymaking.PLAIN, dev=True)
    (folder / "root.json").write_bytes(keys.root)
    both = package.with_name("both")  # TF.js and LiteRT.js, another line
    release.publish(Repository(open_store(str(folder / "litert")), keys), [both], model="both")
    repository = Repository(open_store(str(folder / "repo")), keys)
    release.publish(repository, [package])
    shutil.copytree(folder / "repo", folder / "1.0.0")
    artifact = next(a for a in read(build).artifacts if a.id == "tfjs/uint8")
    answers = {"1.0.0": _answers(artifact, artifact.path)}
    for text, seed in (("1.1.0", 1), ("1.2.0", 2), ("1.3.0", 3)):
        bundle = retrained(build, package, folder, seed, honest=text != "1.3.0")
        answers[text] = _answers(artifact, folder / f"model-{seed}")
        if text == "1.3.0":
            _put(repository, bundle, text)
        else:
            release.publish(repository, [bundle], version=version(text))
        rollout.start(repository, LINE, rollout.Shares({text: 100.0}, {}), Constraints())
        rollout.finish(repository, LINE, force=True)
        shutil.copytree(folder / "repo", folder / text)
    (folder / "answers.json").write_text(json.dumps(answers))
