"""Everything a user can get wrong: exit code, message with the remedy, and an output folder that stays untouched."""

from __future__ import annotations

import os
import signal
import subprocess
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from .conftest import Demo, Script

Make = Callable[[Path, Demo], Path]


def _empty(folder: Path, demo: Demo) -> Path:
    (folder / "m.keras").write_bytes(b"")
    return folder / "m.keras"


def _truncated(folder: Path, demo: Demo) -> Path:
    data = demo.model.read_bytes()
    (folder / "m.keras").write_bytes(data[: len(data) // 2])
    return folder / "m.keras"


def _text_as_h5(folder: Path, demo: Demo) -> Path:
    (folder / "m.h5").write_text("These are not the weights you are looking for.\n" * 50)
    return folder / "m.h5"


def _picture(folder: Path, demo: Demo) -> Path:
    (folder / "m.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"0" * 64)
    return folder / "m.png"


def _nan_weights(folder: Path, demo: Demo) -> Path:
    import h5py

    path = folder / "m.keras"
    with zipfile.ZipFile(demo.model) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name == "model.weights.h5":
                (folder / "w.h5").write_bytes(data)
                with h5py.File(folder / "w.h5", "r+") as weights:
                    weights["layers/conv2d/vars/0"][0, 0, 0, 0] = np.nan
                data = (folder / "w.h5").read_bytes()
            new.writestr(name, data)
    return path


MODELS: list[tuple[str, Make, str]] = [
    ("missing", lambda folder, demo: folder / "none.keras", "no such model"),
    ("empty", _empty, "is empty"),
    ("truncated", _truncated, "m.keras"),
    ("text renamed .h5", _text_as_h5, "m.h5"),
    ("a picture", _picture, "m.png"),
    ("NaN weights", _nan_weights, "NaN"),
]


def refused(ran: Any, message: str, out: Path, code: int = 2) -> None:
    assert ran.code == code, ran.out + ran.err
    assert message in ran.err
    assert "Traceback" not in ran.err
    assert "bug in edgeship" not in ran.err
    assert not out.exists()


@pytest.mark.parametrize(("make", "message"), [m[1:] for m in MODELS], ids=[m[0] for m in MODELS])
def test_unusable_model(demo: Demo, edgeship: Script, tmp_path: Path, make: Make, message: str) -> None:
    out = tmp_path / "out"
    refused(edgeship("convert", make(tmp_path, demo), "--to", "tflite", "--out", out), message, out)


def _data(**changes: Any) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    arrays: dict[str, Any] = {
        "x_train": rng.random((60, 32, 32, 1), np.float32),
        "y_train": np.arange(60) % 10,
        "x_test": rng.random((40, 32, 32, 1), np.float32),
        "y_test": np.arange(40) % 10,
    }
    return arrays | changes


DATA: list[tuple[str, dict[str, Any], str]] = [
    ("wrong shape", _data(x_train=np.zeros((60, 28, 28, 1), np.float32)), "shape"),
    ("wrong dtype", _data(x_train=np.full((60, 32, 32, 1), "a")), "dtype"),
    ("labels out of range", _data(y_train=np.arange(60) % 11), "10"),
    ("negative labels", _data(y_test=np.arange(40) - 1), "-1"),
    ("empty", _data(x_test=np.zeros((0, 32, 32, 1), np.float32), y_test=np.zeros(0, int)), "empty"),
    ("single class", _data(y_train=np.zeros(60, int), y_test=np.zeros(40, int)), "class"),
    ("NaN", _data(x_test=np.full((40, 32, 32, 1), np.nan, np.float32)), "NaN"),
    ("unknown key", _data(x_extra=np.zeros(3)), "x_extra"),
]


@pytest.mark.parametrize(("arrays", "message"), [d[1:] for d in DATA], ids=[d[0] for d in DATA])
def test_unusable_data(demo: Demo, edgeship: Script, tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    out = tmp_path / "out"
    np.savez(tmp_path / "d.npz", **arrays)
    refused(edgeship("build", demo.model, "--data", tmp_path / "d.npz", "--out", out), message, out)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["convert", "MODEL", "--quantize", "int8"], "need sample inputs"),
        (["convert", "MODEL", "--to", "tflitee"], "Allowed for --to: micro, onnx, savedmodel, tfjs, tflite"),
        (["convert", "MODEL", "--quantize", "int7"], "unknown variant 'int7'"),
        (["convert", "MODEL", "--to", "onnx", "--quantize", "int16x8", "--data", "digits"], "onnx has none of"),
        (["convert", "MODEL", "--nonsense"], "No such option"),
        (["build", "MODEL"], "build needs data"),
        (["build", "MODEL", "--data", "digits", "--recipe", "fast1"], "no recipe is called 'fast1'"),
        (["build", "MODEL", "--data", "nowhere.npz"], "nowhere.npz"),
        (["build", "MODEL", "--data", "digits", "--metric", "charm"], "charm"),
        (["build", "MODEL", "--data", "digits", "--target", "moon"], "no target is called 'moon'"),
        (["build", "MODEL", "--data", "digits", "--max-drop", "-3"], "max_drop is -3"),
    ],
)
def test_unusable_options(demo: Demo, edgeship: Script, tmp_path: Path, args: list[str], message: str) -> None:
    out = tmp_path / "out"
    given = [str(demo.model) if a == "MODEL" else a for a in args]
    refused(edgeship(*given, "--out", out), message, out)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("schema: edgeship.recipe/1\nname: a\nquantise: true\n", "unknown key 'quantise'"),
        ("schema: edgeship.recipe/1\nname: a\nmax_drop: much\n", "max_drop is 'much'"),
        ("schema: edgeship.recipe/9\nname: a\n", "schema is 'edgeship.recipe/9'"),
        ("schema: edgeship.recipe/1\nname: a\nstages:\n  - prune: {sparsity: 2}\n", "sparsity is 2"),
        ("[1, 2", "is not YAML"),
    ],
)
def test_unusable_recipe(demo: Demo, edgeship: Script, tmp_path: Path, text: str, message: str) -> None:
    out = tmp_path / "out"
    (tmp_path / "r.yaml").write_text(text)
    ran = edgeship("build", demo.model, "--data", "digits", "--recipe", tmp_path / "r.yaml", "--out", out)
    refused(ran, message, out)


