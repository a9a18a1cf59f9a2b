"""MLPerf Tiny's ResNet-8 on CIFAR-10 through the installed script, in every format and runtime (issue: real input)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

ROOT = Path(__file__).parents[2]
MODELS = {
    "Keras 2 .h5": "mlperf_tiny/image_classification/pretrainedResnet.h5",
    "Keras 3 base": "base/resnet8_cifar10_jpeg.keras",
}
#: Accuracy may differ from Keras by this many points on all 5,000 test images; 8-bit files may also gain.
FLOAT32_POINTS, OTHER_POINTS = 0.05, 0.5


@pytest.fixture(scope="module", params=MODELS)
def report(request: pytest.FixtureRequest, shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The report of `edgeship build` on one of the two models."""
    out = tmp_path_factory.mktemp("real") / "build"
    command = [str(Path(sys.executable).parent / "edgeship"), "build", str(shared_data / MODELS[request.param])]
    # The gate asks that the whole interval, about half a point wide each way at 5,000 images, lies below its limit.
    command += ["--data", "tests.acceptance.cifar10:calibrate", "--max-drop", "1", "--out", str(out), "--json"]
    for flag, words in (("--to", ("tflite", "tfjs", "onnx")), ("--quantize", ("float32", "float16", "int8"))):
        for word in words:
            command += [flag, word]
    done = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    found = json.loads(done.stdout)
    found["model"] = request.param
    return found


def test_every_file_keeps_the_accuracy_in_every_runtime(report: Any) -> None:
    assert {a["format"] + "/" + a["variant"] for a in report["artifacts"]} == {
        *(f"{f}/{v}" for f in ("tflite", "onnx") for v in ("float32", "float16", "int8")),
        *(f"tfjs/{v}" for v in ("float32", "float16", "uint8")),
    }
    assert all(a["verification"] == "passed" for a in report["artifacts"])
    assert not report["failures"]
    original = report["baseline"]["metric"]
    assert report["baseline"]["n"] == 5000
    for key, prediction in report["predictions"].items():
        assert prediction["n"] == 5000
        points = 100 * (original - prediction["metric"])
        if "float32" in key:
            assert abs(points) <= FLOAT32_POINTS, key
        else:
            assert points <= OTHER_POINTS, key
    runtimes = {key.split(" ")[1] for key in report["predictions"]}
    assert runtimes == {"litert", "onnxruntime", "tfjs-wasm"}


def test_the_readme_table_can_be_written(report: Any) -> None:
    """Rows for README: `python -m tests.acceptance.table` prints them from the records kept here."""
    kept = ROOT / "tests" / "acceptance" / "records"
    kept.mkdir(exist_ok=True)
    from edgeship_benchmarks.stats import median_interval

    rows = []
    for artifact in report["artifacts"]:
        key = f"{artifact['format']}/{artifact['variant']}"
        prediction = next(v for k, v in report["predictions"].items() if k.startswith(key + " "))
        m = next(m for m in report["measurements"] if m["artifact"] == key)
        samples = sorted(m["latency_ms"])
        gate = next(g for g in report["gates"] if g["artifact"] == key and g["name"] == "metric")
        row = {
            "file": key,
            "bytes": m["size_bytes"],
            "brotli": m["brotli_bytes"],
            "accuracy": prediction["metric"],
            "drop": gate["value"],
            "interval": gate["interval"],
            "median_ms": samples[len(samples) // 2],
            "median_interval_ms": median_interval(m["latency_ms"]),
            "runtime": m["runtime"],
        }
        rows.append(row)
    name = "resnet8_h5" if "h5" in report["model"] else "resnet8_keras3"
    record = {
        "model": report["model"],
        "original_accuracy": report["baseline"]["metric"],
        "created": report["created"],
        "cpu": report["measurements"][0]["device"]["facts"].get("cpu", ""),
        "rows": rows,
    }
    (kept / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n")
    assert len(rows) == 9
