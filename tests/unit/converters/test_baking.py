"""Preprocessing in the graph: every format computes (model after preprocessing) of raw values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from edgeship import plugins, usage
from edgeship.errors import DataError, UnsupportedModelError
from edgeship.pipeline.baking import bake, prepared_for, same_values
from edgeship.preprocessing import NAMED, prepare
from edgeship.source import inspect, save_live
from edgeship.types import Array, Artifact, ConvertOptions, Dataset, Preprocessing, Source
from edgeship_converters.graph.baking import baked

RNG = np.random.default_rng(0)
RAW = RNG.integers(10, 240, (24, 8, 8, 3)).astype(np.float32)
WAYS = {**NAMED, "per-channel": Preprocessing(1.0, mean=(1.0, 2.0, 3.0), std=(100.0, 50.0, 25.0))}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    keras.utils.set_random_seed(0)
    layers = keras.layers
    image = keras.Input((8, 8, 3), name="image")
    x = layers.Conv2D(6, 3, padding="same", activation="relu", bias_initializer="random_normal")(image)
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3, activation="relu")(x))
    live = keras.Model(image, layers.Dense(3, name="scores")(x))
    return inspect(save_live(live, tmp_path_factory.mktemp("baking")))


@pytest.fixture(scope="module")
def expected(source: Source) -> Callable[[Preprocessing], Array]:
    model = keras.models.load_model(source.path)
    return lambda done: np.asarray(model.predict_on_batch(prepare(RAW, done)))


def dataset(folder: Path, source: Source, values: Array, done: Preprocessing) -> Dataset:
    for split in ("test", "calibration"):
        (folder / split / "x").mkdir(parents=True, exist_ok=True)
        np.save(folder / split / "x" / "image.npy", values)
    counts = {"test": len(values), "calibration": len(values)}
    return Dataset(folder, "samples", done.__repr__(), "unlabelled", source.inputs, counts, preprocessing=done)


def converted(source: Source, export: str, given: Dataset, folder: Path) -> Artifact:
    name, variant = export.split("/")
    folder.mkdir()
    options = ConvertOptions(given, preprocessing=given.preprocessing)
    return plugins.converter(name).convert(source, variant, options, folder)


def ran(artifact: Artifact, values: Array) -> Array:
    runtime = plugins.runtimes_for(artifact.format)[0]
    if runtime.missing():
        pytest.skip("needs Node")
    (found,) = runtime.run(artifact, {"image": values}).values()
    return np.asarray(found)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGESHIP_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("way", ["unit", "tf", "torch", "caffe", "per-channel"])
@pytest.mark.parametrize("export", ["tflite/float32", "onnx/float32"])
def test_raw_values_give_what_prepared_ones_give(
    source: Source, expected: Any, tmp_path: Path, way: str, export: str
) -> None:
    done = WAYS[way]
    given = dataset(tmp_path / "d", source, RAW, NAMED["raw"])
    found = ran(converted(replace(source, baked=done), export, given, tmp_path / "out"), RAW)
    assert np.abs(found - expected(done)).max() < 1e-5 * np.abs(expected(done)).max() + 1e-5


@pytest.mark.parametrize("way", ["torch", "caffe"])
def test_tfjs(source: Source, expected: Any, tmp_path: Path, way: str) -> None:
    given = dataset(tmp_path / "d", source, RAW, NAMED["raw"])
    artifact = converted(replace(source, baked=WAYS[way]), "tfjs/float32", given, tmp_path / "out")
    assert artifact.inputs[0].name == "image"
    assert np.allclose(ran(artifact, RAW), expected(WAYS[way]), atol=1e-4)


@pytest.mark.parametrize("way", ["tf", "torch", "caffe"])
@pytest.mark.parametrize("export", ["tflite/int8", "onnx/int8"])
def test_int8_is_as_near_as_without(source: Source, expected: Any, tmp_path: Path, way: str, export: str) -> None:
    """The error of a file that takes raw bytes is that of one that takes prepared values."""
    done = replace(WAYS[way], value_range=(0.0, 255.0))
    exact = expected(done)
    prepared = dataset(tmp_path / "d", source, prepare(RAW, done), done)
    plain = ran(converted(source, export, prepared, tmp_path / "plain"), prepare(RAW, done))
    baking = bake(source, prepared)
    assert np.array_equal(np.load(baking.dataset.path / "test" / "x" / "image.npy"), RAW)
    artifact = converted(replace(source, baked=baking.done), export, baking.dataset, tmp_path / "baked")
    found = ran(artifact, RAW)
    errors = [float(np.sqrt(np.square(one - exact).mean())) for one in (plain, found)]
    assert errors[1] < 1.5 * errors[0] + 1e-3 * np.ptp(exact), errors
    assert usage.read(artifact.format, artifact.entry).preprocessing.scale == 1.0
    if export == "tflite/int8":
        (quantization,) = [spec.quantization for spec in artifact.inputs]
        assert quantization is not None
        assert (quantization.scale, quantization.zero_point) == (1.0, -128), "a byte as it is, less 128"


def test_two_ways_of_saying_the_same(source: Source, tmp_path: Path) -> None:
    torch = NAMED["torch"]
    raw_units = Preprocessing(1.0, mean=tuple(255 * m for m in torch.mean), std=tuple(255 * s for s in torch.std))
    assert same_values(torch, raw_units)
    assert not same_values(torch, NAMED["unit"])
    assert not same_values(NAMED["caffe"], replace(NAMED["caffe"], channels="RGB"))
    assert same_values(torch, Preprocessing())
    given = dataset(tmp_path / "d", source, prepare(RAW, torch), torch)
    other = prepared_for(given, NAMED["caffe"])
    assert np.allclose(np.load(other.path / "test" / "x" / "image.npy"), prepare(RAW, NAMED["caffe"]), atol=1e-4)
    assert other.sha256 != given.sha256
    assert prepared_for(given, NAMED["caffe"]) == other


@pytest.mark.parametrize(
    ("change", "done", "error", "message"),
    [
        ({}, Preprocessing(), DataError, "it is not known how these samples were made"),
        ({}, NAMED["raw"], DataError, "there is nothing to bake"),
        ({"kind": "tflite"}, NAMED["unit"], UnsupportedModelError, "to whose graph nothing is added"),
        ({"dtype": "int32"}, NAMED["unit"], UnsupportedModelError, "image of model.keras takes integers"),
    ],
)
def test_what_cannot_be_baked(
    source: Source, tmp_path: Path, change: dict[str, str], done: Preprocessing, error: type[Exception], message: str
) -> None:
    given = dataset(tmp_path / "d", source, RAW, done)
    if "dtype" in change:
        other = replace(source, inputs=(replace(source.inputs[0], dtype=change["dtype"]),))
    else:
        other = replace(source, **change)
    with pytest.raises(error, match=message):
        bake(other, given)


@pytest.mark.parametrize(
    ("shape", "done", "error", "message"),
    [
        ((None, 8, 8, 1), NAMED["torch"], DataError, "mean has 3 numbers, but the last axis of input 'image' has 1"),
        ((None, 2, 8, 8, 3), NAMED["torch"], UnsupportedModelError, "numbers for each channel cannot be baked"),
    ],
)
def test_numbers_that_do_not_fit(
    source: Source, shape: tuple[int | None, ...], done: Preprocessing, error: type[Exception], message: str
) -> None:
    import tensorflow as tf

    other = replace(source, inputs=(replace(source.inputs[0], shape=shape),), baked=done)
    with pytest.raises(error, match=message):
        baked(lambda x: [x], other, fake_quant=False)(tf.zeros([1 if n is None else n for n in shape]))


@pytest.mark.parametrize("shape", [(5, 3), (5, 7, 3)])
def test_rows_and_sequences(source: Source, shape: tuple[int, ...]) -> None:
    import tensorflow as tf

    values = RNG.normal(size=shape).astype(np.float32)
    other = replace(source, inputs=(replace(source.inputs[0], shape=(None, *shape[1:])),), baked=WAYS["per-channel"])
    (found,) = baked(lambda x: [x], other, fake_quant=False)(tf.constant(values))
    assert np.allclose(found, prepare(values, WAYS["per-channel"]), atol=1e-6)


@pytest.mark.parametrize("way", ["unit", "torch"])
def test_ranges_of_quantization_aware_training(tmp_path: Path, way: str) -> None:
    """The file takes raw bytes, and computes what the trained network does: its ranges are in the graph already."""
    import edgeship

    keras.utils.set_random_seed(0)
    done = replace(WAYS[way], value_range=(0.0, 255.0))
    image = keras.Input((8, 8, 3), name="image")
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3, activation="relu")(image))
    trained = edgeship.quantize_aware(keras.Model(image, keras.layers.Dense(3, name="scores")(x)), prepare(RAW, done))
    own = inspect(save_live(trained, tmp_path / "model"))
    exact = np.asarray(trained.predict_on_batch(prepare(RAW, done)))
    (tmp_path / "out").mkdir()
    artifact = plugins.converter("tflite").convert(replace(own, baked=done), "int8", ConvertOptions(), tmp_path / "out")
    (quantization,) = [spec.quantization for spec in artifact.inputs]
    assert quantization is not None
    assert (quantization.scale, quantization.zero_point) == (1.0, -128)
    assert np.abs(ran(artifact, RAW) - exact).max() < 0.02 * np.ptp(exact)
    (tmp_path / "no").mkdir()
    unknown = replace(own, baked=WAYS[way])
    with pytest.raises(UnsupportedModelError, match="that of raw values is not known"):
        plugins.converter("tflite").convert(unknown, "int8", ConvertOptions(), tmp_path / "no")
