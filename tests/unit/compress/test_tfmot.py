"""The stages with `backend: tfmot`."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from edgeship import data, source
from edgeship.compress import training
from edgeship.compress.graph.kernels import prunable_kernels, sparsity
from edgeship.compress.layers import fake_quantized
from edgeship.compress.run import compress
from edgeship.compress.weights.clustering import most_values
from edgeship.errors import MissingPackageError, RecipeError
from edgeship.recipe import SCHEMA, parse

# Protocol buffers that TFMOT's own modules register; Keras 2 warns of its own names.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

PRUNE = {"prune": {"sparsity": 0.5, "epochs": 2, "backend": "tfmot"}}
CLUSTER = {"cluster": {"clusters": 16, "epochs": 1, "learning_rate": 1e-3, "backend": "tfmot"}}
QUANTIZE = {"quantize-aware": {"epochs": 1, "learning_rate": 1e-3, "backend": "tfmot"}}


def recipe(*stages):
    return {"schema": SCHEMA, "name": "test", "stages": list(stages), "variants": ["int8"]}


@pytest.fixture(scope="module")
def given(trained, digits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("given")
    found = source.inspect(source.save_live(trained, folder))
    arrays = dict(zip(("x_train", "y_train", "x_test", "y_test"), digits, strict=True))
    return found, data.from_arrays(arrays, found.inputs, found.outputs, data.DataOptions(), folder)


def test_pcqat_keeps_zeros_and_shared_values(given, digits, accuracy, litert, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(training, "_SIGN_SECONDS", -1.0)
    events = []
    result = compress(*given, recipe(PRUNE, CLUSTER, QUANTIZE), None, tmp_path, events.append)
    base, pruned, clustered, quantized = result.stages
    assert base.sparsity == 0
    assert pruned.sparsity == pytest.approx(0.5, abs=0.01)
    assert clustered.sparsity >= pruned.sparsity - 1e-9
    assert quantized.sparsity >= pruned.sparsity - 1e-9
    assert any("different" in note for note in clustered.notes)
    assert min(stage.metric for stage in result.stages) > base.metric - 0.1
    whole = [(e.stage, e.done) for e in events if e.done and "batch" not in e.message]
    assert whole == [("prune", 1), ("prune", 2), ("cluster", 1), ("quantize-aware", 1)]
    assert any(0 < e.done < 1 for e in events)
    model = source.load(result.source)
    assert fake_quantized(model)
    outputs, _, _ = litert(model, digits[2][:200])
    assert np.mean(outputs.argmax(1) == digits[3][:200]) > 0.85


def test_prune_and_cluster_come_back_plain(given, tmp_path) -> None:
    result = compress(*given, recipe(CLUSTER), None, tmp_path, lambda _: None)
    model = source.load(result.source)
    assert max(len(np.unique(np.asarray(kernel))) for kernel in prunable_kernels(model)) <= 16
    assert most_values(model)[1] <= 16
    assert sparsity(model) < 0.1


def test_constant_schedule_reaches_its_sparsity(given, tmp_path) -> None:
    stage = {"prune": {"sparsity": 0.7, "epochs": 1, "schedule": "constant", "backend": "tfmot"}}
    result = compress(*given, recipe(stage), None, tmp_path, lambda _: None)
    assert result.stages[-1].sparsity == pytest.approx(0.7, abs=0.01)


def test_absent_package_is_said_before_anything_trains(given, tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow_model_optimization", None)  # as where it is not installed
    events = []
    first = {"prune": {"sparsity": 0.5, "epochs": 1}}
    with pytest.raises(MissingPackageError) as raised:
        compress(*given, recipe(first, QUANTIZE), None, tmp_path, events.append)
    assert raised.value.exit_code == 3
    assert raised.value.remedy == "pip install 'edgeship[tfmot]'"
    assert not events


@pytest.mark.parametrize("stage", [PRUNE, CLUSTER, QUANTIZE])
def test_teacher_is_refused(stage) -> None:
    ((word, settings),) = stage.items()
    with pytest.raises(RecipeError, match="without a teacher"):
        parse(recipe({word: {**settings, "teacher": 0.5}}), "test")
