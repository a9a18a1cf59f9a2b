"""Sums that Keras traces otherwise for a batch of one."""

from __future__ import annotations

from pathlib import Path

import frozen_models as zoo
import numpy as np
import pytest

from edgeship import plugins
from edgeship.types import ConvertOptions
from edgeship_converters.tflite import TFLiteConverter

keras, layers = zoo.keras, zoo.layers


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((7, 7), (7, 1)),  # along the first axis, not the last one, of the same length
        ((3, 7, 7), (7, 1)),  # of a lower rank
        ((5, 1), (5, 1)),
        ((5,), (1,)),
    ],
)
def test_sums_are_those_of_any_batch(first: tuple[int, ...], second: tuple[int, ...], tmp_path: Path) -> None:
    inputs = [keras.Input(first, name="a"), keras.Input(second, name="b")]
    model = keras.Model(inputs, layers.Add(name="sum")(inputs))
    values = [np.random.default_rng(0).normal(size=(4, *shape)).astype(np.float32) for shape in (first, second)]
    artifact = TFLiteConverter().convert(zoo.save(model, tmp_path), "float32", ConvertOptions(), tmp_path)
    (found,) = plugins.runtime("litert").run(artifact, dict(zip("ab", values, strict=True))).values()
    np.testing.assert_allclose(found, model.predict(values, verbose=0), atol=1e-6)


def test_a_loop_with_such_sums(tmp_path: Path) -> None:
    """Two products of a recurrent cell are added in the body of a loop."""
    source = zoo.save(zoo.lstm(), tmp_path)
    artifact = TFLiteConverter().convert(source, "float32", ConvertOptions(), tmp_path)
    inputs = zoo.samples(source, 4)
    (found,) = plugins.runtime("litert").run(artifact, inputs).values()
    np.testing.assert_allclose(found, zoo.reference(source, inputs)[0], atol=1e-5)
