"""Metrics against hand-made and scikit-learn's values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import jaccard_score, roc_auc_score

from edgeship.contracts import Metric
from edgeship.errors import DataError, InputError
from edgeship.metrics import (
    Accuracy,
    AreaUnderCurve,
    MeanIntersectionOverUnion,
    MeanSquaredError,
    constant_guess,
    get_metric,
    worse_by,
)
from edgeship.types import Dataset, TensorSpec

RNG = np.random.default_rng(7)


def dataset(task: str) -> Dataset:
    return Dataset(Path(), "d", "0", task, (TensorSpec("x", (None, 2), "float32"),), {"test": 4})


def test_accuracy_is_the_share_of_right_top_1() -> None:
    metric = Accuracy()
    rows = metric.per_sample(np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3]]), np.array([0, 1, 1]))
    assert rows.tolist() == [1, 1, 0]
    assert metric.value(rows) == pytest.approx(2 / 3)


@pytest.mark.parametrize(("scores", "expected"), [([0.4, 0.6], [1, 1]), ([-3.0, 0.4], [1, 1]), ([0.1, 0.2], [1, 0])])
def test_accuracy_of_one_score_finds_its_threshold(scores: list[float], expected: list[float]) -> None:
    outputs, labels = np.array(scores)[:, None], np.array([0, 1])
    assert Accuracy().per_sample(outputs, labels).tolist() == expected
    assert Accuracy().per_sample(outputs[:, 0], labels).tolist() == expected


def test_accuracy_counts_nan_as_wrong() -> None:
    rows = Accuracy().per_sample(np.array([[np.nan, 0.0], [0.0, np.nan], [1.0, 0.0]]), np.array([0, 1, 0]))
    assert rows.tolist() == [0, 0, 1]


def test_accuracy_of_pixels_leaves_void_out() -> None:
    outputs = np.zeros((1, 2, 2, 3))
    outputs[..., 1] = 1
    labels = np.array([[[1, 1], [0, 255]]])
    assert Accuracy().per_sample(outputs, labels) == pytest.approx([2 / 3])


def test_accuracy_refuses_shapes_that_do_not_fit() -> None:
    with pytest.raises(DataError, match=r"accuracy: outputs of shape \(2, 3, 4\) do not fit labels of shape \(2,\)"):
        Accuracy().per_sample(np.zeros((2, 3, 4)), np.zeros(2, int))
    with pytest.raises(DataError, match="accuracy: 2 outputs and 3 labels"):
        Accuracy().per_sample(np.zeros((2, 3)), np.zeros(3, int))


def test_mse_does_not_broadcast() -> None:
    metric = MeanSquaredError()
    rows = metric.per_sample(np.array([[1.0], [2.0], [4.0]]), np.array([1.0, 0.0, 1.0]))
    assert rows.tolist() == [0, 4, 9]
    assert metric.value(rows) == pytest.approx(13 / 3)
    with pytest.raises(DataError, match=r"do not fit targets of shape \(2, 3\)"):
        metric.per_sample(np.zeros((2, 1)), np.zeros((2, 3)))


def test_auc_equals_scikit_learn_with_ties() -> None:
    labels = RNG.integers(0, 2, 200)
    scores = np.round(RNG.normal(labels * 0.5, 1.0), 1)
    metric = AreaUnderCurve()
    for outputs in (scores, scores[:, None], np.column_stack([-scores, scores])):
        assert metric.value(metric.per_sample(outputs, labels)) == pytest.approx(
            roc_auc_score(labels, scores), abs=1e-12
        )


def test_auc_one_vs_rest_equals_scikit_learn() -> None:
    labels = RNG.integers(0, 4, 300)
    scores = np.round(RNG.random((300, 4)) + np.eye(4)[labels] * 0.3, 2)
    scores /= scores.sum(axis=1, keepdims=True)
    metric = AreaUnderCurve()
    expected = roc_auc_score(labels, scores, multi_class="ovr")
    assert metric.value(metric.per_sample(scores, labels)) == pytest.approx(expected, abs=1e-12)


def test_auc_of_one_class_is_nan_and_nan_outputs_are_refused() -> None:
    metric = AreaUnderCurve()
    assert np.isnan(metric.value(metric.per_sample(np.array([0.1, 0.2]), np.array([1, 1]))))
    with pytest.raises(DataError, match="auc: the outputs contain NaN"):
        metric.per_sample(np.array([np.nan, 0.2]), np.array([0, 1]))


def test_miou_equals_scikit_learn_and_resamples() -> None:
    labels = RNG.integers(0, 3, (6, 5, 4))
    outputs = RNG.random((6, 5, 4, 3)) + np.eye(3)[labels] * 0.4
    metric = MeanIntersectionOverUnion()
    rows = metric.per_sample(outputs, labels)
    assert rows.shape == (6, 9)
    chosen = [0, 0, 3, 5]
    for index in (list(range(6)), chosen):
        expected = jaccard_score(labels[index].ravel(), outputs[index].argmax(-1).ravel(), average="macro")
        assert metric.value(rows[index]) == pytest.approx(expected, abs=1e-12)


def test_miou_leaves_void_and_absent_classes_out() -> None:
    outputs = np.zeros((1, 1, 4, 5))
    outputs[..., 0] = 1
    labels = np.array([[[0, 0, 1, 255]]])
    metric = MeanIntersectionOverUnion()
    assert metric.value(metric.per_sample(outputs, labels)) == pytest.approx((2 / 3 + 0) / 2)
    with pytest.raises(DataError, match=r"miou: labels outside 0\.\.4"):
        metric.per_sample(outputs, np.full((1, 1, 4), 7))


def test_miou_of_a_mask_has_two_classes() -> None:
    outputs = np.array([0.9, 0.1, 0.8, 0.2]).reshape(1, 2, 2, 1)
    metric = MeanIntersectionOverUnion()
    assert metric.value(metric.per_sample(outputs, np.array([[[1, 0], [1, 0]]]))) == 1.0


@pytest.mark.parametrize(
    ("task", "name"),
    [
        ("classification", "accuracy"),
        ("binary", "accuracy"),
        ("regression", "mse"),
        ("segmentation", "miou"),
        ("reconstruction", "mse"),
    ],
)
def test_the_default_metric_follows_the_task(task: str, name: str) -> None:
    metric = get_metric(None, dataset(task))
    assert metric.name == name
    assert isinstance(metric, Metric)
    assert (metric.direction, metric.unit) == (("minimize", "%") if name == "mse" else ("maximize", "points"))


def test_unknown_and_unfit_metrics_are_refused() -> None:
    with pytest.raises(
        InputError, match=r"no metric is called 'f1'[\s\S]*accuracy, auc, miou, mse, or module:function"
    ):
        get_metric("f1", dataset("classification"))
    with pytest.raises(InputError, match=r"'mse' does not fit a classification dataset[\s\S]*accuracy, auc"):
        get_metric("mse", dataset("classification"))


def test_a_metric_of_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_metric_of_test.py").write_text(
        "import numpy as np\n"
        "def near(outputs, labels):\n    return np.abs(outputs[:, 0] - labels) < 1\n"
        "def wrong(outputs, labels):\n    return 0.5\n"
        "def broken(outputs, labels):\n    return np.full(len(labels), np.nan)\n"
    )
    monkeypatch.chdir(tmp_path)
    outputs, labels = np.array([[1.0], [2.0], [3.0]]), np.array([1.0, 2.5, 9.0])
    metric = get_metric("my_metric_of_test:near", dataset("regression"))
    assert metric.value(metric.per_sample(outputs, labels)) == pytest.approx(2 / 3)
    with pytest.raises(DataError, match=r"wrong returned shape \(\) for 3 samples"):
        get_metric("my_metric_of_test:wrong", dataset("regression")).per_sample(outputs, labels)
    with pytest.raises(DataError, match="broken returned 3 scores that are not finite"):
        get_metric("my_metric_of_test:broken", dataset("regression")).per_sample(outputs, labels)
    with pytest.raises(DataError, match="there is no 'absent' in my_metric_of_test"):
        get_metric("my_metric_of_test:absent", dataset("regression"))


def test_worse_by_has_the_unit_of_a_drop() -> None:
    assert worse_by(Accuracy(), 0.9, 0.85) == pytest.approx(5)
    assert worse_by(MeanSquaredError(), 2.0, 2.5) == pytest.approx(25)
    assert worse_by(MeanSquaredError(), 2.0, 1.0) == pytest.approx(-50)


def test_a_constant_guess() -> None:
    """The most frequent class, whatever the form of the scores; the mean of the targets; void pixels do not count."""
    labels = np.array([2, 2, 1, 0, 2])
    assert constant_guess(Accuracy(), "classification", labels, 3) == pytest.approx(0.6)
    assert constant_guess(AreaUnderCurve(), "classification", labels, 3) == pytest.approx(0.5)
    for scores in (1, 2):
        assert constant_guess(Accuracy(), "binary", np.array([1, 1, 0]), scores) == pytest.approx(2 / 3)
        assert constant_guess(Accuracy(), "binary", np.array([0, 1, 0]), scores) == pytest.approx(2 / 3)
    pixels = np.array([[[1, 255], [1, 0]]])
    assert constant_guess(Accuracy(), "segmentation", pixels, 3) == pytest.approx(2 / 3)
    assert constant_guess(MeanIntersectionOverUnion(), "segmentation", pixels, 3) == pytest.approx(1 / 3)
    targets = np.array([[0.0, 10.0], [2.0, 10.0]], np.float32)
    assert constant_guess(MeanSquaredError(), "regression", targets, 2) == pytest.approx(0.5)
