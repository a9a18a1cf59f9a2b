"""A real search from end to end: a small network, stages that train, the file, its figures, the build."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
from click.testing import CliRunner

import edgeship
from edgeship.cli import cli
from edgeship.data import DataOptions
from edgeship.errors import InputError, OutputError, RecipeError
from edgeship.recipe import Recipe
from edgeship.searching import run
from edgeship.searching.default_space import derive
from edgeship.searching.limits import Limits
from edgeship.searching.space import SCHEMA, parse
from edgeship.searching.trials import Task
from edgeship.types import Dataset, Source, TensorSpec

SPACE = """
schema: edgeship.search/1
recipes:
  - {name: broken, stages: [{distil: {student: "no_such_module:student"}}], variants: [int8]}
  - name: empty
    stages:
      - prune: {sparsity: 0.99, schedule: constant, epochs: 1, learning_rate: 1.0e-9}
      - quantize-aware: {epochs: 1}
    variants: [int8]
  - name: bits
    stages:
      - prune: {sparsity: 0.5, epochs: 1}
      - quantize-aware: {epochs: 1, learning_rate: {from: 0.0001, to: 0.001}}
    variants: [int8]
"""


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """A folder with a trained model, its data and a space."""
    import keras
    from sklearn.datasets import load_digits

    folder = tmp_path_factory.mktemp("given")
    digits = load_digits()
    x, y = (digits.images[..., None] / 16).astype(np.float32), digits.target.astype(np.int64)
    keras.utils.set_random_seed(1)
    image = keras.Input((8, 8, 1), name="image")
    hidden = keras.layers.Flatten()(keras.layers.Conv2D(8, 3, activation="relu", name="conv")(image))
    model = keras.Model(image, keras.layers.Dense(10, "softmax", name="digit")(hidden))
    model.compile(keras.optimizers.Adam(5e-3), "sparse_categorical_crossentropy")
    model.fit(x[:1300], y[:1300], epochs=6, batch_size=32, verbose=0)
    model.save(folder / "digits.keras")
    np.savez(folder / "data.npz", x_train=x[:1300], y_train=y[:1300], x_test=x[1300:], y_test=y[1300:])
    (folder / "space.yaml").write_text(SPACE)
    with pytest.MonkeyPatch.context() as patch:  # what was reused is counted: nothing is there before
        patch.setenv("EDGESHIP_CACHE", str(folder / "cache"))
        yield folder


def searched(given, out, trials, **more):
    return edgeship.search(
        given / "digits.keras", given / "data.npz", space=given / "space.yaml", trials=trials, folder=out / "search",
        out=out / "build", max_drop=3.0, targets=("local",), max_slice_drop=60.0, slices="label", min_slice=10, **more,
    )  # fmt: skip


@pytest.fixture(scope="module")
def found(given, tmp_path_factory):
    """A finished search with four trials."""
    out = tmp_path_factory.mktemp("found")
    return out, searched(given, out, 4)


def test_every_recipe_of_the_space_is_tried_and_an_error_is_a_result(found):
    _, result = found
    by_name = {t.recipe["name"]: t for t in result.trials}
    assert len(result.trials) == 4
    assert set(by_name) == {"broken", "empty", "bits"}
    broken = by_name["broken"]
    assert (broken.outcome, broken.error, broken.file) == ("failed", "RecipeError", None)
    assert "no_such_module" in broken.reason
    assert all(t.outcome == "finished" for t in result.trials if t.recipe["name"] == "bits")


def test_a_trial_far_beyond_the_limit_is_given_up_after_its_stage(found):
    _, result = found
    stopped = next(t for t in result.trials if t.recipe["name"] == "empty")
    assert stopped.outcome == "stopped"
    assert [stage.name for stage in stopped.stages] == ["base", "prune"]  # what comes after it never ran
    assert "after prune accuracy is" in stopped.reason
    assert stopped.lost > 20


def test_trials_share_the_stages_that_are_the_same(found):
    _, result = found
    shared = sorted(t.reused for t in result.trials if t.recipe["name"] == "bits")
    assert shared == [0, 1]
    first, second = ([s for s in t.stages if s.name == "prune"] for t in result.trials if t.recipe["name"] == "bits")
    assert first == second


def test_figures_are_of_the_validation_samples_and_beside_the_yardstick(found):
    _, result = found
    for trial in result.trials:
        if trial.file is not None:
            assert trial.file.n == 130  # a tenth of the training samples
            (timing,) = trial.timings
            assert timing.target == "local"
            assert timing.ms > 0
            assert timing.interval is None or timing.interval[0] <= timing.ratio <= timing.interval[1]
            assert trial.worst_slice.slice.startswith("label")


def test_the_choice_is_a_normal_build_held_to_its_limits_on_the_test_samples(found):
    out, result = found
    assert result.report is not None
    assert result.choice in result.front
    gates = {g.name: g for g in result.report.gates}
    assert (gates["metric"].n, gates["metric"].limit) == (497, 3.0)
    assert gates["slices"].limit == 60.0
    assert (out / "build" / "report.json").is_file()
    # What was searched on is what was built, by the same recipe, byte by byte.
    (artifact,) = result.report.artifacts
    assert artifact.sha256 == result.choice.file.sha256
    text = (out / "search" / "chosen.yaml").read_text()
    assert f"name: {result.choice.recipe['name']}" in text


def test_the_reasons_name_what_bound_and_the_runner_up(found):
    _, result = found
    text = "\n".join(result.why)
    assert "trials that keep all limits (drop 3, drop in any slice 60)" in text
    assert f"runner-up: {result.runner_up.name}" in text


def test_the_page_has_every_trial_and_what_the_stages_cost(found):
    out, result = found
    html = (out / "search" / "front.html").read_text()
    assert all(trial.name in html for trial in result.trials)
    assert "refresh" not in html.split("<style>")[0]
    assert "on the test samples" in html


def test_the_same_call_finds_all_done(found, given):
    out, result = found
    again = searched(given, out, 4)
    assert again.trials == result.trials
    assert again.choice == result.choice


def test_the_budget_counts_from_the_beginning(given, tmp_path, monkeypatch):
    """The look at the model and the yardstick is part of it."""
    looked = run.look

    def slowly(*what):
        time.sleep(1.1)
        return looked(*what)

    monkeypatch.setattr(run, "look", slowly)
    ended = edgeship.search(given / "digits.keras", given / "data.npz", budget_seconds=1, folder=tmp_path / "s")
    assert ended.trials == ()
    assert ended.ended == "the time of 1 s is up"


@pytest.mark.parametrize("of", ["metric", "augment", "student", "any student"])
def test_a_search_whose_code_changed_is_another_one(tmp_path, monkeypatch, of):
    monkeypatch.chdir(tmp_path)
    student = {"any": ["narrow", "mine:made"]} if of == "any student" else "mine:made" if of == "student" else "narrow"
    recipes = [{"name": "taught", "stages": [{"distil": {"student": student}}], "variants": ["int8"]}]
    space = parse({"schema": SCHEMA, "recipes": recipes}, "test")
    options = DataOptions(augment=("mine:made",) if of == "augment" else ("flip",))
    task = Task(tmp_path / "m.keras", "d", metric="mine:made" if of == "metric" else None, data_options=options)

    def key():
        return run._key(task, space, Limits(), ("drop",), ("model", "data", 0))

    (tmp_path / "mine.py").write_text("def made(): return 1")
    before = key()
    assert key() == before
    (tmp_path / "mine.py").write_text("def made(): return 2")
    assert key() != before


def test_what_cannot_be_used_is_refused_before_anything_runs(given, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years")
    with pytest.raises(OutputError, match="holds something else"):
        edgeship.search(given / "digits.keras", given / "data.npz", trials=1, folder=tmp_path / "mine", out=tmp_path)
    with pytest.raises(InputError, match="how long"):
        edgeship.search(given / "digits.keras", given / "data.npz")
    for more, error in (
        ({"targets": ("nowhere",)}, InputError),
        ({"format": "coreml"}, InputError),
        ({"executor": "kubernetes"}, InputError),
        ({"sampler": "best"}, InputError),
        ({"workers": 0}, InputError),
        ({"minimize": "speed"}, InputError),
        ({"space": tmp_path / "none.yaml"}, RecipeError),
        ({"storage": "mysql://x"}, InputError),
        ({"executor": "dask://tcp://127.0.0.1:9", "max_ms": {"ssh://pi": 2.0}}, InputError),
    ):
        with pytest.raises(error):
            edgeship.search(
                given / "digits.keras", given / "data.npz", trials=1, folder=tmp_path / "s", out=tmp_path / "b", **more
            )
    assert not list(tmp_path.glob("s/trials/*"))
    assert not (tmp_path / "b").exists()


def test_the_command_prints_one_document(found, given):
    out, result = found
    words = ["search", str(given / "digits.keras"), "--data", str(given / "data.npz"), "--json"]
    ran = CliRunner().invoke(cli, words)
    assert ran.exit_code == 2  # no bound was given
    words += [
        "--search",
        str(given / "space.yaml"),
        "--trials",
        "4",
        "--max-drop",
        "3",
        "--folder",
        str(out / "search"),
    ]
    words += ["--target", "local", "--max-slice-drop", "60", "--slices", "label", "--min-slice", "10"]
    ran = CliRunner().invoke(cli, [*words, "--out", str(out / "build")], standalone_mode=False)
    document = json.loads(ran.stdout)
    assert document["schema"] == "edgeship.search-result/1"
    assert document["chosen"] == result.choice.number
    assert document["front"] == [trial.number for trial in result.front]
    assert len(document["trials"]) == 4


def test_a_model_that_knows_the_validation_samples_by_heart_is_said_to(tmp_path):
    import keras

    rng = np.random.default_rng(0)
    x, y = rng.random((400, 8), np.float32), rng.integers(0, 2, 400)  # nothing to learn but the samples themselves
    keras.utils.set_random_seed(0)
    wide = keras.layers.Dense(256, "relu")
    model = keras.Sequential([keras.Input((8,)), wide, keras.layers.Dense(2, "softmax")])
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    model.fit(x[:300], y[:300], epochs=120, batch_size=100, verbose=0)
    model.save(tmp_path / "known.keras")
    data = (x[:300], y[:300], x[300:], y[300:])
    (tmp_path / "trains.yaml").write_text(SPACE.replace("  - name: bits", "  - int8\n  - name: bits"))
    (tmp_path / "plain.yaml").write_text(f"schema: {SCHEMA}\nrecipes: [int8]\n")
    for name in ("trains", "plain"):
        words = {"folder": tmp_path / name, "out": tmp_path / "out" / name, "space": tmp_path / f"{name}.yaml"}
        found = edgeship.search(tmp_path / "known.keras", data, trials=1, **words)
        told = [note for note in found.notes if "probably been trained with the validation samples" in note]
        assert len(told) == len(found.notes) == (name == "trains")
        assert ("probably been trained" in found.page.read_text()) == (name == "trains")


def test_what_is_built_of_a_task_waits_for_its_turn_as_trials_do(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGESHIP_CACHE", str(tmp_path))
    request = Task(tmp_path / "m.keras", "d").request(Recipe("int8"), tmp_path / "out")
    with request.turn("local"):
        assert len(list((tmp_path / "turns").glob("*.lock"))) == 1


def test_the_usual_space_has_what_applies():
    spec = TensorSpec("x", (None, 8), "float32")
    source = Source("m.keras", "keras", "keras", "0" * 64, (spec,), (spec,), 100, trainable=True)
    counts = {"train": 100, "validation": 10, "test": 10, "calibration": 10}
    dataset = Dataset("d", "d", "1" * 64, "classification", (spec,), counts, ("a", "b"))
    names = {e.name for e in derive(source, dataset, "tflite").entries}
    assert {
        "float32",
        "int8",
        "mixed",
        "int4-mixed",
        "int8-qat",
        "small",
        "tiny",
        "fast",
        "few-bits",
        "pruned",
    } <= names
    assert "auto" not in names
    plain = derive(Source("m", "savedmodel", "savedmodel", "0" * 64, (spec,), (spec,), 100, False), dataset, "tflite")
    assert plain.open == ()
    assert "int8" in {e.name for e in plain.fixed}
    few_bits = derive(source, dataset, "tflite").entry("few-bits")
    small = next(e for e in derive(source, dataset, "tflite").fixed if e.name == "small").at({})
    assert few_bits.holds(small) is not None  # so that what is learnt of it tells about its neighbours
