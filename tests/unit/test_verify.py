"""Gates: what passes, what fails, and that a check which could not fail is itself a failure."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeship import comparison, verify
from edgeship.comparison import compare
from edgeship.errors import ArtifactError
from edgeship.types import Artifact, FileEntry, TensorSpec
from edgeship.verify import GatePolicy, Outputs

N = 200
SPEC = TensorSpec("scores", (None, 4), "float32")
ARTIFACT = Artifact(Path(), "tflite", "float32", (FileEntry("m", "0" * 64, 1),), (), (SPEC,), "0", ("a", "b", "c", "d"))


class Accuracy:
    """Rows are 1.0 where the sample was right."""

    name, direction, unit = "accuracy", "maximize", "points"

    def per_sample(self, outputs: Any, labels: Any) -> Any:
        return (outputs.argmax(1) == labels).astype(float)

    def value(self, per_sample: Any) -> float:
        return float(per_sample.mean())


@pytest.fixture
def scores() -> Any:
    logits = np.random.default_rng(0).normal(size=(N, 4)).astype(np.float32) * 3
    e = np.exp(logits - logits.max(1, keepdims=True))
    return (e / e.sum(1, keepdims=True)).astype(np.float32)


def gates(expected: Any, found: Any, variant: str = "float32") -> dict[str, Any]:
    artifact = replace(ARTIFACT, variant=variant)
    made = verify.parity(artifact, "litert", Outputs({"scores": expected}), Outputs({"scores": found}), classes=True)
    return {g.name: g for g in made}


def test_equal_outputs_pass_every_gate(scores: Any) -> None:
    made = gates(scores, scores.copy())
    assert set(made) == {"sensitivity", "max-abs", "error", "cosine", "top1"}
    assert all(g.accepted and g.status == "pass" and g.n == N for g in made.values())
    assert made["max-abs"].value == 0.0
    assert made["top1"].value == 1.0


@pytest.mark.parametrize(
    ("damage", "failing"),
    [
        (lambda s: s[:, [1, 0, 2, 3]], "top1"),  # swapped outputs
        (lambda s: np.roll(s, 1, axis=0), "cosine"),  # outputs of another sample
        (lambda s: s * 1.01, "max-abs"),  # a wrong scale
        (lambda s: np.where(np.arange(N)[:, None] == 7, 0.0, s), "max-abs"),  # one sample only
        (lambda s: s * np.nan, "cosine"),
    ],
)
def test_wrong_outputs_fail(scores: Any, damage: Any, failing: str) -> None:
    made = gates(scores, damage(scores).astype(np.float32))
    assert not made[failing].accepted
    assert made["sensitivity"].accepted


def test_one_nan_fails_even_where_the_rest_agrees(scores: Any) -> None:
    found = scores.copy()
    found[3, 2] = np.nan
    made = gates(scores, found, "int8")
    assert not made["cosine"].accepted
    assert "NaN" in made["cosine"].detail
    assert made["top1"].value < 1.0


def test_int8_noise_passes_int8_but_not_float32(scores: Any) -> None:
    found = (np.round(scores * 256) / 256).astype(np.float32)
    assert all(g.accepted for g in gates(scores, found, "int8").values())
    assert not gates(scores, found)["max-abs"].accepted


def test_a_check_that_could_not_fail_fails() -> None:
    constant = np.full((N, 4), 0.25, np.float32)
    made = gates(constant, constant.copy())
    assert made["sensitivity"].status == "fail"
    assert "hardly depend" in made["sensitivity"].detail


def test_one_sample_cannot_be_sensitive(scores: Any) -> None:
    assert not gates(scores[:1], scores[:1])["sensitivity"].accepted


def test_integer_outputs_must_be_equal() -> None:
    expected = np.arange(N, dtype=np.int64) % 7
    found = expected.copy()
    found[:10] += 1
    made = gates(expected, found)
    assert made["top1"].value == pytest.approx(0.95)
    assert not made["top1"].accepted


def test_missing_output_and_other_shape_are_errors(scores: Any) -> None:
    with pytest.raises(ArtifactError, match="output 'scores' of the model is missing; the file has other"):
        verify.parity(ARTIFACT, "litert", Outputs({"scores": scores}), Outputs({"other": scores}), classes=True)
    with pytest.raises(ArtifactError, match=r"has shape \(200, 3\), the model gives \(200, 4\)"):
        verify.parity(ARTIFACT, "litert", Outputs({"scores": scores}), Outputs({"scores": scores[:, :3]}), classes=True)


def test_cosine_ignores_what_does_not_depend_on_the_input() -> None:
    rng = np.random.default_rng(1)
    a, b = 100 + rng.normal(size=(N, 3)), 100 + rng.normal(size=(N, 3))
    assert abs(compare(a, b, 0.0).cosine) < 0.3
    assert compare(a, b, 0.0).error == pytest.approx(1.4, abs=0.3)


def test_a_wrong_scale_fails_8_bits_too(scores: Any) -> None:
    for factor in (3.0, 1 / 3):
        made = gates(scores, (scores * np.float32(factor)), "int8")
        assert not made["error"].accepted


def test_a_wrong_output_of_small_numbers_is_not_hidden_by_large_ones() -> None:
    rng = np.random.default_rng(2)
    boxes = np.stack([rng.normal(0, 1000, N), 0.5 + rng.uniform(-0.01, 0.01, N)], axis=1).astype(np.float32)
    wrong = boxes.copy()
    wrong[:, 1] = 0.5
    made = gates(boxes, wrong)
    assert made["cosine"].accepted
    assert not made["max-abs"].accepted
    assert not made["error"].accepted


def test_two_swapped_outputs_of_a_hundred_fail_without_labels() -> None:
    logits = np.random.default_rng(4).normal(size=(64, 100)) * 3
    scores = (np.exp(logits) / np.exp(logits).sum(1, keepdims=True)).astype(np.float32)
    swapped = scores[:, [1, 0, *range(2, 100)]]
    artifact = replace(ARTIFACT, variant="int8")
    made = verify.parity(artifact, "litert", Outputs({"s": scores}), Outputs({"s": swapped}), classes=False)
    assert not next(g for g in made if g.name == "error").accepted


def test_a_dead_output_that_stays_dead_is_equal() -> None:
    features = np.random.default_rng(5).normal(size=(N, 4)).astype(np.float32)
    features[:, 2] = 0
    assert all(g.accepted for g in gates(features, features.copy()).values())
    alive = features.copy()
    alive[:, 2] = 0.1
    assert not gates(features, alive)["max-abs"].accepted


def test_every_output_must_be_sensitive(scores: Any) -> None:
    both = {"scores": scores, "dead": np.ones((N, 2), np.float32)}
    made = verify.parity(ARTIFACT, "litert", Outputs(both), Outputs(dict(both)), classes=True)
    sensitivity = next(g for g in made if g.name == "sensitivity")
    assert not sensitivity.accepted
    assert sensitivity.detail.startswith("dead hardly depends")


def test_comparison_in_pieces_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(6)
    a = rng.normal(size=(50, 4, 4, 3)).astype(np.float32)
    b = a + rng.normal(size=a.shape).astype(np.float32) * 0.1
    whole = compare(a, b, 0.01)
    monkeypatch.setattr(comparison, "_PIECE", 100)
    pieces = compare(a, b, 0.01)
    assert pieces.error == pytest.approx(whole.error)
    assert pieces.cosine == pytest.approx(whole.cosine)
    assert pieces.max_abs == whole.max_abs
    assert compare(a, np.roll(a, 1, axis=0), 0.01, shift=1).error == 0.0


def test_unknown_variant_is_an_error(scores: Any) -> None:
    with pytest.raises(ArtifactError, match="no tolerance for the variant 'int3'"):
        gates(scores, scores, "int3")


def test_metric_that_is_no_number_fails() -> None:
    class MeanSquare:
        name, direction, unit = "mse", "minimize", "%"

        def value(self, rows: Any) -> float:
            return float(rows.mean())

    rows = np.random.default_rng(7).random(N)
    broken = rows.copy()
    broken[3] = np.nan
    drop = verify.paired_drop(MeanSquare(), rows, broken)  # type: ignore[arg-type]
    gate = verify.metric_gate(ARTIFACT, "litert", drop, MeanSquare(), GatePolicy(0.5, "pass"))  # type: ignore[arg-type]
    assert gate.status == "fail"
    assert np.isfinite(gate.value)


def test_an_original_that_knows_nothing_fails(scores: Any) -> None:
    labels = scores.argmax(axis=1)
    assert verify.baseline_gate(ARTIFACT, "litert", scores, labels).value == 1.0
    shifted = verify.baseline_gate(ARTIFACT, "litert", scores, (labels + 1) % 4)
    assert not shifted.accepted
    assert "order of the model's outputs" in shifted.detail


def test_a_cautious_model_of_a_rare_class_is_no_chance() -> None:
    rare = np.zeros(N, int)
    rare[:5] = 1
    cautious = np.zeros((N, 2))
    cautious[:20, 1] = 1.0
    cautious[20:, 0] = 1.0
    assert (cautious.argmax(1) == rare).mean() < 0.975, "worse than always saying 0, and yet it knows something"
    assert verify.baseline_gate(ARTIFACT, "litert", cautious, rare).accepted


def metric_gate(right: int, broken: int, fixed: int, max_drop: float = 0.5, inconclusive: Any = "fail") -> Any:
    base = np.ones(right)
    base[:fixed] = 0
    found = np.ones(right)
    found[fixed : fixed + broken] = 0
    drop = verify.paired_drop(Accuracy(), base, found)  # type: ignore[arg-type]
    return verify.metric_gate(ARTIFACT, "litert", drop, Accuracy(), GatePolicy(max_drop, inconclusive))  # type: ignore[arg-type]


def test_metric_gate_passes_fails_and_says_when_it_cannot_tell() -> None:
    same = metric_gate(5000, 0, 0)
    assert (same.status, same.value) == ("pass", 0.0)
    assert same.interval == pytest.approx((-0.055, 0.055), abs=0.001)
    assert metric_gate(6, 0, 0).status == "inconclusive", "six samples prove nothing"
    assert metric_gate(5000, 15, 12).status == "pass"
    worse = metric_gate(5000, 100, 0)
    assert worse.status == "fail"
    assert worse.value == pytest.approx(2.0)
    assert worse.interval[0] < 2.0 < worse.interval[1]
    unsure = metric_gate(300, 2, 1)
    assert unsure.status == "inconclusive"
    assert not unsure.accepted
    assert "with 300 samples up to" in unsure.detail
    assert metric_gate(300, 2, 1, inconclusive="pass").accepted


def test_interval_of_a_paired_drop_covers_the_truth() -> None:
    rng = np.random.default_rng(3)
    true_drop, n, hits = 2.0, 800, 0
    for _ in range(60):
        u = rng.random(n)
        base = (u < 0.9).astype(float)
        found = np.where(u < 0.03, 0.0, np.where((u > 0.9) & (u < 0.91), 1.0, base))
        drop = verify.paired_drop(Accuracy(), base, found)  # type: ignore[arg-type]
        hits += drop.low <= true_drop <= drop.high
    assert hits >= 52  # 95 % of 60, less three standard deviations


def test_labels_gate_names_what_differs() -> None:
    assert verify.labels_gate(ARTIFACT, ("a", "b", "c", "d")).accepted
    swapped = verify.labels_gate(ARTIFACT, ("a", "c", "b", "d"))
    assert not swapped.accepted
    assert swapped.detail == "1: 'b' for 'c'; 2: 'c' for 'b'"
    assert not verify.labels_gate(replace(ARTIFACT, labels=()), ("a",)).accepted


@pytest.mark.parametrize("kind", [np.float32, np.int64])
def test_an_output_of_no_values_costs_no_error_but_could_not_fail(kind: Any) -> None:
    nothing = np.zeros((N, 0, 4), kind)
    made = gates(nothing, nothing)
    assert not made.pop("sensitivity").accepted
    assert all(gate.accepted for gate in made.values())
