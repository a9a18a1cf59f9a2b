"""Flips, and maps of occlusion, where the truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from edgeship.slices import occlusion
from edgeship.slices.answers import answers, flips, worse

CLASSES = ("cat", "dog", "owl")


def test_flips_are_told_by_what_was_right() -> None:
    labels = np.array([0, 1, 2, 0])
    before = np.array([[0.9, 0.1, 0.0], [0.8, 0.2, 0.0], [0.6, 0.4, 0.0], [0.7, 0.2, 0.1]])
    after = np.array([[0.2, 0.8, 0.0], [0.1, 0.9, 0.0], [0.3, 0.7, 0.0], [0.6, 0.3, 0.1]])
    found, changed = flips(answers(before, before), answers(after, before), labels, CLASSES)
    assert [(f.index, f.kind, f.label, f.before, f.after) for f in found] == [
        (0, "broken", "cat", "cat", "dog"),
        (1, "fixed", "dog", "cat", "dog"),
        (2, "changed", "owl", "cat", "dog"),
    ]
    assert (found[0].before_score, found[0].after_score) == (0.9, 0.8)
    assert changed == 1


def test_a_single_score_is_of_two_classes() -> None:
    for reference, scores in ((np.array([[0.2], [0.9]]), 0.9), (np.array([[-3.0], [3.0]]), 3.0)):
        given = answers(reference, reference)
        assert given.classes.tolist() == [0, 1]
        assert given.shares.sum(axis=1) == pytest.approx([1, 1])
        assert given.confidence[1] == pytest.approx(scores if scores < 1 else 1 / (1 + np.exp(-3)))


def test_broken_outputs_have_answers_and_no_warning() -> None:
    reference = np.array([[0.9, 0.1], [0.2, 0.8]])
    given = answers(np.array([[np.nan, 0.1], [np.inf, 0.0]]), reference)
    assert np.isfinite(given.shares).all()


def test_errors_that_grew_most() -> None:
    found = worse(np.array([1.0, 2.0, 3.0]), np.array([1.5, 5.0, 2.0]), "minimize")
    assert [(f.index, f.before, f.after) for f in found] == [(1, "2", "5"), (0, "1", "1.5")]


def run(inputs: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Two scores: one that is the weighted sum of all values, and nothing."""
    score = inputs.reshape(len(inputs), -1) @ weights.ravel()
    return np.column_stack([score, np.zeros_like(score)])


@pytest.mark.parametrize("shape", [(16, 16, 3), (48,), (40, 2)])
def test_maps_show_what_a_model_looks_at(shape: tuple[int, ...]) -> None:
    """Of a linear model the map is known: what it weighs in each region."""
    rng = np.random.default_rng(0)
    inputs = 1 + rng.random((20, *shape))
    weights = rng.random(shape)
    given = occlusion.plan(inputs, (3, 5, 8, 11))
    assert len(given.inputs) == 4 * (given.rows * given.columns + 1)
    assert np.array_equal(given.inputs[0], inputs[3])
    before, watched = occlusion.maps(run(given.inputs, weights), given, None)
    assert watched.tolist() == [0] * 4
    assert before.sum(axis=1) == pytest.approx(
        ((inputs - np.broadcast_to(_fill(inputs), shape)) * weights)[[3, 5, 8, 11]].reshape(4, -1).sum(axis=1)
    )
    same = occlusion.compare(before, before, given)
    assert same is not None
    assert same.similarity == pytest.approx(1.0)
    after, _ = occlusion.maps(run(given.inputs, rng.random(shape)), given, watched)
    other = occlusion.compare(before, -after, given)
    assert other is not None
    assert other.similarity < 0.5
    assert len(other.cases) == 4
    assert other.cases[0].similarity == min(case.similarity for case in other.cases)


def _fill(inputs: np.ndarray) -> np.ndarray:
    return inputs.mean(axis=tuple(range(inputs.ndim - 1)) if inputs.ndim > 2 else 0)


def test_maps_of_a_model_that_sees_nothing_are_left_out() -> None:
    given = occlusion.plan(np.random.default_rng(0).random((9, 12)), (0, 1, 2))
    flat, _ = occlusion.maps(run(given.inputs, np.zeros(12)), given, None)
    assert occlusion.compare(flat, flat, given) is None
