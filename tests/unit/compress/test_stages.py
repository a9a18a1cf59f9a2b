from __future__ import annotations

import gzip
import sys

import keras
import numpy as np
import pytest
from keras import layers

from edgeship import data, source
from edgeship.compress.channels import stage as stage_module
from edgeship.compress.channels.latency import Latency
from edgeship.compress.context import Context
from edgeship.compress.distill.distiller import distiller
from edgeship.compress.graph.kernels import sparsity
from edgeship.compress.graph.macs import macs
from edgeship.compress.graph.model import input_structure
from edgeship.compress.layers import fake_quantized
from edgeship.compress.run import Part, compress
from edgeship.compress.training import Batches, loss_for, weight_bytes
from edgeship.errors import DataError, InputError, RecipeError, UnsupportedModelError
from edgeship.recipe import SCHEMA, PruneChannels, Recipe, parse


@pytest.fixture(scope="module")
def given(trained, digits, tmp_path_factory):
    """The trained network as a Source, and digits as a Dataset."""
    folder = tmp_path_factory.mktemp("given")
    found = source.inspect(source.save_live(trained, folder))
    arrays = dict(zip(("x_train", "y_train", "x_test", "y_test"), digits, strict=True))
    return found, data.from_arrays(arrays, found.inputs, found.outputs, data.DataOptions(), folder)


def recipe(*stages, **more):
    return {"schema": SCHEMA, "name": "test", "stages": list(stages), "variants": ["int8"], **more}


def run(given, plan, folder, tell=lambda event: None):
    folder.mkdir(exist_ok=True)
    return compress(*given, plan, None, folder, tell)


PRUNE = {"prune": {"sparsity": 0.6, "epochs": 3}}
DISTIL = {"distil": {"epochs": 2}}
QUANTIZE = {"quantize-aware": {"epochs": 1, "learning_rate": 1e-3}}


@pytest.fixture(scope="module")
def compressed(given, tmp_path_factory):
    """All stages, and what was told meanwhile."""
    events = []
    folder = tmp_path_factory.mktemp("compressed")
    return run(given, recipe(PRUNE, DISTIL, QUANTIZE), folder, events.append), events


def test_stages_in_order_each_measured(compressed, given, accuracy):
    result, events = compressed
    assert [stage.name for stage in result.stages] == ["base", "prune", "distil", "quantize-aware"]
    base, pruned, distilled, quantized = result.stages
    assert base.sparsity == 0
    assert base.epochs == 0
    assert base.parameters == given[0].parameters
    assert all(stage.sparsity >= 0.599 for stage in (pruned, distilled, quantized))
    assert quantized.size_bytes < 0.5 * pruned.size_bytes < 0.4 * base.size_bytes
    assert all(stage.metric > base.metric - 0.05 for stage in result.stages)
    ends = [e for e in events if " batch " not in e.message]
    assert [(e.stage, e.done, e.total) for e in ends] == [
        ("prune", 1, 3), ("prune", 2, 3), ("prune", 3, 3), ("distil", 1, 2), ("distil", 2, 2), ("quantize-aware", 1, 1)
    ]  # fmt: skip
    assert "epoch 3/3 accuracy 0." in ends[2].message


def test_the_written_model_is_the_one_that_was_measured(compressed, given, digits, accuracy):
    result, _ = compressed
    assert result.source.path.name == "model.keras"
    assert result.source.fake_quantized
    assert [spec.name for spec in result.source.outputs] == [spec.name for spec in given[0].outputs]
    assert [spec.name for spec in result.source.inputs] == ["image"]
    model = source.load(result.source)
    assert fake_quantized(model)
    assert sparsity(model) == result.stages[-1].sparsity
    validation = data.load(given[1], "validation")
    predicted = model.predict(validation.inputs["image"], verbose=0).argmax(1)
    assert np.mean(predicted == validation.labels) == pytest.approx(result.stages[-1].metric, abs=1e-9)
    assert accuracy(model) > 0.85


def test_same_seed_same_weights(given, tmp_path):
    """Also with dropout, a freshly initialized student and quantization-aware training."""
    plan = recipe(
        {"distil": {"student": "narrow", "epochs": 1, "learning_rate": 0.02}}, QUANTIZE, seed=4, batch_size=128
    )
    first, second = (run(given, plan, tmp_path / name) for name in "ab")
    assert first.source.sha256 == second.source.sha256
    assert [stage.metric for stage in first.stages] == [stage.metric for stage in second.stages]


def test_a_model_that_takes_its_input_in_a_list_trains(given, trained, tmp_path):
    """`keras.Model([image], ...)`, which is how the MLPerf Tiny models were made."""
    listed = keras.Model([trained.inputs[0]], trained.outputs[0], name="listed")
    found = source.inspect(source.save_live(listed, tmp_path))
    result = run((found, given[1]), recipe(QUANTIZE, batch_size=256), tmp_path / "out")
    assert [stage.name for stage in result.stages] == ["base", "quantize-aware"]


