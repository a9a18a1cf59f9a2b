"""What a Coral changes, up to the device: nobody here has one."""

from __future__ import annotations

import ctypes.util
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgeship import artifact as sidecar
from edgeship import plugins
from edgeship.errors import InputError, TargetUnavailable
from edgeship.types import Artifact, NotMeasured, Plan
from edgeship_benchmarks import coral
from edgeship_benchmarks.plan import execute
from edgeship_benchmarks.session import AgentSession, Turns
from edgeship_benchmarks.targets.coral import CoralTarget
from edgeship_benchmarks.ways import Way

_PLAN = Plan(min_runs=12, min_seconds=0.0, rounds=3, warmup_max_runs=20)

# A library with the functions of edgetpu_c.h that are asked before a delegate is made, and a machine without a device.
_NO_DEVICE = """
#include <stddef.h>
void* edgetpu_list_devices(size_t* count) { *count = DEVICES; return NULL; }
void edgetpu_free_devices(void* devices) { (void)devices; }
const char* edgetpu_version(void) { return "RuntimeVersion(14)"; }
void* tflite_plugin_create_delegate(char** keys, char** values, size_t count, void (*report)(const char*)) {
  (void)keys; (void)values; (void)count; (void)report; return NULL; }
void tflite_plugin_destroy_delegate(void* delegate) { (void)delegate; }
"""


@pytest.fixture
def compiled(shared_data: Path) -> Callable[[str], Artifact]:
    return lambda name: sidecar.read_artifact(shared_data / "coral" / name)


def _library(folder: Path, monkeypatch: pytest.MonkeyPatch, devices: int) -> None:
    """libedgetpu.so.1 where agents look for it."""
    if shutil.which("cc") is None:
        pytest.skip("needs a C compiler")
    source = folder / "edgetpu.c"
    source.write_text(_NO_DEVICE.replace("DEVICES", str(devices)))
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(folder / "libedgetpu.so.1"), str(source)], check=True)
    monkeypatch.setenv("LD_LIBRARY_PATH", str(folder))


@pytest.mark.skipif(ctypes.util.find_library("edgetpu") is not None, reason="libedgetpu is installed")
def test_without_the_library(compiled: Callable[[str], Artifact]) -> None:
    target = plugins.target("coral")
    with pytest.raises(TargetUnavailable, match="the library of the Edge TPU cannot be loaded") as caught:
        target.probe()
    assert "libedgetpu1-std" in caught.value.remedy
    artifact = compiled("mobilenet_v1_0.25_128_quant_edgetpu.tflite")
    (row,) = target.measure([artifact], {"input": np.zeros((1, 128, 128, 3), np.float32)}, _PLAN)
    assert isinstance(row, NotMeasured)
    assert (row.target, row.type) == ("coral", "TargetUnavailable")
    assert "libedgetpu.so.1" in row.reason


@pytest.mark.skipif(sys.platform != "linux", reason="builds a library for Linux")
@pytest.mark.parametrize(
    ("devices", "words", "remedy"),
    [(0, "finds no Edge TPU", "lsusb"), (1, r"cannot be opened as device 'usb:0' \(1 found\)", "Only one process")],
)
def test_library_without_a_device_that_opens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, devices: int, words: str, remedy: str
) -> None:
    _library(tmp_path, monkeypatch, devices)
    with pytest.raises(TargetUnavailable, match=words) as caught:
        CoralTarget("usb:0").probe()
    assert remedy in caught.value.remedy


def test_a_file_that_was_not_compiled_is_refused(artifact_of: Callable[..., Artifact], models: Path) -> None:
    (row,) = CoralTarget().measure([artifact_of("int8.tflite", "int8")], {"x": np.load(models / "affine.x.npy")}, _PLAN)
    assert isinstance(row, NotMeasured)
    assert "is not compiled for the Edge TPU" in row.reason
    assert "--edgetpu --compile" in row.remedy


def test_operators_left_to_the_cpu_are_counted(compiled: Callable[[str], Artifact]) -> None:
    whole = coral.placement(compiled("mobilenet_v1_0.25_128_quant_edgetpu.tflite"))
    assert coral.placement_note(whole).startswith("no operator is left to the CPU")
    part = coral.placement_note(coral.placement(compiled("deeplabv3_mnv2_dm05_pascal_quant_edgetpu.tflite")))
    assert part.startswith("8 operators run on the CPU: ")
    for kind in ("RESIZE_BILINEAR x3", "CONV_2D x2", "QUANTIZE", "CONCATENATION", "ARG_MAX"):
        assert kind in part


def test_a_compiled_file_without_the_delegate_says_where_it_belongs(compiled: Callable[[str], Artifact]) -> None:
    artifact = compiled("mobilenet_v1_0.25_128_quant_edgetpu.tflite")
    (row,) = plugins.target("local").measure([artifact], {"input": np.zeros((1, 128, 128, 3), np.float32)}, _PLAN)
    assert isinstance(row, NotMeasured)
    assert "--target coral" in row.remedy


@pytest.mark.parametrize("rest", ["usb:x", "gpu", "usb:0;ls", "usb:123"])
def test_devices_that_do_not_exist(rest: str) -> None:
    with pytest.raises(InputError, match="names no Edge TPU"):
        CoralTarget(rest)


def test_without_xnnpack_is_refused(compiled: Callable[[str], Artifact]) -> None:
    with pytest.raises(InputError, match="XNNPACK cannot be off"):
        coral.Coral().load_options(Way(xnnpack=False))
    assert coral.Coral("pci:1").load_options(Way()) == {"delegate": "edgetpu:pci:1"}


def test_sessions_that_take_turns_never_live_together(models: Path) -> None:
    """The order of a real measurement, with files that need no device."""
    alive: list[list[bool]] = []
    sessions: list[AgentSession] = []

    class Watched(AgentSession):
        def measure(self, *args, **kwargs):  # type: ignore[no-untyped-def] # as in the base
            found = super().measure(*args, **kwargs)
            alive.append([Path(f"/proc/{s.pid}").exists() for s in sessions])
            return found

    turns, plan = Turns(), Plan(min_runs=12, min_seconds=0.0, rounds=2, repeats=2)
    for name in ("affine.tflite", "int8.tflite"):
        session = Watched(name=name, turns=turns)
        sessions.append(session)
        session.load("litert", models / name)
    try:
        found = execute(sessions, {"x": np.load(models / "affine.x.npy")}, plan)
    finally:
        for session in sessions:
            session.close()
    assert all(len(timing.latency_ms) >= 12 for timing in found)  # type: ignore[union-attr] # none failed
    assert len(alive) == 8
    assert all(sum(row) == 1 for row in alive), alive
