"""TensorFlow's own converter as its documentation shows it: float16, dynamic range, full integer. No training.

The full-integer file is the yardstick: int8 in and out, ranges from 500 training images.
"""

from __future__ import annotations

import tempfile
from typing import Any

from tests.acceptance.compression.peers.common import Request, finish, request


def convert(asked: Request, variant: str, calibration: int = 500) -> bytes:
    """A .tflite file: `float32`, `float16`, `dynamic` or `int8`."""
    import keras
    import tensorflow as tf

    model = keras.models.load_model(asked.base, compile=False)
    with tempfile.TemporaryDirectory() as folder:
        model.export(folder, verbose=False)
        converter: Any = tf.lite.TFLiteConverter.from_saved_model(folder)
        if variant != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if variant == "float16":
            converter.target_spec.supported_types = [tf.float16]
        if variant == "int8":
            samples = asked.calibration(calibration)
            converter.representative_dataset = lambda: ([sample[None]] for sample in samples)
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.inference_input_type = converter.inference_output_type = tf.int8
        return bytes(converter.convert())


def main() -> None:
    """One conversion."""
    asked = request()
    content = convert(asked, asked.settings["variant"])
    finish(asked, content, "tflite", ["tensorflow", "keras"], settings=dict(asked.settings))


if __name__ == "__main__":
    main()
