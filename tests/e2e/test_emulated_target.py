"""Emulated boards and microcontrollers: real arm64 programs in QEMU, real TensorFlow Lite Micro; never a time."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from edgeship import artifact as sidecar
from edgeship import plugins
from edgeship.errors import UnavailableError
from edgeship.standalone import with_specs
from edgeship.types import Artifact, Emulation, NotMeasured, Plan, Tensors
from edgeship_benchmarks.emulation import root
from edgeship_benchmarks.targets.emulated import EmulatedTarget
from edgeship_benchmarks.targets.micro import MicroTarget

#: Files of integers that a CPU runs.
INT8 = (
    "coral/deeplabv3_mnv2_dm05_pascal_quant.tflite",
    "coral/mobilenet_v1_0.25_128_quant.tflite",
    "mlperf_tiny/anomaly_detection/ad01_int8.tflite",
    "mlperf_tiny/image_classification/pretrainedResnet_quant.tflite",
    "mlperf_tiny/keyword_spotting/kws_ref_model.tflite",
    "tflm/hello_world_int8.tflite",
    "tflm/trained_lstm_int8.tflite",
)
RESNET = INT8[3]


@pytest.fixture(scope="module", autouse=True)
def system() -> None:
    try:
        root.make(lambda _: None)
        root.site_packages(lambda _: None)
    except UnavailableError as error:
        pytest.skip(f"needs an arm64 system: {error.message}")


def given(path: Path, samples: int = 4) -> tuple[Artifact, Tensors]:
    artifact = with_specs(sidecar.read_artifact(path))
    rng = np.random.default_rng(0)
    return artifact, {
        spec.name: rng.normal(size=(samples, *(size or 1 for size in spec.shape[1:]))).astype(np.float32)
        for spec in artifact.inputs
    }


def test_no_result_of_an_emulation_has_room_for_a_time() -> None:
    assert not [field.name for field in fields(Emulation) if field.name.endswith(("_ms", "_seconds"))]


def test_outputs_and_instructions(shared_data: Path) -> None:
    artifact, inputs = given(shared_data / RESNET)
    rows = {cpu: EmulatedTarget(cpu).measure([artifact], inputs, Plan())[0] for cpu in ("cortex-a72", "cortex-a76")}
    totals = {}
    for cpu, row in rows.items():
        assert isinstance(row, Emulation), row
        assert row.parity.identical
        assert row.parity.samples == 4
        assert row.device.provenance == "emulated"
        assert row.instructions is not None, row.notes
        assert row.instructions.repeats == 6
        assert row.instructions.spread < 0.001
        assert sum(row.instructions.by_class.values()) == pytest.approx(row.instructions.total, rel=0.001)
        totals[cpu] = row.instructions.total
    # The newer one has instructions for dot products of bytes, and the kernels that are chosen there use them.
    assert totals["cortex-a76"] < 0.6 * totals["cortex-a72"]
    # 12.5 million multiply-accumulates, sixteen of which are one instruction at best.
    assert totals["cortex-a76"] > 12.5e6 / 16


@pytest.mark.slow
@pytest.mark.parametrize("name", INT8)
@pytest.mark.parametrize("cpu", ["cortex-a72", "cortex-a76"])
def test_integers_are_the_same_bits(shared_data: Path, name: str, cpu: str) -> None:
    artifact, inputs = given(shared_data / name)
    (row,) = EmulatedTarget(cpu).measure([artifact], inputs, Plan())
    assert isinstance(row, Emulation), row
    assert row.parity.identical, row.parity
    assert row.instructions is not None
    assert row.instructions.spread < 0.001


def test_a_broken_file_costs_its_own_row(shared_data: Path, tmp_path: Path) -> None:
    good, inputs = given(shared_data / "tflm/hello_world_int8.tflite")
    (tmp_path / "broken.tflite").write_bytes(good.entry.read_bytes()[:1000])
    broken = sidecar.read_artifact(tmp_path / "broken.tflite")
    rows = EmulatedTarget("cortex-a72").measure([broken, good], inputs, Plan())
    assert [type(row) for row in rows] == [NotMeasured, Emulation]


def test_micro_says_what_memory_it_takes(shared_data: Path) -> None:
    if plugins.runtime("tflm").missing():
        pytest.skip("needs tflite-micro, whose wheels are for x86-64 Linux")
    artifact, inputs = given(shared_data / RESNET)
    lstm, _ = given(shared_data / "coral/deeplabv3_mnv2_dm05_pascal_quant.tflite")
    (row, refused) = MicroTarget().measure([artifact, lstm], inputs, Plan())
    assert isinstance(row, Emulation)
    assert row.arena_bytes is not None
    assert 50_000 < row.arena_bytes < 60_000
    assert row.instructions is None
    assert isinstance(refused, NotMeasured)
