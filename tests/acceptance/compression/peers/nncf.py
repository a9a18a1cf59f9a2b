"""NNCF's post-training quantization of tf2onnx's float file; presets are swept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nncf
import numpy as np
import onnx

from tests.acceptance.compression.peers.common import finish, onnx_accuracy, request, sweep


def quantized(model: Path, samples: Any, preset: str, fast_bias_correction: bool) -> bytes:
    """An .onnx file with quantize and dequantize nodes."""
    float_model = onnx.load(str(model))
    name = float_model.graph.input[0].name
    found = nncf.quantize(
        float_model,
        nncf.Dataset(list(samples), lambda sample: {name: np.asarray(sample)[None]}),
        preset=nncf.QuantizationPreset(preset),
        fast_bias_correction=fast_bias_correction,
        subset_size=len(samples),
    )
    return bytes(found.SerializeToString())


def main() -> None:
    """Sweep; keep the file that is best on the validation part."""
    asked = request()
    x, y = asked.split("validation")
    samples = asked.calibration(500)
    model = Path(asked.base)
    candidates = [
        {"preset": preset, "fast_bias_correction": fast}
        for preset in ("performance", "mixed")
        for fast in (True, False)
    ]
    content, chosen, tried = sweep(
        candidates,
        lambda preset, fast_bias_correction: quantized(model, samples, preset, fast_bias_correction),
        lambda made: onnx_accuracy(made, x, y),
    )
    finish(asked, content, "onnx", ["nncf", "onnx", "onnxruntime"], settings=dict(chosen), sweep=tried)


if __name__ == "__main__":
    main()
