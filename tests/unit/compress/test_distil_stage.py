"""The distil stage: its settings reach the loss, and a student that learned nothing is never passed on."""

from __future__ import annotations

import sys

import keras
import numpy as np
import pytest
from keras import layers
from test_stages import given, recipe, run  # noqa: F401 - the fixture

from edgeship import data, source
from edgeship.compress import context
from edgeship.compress.distill.distiller import distiller
from edgeship.errors import InputError, RecipeError
from edgeship.recipe import parse

STUDENTS = """
import keras
from keras import layers

def network(*parts):
    image = keras.Input((8, 8, 1), name="image")
    x = image
    for part in parts:
        x = part(x)
    return keras.Model(image, layers.Dense(10, activation="softmax", name="probabilities")(x), name="mine")

def blind():
    return network(layers.Rescaling(0.0), layers.Flatten())

def flat():
    return network(layers.Flatten())
"""


@pytest.fixture
def students(tmp_path, monkeypatch):
    (tmp_path / "distil_students.py").write_text(STUDENTS)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.modules.pop("distil_students", None)


def distil(**settings):
    return {"distil": {"epochs": 1, **settings}}


def test_a_student_that_beats_nothing_is_refused_with_numbers(given, students):  # noqa: F811 - the fixture
    plan = recipe(distil(student="distil_students:blind"))
    with pytest.raises(InputError) as error:
        run(given, plan, students / "out")
    labels = data.load(given[1], "validation").labels
    guess = np.bincount(labels).max() / len(labels)
    assert f"accuracy on {len(labels)} validation samples is 0." in error.value.message
    assert f"of a constant answer {guess:.4g}, of the original " in error.value.message
    assert "more epochs" in error.value.remedy
    assert not (students / "out" / "model.keras").exists()


def test_where_the_original_itself_knows_nothing_no_student_is_blamed(given, students):  # noqa: F811 - the fixture
    """Then the gate on the original says so."""
    found, dataset = given
    untrained = source.load(found)
    untrained.set_weights([np.zeros_like(w) for w in untrained.get_weights()])
    (students / "zero").mkdir()
    zero = source.inspect(source.save_live(untrained, students / "zero"))
    done = run((zero, dataset), recipe(distil(student="distil_students:blind")), students / "out")
    assert [stage.name for stage in done.stages] == ["base", "distil"]


def test_percent_of_an_error_that_falls(tmp_path):
    """For errors, where less is better, a constant answer is the mean of the targets."""
    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).normal(size=(200, 6)).astype(np.float32)
    vector = keras.Input((6,), name="vector")
    model = keras.Model(vector, layers.Dense(6, name="out")(layers.Dense(32, activation="relu")(vector)))
    model.compile(keras.optimizers.Adam(0.02), "mse")
    model.fit(x, x, epochs=30, verbose=0)
    found = source.inspect(source.save_live(model, tmp_path))
    arrays = {"x_train": x, "x_test": x[:20]}
    options = data.DataOptions(task="reconstruction")
    dataset = data.from_arrays(arrays, found.inputs, found.outputs, options, tmp_path / "data")
    with pytest.raises(InputError, match="has learned nothing: its mse on 20 validation samples"):
        run((found, dataset), recipe(distil(student="narrow", learning_rate=1e-9)), tmp_path / "out")
    learning = distil(student="narrow", epochs=20, learning_rate=0.03, features=1)
    stages = run((found, dataset), recipe(learning), tmp_path / "out").stages
    assert stages[1].metric < 0.9


def test_settings_reach_the_distiller(given, tmp_path, monkeypatch):  # noqa: F811 - the fixture
    made = []

    def watched(*args, **options):
        made.append(options["features"])
        return distiller(*args, **options)

    monkeypatch.setattr(context, "distiller", watched)
    plan = recipe(distil(student="narrow", features=2, attention=0.5), distil())
    stages = run(given, plan, tmp_path / "out").stages
    assert stages[1].metric > 0.2
    assert (made[0].weight, made[0].attention, made[0].layers, made[1]) == (2, 0.5, "auto", None)


@pytest.mark.parametrize("setting", [{"features": -1}, {"attention": 1001}])
def test_limits(setting):
    with pytest.raises(RecipeError, match=r"Allowed: 0 to 1000"):
        parse(recipe(distil(**setting)), "test")


def test_a_student_without_matching_layers_is_refused_before_it_trains(given, students):  # noqa: F811 - the fixture
    with pytest.raises(InputError, match=r"no layers of mine \(no hidden activation\) fit those of digits_cnn"):
        run(given, recipe(distil(student="distil_students:flat", features=1)), students / "out")
