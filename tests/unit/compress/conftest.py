"""One small trained network on scikit-learn's digits, and the way from a model to int8 numbers in LiteRT."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")


@pytest.fixture(scope="session")
def compiled():
    """Compile for digits."""
    import keras

    def compiled(model, learning_rate=3e-3):
        loss = keras.losses.SparseCategoricalCrossentropy()
        model.compile(keras.optimizers.Adam(learning_rate), loss, metrics=["accuracy"])
        return model

    return compiled


@pytest.fixture(scope="session")
def trained(digits, compiled):
    """A network with batch normalization, a depthwise convolution and a residual sum. Tests do not change it."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(1)
    image = keras.Input((8, 8, 1), name="image")
    first = layers.Conv2D(12, 3, padding="same", use_bias=False)(image)
    first = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(first))
    x = layers.DepthwiseConv2D(3, padding="same", use_bias=False)(first)
    x = layers.Activation("relu")(layers.BatchNormalization(momentum=0.9)(x))
    x = layers.BatchNormalization(momentum=0.9)(layers.Conv2D(12, 1)(x))
    x = layers.ReLU()(layers.Add()([x, first]))
    x = layers.Conv2D(24, 3, strides=2, activation="relu")(x)
    x = layers.Dropout(0.1)(layers.Flatten()(x))
    model = keras.Model(image, layers.Dense(10, activation="softmax", name="probabilities")(x), name="digits_cnn")
    compiled(model, 5e-3).fit(digits[0], digits[1], epochs=8, batch_size=32, verbose=0)
    return model


@pytest.fixture(scope="session")
def accuracy(digits) -> Callable[..., float]:
    """Accuracy of a model, or of outputs, on the test digits."""

    def accuracy(model_or_outputs):
        if not isinstance(model_or_outputs, np.ndarray):
            model_or_outputs = model_or_outputs.predict(digits[2], verbose=0)
        return float((model_or_outputs.argmax(1) == digits[3]).mean())

    return accuracy


@pytest.fixture(scope="session")
def litert():
    """Outputs (in steps of their scale) of the int8 file of a finalized model, and its operators."""
    return _litert


def _litert(model, *inputs):
    import tensorflow as tf
    from ai_edge_litert.interpreter import Interpreter
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2 as constants

    # Batch 1, as on a device: with a dynamic one the converter does not fuse dilated convolutions.
    specs = [tf.TensorSpec((1, *array.shape[1:]), tf.float32, name=f"in_{n}") for n, array in enumerate(inputs)]
    function = tf.function(lambda *given: model(list(given) if len(given) > 1 else given[0], training=False))
    converter = tf.lite.TFLiteConverter.from_concrete_functions([constants(function.get_concrete_function(*specs))])
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # "Statistics for quantized inputs were expected"
        content = converter.convert()
    interpreter = Interpreter(model_content=content)
    details = sorted(interpreter.get_input_details(), key=lambda d: d["name"])
    interpreter.allocate_tensors()
    floats = [d["name"] for d in interpreter.get_tensor_details() if d["dtype"] == np.float32]
    assert not floats, f"not all int8: {floats}"
    (output,) = interpreter.get_output_details()
    rows = []
    for sample in zip(*inputs, strict=True):
        for detail, array in zip(details, sample, strict=True):
            scale, zero = detail["quantization"]
            stored = np.clip(np.round(array[None] / scale + zero), -128, 127).astype(np.int8)
            interpreter.set_tensor(detail["index"], stored)
        interpreter.invoke()
        rows.append(interpreter.get_tensor(output["index"]).astype(np.float32))
    scale, zero = output["quantization"]
    values = (np.concatenate(rows) - zero) * scale
    return values, scale, {op["op_name"] for op in interpreter._get_ops_details()}
