"""The main job through the installed script: demo, convert, verify, benchmark, predict, bundle and the rest."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgeship.encodings import SUFFIXES, encode

from .conftest import Demo, Script


def test_demo_ends_with_table_report_and_the_last_line(demo: Demo) -> None:
    assert demo.ran.code == 0, demo.ran.err
    lines = [line for line in demo.ran.out.splitlines() if line.strip()]
    assert lines[-2] == f"report: {demo.build / 'report.html'}"
    last = re.fullmatch(
        r"smallest passing: (\S+) ([\d,]+) B \(([\d,]+) B compressed\) ([\d.]+) ms [+-][\d.]+ points   next: (.+)",
        lines[-1],
    )
    assert last, lines[-1]
    delivered = [f for f in Path(last[1]).parent.iterdir() if f.name != "artifact.json"]
    assert sum(f.stat().st_size for f in delivered) == int(last[2].replace(",", ""))
    sent = sum(min(len(encode(f.read_bytes(), way)) for way in SUFFIXES) for f in delivered)
    assert sent == pytest.approx(int(last[3].replace(",", "")), rel=0.01)  # of several files the sums are compared
    tflite = "/tflite/" in last[1]
    assert last[5] == (f"edgeship bundle {demo.build} --for device" if tflite else f"edgeship predict {last[1]} INPUT")
    assert all(f"tflite/{v}" in demo.ran.out for v in ("float32", "float16", "dynamic", "int8"))


def test_demo_build_folder_is_complete_and_says_the_same_everywhere(demo: Demo) -> None:
    report = json.loads((demo.build / "report.json").read_text())
    assert report["schema"] == "edgeship.report/1"
    assert report["baseline"]["metric"] > 0.95
    ids = {f"{a['format']}/{a['variant']}" for a in report["artifacts"]}
    assert {"tflite/int8", "onnx/float32", "onnx/int8"} <= ids
    for artifact in report["artifacts"]:
        folder = demo.build / "artifacts" / artifact["format"] / artifact["variant"]
        sidecar = json.loads((folder / "artifact.json").read_text())
        assert sidecar["verification"] == artifact["verification"] == "passed"
        assert sidecar["labels"] == [str(n) for n in range(10)]
        assert all((folder / f["name"]).stat().st_size == f["size_bytes"] for f in sidecar["files"])
    assert {m["artifact"] for m in report["measurements"]} == ids
    assert all(m["provenance"] == "measured" and len(m["latency_ms"]) >= 100 for m in report["measurements"])
    html = (demo.build / "report.html").read_text()
    assert all(name in html for name in ids)
    assert str(demo.build) not in html + (demo.build / "report.json").read_text(), "a build folder is relocatable"
    assert len(list((demo.build / "predictions").iterdir())) == 1 + len(set(report["predictions"]))


def test_a_repeated_build_does_nothing_twice(demo: Demo, edgeship: Script, tmp_path: Path) -> None:
    build = shutil.copytree(demo.build, tmp_path / "moved")
    before = {p: p.stat().st_mtime_ns for p in (build / "measurements").iterdir()}
    again = edgeship("demo", "--out", build, "--json")
    assert again.code == 0, again.err
    assert {p: p.stat().st_mtime_ns for p in (build / "measurements").iterdir()} == before
    assert again.json["metric"] == "accuracy"


def test_convert_without_data_verifies_on_generated_inputs(demo: Demo, edgeship: Script, tmp_path: Path) -> None:
    ran = edgeship("convert", demo.model, "--to", "tflite", "--to", "onnx", "--out", tmp_path / "b", "--json")
    assert ran.code == 0, ran.err
    report = ran.json
    assert report["dataset"] is None
    gates = {(g["artifact"], g["name"]): g for g in report["gates"]}
    assert set(gates) == {
        (a, n) for a in ("tflite/float32", "onnx/float32") for n in ("sensitivity", "max-abs", "error", "cosine")
    }
    assert all(g["status"] == "pass" for g in gates.values())
    assert (tmp_path / "b" / "artifacts" / "tflite" / "float32" / "model.tflite").is_file()


def test_compress_trains_by_a_recipe_and_the_result_converts(
    demo: Demo, edgeship: Script, digits_npz: Path, tmp_path: Path
) -> None:
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(
        "schema: edgeship.recipe/1\nname: mine\nmax_drop: 10\nstages:\n"
        "  - prune: {sparsity: 0.5, epochs: 3}\n  - distil: {student: self, epochs: 1}\n"
        "  - quantize-aware: {epochs: 1}\nvariants: [int8]\n"
    )
    args = ("--data", digits_npz, "--recipe", recipe)
    ran = edgeship("compress", demo.model, *args, "--out", tmp_path / "c", "--json")
    assert ran.code == 0, ran.err
    stages = {s["name"]: s for s in ran.json["stages"]}
    assert list(stages) == ["base", "prune", "distil", "quantize-aware"]
    assert stages["prune"]["sparsity"] == pytest.approx(0.5, abs=0.01)
    assert stages["quantize-aware"]["sparsity"] >= 0.49
    assert stages["quantize-aware"]["size_bytes"] < stages["base"]["size_bytes"] / 3
    built = edgeship("build", demo.model, *args, "--to", "tflite", "--out", tmp_path / "b", "--json")
    assert built.code == 0, built.err
    assert [s["name"] for s in built.json["stages"]] == list(stages)
    assert built.json["artifacts"][0]["verification"] == "passed"


def test_verify_finds_a_damaged_file(demo: Demo, edgeship: Script, digits_npz: Path, tmp_path: Path) -> None:
    good = demo.build / "artifacts" / "tflite" / "float32" / "model.tflite"
    args = ("--against", demo.model, "--data", digits_npz, "--max-drop", "2")
    assert edgeship("verify", good, *args).code == 0
    bad = tmp_path / "model.tflite"
    data = bytearray(good.read_bytes())
    kernel = _largest_float_run(data)
    data[kernel : kernel + 4] = np.float32(50).tobytes()
    bad.write_bytes(data)
    ran = edgeship("verify", bad, *args, "--json")
    assert ran.code == 1, ran.out + ran.err
    assert any(g["status"] == "fail" for g in ran.json["gates"])


def _largest_float_run(data: bytearray) -> int:
    """Offset of a value in the longest stretch of bytes that look like small floats: the largest kernel."""
    values = np.frombuffer(bytes(data[: len(data) // 4 * 4]), np.float32)
    small = (np.abs(values) < 2) & (np.abs(values) > 1e-6)
    starts = np.convolve(small, np.ones(256), "valid")
    return int(starts.argmax() + 128) * 4


def test_a_sidecar_that_does_not_match_its_file_is_refused(demo: Demo, edgeship: Script, tmp_path: Path) -> None:
    shutil.copytree(demo.build / "artifacts" / "tflite" / "int8", tmp_path / "a")
    (tmp_path / "a" / "model.tflite").write_bytes(b"other")
    ran = edgeship("predict", tmp_path / "a" / "model.tflite", tmp_path / "x.npy")
    assert ran.code == 2
    assert "is not the file that artifact.json describes" in ran.err


def test_predict_names_the_digit(demo: Demo, edgeship: Script, tmp_path: Path) -> None:
    from edgeship.data import digits

    arrays = digits.arrays()
    seven = int(np.flatnonzero(arrays["y"] == 7)[3])
    Image.fromarray((arrays["x"][seven, ..., 0] * 255).astype(np.uint8)).save(tmp_path / "seven.png")
    np.save(tmp_path / "seven.npy", arrays["x"][seven : seven + 1])
    for artifact in ("tflite/int8/model.tflite", "onnx/float16/model.onnx"):
        for given in ("seven.png", "seven.npy"):
            ran = edgeship("predict", demo.build / "artifacts" / artifact, tmp_path / given, "--json")
            assert ran.code == 0, ran.err
            assert ran.json["samples"][0][0]["label"] == "7"
            scale = ran.json["preprocessing"] and ran.json["preprocessing"]["scale"]
            assert scale == (1 / 255 if given == "seven.png" else None)
    shown = edgeship("predict", demo.build / "artifacts" / "tflite" / "int8", tmp_path / "seven.png", "--top", "2")
    assert "7" in shown.out


def test_benchmark_prints_measurements_with_their_samples(demo: Demo, edgeship: Script) -> None:
    files = [demo.build / "artifacts" / "tflite" / v / "model.tflite" for v in ("float32", "int8")]
    ran = edgeship("benchmark", *files, "--min-runs", "50", "--min-seconds", "0.1", "--json")
    assert ran.code == 0, ran.err
    assert [m["artifact"] for m in ran.json["measurements"]] == ["tflite/float32", "tflite/int8"]
    for m in ran.json["measurements"]:
        assert {"target", "provenance", "artifact", "latency_ms"} <= set(m)
        assert len(m["latency_ms"]) >= 50
        assert m["peak_memory_mib"] > 10


def test_inspect_tells_models_and_files(demo: Demo, edgeship: Script) -> None:
    model = edgeship("inspect", demo.model, "--json").json
    assert model["facts"]["kind"] == "keras"
    assert model["inputs"][0]["name"] == "image"
    file = edgeship("inspect", demo.build / "artifacts" / "tflite" / "int8" / "model.tflite", "--json").json
    assert file["inputs"][0]["dtype"] == "int8"
    assert file["inputs"][0]["quantization"]["scale"] > 0
    assert sum(size for _, size in file["layers"]) > 20_000


def test_bundle_is_made_from_a_passing_build(demo: Demo, edgeship: Script, tmp_path: Path) -> None:
    ran = edgeship("bundle", demo.build, "--for", "device", "--out", tmp_path / "bundle", "--json")
    assert ran.code == 0, ran.err
    manifest = json.loads((tmp_path / "bundle" / "manifest.json").read_text())
    assert manifest["schema"] == "edgeship.manifest/1"
    assert ran.json["artifact"] == "tflite/" + ran.json["artifact"].split("/")[1]
    (model, *_) = manifest["files"]
    assert model["stored"]["size_bytes"] < 0.95 * model["size_bytes"]
    assert (tmp_path / "bundle" / model["stored"]["name"]).stat().st_size == model["stored"]["size_bytes"]


def test_report_writes_its_pages_anew(demo: Demo, edgeship: Script, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(demo.build, moved)
    (moved / "report.html").unlink()
    ran = edgeship("report", moved)
    assert ran.code == 0, ran.err
    assert (moved / "report.html").read_text() == (demo.build / "report.html").read_text()


@pytest.mark.parametrize("command", ["recipes", "targets", "plugins", "doctor"])
def test_lists_are_one_json_document(edgeship: Script, command: str) -> None:
    ran = edgeship(command, "--json")
    assert ran.code == 0, ran.err
    assert isinstance(ran.json, list)
    assert edgeship(command).out.strip()


def test_recipe_printed_as_yaml_is_a_recipe(edgeship: Script, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(edgeship("recipes", "small").out)
    assert edgeship("recipes", tmp_path / "mine.yaml", "--json").json["name"] == "small"


@pytest.mark.parametrize(("shell", "word"), [("bash", "complete"), ("zsh", "compdef"), ("fish", "complete")])
def test_completion_scripts(edgeship: Script, shell: str, word: str) -> None:
    ran = edgeship("completion", shell)
    assert ran.code == 0, ran.err
    assert word in ran.out


def test_completion_offers_names(edgeship: Script) -> None:
    ran = edgeship(_EDGESHIP_COMPLETE="bash_complete", COMP_WORDS="edgeship build m --recipe in", COMP_CWORD="4")
    assert "int8-qat" in ran.out


def test_python_api_in_an_unguarded_script(demo: Demo, edgeship: Script, digits_npz: Path, tmp_path: Path) -> None:
    import subprocess
    import sys

    script = tmp_path / "train.py"
    script.write_text(
        "import keras, numpy as np, edgeship\n"
        "print('once')\n"
        f"data = dict(np.load({str(digits_npz)!r}))\n"
        f"model = keras.models.load_model({str(demo.model)!r})\n"
        "report = edgeship.build(model, data=data, recipe='int8', to=['tflite'], max_drop=3)\n"
        "report.raise_for_gates()\n"
        "print(report.best.entry.name, report.best.variant)\n"
    )
    done = subprocess.run(
        [sys.executable, str(script)], env=edgeship.env, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["once", "model.tflite int8"]
    report = json.loads((tmp_path / "builds" / "digits" / "report.json").read_text())
    assert report["command"] == ["edgeship.build(model, data=data, recipe='int8', to=['tflite'], max_drop=3)"]
    assert report["data_options"] == {
        "seed": 0,
        "validation_share": 0.1,
        "calibration_samples": 200,
        "task": None,
        "scale": 1.0,
        "augment": [],
        "mean": [],
        "std": [],
        "channels": None,
    }


def test_help_of_every_command_has_an_example(edgeship: Script) -> None:
    listing = edgeship("--help").out.split("Commands:")[1].split("\n\n")[0]
    commands = [line.split()[0] for line in listing.strip().splitlines()]
    assert len(commands) == 25
    for command in commands:
        text: Any = edgeship(command, "--help").out
        assert re.search(r"Examples?:\n  .*edgeship ", text), command
