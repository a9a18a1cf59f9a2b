"""Writes small .tflite files for the agent's tests; run as a script, because it needs TensorFlow.

    python tflite_models.py FOLDER

Next to `<name>.tflite` lies what the network computes for `<name>.x.npy`: `<name>.y.npy`.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf
import tf_keras

FOLDER = Path(sys.argv[1])
RNG = np.random.default_rng(0)
WEIGHTS = RNG.normal(size=(3, 2)).astype(np.float32)


def spec(*shape, dtype=tf.float32, name="x"):
    return tf.TensorSpec(shape, dtype, name=name)


def write(name, function, *specs, tune=None):
    module = tf.Module()
    module.f = tf.function(function, input_signature=list(specs))
    path = FOLDER / f"{name}.saved"
    tf.saved_model.save(module, str(path), signatures=module.f)
    converter = tf.lite.TFLiteConverter.from_saved_model(str(path))
    if tune:
        tune(converter)
    (FOLDER / f"{name}.tflite").write_bytes(converter.convert())


def int8(converter):
    samples = RNG.uniform(-1, 1, size=(50, 1, 3)).astype(np.float32)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([s] for s in samples)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8


def affine(x):
    return {"y": tf.matmul(x, WEIGHTS) + 1.0}


def two(b, a):
    """Two inputs of unlike shapes, two outputs whose alphabetical order is not their meaning's."""
    return {"wide": 2.0 * b, "narrow": tf.reduce_sum(a, axis=1, keepdims=True)}


write("affine", affine, spec(None, 3))
write("int8", affine, spec(None, 3), tune=int8)
write("fixed4", affine, spec(4, 3))
write("two", two, spec(None, 3, name="b"), spec(None, 2, name="a"))
write("twins", lambda a, b: {"y": a - b}, spec(None, 2, name="a"), spec(None, 2, name="b"))
write(
    "ids",
    lambda x: {"y": tf.gather(tf.constant(RNG.normal(size=(9, 2)), tf.float32), x)},
    spec(None, 4, dtype=tf.int32),
)
write("sequence", lambda x: {"y": tf.reduce_mean(x, axis=1)}, spec(None, None, 2))
write("scalar", lambda x: {"y": tf.reduce_sum(x)}, spec(1, 3))

x = RNG.uniform(-1, 1, size=(10, 3)).astype(np.float32)
np.save(FOLDER / "affine.x.npy", x)
np.save(FOLDER / "affine.y.npy", x @ WEIGHTS + 1)

# A tf_keras LSTM with a fixed batch becomes one fused operation whose state outlives an invocation.
lstm = tf_keras.Sequential([tf_keras.layers.Input((5, 3), batch_size=1), tf_keras.layers.LSTM(4)])
x = RNG.normal(size=(6, 5, 3)).astype(np.float32)
np.save(FOLDER / "lstm.x.npy", x)
np.save(FOLDER / "lstm.y.npy", np.concatenate([lstm(x[k : k + 1]).numpy() for k in range(6)]))
(FOLDER / "lstm.tflite").write_bytes(tf.lite.TFLiteConverter.from_keras_model(lstm).convert())
