"""The same inputs give byte-identical files in two clean environments, each installed from the lock."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgeship.cache import root

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

ROOT = Path(__file__).parents[2]
VARIANTS = ("float32", "float16", "dynamic", "int8", "int8-floatio", "int16x8", "uint16")


def _convert(script: Path, model: Path, data: str, place: Path) -> dict[str, str]:
    """SHA-256 of every delivered file, by its path in the build."""
    cache = place / "cache"
    cache.mkdir(parents=True)
    (cache / "node").symlink_to(root() / "node")  # the npm packages only run files; they make none
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"EDGESHIP_CACHE": str(cache)}
    command = [str(script), "convert", str(model), "--data", data, "--max-drop", "100", "--out", str(place / "build")]
    command += [word for name in ("tflite", "onnx", "tfjs") for word in ("--to", name)]
    command += [word for variant in VARIANTS for word in ("--quantize", variant)]
    done = subprocess.run([*command, "--json"], env=env, cwd=ROOT, capture_output=True, text=True, check=False)
    report = json.loads(done.stdout)
    assert "artifacts" in report, done.stderr
    return {f"{a['format']}/{a['variant']}/{f['name']}": f["sha256"] for a in report["artifacts"] for f in a["files"]}


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The script of a second environment, made by `make setup` in a clean clone."""
    clone = tmp_path_factory.mktemp("clone") / "edgeship"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    subprocess.run(["make", "setup"], cwd=clone, check=True, capture_output=True)
    return clone / ".venv" / "bin" / "edgeship"


def test_files_are_byte_identical(other: Path, tmp_path: Path, shared_data: Path) -> None:
    ours = Path(sys.executable).parent / "edgeship"
    env = {**os.environ, "EDGESHIP_CACHE": str(tmp_path / "demo")}
    subprocess.run([str(ours), "demo", "--out", str(tmp_path / "d")], env=env, check=False, capture_output=True)
    (digits,) = (tmp_path / "demo").glob("demo/*/digits.keras")
    resnet = shared_data / "mlperf_tiny" / "image_classification" / "pretrainedResnet.h5"
    compared = 0
    for name, model, data in (("a", digits, "digits"), ("b", resnet, "tests.acceptance.cifar10:calibrate")):
        first = _convert(ours, model, data, tmp_path / f"{name}1")
        second = _convert(other, model, data, tmp_path / f"{name}2")
        assert first == second
        compared += len({Path(file).parent for file in first})
    assert compared == 26
