"""Slices of a dataset, and the gate on them, without any model: outputs are arrays."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeship.data import DataOptions
from edgeship.data.dataset import from_arrays
from edgeship.errors import DataError
from edgeship.metrics import get_metric
from edgeship.pipeline import slicing
from edgeship.pipeline.checks import Baseline
from edgeship.pipeline.slicing import Found, Wishes
from edgeship.report import slices
from edgeship.types import Artifact, Dataset, TensorSpec
from edgeship.verify import GatePolicy, Outputs

N = 600
STRICT = GatePolicy(0.5, "fail")


def dataset(folder: Path, **more: Any) -> Dataset:
    rng = np.random.default_rng(0)
    x = rng.random((N, 4)).astype(np.float32)
    y = np.arange(N) % 2
    arrays = {"x_train": x, "x_test": x, "y_train": y, "y_test": y, "classes": np.array(["no", "yes"])}
    arrays |= {f"slice_{split}.{name}": values for split in ("train", "test") for name, values in more.items()}
    inputs, outputs = (TensorSpec("x", (None, 4), "float32"),), (TensorSpec("answer", (None, 2), "float32"),)
    return from_arrays(arrays, inputs, outputs, DataOptions(), folder)


def artifact(variant: str = "int8") -> Artifact:
    return Artifact(Path("f"), "tflite", variant, (), (), (), "a" * 64)


def prepared(wishes: Wishes, data: Dataset) -> slicing.Slicing:
    found = slicing.prepare(wishes, data, get_metric(None, data), STRICT)
    assert found is not None
    return found


def studied(data: Dataset, found: np.ndarray, wishes: Wishes, inconclusive: Any = "fail") -> Any:
    policy = replace(STRICT, inconclusive=inconclusive)
    labels = np.arange(N) % 2
    original = Outputs({"answer": np.eye(2)[labels]})
    metric = get_metric(None, data, scores=original.arrays["answer"])
    base = Baseline(data, original, {}, metric, policy, slicing.prepare(wishes, data, metric, policy))
    rows = metric.per_sample(found, labels)
    return slicing.study(base, Found(artifact(), "litert", rows, found, untouched=True))


def broken(mask: np.ndarray) -> np.ndarray:
    """The right answers, but for some samples."""
    right = np.eye(2)[np.arange(N) % 2]
    return np.where(mask[:, None], 1 - right, right)


def test_without_a_wish_slices_are_the_label_and_all_columns_that_have_groups(tmp_path: Path) -> None:
    names = np.array([f"person {k}" for k in range(N)])
    data = dataset(tmp_path, city=np.where(np.arange(N) < 60, "small", "large"), person=names, age=np.arange(N) / 7)
    parts = prepared(Wishes(), data).parts
    assert [part.name for part in parts][:4] == ["city=large", "city=small", "age=0..21.39", "age=21.39..42.79"]
    assert [part.name for part in parts][-2:] == ["label=no", "label=yes"]
    assert not any("person" in part.name for part in parts)
    with pytest.raises(DataError, match="600 different values"):
        prepared(Wishes("person"), data)


def test_the_gate_names_the_slice_that_fails(tmp_path: Path) -> None:
    city = np.where(np.arange(N) < 60, "small", "large")
    data = dataset(tmp_path, city=city)
    study, (gate,) = studied(data, broken(np.arange(N) < 40), Wishes(max_drop=12.0))
    assert (gate.name, gate.status, gate.accepted, gate.n, gate.limit) == ("slices", "fail", False, 60, 12.0)
    assert gate.value == pytest.approx(100 * 40 / 60)
    assert gate.detail.startswith("city=small: accuracy drops by +66.67 points")
    assert "1 of 4 slices exceed 12" in gate.detail
    assert study.rows[0].slice == "city=small"
    assert study.rows[0].significant
    assert {flip.kind for flip in study.flips} == {"broken"}
    assert study.changed == 0


def test_few_samples_are_inconclusive_and_the_recipe_decides(tmp_path: Path) -> None:
    data = dataset(tmp_path, city=np.where(np.arange(N) < 40, "small", "large"))
    intact = broken(np.zeros(N, bool)).astype(np.float32)
    _, (gate,) = studied(data, intact, Wishes(max_drop=3.0))
    assert (gate.status, gate.accepted) == ("inconclusive", False)
    assert "1 of 4 have too few samples to tell" in gate.detail
    assert studied(data, intact, Wishes(max_drop=3.0), "pass")[1][0].accepted
    assert studied(data, intact, Wishes(max_drop=10.0))[1][0].status == "pass"
    _, (gate,) = studied(data, intact, Wishes("city=small", 3.0, min_n=50))
    assert (gate.status, gate.n) == ("inconclusive", 0)
    assert "no slice has 50 samples" in gate.detail


def test_without_a_limit_there_is_no_gate(tmp_path: Path) -> None:
    study, gates = studied(dataset(tmp_path), broken(np.arange(N) < 300), Wishes())
    assert gates == ()
    assert all(row.status is None for row in study.rows)


def test_outputs_that_are_no_numbers_count_as_wrong(tmp_path: Path) -> None:
    study, (gate,) = studied(dataset(tmp_path), np.full((N, 2), np.nan), Wishes(max_drop=5.0))
    assert study.overall.after == 0.0
    assert gate.status == "fail"


def test_a_slice_whose_values_are_no_numbers_fails_the_gate(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(N, 4)).astype(np.float32)
    city = np.where(np.arange(N) < 40, "small", "large")
    arrays = {"x_train": x, "x_test": x, "slice_train.city": city, "slice_test.city": city}
    spec = (TensorSpec("x", (None, 4), "float32"),)
    data = from_arrays(arrays, spec, spec, DataOptions(task="reconstruction"), tmp_path)
    original, metric = Outputs({"x": x + 0.1}), get_metric(None, data)
    base = Baseline(data, original, {}, metric, STRICT, prepared(Wishes(max_drop=5.0), data))
    found = original.arrays["x"].copy()
    found[7] = np.nan
    study, (gate,) = slicing.study(base, Found(artifact(), "litert", metric.per_sample(found, x), found, False))
    assert (gate.status, gate.n, gate.detail) == ("fail", 40, "city=small: not a number")
    assert [row.slice for row in study.rows] == ["city=small", "city=large"]
    assert slices.headline(study) == "2 slices tested: 1 lost significantly, city=small most (not a number)."
    assert [worst.cells[5] for worst in slices.worst((study,))] == ["not a number"]


def test_errors_of_a_reconstruction_show_what_became_worse(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(N, 4)).astype(np.float32)
    loud = np.where(np.arange(N) < 200, "loud", "quiet")
    arrays = {"x_train": x, "x_test": x, "slice_train.level_of": loud, "slice_test.level_of": loud}
    spec = (TensorSpec("x", (None, 4), "float32"),)
    data = from_arrays(arrays, spec, spec, DataOptions(task="reconstruction"), tmp_path)
    original = Outputs({"x": x + 0.1 * rng.normal(size=x.shape).astype(np.float32)})
    metric = get_metric(None, data)
    base = Baseline(data, original, {}, metric, STRICT, prepared(Wishes(max_drop=30.0), data))
    worse = np.where((np.arange(N) < 200)[:, None], 0.1 * rng.normal(size=x.shape), 0).astype(np.float32)
    found = original.arrays["x"] + worse
    study, (gate,) = slicing.study(base, Found(artifact(), "litert", metric.per_sample(found, x), found, False))
    assert study.rows[0].slice == "level_of=loud"
    assert study.rows[0].significant
    assert study.rows[0].drop.unit == "%"
    assert (gate.status, gate.unit) == ("fail", "%")
    assert {flip.kind for flip in study.flips} == {"worse"}
    assert all(flip.index < 200 for flip in study.flips)
    assert study.calibration is None
    assert slicing.exhibits((study,), data)[0].kind == "row"


def test_a_limit_that_cannot_be_is_refused() -> None:
    with pytest.raises(DataError, match="0 to 100"):
        Wishes(max_drop=101.0)


def test_slices_without_labels_are_refused_where_somebody_asked_for_them(tmp_path: Path) -> None:
    data = dataset(tmp_path)
    assert slicing.prepare(Wishes(), data, None, STRICT) is None
    for wishes in (Wishes("label"), Wishes(max_drop=1.0)):
        with pytest.raises(DataError, match="needs labels"):
            slicing.prepare(wishes, data, None, STRICT)
