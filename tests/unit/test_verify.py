"""Gates: what passes, what fails, and that a check which could not fail is itself a failure."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeship import verify
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
    assert set(made) == {"sensitivity", "max-abs", "cosine", "top1"}
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
    assert abs(verify.cosine(a, b)) < 0.3


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
    assert "300 samples cannot tell" in unsure.detail
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
