"""The command that writes packages: what it says, that it gives the same bytes, that names cannot become code."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from edgeship.bundle.web import scripts
from edgeship.report import read
from edgeship_benchmarks import node
from tests.e2e.conftest import Demo, Script

HOSTILE = (
    '"; globalThis.broken = 1; "',
    "*/ globalThis.broken = 1 /*",
    "${globalThis.broken = 1}",
    "\u2028",
    "__proto__",
)


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_the_command_ends_with_what_to_paste(edgeship: Script, demo: Demo, packages: Path, tmp_path: Path) -> None:
    out = tmp_path / "digits"
    ran = edgeship("bundle", demo.build, "--for", "web", "--artifact", "tfjs/uint8", "--out", out)
    assert ran.code == 0, ran.out
    lines = ran.out.strip().splitlines()
    assert f"npm install {out}" in lines
    assert lines[-5] == 'import { load } from "digits";'
    assert lines[-1] == "model.dispose();"
    # Made once more, by another process, in another place: the same bytes.
    assert digests(out) == digests(packages / "digits")
    manifest = json.loads((out / "manifest.json").read_text())
    listed = {f["name"]: f["sha256"] for f in (*manifest["files"], *manifest["release"])}
    assert listed | {"manifest.json": digests(out)["manifest.json"]} == digests(out)
    assert {name for name in listed if name.startswith("release/")} == {f["name"] for f in manifest["release"]}
    for name in digests(out):
        if name.startswith("assets/"):
            assert digests(out)[name][:20] in name
    # A package is replaced by the same one, by another one with --force, and nothing else is touched.
    again = edgeship("bundle", demo.build, "--for", "web", "--name", "other", "--out", out)
    assert again.code == 2
    assert "--force" in again.err
    (out / "mine.txt").write_text("x")
    assert edgeship("bundle", demo.build, "--for", "web", "--force", "--out", out).code == 2
    assert (out / "mine.txt").exists()


def test_devices_and_browsers_get_one_release(edgeship: Script, demo: Demo, packages: Path, tmp_path: Path) -> None:
    device, keys, repo = tmp_path / "device", tmp_path / "keys", tmp_path / "repo"
    assert edgeship("bundle", demo.build, "--for", "device", "--artifact", "tflite/int8", "--out", device).code == 0
    assert edgeship("keys", "init", keys, "--dev").code == 0
    ran = edgeship("publish", device, packages / "digits", "--repo", repo, "--keys", keys, "--json")
    assert ran.code == 0, ran.err
    assert (ran.json["version"], ran.json["variants"]) == ("1.0.0", ["tflite-int8", "tfjs-uint8"])
    # Chromium decodes no brotli: whatever is for browsers is plain or zstd.
    stored = {path.suffix for path in repo.glob("targets/models/digits/v1/1.0.0/tfjs-uint8/**/*") if path.is_file()}
    assert stored == {".json", ".zst"}
    again = edgeship("publish", packages / "digits", packages / "digits", "--repo", repo, "--keys", keys)
    assert again.code == 2
    assert "same variant" in again.err


def test_options_of_devices_are_refused(edgeship: Script, demo: Demo, tmp_path: Path) -> None:
    ran = edgeship("bundle", demo.build, "--for", "web", "--max-latency", "3", "--out", tmp_path / "x")
    assert ran.code == 2
    assert "--max-latency" in ran.err
    ran = edgeship("bundle", demo.build, "--for", "device", "--runtime", "tfjs-wasm", "--out", tmp_path / "x")
    assert ran.code == 2
    assert "--runtime" in ran.err


def test_names_do_not_become_code(demo: Demo, tmp_path: Path) -> None:
    if node.missing():
        pytest.skip(f"needs Node and its packages: {node.REMEDY}")
    artifact = next(a for a in read(demo.build).artifacts if a.id == "tfjs/float32")
    (name,) = (spec.name for spec in artifact.inputs)
    shape = [None, 32, 32, 1]
    description = {
        "name": HOSTILE[0],
        "version": "1.0.0",
        "created": "2026-11-20T21:04:05+00:00",
        "inputs": [{"name": name, "shape": shape, "dtype": "float32", "image": None}],
        "outputs": [{"name": spec.name, "shape": [None, 10], "dtype": "float32"} for spec in artifact.outputs],
        "labels": list(HOSTILE * 2),
        "scoring": "values",
    }
    import numpy as np

    sample = scripts.write_sample(tmp_path, 0, [(name, "float32", np.zeros((1, 32, 32, 1), np.float32))])
    out = tmp_path / "package"
    out.mkdir()
    job = {
        "modules": str(scripts.modules()),
        "sources": str(scripts.SOURCES),
        "out": str(out),
        "description": description,
        "runtimes": ["tfjs-wasm"],
        "variants": {"tfjs-wasm": "tfjs-float32"},
        "tfjs": {"folder": str(artifact.path), "files": [entry.name for entry in artifact.files]},
        "tflite": None,
        "samples": [sample],
    }
    scripts.run("build.mjs", job)
    (out / "package.json").write_text('{"type": "module"}')
    script = (
        'import { load, description } from "./node.js"; const model = await load();'
        "const { classes } = await model.predict(new Float32Array(1024));"
        "console.log(JSON.stringify({ description, classes, broken: globalThis.broken ?? null }));"
    )
    command = [shutil.which("node") or "node", "--input-type=module", "-e", script]
    done = subprocess.run(command, cwd=out, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["broken"] is None
    assert found["description"]["labels"] == description["labels"]
    assert {one["label"] for one in found["classes"]} == set(HOSTILE)
