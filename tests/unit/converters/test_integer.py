"""Files with integer activations of models that TensorFlow's quantizer alone gets wrong, refuses, or makes noise of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import frozen_models as zoo
import numpy as np
import pytest
import tensorflow as tf

from edgeship import plugins
from edgeship.errors import UnsupportedModelError
from edgeship.types import Array, Artifact, ConvertOptions, Dataset
from edgeship_converters.graph.frozen import FrozenGraph, freeze
from edgeship_converters.lowering.integer import for_integers
from edgeship_converters.tflite import TFLiteConverter, selective
from edgeship_converters.tflite.dead import widened

keras, layers = zoo.keras, zoo.layers


def clipped_below() -> Any:
    """The input of a minimum is read by a sum too."""
    x = keras.Input((12,), name="x")
    y = layers.Activation("celu")(layers.Dense(10)(x))
    return keras.Model(x, layers.Dense(4, name="y")(y))


def masked() -> Any:
    """Comparisons, which have no integer kernels, at the input."""
    x = keras.Input((12,), name="x")
    y = layers.Masking(name="mask")(layers.Reshape((4, 3))(x))
    return keras.Model(x, layers.Dense(4, name="y")(layers.GlobalAveragePooling1D()(layers.Dense(8)(y))))


def volume() -> Any:
    x = keras.Input((12,), name="x")
    y = layers.Conv3D(4, 2, activation="relu", name="volume")(layers.Reshape((2, 3, 2, 1))(x))
    return keras.Model(x, layers.Dense(4, name="y")(layers.Flatten()(y)))


def hard() -> Any:
    x = keras.Input((12,), name="x")
    return keras.Model(x, layers.Dense(4, name="y")(layers.Dense(10, activation="hard_silu", name="hard")(x)))


def near_zero() -> Any:
    """Variances near zero, whose reciprocal root 8 bits make noise of."""
    x = keras.Input((12,), name="x")
    y = layers.LayerNormalization(epsilon=1e-6, name="norm")(layers.Dense(2, name="first")(x))
    return keras.Model(x, layers.Dense(4, name="y")(layers.Multiply(name="square")([y, layers.Dense(2)(x)])))


def with_offset() -> Any:
    """Samples whose mean is large beside their spread, normalized."""
    x = keras.Input((12,), name="x")
    y = layers.LayerNormalization(name="norm")(layers.Rescaling(1.0, offset=30.0)(x))
    return keras.Model(x, layers.Dense(4, name="y")(y))


def always_zero() -> Any:
    """What a ReLU never lets pass, in a sum: the scale of 1e-8 that its range has would end LiteRT's process."""
    x = keras.Input((12,), name="x")
    closed = layers.ReLU(name="closed")(layers.Rescaling(0.1, offset=-9.0)(x))
    return keras.Model(x, layers.Add(name="y")([layers.Rescaling(-1.0)(closed), x]))


def of_air_pressure() -> Any:
    """A small difference of large numbers, of which int16 has no sum."""
    x = keras.Input((12,), name="x")
    high = layers.Rescaling(5.0, offset=101325.0)(x)
    return keras.Model(x, layers.Dense(4, name="y")(layers.Rescaling(1.0, offset=-101325.0, name="sum")(high)))


def beside_the_dead() -> Any:
    """What is always 0, computed from large numbers, and small numbers are added to it."""
    x = keras.Input((12,), name="x")
    closed = layers.ReLU(name="closed")(layers.Rescaling(100.0, offset=-900.0)(x))
    small = layers.Rescaling(4e-5, name="small")(x)
    return keras.Model(x, layers.Rescaling(1e4, name="y")(layers.Add(name="sum")([closed, small])))


def made(model: Any, variant: str, folder: Path) -> tuple[Artifact, float]:
    """A file, and how far its outputs for samples of calibration are from the model's, as a share of their spread."""
    inputs = {i.name: np.random.default_rng(0).normal(size=(64, *i.shape[1:])).astype(np.float32) for i in model.inputs}
    (folder / "calibration" / "x").mkdir(parents=True)
    for name, array in inputs.items():
        np.save(folder / "calibration" / "x" / f"{name}.npy", array)
    source = zoo.save(model, folder)
    options = ConvertOptions(Dataset(folder, "noise", "", "unlabelled", source.inputs, {"calibration": 64}))
    artifact = TFLiteConverter().convert(source, variant, options, folder)
    (found,) = plugins.runtime("litert").run(artifact, inputs).values()
    expected: Array = model.predict(inputs["x"], verbose=0)
    return artifact, float(np.sqrt(np.mean((found - expected) ** 2)) / expected.std())


def _computed(frozen: FrozenGraph, *inputs: Array) -> list[Any]:
    found: list[Any] = frozen.function()(*map(tf.constant, inputs))
    return found


