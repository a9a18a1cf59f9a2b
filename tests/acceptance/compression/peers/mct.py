"""Sony's Model Compression Toolkit: post-training quantization int8 export."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import model_compression_toolkit as mct
import tensorflow as tf

from tests.acceptance.compression.peers.common import Request, finish, litert_accuracy, request, sweep


def quantized(asked: Request, target: str, error: str) -> bytes:
    """A .tflite file by `keras_post_training_quantization`."""
    model = tf.keras.models.load_model(asked.base, compile=False)
    samples = asked.calibration(500)

    def batches() -> Iterator[Any]:
        for start in range(0, len(samples), 50):
            yield [samples[start : start + 50]]

    method = mct.core.QuantizationErrorMethod[error]
    settings = mct.core.QuantizationConfig(activation_error_method=method, weights_error_method=method)
    found, _ = mct.ptq.keras_post_training_quantization(
        model,
        batches,
        core_config=mct.core.CoreConfig(quantization_config=settings),
        target_platform_capabilities=mct.get_target_platform_capabilities("1.0", target),
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        mct.exporter.keras_export_model(
            model=found,
            save_model_path=os.fspath(path),
            serialization_format=mct.exporter.KerasExportSerializationFormat.TFLITE,
            quantization_format=mct.exporter.QuantizationFormat.INT8,
        )
        return path.read_bytes()


def main() -> None:
    """Sweep the target platform and how ranges are chosen; keep the file that is best on the validation part."""
    asked = request()
    x, y = asked.split("validation")
    content, chosen, tried = sweep(
        [{"target": target, "error": error} for target in ("tflite", "imx500") for error in ("MSE", "NOCLIPPING")],
        lambda target, error: quantized(asked, target, error),
        lambda made: litert_accuracy(made, x, y),
    )
    packages = ["model-compression-toolkit", "tensorflow"]
    finish(asked, content, "tflite", packages, settings=dict(chosen), sweep=tried)


if __name__ == "__main__":
    main()
