"""Rows of targets as a build with a browser, an emulated board, a Coral and a micro target gives them."""

from __future__ import annotations

from edgeship.types import DeviceInfo, Emulation, Estimate, Instructions, NotMeasured, Parity

EMULATED = DeviceInfo("emulated:cortex-a72", "emulated", {"machine": "aarch64", "cpu": "cortex-a72"})
ESTIMATED = DeviceInfo("coral", "estimated", {"interface": "USB 3"})


def emulation(artifact: str = "tflite/int8", sha256: str = "0" * 64) -> Emulation:
    """Bit-identical, 3,234,011 instructions."""
    return Emulation(
        *(artifact, sha256, "emulated:cortex-a72", "litert"),
        EMULATED,
        Parity("litert on x86_64", 8, True, 0.0),
        Instructions(3_234_011, {"load and store": 808_503, "multiply-add": 1_617_006}, 3, 0.0),
        *(None, 98_464, 86_000, 77_786, 79_755),
        ("counted with one thread",),
    )


def micro(artifact: str = "tflite/int8", sha256: str = "0" * 64) -> Emulation:
    """No instructions, an arena, and outputs that differ."""
    return Emulation(
        *(artifact, sha256, "micro", "tflm"),
        DeviceInfo("micro", "emulated", {"machine": "x86_64"}),
        Parity("litert on x86_64", 1, False, 0.0039),
        *(None, 34_816, 98_464, 86_000, 77_786, 79_755),
    )


def bound(artifact: str = "tflite/int8", sha256: str = "0" * 64) -> Estimate:
    """A lower bound."""
    basis = "98,464 bytes of parameters over USB 3"
    return Estimate(artifact, sha256, "coral", "edgetpu", ESTIMATED, basis, at_least_ms=1.9)


def fit(artifact: str = "tflite/int8", sha256: str = "0" * 64) -> Estimate:
    """A fit with its error."""
    basis = "12 files that were measured on this board"
    given = {"fitted_ms": 2.14, "leave_one_out_error": 0.12}
    return Estimate(artifact, sha256, "ssh://pi@board", "litert", ESTIMATED, basis, **given)


def refused(artifact: str = "tfjs/uint8") -> NotMeasured:
    """A browser without WebGPU."""
    reason, remedy = "this browser has no WebGPU adapter", "Use a machine with a GPU."
    return NotMeasured(artifact, "browser:chromium", "tfjs-webgpu", reason, remedy)