@pytest.mark.parametrize(
    ("build", "variant", "note"),
    [
        (clipped_below, "int8", None),
        (with_offset, "int8", None),
        (masked, "int8", "for want of an operator with these integers: global_average_pooling1d/truediv"),
        (masked, "int16x8", "for want of an operator with these integers: global_average_pooling1d/truediv"),
        (volume, "int8", "for want of an operator with these integers: volume/"),
        (hard, "int16x8", "for want of an operator with these integers: hard"),
        (near_zero, "int8", "because 8 bits are too coarse for what they give: norm/"),
    ],
)
def test_what_integers_cannot_compute_stays_in_float_and_is_named(
    build: Callable[[], Any], variant: str, note: str | None, tmp_path: Path
) -> None:
    keras.utils.set_random_seed(0)
    artifact, apart = made(build(), variant, tmp_path)
    assert apart < 0.15
    assert {spec.dtype for spec in (*artifact.inputs, *artifact.outputs)} == {variant.removesuffix("x8")}
    assert bool(artifact.notes) == bool(note)
    assert note is None or any(note in said for said in artifact.notes), artifact.notes


@pytest.mark.parametrize(
    ("build", "variant"),
    [
        (always_zero, "int8"),
        *(
            (build, variant)
            for build in (always_zero, of_air_pressure, beside_the_dead)
            for variant in ("int16x8", "mixed")
        ),
    ],
)
def test_sums_that_litert_cannot_rescale(build: Callable[[], Any], variant: str, tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    _, apart = made(build(), variant, tmp_path)
    assert apart < 0.3


def test_a_result_that_is_always_0_gets_the_range_of_its_neighbours() -> None:
    steps = [SimpleNamespace(inputs=i, outputs=o) for i, o in (([0, 1], [2]), ([2], [3]), ([3, 4], [5]), ([6], [7]))]
    dead = (0.0, float(np.finfo(np.float32).tiny))
    given = {0: (-3.0, 1.0), 2: dead, 3: (0.0, 0.0), 4: (0.0, 0.5), 5: (0.0, 0.5), 6: dead, 7: dead}
    found = widened(SimpleNamespace(operators=steps), given)
    assert found == {**given, 2: (0.0, 3.0), 3: (0.0, 0.5), 7: (0.0, 1.0)}


def test_a_model_without_integer_arithmetic_is_refused(tmp_path: Path) -> None:
    x = keras.Input((4, 4, 4, 1), name="x")
    model = keras.Model(x, layers.Conv3D(2, 2, name="volume")(x))
    with pytest.raises(UnsupportedModelError, match=r"no integers that would do are known for CONV_3D \(volume/"):
        made(model, "int8-floatio", tmp_path)


def test_a_model_that_computes_nothing_is_passed_through(tmp_path: Path) -> None:
    x = keras.Input((4,), name="x")
    _, apart = made(keras.Model(x, layers.Dropout(0.5, name="y")(x)), "int8", tmp_path)
    assert apart < 0.02


def test_normalizations_are_centered_and_batch_normalizations_are_left_to_be_folded(tmp_path: Path) -> None:
    x = keras.Input((6, 6, 3), name="x")
    y = layers.BatchNormalization(name="batch")(layers.Conv2D(4, 3, name="conv")(x))
    model = keras.Model(x, layers.GroupNormalization(2, name="group")(layers.LayerNormalization(name="layer")(y)))
    frozen = freeze(zoo.save(model, tmp_path), static_batch=1, fake_quant=False)
    found = for_integers(frozen)
    centered = {node.name.split("/")[0] for node in found.graph_def.node if node.name.endswith("_centered")}
    assert centered == {"layer", "group"}
    inputs = np.random.default_rng(0).normal(size=(1, 6, 6, 3)).astype(np.float32)
    (before,), (after,) = _computed(frozen, inputs), _computed(found, inputs)
    np.testing.assert_allclose(after, before, atol=1e-5)


def test_biases_are_not_corrected_for_what_augmentation_would_do(tmp_path: Path) -> None:
    x = keras.Input((6, 6, 3), name="x")
    y = layers.RandomBrightness(0.9, value_range=(-3, 3), name="augmented")(x)
    keras.utils.set_random_seed(0)
    _, apart = made(keras.Model(x, layers.Dense(4, name="y")(layers.GlobalAveragePooling2D()(y))), "int16x8", tmp_path)
    assert apart < 0.05


class _TooFarOff:
    """A reference that no file comes near to: the next operator is always to blame."""

    def unsafe(self) -> frozenset[str]:
        return frozenset()

    def error(self, content: bytes) -> float:
        return 2.0

    def blamed(self, content: bytes, floats: frozenset[str], share: float) -> frozenset[str]:
        return floats | {f"operator{len(floats)}"}


def test_the_nearest_file_is_kept_where_none_is_near() -> None:
    def make(floats: frozenset[str]) -> bytes:
        if len(floats) > 1:
            raise UnsupportedModelError("nothing computes with integers")
        return f"{len(floats)} in float".encode()

    found = selective.choose(make, _TooFarOff())  # type: ignore[arg-type] # as much of one as is asked
    assert (found.content, found.floats) == (b"0 in float", ())


def test_a_file_that_cannot_be_made_at_all_is_refused() -> None:
    def make(floats: frozenset[str]) -> bytes:
        raise UnsupportedModelError("nothing computes with integers")

    with pytest.raises(UnsupportedModelError, match="nothing computes"):
        selective.choose(make, _TooFarOff())  # type: ignore[arg-type] # as much of one as is asked
