"""Recipes that try others in order, through the real pipeline, chosen on the validation split."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_networks import request_for, written

from edgeship import pipeline, recipe
from edgeship.child import Worker
from edgeship.data import DataOptions
from edgeship.errors import GateFailed, RecipeError, TimeSpent
from edgeship.metrics import Accuracy
from edgeship.pipeline import attempts
from edgeship.pipeline.attempts import Scene
from edgeship.pipeline.validation import Validation
from edgeship.types import Attempt, Change, Progress, Report, StageFile

pytestmark = pytest.mark.usefixtures("own_cache")

AWARE: dict[str, Any] = {"name": "aware", "stages": [{"quantize-aware": {"epochs": 1}}], "variants": ["int8"]}
#: Leaves too few weights for anything.
PRUNED: dict[str, Any] = {
    "name": "pruned",
    "stages": [{"prune": {"sparsity": 0.99, "epochs": 1}}],
    "variants": ["int8"],
}
SLOW: dict[str, Any] = {"name": "slow", "stages": [{"prune": {"epochs": 9}}], "variants": ["int8"]}


def outcomes(report: Report) -> dict[str, str]:
    return {a.recipe: a.outcome + (" chosen" if a.chosen else "") for a in report.attempts}


def test_the_first_that_is_good_enough_is_made_and_the_rest_is_not_tried(networks: Path, tmp_path: Path) -> None:
    plan = written(attempts=["int8", AWARE, "float16"], variants=["float32"], max_drop=5)
    report = pipeline.build(request_for(networks, "plain.keras", plan, tmp_path / "b"))
    assert outcomes(report) == {"int8": "good chosen", "aware": "skipped", "float16": "skipped"}
    tried, *rest = report.attempts
    assert tried.file is not None
    assert tried.file.n == 300
    assert tried.reason.endswith("points: all of the interval is within 5")
    assert {a.reason for a in rest} == {"not needed: int8 is taken"}
    assert [a.id for a in report.artifacts] == ["tflite/float32", "tflite/int8"]
    assert tried.file.sha256 == report.artifacts[1].sha256
    assert report.recipe["attempts"][1]["stages"][0]["quantize-aware"]["epochs"] == 1
    assert not report.warnings
    report.raise_for_gates()


@pytest.fixture(scope="module")
def spread(networks: Path, tmp_path_factory: pytest.TempPathFactory) -> Report:
    """int8 by training ruins this network, and so does pruning; float16 does not. Between, one that does not exist."""
    unknown = {"name": "unknown", "stages": [{"distil": {"student": "nobody:knows"}}], "variants": ["int8"]}
    plan = written(attempts=[PRUNED, AWARE, unknown, "float16"], variants=["float32"], max_drop=5, minutes=60)
    return pipeline.build(request_for(networks, "spread.keras", plan, tmp_path_factory.mktemp("b") / "spread"))


def test_a_float_file_of_the_original_needs_no_samples_to_be_cleared(spread: Report) -> None:
    chosen = spread.attempts[-1].file
    assert chosen is not None
    assert (chosen.artifact, chosen.drop) == ("tflite/float16", Change(0.0, (0.0, 0.0), "points"))


def test_what_loses_too_much_is_passed_over_and_never_shipped(spread: Report) -> None:
    assert outcomes(spread) == {"pruned": "bad", "aware": "bad", "unknown": "failed", "float16": "good chosen"}
    first, second, unknown, _ = spread.attempts
    assert first.file is not None
    assert first.file.drop.value > 20
    assert first.reason.endswith("points: more than 5")
    assert second.file is not None
    assert second.file.artifact == "tflite/int8"
    assert second.seconds > 0
    assert "nobody" in unknown.reason
    assert [a.id for a in spread.artifacts] == ["tflite/float32", "tflite/float16"]
    assert spread.stages == ()
    spread.raise_for_gates()


def test_where_none_is_good_enough_the_best_fails_its_gate(networks: Path, tmp_path: Path) -> None:
    plan = written(attempts=[AWARE, PRUNED], max_drop=0.5)
    report = pipeline.build(request_for(networks, "spread.keras", plan, tmp_path / "b"))
    assert set(outcomes(report).values()) == {"bad", "bad chosen"}
    drops = {a.chosen: a.file.drop.interval[1] for a in report.attempts if a.file}
    assert drops[True] <= drops[False]
    assert [a.verification for a in report.artifacts] == ["failed"]
    assert report.best is None
    assert report.warnings[0].startswith("no attempt of 'test' was good enough on the validation samples; ")
    with pytest.raises(GateFailed, match="metric"):
        report.raise_for_gates()


def test_the_default_recipe_finds_a_way_to_int8_without_training(networks: Path, tmp_path: Path) -> None:
    plan = recipe.load("auto").changed(max_drop=5)
    report = pipeline.build(request_for(networks, "spread.keras", plan, tmp_path / "b"))
    found = outcomes(report)
    (taken,) = [name for name, outcome in found.items() if outcome == "good chosen"]
    assert taken in ("int8", "int8-equalized", "mixed")
    assert found["int8-qat"] == "skipped"
    report.raise_for_gates()
    assert report.best is not None


def test_files_of_the_recipe_come_from_the_model_as_given(networks: Path, tmp_path: Path) -> None:
    """float32 beside the file of a pruned model is the original's, not the pruned one's."""
    pruned = {"name": "pruned", "stages": [{"prune": {"sparsity": 0.9, "epochs": 1}}], "variants": ["int8"]}
    plan = written(attempts=[pruned], variants=["float32"], max_drop=60)
    report = pipeline.build(request_for(networks, "plain.keras", plan, tmp_path / "b"))
    assert report.stages[-1].sparsity == pytest.approx(0.9, abs=0.02)
    full, int8 = report.artifacts
    assert (full.id, full.source_sha256) == ("tflite/float32", report.source.sha256)
    assert (int8.id, int8.source_sha256 == report.source.sha256) == ("tflite/int8", False)
    (gate,) = [g for g in report.gates if g.artifact == full.id and g.name == "metric"]
    assert gate.value == 0
    parity = [g for g in report.gates if g.artifact == int8.id and g.name == "error"]
    assert parity
    assert all(g.accepted for g in parity)  # held against the pruned model


def test_without_validation_samples_training_is_left_out_and_the_first_other_is_taken(
    networks: Path, tmp_path: Path
) -> None:
    plan = written(attempts=[AWARE, "int8", "float16"], max_drop=5)
    request = request_for(networks, "plain.keras", plan, tmp_path / "b")
    report = pipeline.build(replace(request, data_options=DataOptions(validation_share=0)))
    assert outcomes(report) == {"aware": "skipped", "int8": "undecided chosen", "float16": "skipped"}
    assert report.attempts[0].reason == "there are no labelled validation samples to judge it by"
    assert report.attempts[1].reason == "taken unseen, because judging it needs labelled validation samples"
    assert [a.id for a in report.artifacts] == ["tflite/int8"]


def test_a_model_without_layers_is_not_trained(spread: Report, networks: Path, tmp_path: Path) -> None:
    plan = written(attempts=[AWARE, "float16"], max_drop=5)
    request = request_for(networks, "spread.keras", plan, tmp_path / "b")
    report = pipeline.build(replace(request, model=spread.artifacts[0].entry))
    assert outcomes(report) == {"aware": "skipped", "float16": "good chosen"}
    assert "its stages need the layers: a tflite model holds what is computed" in report.attempts[0].reason
    with pytest.raises(RecipeError, match="none of the attempts could be made: aware: its stages need"):
        pipeline.build(replace(request, model=spread.artifacts[0].entry, recipe=written(attempts=[AWARE]), force=True))


def scene(plan: Any, n: int = 600, **more: Any) -> Scene:
    """Judging without building: an original that is right on all of `n` samples."""
    request = request_for(Path(), "model.keras", plan, Path("out"))
    validation = Validation(more.get("dataset"), Accuracy(), np.ones(n), "0" * 64)  # type: ignore[arg-type] # never loaded here
    return Scene(Worker(), request, more.get("source"), more.get("dataset"), validation)  # type: ignore[arg-type] # not


@pytest.mark.parametrize(
    ("high", "value", "undecided", "n", "outcome", "enough"),
    [
        (0.5, 0.1, "reject", 600, "good", True),
        (0.51, 0.5, "accept", 600, "undecided", False),  # 600 samples can clear a file: there may be a better one
        (0.51, 0.5, "accept", 100, "undecided", True),  # 100 cannot: nothing could be any surer
        (0.51, 0.5, "reject", 100, "undecided", False),
        (0.9, 0.51, "accept", 100, "bad", False),
        (float("nan"), float("nan"), "accept", 100, "bad", False),
    ],
)
def test_what_is_good_enough(high: float, value: float, undecided: str, n: int, outcome: str, enough: bool) -> None:
    place = scene(written(attempts=["int8"], undecided=undecided), n)
    drop = Change(value, (value - 1, high), "points")
    assert attempts._outcome(drop, 0.5) == outcome
    file = StageFile("tflite/int8", "0" * 64, "litert", n, 1.0, drop, drop, 1, 1, 1, 1)
    attempt = Attempt("int8", outcome, False, "", 0.0, file)  # type: ignore[arg-type] # one of the words
    assert attempts._enough(place, attempt) is enough
    said = attempts._reason(place, drop, attempts._outcome(drop, 0.5))
    expected = {"good": "all of the interval is within 0.5", "bad": "more than 0.5"}.get(outcome)
    if expected is None:
        expected = "cannot be excluded" if n == 600 else "accepted" if undecided == "accept" else "not accepted"
    assert expected in said


def test_limits_and_seed_of_a_recipe_hold_for_its_attempts(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[recipe.Recipe] = []

    def timed(_: Scene, plan: recipe.Recipe, __: object) -> attempts._Tried:
        seen.append(plan)
        return attempts._nothing(plan, "failed", "no")

    monkeypatch.setattr(attempts, "_timed", timed)
    plan = written(attempts=["int8"], max_drop=3, inconclusive="pass", seed=5)
    with pytest.raises(RecipeError, match="none of the attempts could be made"):
        attempts.choose(scene(plan), lambda _: None)
    assert [(p.max_drop, p.inconclusive, p.seed) for p in seen] == [(3, "pass", 5)]


def test_time_that_is_spent_ends_training_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = written(name="slow", stages=[{"prune": {"epochs": 6}}, {"quantize-aware": {"epochs": 3}}])
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    heard: list[Progress] = []
    told = attempts._until(heard.append, plan, 1000 + 90)

    def after(seconds: float, stage: str, done: float) -> None:
        now[0] = 1000 + seconds
        told(Progress(stage, done, 6))

    after(20, "prune", 0)  # nothing is known yet
    after(35, "prune", 4)  # 4 of 9 epochs in 35 s: 79 s in all
    after(50, "prune", 6)
    after(65, "quantize-aware", 1)
    after(66, "convert", 0)  # no training
    with pytest.raises(TimeSpent, match="78% is done"):
        after(89, "quantize-aware", 1)
    with pytest.raises(TimeSpent):
        after(91, "quantize-aware", 3)
    assert {p.message.split(":")[0] for p in heard} == {"slow"}
    place = scene(written(attempts=[SLOW], minutes=0), source=_Trainable(), dataset=_Counted())
    assert "the 0 minutes of the recipe are spent" in attempts._why_not(place, written(**SLOW), now[0] - 1)


class _Trainable:
    trainable = True


class _Counted:
    counts = {"train": 10, "validation": 5}  # noqa: RUF012 - a stand-in for a frozen value


def test_training_that_takes_too_long_is_stopped(networks: Path, tmp_path: Path) -> None:
    """The worker is ended in the middle of it, and the next attempt gets a fresh one."""
    endless = {"name": "endless", "stages": [{"prune": {"epochs": 10_000}}], "variants": ["int8"], "batch_size": 1}
    plan = written(attempts=[endless, "float16"], max_drop=5, minutes=0.05)
    report = pipeline.build(request_for(networks, "plain.keras", plan, tmp_path / "b"))
    assert outcomes(report) == {"endless": "failed", "float16": "good chosen"}
    assert "training takes longer than is left of the recipe's minutes" in report.attempts[0].reason
    assert report.attempts[0].seconds < 120


def test_progress_within_an_epoch_says_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without that, nothing could be said about training whose first epoch outlasts the time that is left."""
    import keras

    from edgeship.compress import training

    monkeypatch.setattr(training, "_SIGN_SECONDS", -1.0)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    heard: list[Progress] = []
    callback = training.EpochProgress("prune", 2, 4, heard.append)
    model.fit(np.zeros((8, 2)), np.zeros(8), batch_size=2, epochs=2, verbose=0, callbacks=[callback])
    assert [p.done for p in heard] == [0.25, 0.5, 0.75, 1, 1, 1.25, 1.5, 1.75, 2, 2]