def test_a_foreign_folder_is_left_alone(demo: Demo, edgeship: Script, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    ran = edgeship("convert", demo.model, "--to", "tflite", "--out", tmp_path)
    assert ran.code == 2
    assert "was not made by edgeship" in ran.err
    assert "--force" in ran.err
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_an_unwritable_place_is_refused(demo: Demo, edgeship: Script, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ran = edgeship("convert", demo.model, "--to", "tflite", "--out", tmp_path / "file" / "below")
    assert ran.code == 2
    assert "is not a folder" in ran.err


def test_errors_are_one_json_document_with_json(edgeship: Script, tmp_path: Path) -> None:
    ran = edgeship("convert", tmp_path / "none.keras", "--json")
    assert ran.code == 2
    assert ran.json["error"]["type"] == "SourceError"
    assert ran.json["error"]["remedy"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Any:
    """A file system of 64 KiB."""
    if os.geteuid() != 0:
        pytest.skip("needs root to mount a small file system")
    place = tmp_path / "small"
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)], capture_output=True, check=False
    )
    if done.returncode != 0:
        pytest.skip(f"cannot mount a small file system here: {done.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_leaves_nothing_that_looks_complete(demo: Demo, edgeship: Script, small_disk: Path) -> None:
    ran = edgeship("convert", demo.model, "--to", "tflite", "--out", small_disk / "b")
    assert ran.code == 3, ran.out + ran.err
    assert "the disk is full" in ran.err
    assert "--out" in ran.err
    assert not list(small_disk.rglob("*.tflite"))


_PLUGIN = """
import os, time
from edgeship_converters.tflite import TFLiteConverter

class Crash(TFLiteConverter):
    format = "crash"
    def convert(self, *args):
        os.kill(os.getpid(), 11)

class Hang(TFLiteConverter):
    format = "hang"
    def convert(self, *args):
        time.sleep(600)

class Slow(TFLiteConverter):
    format = "slow"
    def convert(self, source, variant, options, out_dir):
        (out_dir / "model.tflite").write_bytes(b"half")
        time.sleep(600)
"""


@pytest.fixture
def bad_converters(tmp_path: Path) -> dict[str, str]:
    """Environment in which three plug-ins are installed: one that dies, one that hangs, one that is slow."""
    place = tmp_path / "plugins"
    info = place / "bad_converters-1.dist-info"
    info.mkdir(parents=True)
    (place / "bad_converters.py").write_text(_PLUGIN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: bad-converters\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[edgeship.converters]\ncrash = bad_converters:Crash\nhang = bad_converters:Hang\nslow = bad_converters:Slow\n"
    )
    return {"PYTHONPATH": str(place)}


def test_a_converter_that_crashes_costs_only_its_own_file(
    demo: Demo, edgeship: Script, tmp_path: Path, bad_converters: dict[str, str]
) -> None:
    out = tmp_path / "b"
    args = ("--to", "crash", "--to", "tflite", "--to", "onnx", "--out", out)
    ran = edgeship("convert", demo.model, *args, **bad_converters)
    assert ran.code == 4, ran.out + ran.err
    assert "died of SIGSEGV" in ran.err
    assert (out / "artifacts" / "tflite" / "float32" / "model.tflite").is_file()
    assert (out / "artifacts" / "onnx" / "float32" / "model.onnx").is_file()
    assert not (out / "artifacts" / "crash").exists()
    assert "SIGSEGV" in (out / "report.html").read_text()


def test_a_converter_that_hangs_is_stopped(
    demo: Demo, edgeship: Script, tmp_path: Path, bad_converters: dict[str, str]
) -> None:
    out = tmp_path / "b"
    args = ("--to", "hang", "--to", "tflite", "--out", out, "--time-limit", "25")
    ran = edgeship("convert", demo.model, *args, **bad_converters)
    assert ran.code == 4, ran.out + ran.err
    assert "gave no sign for 25 s" in ran.err
    assert "--time-limit" in ran.err
    assert (out / "artifacts" / "tflite" / "float32" / "model.tflite").is_file()


def _children(pid: int) -> list[int]:
    listing = subprocess.run(["ps", "-e", "-o", "pid=,ppid="], capture_output=True, text=True, check=True)
    pairs = [tuple(map(int, line.split())) for line in listing.stdout.splitlines()]
    return [child for child, parent in pairs if parent == pid]


def test_ctrl_c_leaves_no_file_that_looks_complete_and_no_process(
    demo: Demo, edgeship: Script, tmp_path: Path, bad_converters: dict[str, str], request: pytest.FixtureRequest
) -> None:
    out = tmp_path / "b"
    running = edgeship.start("convert", demo.model, "--to", "tflite", "--to", "slow", "--out", out, **bad_converters)
    request.addfinalizer(running.kill)
    deadline = time.monotonic() + 120
    while not list(out.glob("artifacts/tflite/float32/artifact.json")) and time.monotonic() < deadline:
        time.sleep(0.2)
    time.sleep(1)
    children = _children(running.pid)
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=60)
    assert running.returncode == 130, err
    assert "finished parts are kept" in err
    assert not (out / "artifacts" / "slow").exists()
    assert not list(out.rglob(".*")), "no temporary folders stay behind"
    assert children, "a worker was running"
    for child in children:
        with pytest.raises(ProcessLookupError):
            os.kill(child, 0)
