"""Splits of which not all parts are read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from edgeship_converters.flatfile import operators
from edgeship_converters.tflite import unread
from edgeship_converters.tflite.interpreter import Session

X = np.arange(24, dtype=np.float32).reshape(1, 4, 6)


def split_file(sizes: int | Sequence[int], axis: int, read: Sequence[int]) -> bytes:
    """A file that splits `X` and gives the double of each part in `read`."""
    import tensorflow as tf

    class Model(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec(X.shape, tf.float32, name="x")])
        def serve(self, x: Any) -> dict[str, Any]:
            parts = tf.split(x, sizes, axis)
            return {f"part{index}": parts[index] * 2 for index in read}

    model = Model()
    return bytes(
        tf.lite.TFLiteConverter.from_concrete_functions([model.serve.get_concrete_function()], model).convert()
    )


def kinds(content: bytes) -> list[str]:
    return [operator.kind for operator in operators(content)]


@pytest.mark.parametrize(
    ("sizes", "axis", "read"),
    [(3, 2, (0, 2)), (2, 1, (1,)), ([1, 3, 2], 2, (2, 1)), ([3, 1], 1, (1,))],
)
def test_parts_that_are_read_become_slices(sizes: int | list[int], axis: int, read: tuple[int, ...]) -> None:
    given = split_file(sizes, axis, read)
    made = unread.slices(given)
    assert {"SPLIT", "SPLIT_V"} & set(kinds(given))
    assert not {"SPLIT", "SPLIT_V"} & set(kinds(made))
    assert kinds(made).count("SLICE") == len(read)
    before, after = (Session(content).outputs([{"x": X}]) for content in (given, made))
    assert before.keys() == after.keys()
    for name, values in before.items():
        np.testing.assert_array_equal(after[name], values)


def test_a_split_of_which_all_is_read_stays() -> None:
    given = split_file(2, 1, (0, 1))
    assert unread.slices(given) == given
