"""What one would write without us: the official converters, called as their documentation says. Runs in a worker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any


def tflite(model: Path, out: Path) -> None:
    """TensorFlow's own converter, float32."""
    _write(_converter(model), out)


def tflite_int8(model: Path, out: Path, samples: Path) -> None:
    """The same with all in int8, inputs and outputs too, calibrated with these samples."""
    import numpy as np
    import tensorflow as tf

    images = np.load(samples)

    def calibration() -> Iterator[list[Any]]:
        for image in images:
            yield [image[None]]

    converter = _converter(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = calibration
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    _write(converter, out)


def _converter(model: Path) -> Any:
    import keras
    import tensorflow as tf

    keras.backend.clear_session()
    return tf.lite.TFLiteConverter.from_keras_model(keras.models.load_model(model, compile=False))


def _write(converter: Any, out: Path) -> None:
    (out / "model.tflite").write_bytes(converter.convert())


def onnx(model: Path, out: Path) -> None:
    """tf2onnx, from the function that a Keras 3 model is."""
    import keras
    import tensorflow as tf
    import tf2onnx

    keras.backend.clear_session()
    loaded = keras.models.load_model(model, compile=False)
    signature = [tf.TensorSpec((None, *loaded.input_shape[1:]), tf.float32, name="image")]
    tf2onnx.convert.from_function(
        tf.function(lambda x: loaded(x, training=False)),
        input_signature=signature,
        output_path=str(out / "model.onnx"),
    )
