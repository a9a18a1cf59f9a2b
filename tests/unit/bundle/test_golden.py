"""Which samples become golden ones, and what they find."""

from __future__ import annotations

import numpy as np
import pytest
from bundle_builds import X, make_build
from tests import tiny_tflite

from edgeship import golden, plugins, report
from edgeship.errors import ArtifactError
from edgeship.golden import telling_rows


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


@pytest.fixture
def scores():
    rng = np.random.default_rng(2)
    return softmax(4 * rng.normal(size=(400, 5)))


def margin(scores):
    ordered = np.sort(scores, axis=1)
    return (ordered[:, -1] - ordered[:, -2]) / np.ptp(scores)


def test_golden_samples_are_clear_but_not_the_clearest(scores):
    rows = telling_rows([scores], 8)
    found = margin(scores)[rows]
    assert (found >= 0.5).all()
    assert found.max() < np.quantile(margin(scores), 0.75)


def test_golden_samples_are_of_all_classes(scores):
    classes = scores[telling_rows([scores], 8)].argmax(axis=1)
    assert np.bincount(classes, minlength=5).min() >= 1
    assert np.bincount(classes).max() <= 2


def test_no_file_is_near_a_tie_at_a_golden_sample(scores):
    other = softmax(np.log(scores) + np.random.default_rng(3).normal(size=scores.shape))
    rows = telling_rows([scores, other], 8)
    assert (scores[rows].argmax(axis=1) == other[rows].argmax(axis=1)).all()
    assert margin(other)[rows].min() >= 0.5


def test_where_nothing_is_clear_the_clearest_are_taken():
    scores = softmax(np.random.default_rng(4).normal(size=(100, 4)) / 100)
    logits = np.vstack([scores, [[0.0, 0.0, 0.0, 1e-6]], [[1.0, 1.0, 0.0, 0.0]]])
    rows = telling_rows([logits], 4)
    assert list(rows) == sorted(set(rows))
    assert margin(logits)[rows].min() > np.median(margin(logits))


def test_few_samples_are_all_taken(scores):
    assert list(telling_rows([scores[:3]], 8)) == [0, 1, 2]
    constant = np.full((4, 3), 0.25)
    assert list(telling_rows([constant], 2)) == [0, 1]


@pytest.mark.parametrize(
    "weights",
    [
        tiny_tflite.WEIGHTS[::-1].copy(),  # classes in another order
        tiny_tflite.WEIGHTS[:, ::-1].copy(),  # weights swapped
        tiny_tflite.WEIGHTS * np.float32(0.5),  # another scale
    ],
    ids=["class order", "swapped", "scale"],
)
def test_another_network_does_not_pass_for_this_one(tmp_path, weights):
    sound = make_build(tmp_path / "sound")
    (artifact,) = report.read(sound).artifacts
    samples = golden.load(sound, artifact)
    runtime = plugins.runtimes_for("tflite")[0]
    tolerances = golden.tolerances(artifact, samples, runtime.name)
    for tolerance in tolerances:
        golden.check(artifact, samples, runtime.run(artifact, {"x": X}), tolerance)
    (broken,) = report.read(make_build(tmp_path / "broken", tiny_tflite.model_bytes(weights=weights))).artifacts
    found = runtime.run(broken, {"x": X})
    for tolerance in tolerances:
        with pytest.raises(ArtifactError, match="differs by"):
            golden.check(broken, samples, found, tolerance)
