"""SavedModels for servers: weights in half precision wherever they stand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from edgeship.source import inspect
from edgeship.types import ConvertOptions
from edgeship_converters.savedmodel import SavedModelConverter

_KERNEL = np.random.default_rng(0).normal(0, 0.3, (8, 8)).astype(np.float32)
_MASK = np.triu(np.full((8, 8), -1e9, np.float32), 1)


def attend(x: Any) -> dict[str, Any]:
    """A constant in the body of a loop, and one that float16 cannot hold."""

    def step(number: Any, rows: Any) -> tuple[Any, Any]:
        return number + 1, tf.tanh(tf.matmul(rows, tf.constant(_KERNEL)))

    _, rows = tf.while_loop(lambda number, _: number < 3, step, [0, x])
    return {"y": tf.nn.softmax(tf.matmul(rows, rows, transpose_b=True) + tf.constant(_MASK))}


def test_half_precision_in_the_body_of_a_loop_and_beside_a_mask(tmp_path: Path) -> None:
    module, out = tf.Module(), tmp_path / "out"
    module.attend = tf.function(attend, input_signature=[tf.TensorSpec((None, 8, 8), tf.float32, name="x")])
    tf.saved_model.save(module, str(tmp_path / "given"), signatures=module.attend)
    out.mkdir()
    SavedModelConverter().convert(inspect(tmp_path / "given"), "float16", ConvertOptions(), out)
    x = np.random.default_rng(1).normal(size=(4, 8, 8)).astype(np.float32)
    found = tf.saved_model.load(str(out)).signatures["serving_default"](x=tf.constant(x))["y"].numpy()
    wanted = attend(tf.constant(x))["y"].numpy()
    assert 0 < np.abs(found - wanted).max() < 1e-3  # it is rounded, and right
