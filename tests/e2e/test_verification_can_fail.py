"""Verification fails for files that are wrong: in each format a weight, swapped outputs, a dropped layer, a scale."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from edgeship import plugins, standalone
from edgeship.pipeline import checks
from edgeship.types import Progress

from .conftest import Demo, Script
from .damage import CASES, Damage


def quiet(_: Progress) -> None:
    """No progress."""


def verify(file: Path, demo: Demo, variant: str | None = None) -> Any:
    request = standalone.VerifyRequest((file,), demo.model, data="digits", max_drop=2.0, variant=variant)
    return standalone.verify(request, quiet)


@pytest.fixture(autouse=True)
def same_cache(edgeship: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGESHIP_CACHE", edgeship.env["EDGESHIP_CACHE"])


@pytest.mark.parametrize(("artifact", "what", "damage"), CASES, ids=[f"{a} {w}" for a, w, _ in CASES])
def test_a_damaged_file_is_caught(demo: Demo, tmp_path: Path, artifact: str, what: str, damage: Damage) -> None:
    for runtime in plugins.runtimes_for(artifact.split("/", maxsplit=1)[0]):
        if runtime.missing():
            pytest.skip(f"needs {', '.join(runtime.missing())}: {runtime.remedy}")
    _, variant = artifact.split("/")
    gates, failures = verify(damage(demo.build / "artifacts" / artifact, tmp_path / "bad"), demo, variant)
    assert not failures
    failed = {g.name for g in gates if not g.accepted}
    assert failed - {"sensitivity"}, (what, gates)
    assert "sensitivity" not in failed


@pytest.mark.parametrize("artifact", ["tflite/float32", "tflite/int8", "onnx/float32", "onnx/int8"])
def test_the_file_that_was_not_damaged_passes_as_a_foreign_one(demo: Demo, tmp_path: Path, artifact: str) -> None:
    shutil.copytree(demo.build / "artifacts" / artifact, tmp_path / "copy")
    (tmp_path / "copy" / "artifact.json").unlink()
    (file,) = (tmp_path / "copy").iterdir()
    gates, failures = verify(file, demo, artifact.split("/")[1])
    assert not failures
    assert all(g.accepted for g in gates), gates


def test_swapped_label_names_are_caught(demo: Demo, tmp_path: Path) -> None:
    shutil.copytree(demo.build / "artifacts" / "tflite" / "float32", tmp_path / "a")
    sidecar = json.loads((tmp_path / "a" / "artifact.json").read_text())
    sidecar["labels"][3], sidecar["labels"][8] = sidecar["labels"][8], sidecar["labels"][3]
    (tmp_path / "a" / "artifact.json").write_text(json.dumps(sidecar))
    gates, _ = verify(tmp_path / "a", demo)
    assert [g.name for g in gates if not g.accepted] == ["labels"]
    assert "3: '8' for '3'" in next(g.detail for g in gates if g.name == "labels")


def _without_node(folder: Path) -> str:
    """A PATH on which there is everything but Node."""
    folder.mkdir()
    for place in os.environ["PATH"].split(os.pathsep):
        for program in Path(place).iterdir() if Path(place).is_dir() else ():
            if program.name not in ("node", "nodejs", "npm", "npx") and not (folder / program.name).exists():
                (folder / program.name).symlink_to(program)
    return str(folder)


def test_without_node_tfjs_is_left_out_or_unverified(demo: Demo, edgeship: Script, tmp_path: Path) -> None:
    path = {"PATH": _without_node(tmp_path / "bin"), "EDGESHIP_CACHE": str(tmp_path / "cache")}
    optional = edgeship("convert", demo.model, "--out", tmp_path / "a", **path)
    assert optional.code == 0, optional.err
    assert "tfjs left out: tfjs-wasm needs" in optional.err
    assert "edgeship doctor --install node" in optional.err
    assert not (tmp_path / "a" / "artifacts" / "tfjs").exists()
    assert (tmp_path / "a" / "artifacts" / "onnx" / "float32" / "model.onnx").is_file()
    asked = edgeship("convert", demo.model, "--to", "tfjs", "--out", tmp_path / "b", **path)
    assert asked.code == 3, asked.err
    assert "UNVERIFIED" in asked.out
    sidecar = json.loads((tmp_path / "b" / "artifacts" / "tfjs" / "float32" / "artifact.json").read_text())
    assert sidecar["verification"] == "UNVERIFIED"
    assert "UNVERIFIED" in (tmp_path / "b" / "report.html").read_text()
    assert "UNVERIFIED" in (tmp_path / "b" / "report.md").read_text()


def test_a_runtime_that_is_missing_says_how_to_get_it() -> None:
    class Absent:
        name, remedy = "absent", "pip install absent"

        def missing(self) -> list[str]:
            return ["absent"]

    from edgeship.errors import UnavailableError

    with pytest.raises(UnavailableError, match="absent needs absent") as caught:
        checks.require(Absent())  # type: ignore[arg-type]
    assert caught.value.remedy == "pip install absent"
