"""Names and shapes of inputs and outputs, and prediction of a whole split."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from source_models import RNG, run

from edgeship import source
from edgeship.data import DataOptions, from_arrays, open_dataset
from edgeship.errors import DataError, SourceError
from edgeship.types import Progress, TensorSpec


def test_several_inputs_and_outputs_keep_their_names_and_order(keras: Any, tmp_path: Path) -> None:
    layers = keras.layers
    wide, deep = keras.Input((2,), name="wide"), keras.Input((3,), name="deep", dtype="int32")
    x = layers.Concatenate()([wide, layers.Rescaling(1.0)(deep)])
    outputs = {"zebra": layers.Dense(1, name="z")(x), "ant": layers.Dense(2, name="a")(x)}
    live = keras.Model({"wide": wide, "deep": deep}, outputs)
    found = source.inspect(source.save_live(live, tmp_path))
    assert {spec.name: (spec.shape, spec.dtype) for spec in found.inputs} == {
        "wide": ((None, 2), "float32"),
        "deep": ((None, 3), "int32"),
    }
    assert {spec.name: spec.shape for spec in found.outputs} == {"zebra": (None, 1), "ant": (None, 2)}
    values = {"wide": RNG.random((4, 2)).astype("float32"), "deep": np.arange(12, dtype="int32").reshape(4, 3)}
    results = run(found, *(values[spec.name] for spec in found.inputs))
    expected = live(values)
    for spec, result in zip(found.outputs, results, strict=True):
        assert np.allclose(result, expected[spec.name], atol=1e-6)


def test_names_are_made_safe_and_unique(keras: Any, tmp_path: Path) -> None:
    first, second = keras.Input((2,), name="my input:0"), keras.Input((2,), name="2nd")
    shared = keras.layers.Dense(2, name="twin")
    found = source.inspect(source.save_live(keras.Model([first, second], [shared(first), shared(second)]), tmp_path))
    assert [spec.name for spec in found.inputs] == ["my_input_0", "input_2nd"]
    assert [spec.name for spec in found.outputs] == ["twin", "twin_1"]
    assert len(run(found, np.ones((1, 2), "float32"), np.ones((1, 2), "float32"))) == 2


def test_a_product_with_a_number_is_dense(keras: Any, tmp_path: Path) -> None:
    """Keras calls it sparse."""
    x = keras.Input((3,), name="x")
    live = keras.Model(x, [keras.layers.Dense(2, name="y")(x) * 100, keras.ops.sqrt(x * 2)])
    assert all(output.sparse for output in live.outputs)
    found = source.inspect(source.save_live(live, tmp_path))
    assert [spec.shape for spec in found.outputs] == [(None, 2), (None, 3)]


def test_mixed_precision_is_read_in_full(keras: Any, tmp_path: Path) -> None:
    layers = keras.layers
    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        x = keras.Input((6, 4), name="x")
        inner = keras.Sequential([keras.Input((6, 8)), layers.Conv1D(4, 1)], name="inner")
        y = layers.Bidirectional(layers.LSTM(3))(inner(layers.BatchNormalization()(layers.Conv1D(8, 1)(x))))
        live = keras.Model(x, layers.Dense(2, name="y")(y))
    finally:
        keras.mixed_precision.set_global_policy("float32")
    found = source.inspect(source.save_live(live, tmp_path))
    assert [spec.dtype for spec in (*found.inputs, *found.outputs)] == ["float32", "float32"]
    values = RNG.random((5, 6, 4)).astype("float32")
    (result,) = run(found, values)
    np.testing.assert_allclose(result, live(values), atol=5e-3)
    assert {layer.compute_dtype for layer in source.load(found)._flatten_layers()} == {"float32"}


def test_sparse_tensors_are_refused(keras: Any, tmp_path: Path) -> None:
    x = keras.Input((3,), name="x", sparse=True)
    with pytest.raises(SourceError, match="sparse"):
        source.inspect(source.save_live(keras.Model(x, keras.layers.Dense(2)(x)), tmp_path))


def test_a_sequential_model_and_a_fixed_batch(keras: Any, tmp_path: Path) -> None:
    live = keras.Sequential([keras.Input((3,), batch_size=2, name="x"), keras.layers.Dense(2, name="y")])
    found = source.inspect(source.save_live(live, tmp_path))
    assert (found.inputs[0], found.outputs[0].name) == (TensorSpec("x", (2, 3), "float32"), "y")
    dataset = from_arrays(
        {"x_test": RNG.random((5, 3)), "y_test": RNG.random((5, 2))},
        found.inputs,
        found.outputs,
        DataOptions(),
        tmp_path / "c",
    )
    source.predict(found, dataset, "test", tmp_path / "out", lambda event: None)
    assert np.load(tmp_path / "out" / "y.npy").shape == (5, 2)


def test_predict_writes_the_outputs_of_a_split(model: Any, saved: Path, tmp_path: Path) -> None:
    found = source.inspect(saved)
    x = RNG.random((300, 6, 6, 1)).astype("float32")
    arrays = {"x_test": x, "y_test": np.arange(300) % 4}
    dataset = from_arrays(arrays, found.inputs, found.outputs, DataOptions(), tmp_path / "cache")
    events: list[Progress] = []
    assert source.predict(found, dataset, "test", tmp_path / "out", events.append) == ("scores",)
    written = np.load(tmp_path / "out" / "scores.npy")
    assert written.dtype == np.float32
    assert np.allclose(written, model.predict(x, verbose=0), atol=1e-6)
    assert [(e.done, e.total) for e in events] == [(128, 300), (256, 300), (300, 300)]
    other = replace(dataset, inputs=(TensorSpec("picture", (None, 6, 6, 1), "float32"),))
    (dataset.path / "test" / "x" / "picture.npy").symlink_to("image.npy")
    with pytest.raises(DataError, match="the dataset has inputs picture; the model takes image"):
        source.predict(found, other, "test", tmp_path / "out", events.append)


def test_outputs_without_a_row_for_each_sample_are_refused(keras: Any, tmp_path: Path) -> None:
    x = keras.Input((3,), name="x")
    found = source.inspect(source.save_live(keras.Model(x, keras.ops.sum(x, axis=0)), tmp_path))
    dataset = from_arrays(
        {"x_test": RNG.random((9, 3)), "y_test": RNG.random((9, 3))},
        found.inputs,
        (TensorSpec("y", (None, 3), "float32"),),
        DataOptions(),
        tmp_path / "c",
    )
    with pytest.raises(SourceError, match=r"of shape \(3,\) does not have one row for each of 128 samples"):
        source.predict(found, dataset, "test", tmp_path / "out", lambda event: None)


def test_real_mnist_accuracy(shared_data: Path, tmp_path: Path) -> None:
    from edgeship.metrics import get_metric

    with np.load(shared_data / "mnist" / "mnist.npz") as arrays:
        np.savez(tmp_path / "m.npz", x_test=arrays["x_test"][:2000], y_test=arrays["y_test"][:2000])
    found = source.inspect(shared_data / "tfjs_reference" / "mnist_cnn" / "mnist_cnn.keras")
    dataset = open_dataset(
        str(tmp_path / "m.npz"), found.inputs, found.outputs, DataOptions(scale=1 / 255), tmp_path / "c"
    )
    (name,) = source.predict(found, dataset, "test", tmp_path / "out", lambda event: None)
    metric = get_metric(None, dataset)
    labels = np.load(dataset.path / "test" / "y.npy")
    assert metric.value(metric.per_sample(np.load(tmp_path / "out" / f"{name}.npy"), labels)) > 0.98