def test_batches_follow_the_seed(trained, digits):
    def first(seed):
        return Batches(input_structure(trained), {"image": digits[0]}, digits[1], 32, seed)[0][1].tolist()

    assert first(1) == first(1) != first(2)
    ordered = Batches(input_structure(trained), {"image": digits[0]}, None, 512)
    assert len(ordered) == 3
    assert np.array_equal(np.concatenate([ordered[n][0] for n in range(3)]), digits[0])


def test_shipped_settings_round_trip(given, tmp_path):
    plan = Recipe(name="none", stages=())
    result = run(given, plan.to_data(), tmp_path)
    assert [stage.name for stage in result.stages] == ["base"]
    assert source.load(result.source).count_params() == given[0].parameters


def test_a_student_of_the_users_own(given, tmp_path, monkeypatch):
    (tmp_path / "my_students.py").write_text(
        "import keras\n"
        "def small():\n"
        "    image = keras.Input((8, 8, 1), name='image')\n"
        "    x = keras.layers.Flatten()(image)\n"
        "    return keras.Model(image, keras.layers.Dense(10, activation='softmax', name='probabilities')(x))\n"
        "def wrong():\n"
        "    return 3\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    own = recipe({"distil": {"student": "my_students:small", "epochs": 1}})
    assert run(given, own, tmp_path / "out").stages[1].parameters == 650
    with pytest.raises(RecipeError, match="returned int"):
        run(given, recipe({"distil": {"student": "my_students:wrong", "epochs": 1}}), tmp_path / "out")
    sys.modules.pop("my_students")


def test_a_ramp_over_the_whole_stage_ends_at_its_sparsity(given, tmp_path):
    plan = recipe({"prune": {"sparsity": 0.9, "epochs": 1, "ramp": 1.0}}, batch_size=512)
    assert run(given, plan, tmp_path).stages[1].sparsity == pytest.approx(0.9, abs=0.002)


def test_what_cannot_be_trained_is_refused(given, tmp_path):
    from dataclasses import replace

    found, dataset = given
    with pytest.raises(UnsupportedModelError, match="read with tf_keras"):
        run((replace(found, loader="tf_keras"), dataset), recipe(QUANTIZE), tmp_path)
    with pytest.raises(DataError, match="no labels"):
        run((found, replace(dataset, task="unlabelled")), recipe(QUANTIZE), tmp_path)
    with pytest.raises(DataError, match="has no validation samples"):
        run((found, replace(dataset, counts={"train": 5})), recipe(QUANTIZE), tmp_path)


@pytest.mark.parametrize(
    ("task", "activation", "units", "expected"),
    [
        ("classification", "softmax", 3, (keras.losses.SparseCategoricalCrossentropy, False)),
        ("classification", None, 3, (keras.losses.SparseCategoricalCrossentropy, True)),
        ("segmentation", "softmax", 3, (keras.losses.SparseCategoricalCrossentropy, False)),
        ("binary", "sigmoid", 1, (keras.losses.BinaryCrossentropy, False)),
        ("binary", None, 1, (keras.losses.BinaryCrossentropy, True)),
        ("regression", None, 1, (keras.losses.MeanSquaredError, None)),
    ],
)
def test_loss_by_task_and_last_activation(task, activation, units, expected):
    image = keras.Input((4,))
    model = keras.Model(image, layers.Reshape((units,))(layers.Dense(units, activation=activation)(image)))
    loss = loss_for(task, model)
    assert isinstance(loss, expected[0])
    assert getattr(loss, "from_logits", None) is expected[1]


def test_a_head_that_does_not_fit_the_task_is_refused():
    image = keras.Input((4,))
    model = keras.Model(image, layers.Dense(3, activation="sigmoid")(image))
    with pytest.raises(UnsupportedModelError, match="ends in sigmoid"):
        loss_for("classification", model)


def test_weight_bytes_counts_what_is_stored():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3)])
    kernel, bias = model.get_weights()
    assert weight_bytes(model) == len(gzip.compress(kernel.tobytes() + bias.tobytes(), 9, mtime=0))


def test_reconstruction_and_regression_run_through(tmp_path):
    keras.utils.set_random_seed(0)
    random = np.random.default_rng(0)
    parts = [layers.Dense(6), layers.BatchNormalization(), layers.ReLU(), layers.Dense(12, name="rebuilt")]
    model = keras.Sequential([keras.Input((12,), name="frames"), *parts])
    found = source.inspect(source.save_live(model, tmp_path))
    x_train = random.normal(size=(160, 12)).astype(np.float32)
    arrays = {"x_train": x_train, "x_test": x_train[:40]}
    dataset = data.from_arrays(
        arrays, found.inputs, found.outputs, data.DataOptions(task="reconstruction"), tmp_path / "data"
    )
    plan = recipe({"distil": {"epochs": 2, "learning_rate": 0.01, "teacher": 0.1}}, QUANTIZE, batch_size=16)
    stages = run((found, dataset), plan, tmp_path / "out").stages
    assert stages[1].metric < stages[0].metric
    assert stages[2].metric < stages[0].metric


