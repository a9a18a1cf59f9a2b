"""Datasets: what comes in, what is refused, how it is divided."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeship import cache
from edgeship.data import DataOptions, dataset, from_arrays, load, open_dataset
from edgeship.errors import DataError, StorageFullError
from edgeship.types import Dataset, TensorSpec

X = TensorSpec("image", (None, 4, 4, 1), "float32")
CLASSES_3 = TensorSpec("probabilities", (None, 3), "float32")
SCORE = TensorSpec("score", (None, 1), "float32")
MAP_3 = TensorSpec("map", (None, 4, 4, 3), "float32")
RNG = np.random.default_rng(3)


def classification(n: int = 60) -> dict[str, Any]:
    y = np.arange(n) % 3
    return {"x_train": RNG.random((n, 4, 4, 1)), "y_train": y, "x_test": RNG.random((n, 4, 4, 1)), "y_test": y}


def make(
    folder: Path, arrays: dict[str, Any], *, inputs: Any = (X,), outputs: Any = (CLASSES_3,), **options: Any
) -> Dataset:
    return from_arrays(arrays, inputs, outputs, DataOptions(**options), folder)


def test_digits_have_fixed_stratified_splits(tmp_path: Path) -> None:
    dataset = open_dataset("digits", (), (), DataOptions(), tmp_path)
    assert dataset.task == "classification"
    assert dataset.classes == tuple("0123456789")
    assert dataset.inputs == (TensorSpec("image", (None, 32, 32, 1), "float32"),)
    assert dataset.counts == {"train": 1078, "validation": 120, "test": 599, "calibration": 200}
    test = load(dataset, "test")
    assert test.inputs["image"].dtype == np.float32
    assert (test.inputs["image"].min(), test.inputs["image"].max()) == (0.0, 1.0)
    assert test.labels is not None
    assert np.ptp(np.bincount(test.labels)) <= 3
    other = open_dataset(
        "digits", dataset.inputs, (TensorSpec("p", (None, 10), "float32"),), DataOptions(seed=5), tmp_path
    )
    assert np.array_equal(load(other, "test").inputs["image"], test.inputs["image"])
    assert not np.array_equal(load(other, "validation").inputs["image"], load(dataset, "validation").inputs["image"])


def test_the_splits_are_disjoint_and_calibration_is_part_of_train(tmp_path: Path) -> None:
    arrays = classification(300)
    for name in ("train", "test"):
        arrays[f"x_{name}"][:, 0, 0, 0] = np.arange(300) + (0 if name == "train" else 1000)
    dataset = make(tmp_path, arrays, calibration_samples=30)
    ids = {split: set(load(dataset, split).inputs["image"][:, 0, 0, 0].astype(int)) for split in dataset.counts}
    assert dataset.counts == {"train": 270, "validation": 30, "test": 300, "calibration": 30}
    assert ids["test"] == set(range(1000, 1300))
    assert ids["train"] | ids["validation"] == set(range(300))
    assert not ids["train"] & ids["validation"]
    assert ids["calibration"] <= ids["train"]
    for split in ("validation", "calibration"):
        labels = load(dataset, split).labels
        assert labels is not None
        assert np.bincount(labels).tolist() == [10, 10, 10]


def test_validation_samples_that_were_kept_apart_are_the_validation_split(tmp_path: Path) -> None:
    arrays = classification(90) | {"slice_train.site": np.arange(90) % 2, "slice_test.site": np.arange(90) % 2}
    held = {"x_validation": RNG.random((12, 4, 4, 1)), "y_validation": np.arange(12) % 3}
    dataset = make(tmp_path, arrays | held | {"slice_validation.site": np.arange(12)}, calibration_samples=30)
    assert dataset.counts == {"train": 90, "validation": 12, "test": 90, "calibration": 30}
    found = load(dataset, "validation")
    assert np.array_equal(found.inputs["image"], held["x_validation"].astype(np.float32))
    assert found.labels is not None
    assert found.labels.tolist() == held["y_validation"].tolist()
    assert found.slices["site"].tolist() == list(range(12))
    assert np.array_equal(load(dataset, "train").inputs["image"], arrays["x_train"].astype(np.float32))
    assert dataset.sha256 != make(tmp_path, arrays).sha256
    with pytest.raises(DataError, match="the validation split does not have the same inputs, labels and slices"):
        make(tmp_path, arrays | {"x_validation": held["x_validation"]})
    with pytest.raises(DataError, match="the dataset holds x, y, x_validation"):
        make(tmp_path, {"x": arrays["x_train"], "y": arrays["y_train"], **held})


def test_x_and_y_alone_are_split_with_their_slices(tmp_path: Path) -> None:
    x = RNG.random((100, 4, 4, 1))
    y = np.arange(100) % 3
    x[:, 0, 0, 0] = np.arange(100)
    slices = np.array([f"site-{i % 7}" for i in range(100)])
    dataset = make(tmp_path, {"x": x, "y": y, "slice.site": slices})
    assert dataset.counts["test"] == 20
    assert dataset.slices == ("site",)
    for split in dataset.counts:
        samples = load(dataset, split)
        rows = samples.inputs["image"][:, 0, 0, 0].astype(int)
        assert samples.labels is not None
        assert samples.labels.tolist() == (rows % 3).tolist()
        assert samples.slices["site"].tolist() == [f"site-{i % 7}" for i in rows]


def test_equal_content_is_stored_once_and_options_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = classification()
    first = make(tmp_path, arrays)
    assert (first.path / "dataset.json").is_file()
    monkeypatch.setattr(dataset, "save_rows", lambda *args: pytest.fail("written twice"))
    again = make(tmp_path, {key: np.asfortranarray(value) for key, value in arrays.items()})
    assert again == first
    monkeypatch.undo()
    changed = {**arrays, "x_test": arrays["x_test"] + 1e-3}
    hashes = {first.sha256, make(tmp_path, changed).sha256, make(tmp_path, arrays, seed=1).sha256}
    assert len(hashes | {make(tmp_path, arrays, calibration_samples=5).sha256}) == 4


def test_values_are_converted_to_what_the_model_takes(tmp_path: Path) -> None:
    arrays = classification()
    arrays |= {key: (arrays[key] * 255).astype(np.uint8)[..., 0] for key in ("x_train", "x_test")}
    samples = load(make(tmp_path, arrays, scale=1 / 255), "test").inputs["image"]
    assert samples.dtype == np.float32
    assert samples.shape == (60, 4, 4, 1)
    assert np.allclose(samples[..., 0], arrays["x_test"] / 255, atol=1e-6)
    integer = TensorSpec("image", (None, 4, 4, 1), "uint8")
    stored = load(make(tmp_path, arrays, inputs=(integer,)), "test").inputs["image"]
    assert stored.dtype == np.uint8


def test_several_inputs_follow_the_models_order(tmp_path: Path) -> None:
    inputs = (TensorSpec("b", (None, 2), "float32"), TensorSpec("a", (None, 3), "int32"))
    arrays = {"x.a": np.ones((30, 3), int), "x.b": RNG.random((30, 2)), "y": np.arange(30) % 3}
    dataset = make(tmp_path, arrays, inputs=inputs)
    samples = load(dataset, "train")
    assert list(samples.inputs) == ["b", "a"]
    assert samples.inputs["a"].dtype == np.int32
    with pytest.raises(DataError, match=r"the dataset has x\.a, x\.c, but the model takes x\.b, x\.a"):
        make(tmp_path, {"x.a": arrays["x.a"], "x.c": arrays["x.b"], "y": arrays["y"]}, inputs=inputs)


@pytest.mark.parametrize(
    ("outputs", "labels", "task", "stored"),
    [
        (CLASSES_3, np.arange(30) % 3, "classification", (np.int64, (30,))),
        (CLASSES_3, (np.arange(30) % 3)[:, None].astype(float), "classification", (np.int64, (30,))),
        (CLASSES_3, np.eye(3)[np.arange(30) % 3], "classification", (np.int64, (30,))),
        (CLASSES_3, np.array(["ant", "bee", "cat"])[np.arange(30) % 3], "classification", (np.int64, (30,))),
        (CLASSES_3, RNG.random((30, 3)), "regression", (np.float32, (30, 3))),
        (SCORE, np.arange(30) % 2, "binary", (np.int64, (30,))),
        (SCORE, (np.arange(30) % 2)[:, None].astype(bool), "binary", (np.int64, (30,))),
        (SCORE, np.arange(30), "regression", (np.float32, (30, 1))),
        (MAP_3, RNG.integers(0, 3, (30, 4, 4)), "segmentation", (np.int64, (30, 4, 4))),
        (MAP_3, RNG.integers(0, 3, (30, 4, 4, 1)), "segmentation", (np.int64, (30, 4, 4))),
        (MAP_3, np.eye(3)[RNG.integers(0, 3, (30, 4, 4))], "segmentation", (np.int64, (30, 4, 4))),
        (X, RNG.integers(0, 2, (30, 4, 4)), "segmentation", (np.int64, (30, 4, 4))),
        (MAP_3, RNG.random((30, 4, 4, 3)), "regression", (np.float32, (30, 4, 4, 3))),
        (X, None, "reconstruction", (np.float32, (30, 4, 4, 1))),
    ],
)
def test_the_task_follows_from_labels_and_output(
    tmp_path: Path, outputs: TensorSpec, labels: Any, task: str, stored: tuple[Any, tuple[int, ...]]
) -> None:
    x = RNG.random((30, 4, 4, 1))
    arrays = {"x_train": x, "x_test": x} | ({} if labels is None else {"y_train": labels, "y_test": labels})
    dataset = make(tmp_path, arrays, outputs=(outputs,))
    samples = load(dataset, "test")
    assert dataset.task == task
    assert samples.labels is not None
    assert (samples.labels.dtype, samples.labels.shape) == stored
    if np.asarray(labels).dtype.kind == "U":
        assert dataset.classes == ("ant", "bee", "cat")
    if task == "reconstruction":
        assert np.array_equal(samples.labels, samples.inputs["image"])


def test_targets_equal_to_the_input_are_a_reconstruction(tmp_path: Path) -> None:
    x = RNG.random((30, 4, 4, 1))
    dataset = make(tmp_path, {"x": x, "y": x}, outputs=(X,))
    assert dataset.task == "reconstruction"
    assert not (dataset.path / "test" / "y.npy").exists()


def test_a_task_that_is_asked_for_wins(tmp_path: Path) -> None:
    arrays = {"x": RNG.random((30, 4, 4, 1)), "y": np.arange(30) % 2}
    assert make(tmp_path, arrays, outputs=(SCORE,), task="regression").task == "regression"


def bad(key: str, value: Any) -> dict[str, Any]:
    arrays = classification()
    return {**arrays, key: value(arrays[key]) if callable(value) else value}


def with_nan(x: Any) -> Any:
    x[7, 1, 1, 0] = np.nan
    return x


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (
            bad("x_test", lambda x: x[:, :3]),
            r"x_test has samples of shape \(3, 4, 1\), but input 'image' of the model takes \(4, 4, 1\)",
        ),
        (bad("x_train", lambda x: x.reshape(60, 16)), r"x_train has samples of shape \(16,\)"),
        (bad("x_train", with_nan), r"x_train contains NaN or infinite values \(first in sample 7\)"),
        (bad("x_train", lambda x: x + np.inf), "x_train contains NaN or infinite values"),
        (bad("x_train", lambda x: x + 1e200), "x_train has values beyond the range of float32"),
        (bad("x_train", lambda x: x.astype(str)), "x_train has dtype <U"),
        (bad("x_train", lambda x: x + 1j), "x_train has dtype complex128"),
        (bad("x_train", lambda x: x[:0]), "x_train is empty"),
        (bad("y_train", lambda y: y[:-1]), "y_train has 59 labels for 60 samples"),
        (bad("y_test", lambda y: y + 1), "y_test has labels from 1 to 3, but the model's labels are 0 to 2"),
        (bad("y_test", lambda y: y - 1), "y_test has labels from -1 to 1"),
        (bad("y_test", lambda y: y + 0.5), "y_test has labels that are not whole numbers"),
        (bad("y_test", lambda y: y * 0 + 2), r"y_test holds a single class \(2\)"),
        (bad("y_train", lambda y: y * 0), r"y_train holds a single class \(0\)"),
        (bad("y_train", lambda y: np.eye(2)[y % 2]), "y_train has one-hot rows of 2 classes, but the model has 3"),
        (bad("y_train", lambda y: np.zeros((60, 7))), "y_train has rows of 7 numbers that are not one-hot"),
        (bad("y_train", lambda y: y.astype(complex)), "y_train has dtype complex128"),
        (
            {**classification(), "classes": np.array(["a", "b"])},
            "names 2 classes, but the model has 3 outputs",
        ),
        ({**classification(), "classes": np.array(["a", "b", "a"])}, "class names occur twice"),
        ({**classification(), "z": np.ones(60)}, r"unknown key 'z'[\s\S]*x_train, y_train, x_test, y_test"),
        ({**classification(), "y_train.a": np.ones(60)}, r"unknown key 'y_train\.a'"),
        ({**classification(), "x": np.ones((60, 4, 4, 1))}, "the dataset holds x_train, y_train, x_test, y_test, x"),
        ({"y": np.arange(3)}, "the dataset holds y"),
        ({}, "the dataset holds nothing"),
        ({"x": np.ones((30, 4, 4, 1))}, "the dataset has no labels"),
        (
            {k: v for k, v in classification().items() if k != "y_test"},
            "the train split does not have the same inputs, labels|the test split does not",
        ),
        ({**classification(), "slice_train.a": np.ones(60)}, "split does not have the same inputs, labels and slices"),
        (
            {**classification(), "slice_train.a": np.ones(9), "slice_test.a": np.ones(60)},
            "numbers of samples differ: x_train.image has 60, slice_train.a has 9",
        ),
        ({**classification(), "slice_train.../a": np.ones(60)}, r"slice '../a' is not one plain value"),
        (
            {**classification(), "slice_train.a": np.ones((60, 2))},
            r"slice 'a' is not one plain value a sample \(shape \(60, 2\)",
        ),
        ({"x": np.ones((3, 4, 4, 1)), "y": np.arange(3)}, "3 samples are too few to divide"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_written(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        make(tmp_path / "cache", arrays)
    assert not (tmp_path / "cache").exists()


def test_integers_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    spec = TensorSpec("image", (None, 4, 4, 1), "uint8")
    with pytest.raises(DataError, match="x_train has dtype float64, and its values do not all fit the model's uint8"):
        make(tmp_path, classification(), inputs=(spec,))


def test_targets_must_have_the_outputs_shape_and_be_finite(tmp_path: Path) -> None:
    x = RNG.random((30, 4, 4, 1))
    with pytest.raises(DataError, match=r"y has targets of shape \(4, 5, 3\), but the model gives \[4, 4, 3\]"):
        make(tmp_path, {"x": x, "y": RNG.random((30, 4, 5, 3))}, outputs=(MAP_3,))
    with pytest.raises(DataError, match="y contains NaN"):
        make(tmp_path, {"x": x, "y": np.full((30, 1), np.nan)}, outputs=(SCORE,))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"task": "ranking"},
            r"no task 'ranking'[\s\S]*classification, binary, regression, segmentation, reconstruction",
        ),
        ({"validation_share": 0.9}, "validation_share is 0.9"),
        ({"calibration_samples": 0}, "calibration_samples is 0"),
        ({"scale": 0.0}, "scale is 0.0"),
        ({"scale": float("nan")}, "scale is nan"),
    ],
)
def test_options_are_checked(options: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        DataOptions(**options)


def test_a_test_split_alone_has_no_other_splits(tmp_path: Path) -> None:
    arrays = {k: v for k, v in classification().items() if "test" in k}
    dataset = make(tmp_path, arrays)
    assert dataset.counts == {"test": 60}
    with pytest.raises(DataError, match=r"dataset 'arrays' has no calibration samples[\s\S]*It has: test"):
        load(dataset, "calibration")


def test_a_damaged_store_is_noticed(tmp_path: Path) -> None:
    dataset = make(tmp_path, classification())
    (dataset.path / "test" / "y.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(DataError, match=r"dataset 'arrays' is incomplete: y\.npy"):
        load(dataset, "test")
    with pytest.raises(DataError, match="is incomplete"):
        load(replace(dataset, path=tmp_path / "gone"), "test")


def test_a_full_disk_leaves_nothing_that_looks_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(dataset, "save_rows", full)
    with pytest.raises(StorageFullError, match="the disk is full"):
        make(tmp_path, classification())
    assert list(tmp_path.iterdir()) == []


def test_another_choice_of_samples_is_another_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A repaired way of choosing never serves the splits of the old one."""
    arrays = classification(60)
    first = make(tmp_path, arrays)
    monkeypatch.setattr(dataset, "choose", lambda strata, rows, count, seed, leave=0: np.arange(min(count, rows)))
    second = make(tmp_path, arrays)
    assert second.sha256 != first.sha256
    assert not np.array_equal(load(first, "train").inputs["image"], load(second, "train").inputs["image"])


def test_another_edgeship_writes_its_own_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = classification(60)
    first = make(tmp_path, arrays)
    monkeypatch.setattr(cache, "code_version", lambda: "another")
    second = make(tmp_path, arrays)
    assert second.sha256 == first.sha256
    assert second.path != first.path