@pytest.mark.slow
def test_resnet8_keeps_its_accuracy(shared_data, litert):
    """MLPerf Tiny's ResNet-8: a few hundred steps of quantization-aware training, 2,000 test images in LiteRT."""
    import tensorflow as tf

    import edgeship

    archive = np.load(shared_data / "cifar10" / "cifar10_jpeg.npz", allow_pickle=False)

    def decoded(split, count):
        jpeg, ends = archive[f"{split}_jpeg"], archive[f"{split}_offsets"]
        images = [tf.io.decode_jpeg(jpeg[ends[n] : ends[n + 1]].tobytes(), channels=3) for n in range(count)]
        return np.stack(images).astype(np.float32), archive[f"y_{split}"][:count].astype(np.int64)

    x, y = decoded("train", 8000)
    x_test, y_test = decoded("test", 2000)
    base = keras.models.load_model(shared_data / "base" / "resnet8_cifar10_jpeg.keras", compile=False)
    keras.utils.set_random_seed(0)
    model = edgeship.quantize_aware(base, x[:500])
    loss = keras.losses.SparseCategoricalCrossentropy()
    model.compile(keras.optimizers.Adam(1e-5), loss, jit_compile=False)
    model.fit(x, y, batch_size=32, epochs=1, verbose=0, callbacks=edgeship.callbacks(model))
    final = edgeship.finalize(model)
    theirs, _, _ = litert(final, x_test)
    ours = final.predict(x_test, verbose=0)
    before = np.mean(base.predict(x_test, verbose=0).argmax(1) == y_test)
    assert np.mean(theirs.argmax(1) == ours.argmax(1)) >= 0.995
    assert np.mean(theirs.argmax(1) == y_test) > before - 0.01


def test_the_teacher_of_a_first_stage_is_not_its_student(given, tmp_path, monkeypatch):
    """The model as given, from the first to the last epoch: a model that teaches itself learns nothing from it."""
    from edgeship.compress import context

    pairs = []

    def watched(student, teacher, *args, **kwargs):
        pairs.append((student, teacher, [np.array(w) for w in teacher.get_weights()]))
        return distiller(student, teacher, *args, **kwargs)

    monkeypatch.setattr(context, "distiller", watched)
    run(given, recipe({"distil": {"epochs": 1, "teacher": 1.0, "learning_rate": 0.01}}, batch_size=512), tmp_path)
    ((student, teacher, before),) = pairs
    assert all(np.array_equal(a, b) for a, b in zip(before, teacher.get_weights(), strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(before, student.get_weights(), strict=True))
    with pytest.raises(InputError, match="the same model"):
        distiller(teacher, teacher)


def test_channels_go_in_rounds(given, tmp_path):
    """Fewer operations, then int8; the file is the smaller network."""
    events = []
    stage = {"share": 0.5, "rounds": 2, "epochs": 5, "importance": "taylor", "multiple_of": 4, "learning_rate": 3e-3}
    result = run(given, recipe({"prune-channels": stage}, QUANTIZE), tmp_path / "out", events.append)
    base, pruned, quantized = result.stages
    assert pruned.name == "prune-channels"
    assert pruned.macs <= 0.5 * base.macs
    assert pruned.parameters < 0.7 * base.parameters
    assert pruned.epochs == 5
    assert quantized.metric > base.metric - 0.05
    rounds = {e.total for e in events if e.stage == "prune-channels"}
    assert rounds == {1, 4}  # the last round is the longest
    assert macs(source.load(result.source)) == pruned.macs


def test_residual_branches_go_first(given, tmp_path):
    """Up to two: the digits network has one residual sum; without its branch less than the budget is left."""
    stage = {"share": 0.9, "blocks": 2, "rounds": 1, "epochs": 3, "learning_rate": 3e-3}
    result = run(given, recipe({"prune-channels": stage}), tmp_path / "out")
    base, pruned = result.stages
    assert pruned.macs < 0.9 * base.macs
    assert not any(isinstance(layer, layers.Add) for layer in source.load(result.source).layers)
    assert pruned.metric > base.metric - 0.1
    steps = -(-given[1].counts["train"] // parse(recipe(PRUNE), "test").batch_size)
    more = 2 * (stage_module._TRIED_STEPS + stage_module._SCORED_BATCHES)
    assert pruned.notes == (
        "only 1 of 2 residual branches to remove: channels have to save the rest",
        f"comparing residual branches took {more:,} more training steps, {more / steps:.1f} epochs",
    )


def test_milliseconds_decide_which_branch_goes(given, monkeypatch):
    """The budget of the stage is what branches are weighed by, too."""
    asked = []
    monkeypatch.setattr(stage_module, "_loss_after_a_while", lambda *_: 0.0)
    monkeypatch.setattr(stage_module, "prune_blocks", lambda model, count, loss, cost: asked.append(cost) or model)
    model = source.load(given[0])
    context = Context(given[0], given[1], parse(recipe(QUANTIZE), "test"), None, lambda _: None)
    for budget in ("latency", "macs"):
        stage_module._shortened(model, PruneChannels(blocks=1, budget=budget), context, macs)
    assert asked == [macs, None]


def test_milliseconds_are_a_budget(given, tmp_path, monkeypatch):
    """A clock that says what a width costs stands for the machine's, whose milliseconds no test may hang on."""
    asked = []

    def share(self, model):
        asked.append(model)
        width = sum(layer.filters for layer in model.layers if isinstance(layer, layers.Conv2D))
        return 0.2 + 0.8 * width / whole

    whole = sum(layer.filters for layer in source.load(given[0]).layers if isinstance(layer, layers.Conv2D))
    monkeypatch.setattr(Latency, "share", share)
    stage = {"share": 0.7, "budget": "latency", "rounds": 1, "epochs": 1, "importance": "l1", "multiple_of": 4}
    result = run(given, recipe({"prune-channels": stage}), tmp_path / "out")
    assert share(None, source.load(result.source)) <= 0.7
    assert len(asked) > 5


def test_a_file_is_timed_beside_that_of_the_model_as_given(given, tmp_path):
    """For real, once: a network of twelve times the width takes longer, by whatever this machine makes of it."""
    context = Context(given[0], given[1], parse(recipe(QUANTIZE), "test"), None, lambda _: None)
    narrow, wide = (
        keras.Sequential(
            [keras.Input((8, 8, 1), name="image"), layers.Conv2D(width, 3), layers.Conv2D(width, 3), layers.Flatten()]
        )
        for width in (16, 192)
    )
    with Latency(narrow, context) as clock:
        assert clock.share(wide) > 1.5


def test_multiples_give_way_to_the_budget(given, tmp_path):
    """No group of the digits network has 64 channels: in multiples of 64 nothing could go."""
    stage = {"share": 0.5, "rounds": 1, "epochs": 1, "importance": "l1", "multiple_of": 64}
    base, pruned = run(given, recipe({"prune-channels": stage}), tmp_path / "out").stages
    assert pruned.macs <= 0.5 * base.macs
    (note,) = pruned.notes
    assert "instead of 64" in note


def test_a_group_never_comes_to_a_single_channel(given, tmp_path):
    """LiteRT aborts at a branch with one channel inside: two are the fewest, in whatever multiples."""
    stage = {"share": 0.06, "rounds": 1, "epochs": 1, "importance": "l1", "multiple_of": 1}
    with pytest.raises(InputError, match="in multiples of 1 and at least 2"):
        run(given, recipe({"prune-channels": stage}), tmp_path / "out")


def test_channels_that_cannot_go_are_said_by_the_whole_model(given, tmp_path):
    stage = {"share": 0.01, "rounds": 2, "epochs": 2}
    with pytest.raises(InputError, match=r"1\.0% of the MACs were asked for"):
        run(given, recipe({"prune-channels": stage}), tmp_path / "out")


@pytest.mark.parametrize(
    ("stages", "problem"),
    [
        ([{"prune-channels": {"rounds": 3, "epochs": 2}}], "3 rounds in 2 epochs"),
        ([PRUNE, {"prune-channels": {}}], "prune-channels after prune"),
        ([{"cluster": {}}, {"prune-channels": {}}], "prune-channels after cluster"),
        ([{"prune-channels": {"share": 1}}], "share"),
    ],
)
def test_recipes_that_prune_channels_wrongly(stages, problem):
    with pytest.raises(RecipeError, match=problem):
        parse(recipe(*stages), "test")


def test_stages_in_parts_are_the_stages_at_once(compressed, given, tmp_path):
    """What an earlier run made is gone on with, from its files, to the same weights."""
    plan, done = recipe(PRUNE, DISTIL, QUANTIZE), None
    for stages in (1, 2, 3):
        folder = tmp_path / str(stages)
        folder.mkdir()
        done = compress(*given, plan, None, folder, lambda event: None, Part(stages, done))
        assert len(done.stages) == 1 + stages
        assert all(model.path.is_relative_to(folder) for model in done.models)
    whole, _ = compressed
    assert [model.sha256 for model in done.models] == [model.sha256 for model in whole.models]
    assert [stage.metric for stage in done.stages] == [stage.metric for stage in whole.stages]
