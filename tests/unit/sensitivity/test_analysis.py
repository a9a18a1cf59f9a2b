"""The debugger names the layer that was hurt, and only that; its fix makes a better file."""

from __future__ import annotations

from types import SimpleNamespace
from unittest import mock

import keras
import numpy as np
import pytest

from edgeship.errors import DataError, InputError, UnsupportedModelError
from edgeship.metrics import Accuracy
from edgeship.report.sensitivity import reason
from edgeship.sensitivity import analysis
from edgeship.sensitivity.findings import Options
from edgeship.sensitivity.fix import Search
from edgeship.types import ConvertOptions
from edgeship.verify import Drop
from edgeship_converters.tflite import TFLiteConverter, selective


def quiet(_):
    """No progress wanted."""


def accuracy_of(opened, precision, digits, litert):
    """Test accuracy of the mixed file with exactly this precision, and its size."""
    options = ConvertOptions(calibration=opened.dataset, precision=precision)
    with mock.patch.dict(selective._LIMITS, {8: (1e9, -1e9)}):  # else layers that are too coarse become floats
        artifact = TFLiteConverter().convert(opened.source, "mixed", options, opened.folder)
    (found,) = litert(artifact.entry.read_bytes(), {"image": digits[2]}).values()
    return float((found.argmax(1) == digits[3]).mean()), artifact.size_bytes


def test_a_healthy_network_is_fine_in_int8(healthy, opened) -> None:
    place = opened(healthy)
    events = []
    found = analysis.analyse(place.source, place.dataset, Options(), None, events.append)
    assert found.fix.verdict == "int8"
    assert found.fix.precision == {}
    assert found.fix.sentence.startswith("int8 everywhere is fine: accuracy drops by ")
    assert {layer.name for layer in found.layers} == {"image", "first", "middle", "last", "digit"}
    assert sum(layer.share for layer in found.layers) == pytest.approx(1)
    assert found.n == 390
    for layer in found.layers:
        assert layer.only.low <= 0 <= layer.only.high, layer.name
        assert 35 < layer.output_sqnr_db["int8"] < layer.output_sqnr_db["int16x8"]
        assert layer.activations.low <= layer.activations.p001 < layer.activations.p999 <= layer.activations.high
        assert (layer.weights is None) == (layer.name == "image") == (layer.int4 is None) == (layer.pruned is None)
        if layer.weights is not None:
            # One bit is worth 6.02 dB: four of them about 24.
            assert 20 < layer.weights.sqnr_db["int8"] - layer.weights.sqnr_db["int4"] < 28
    assert found.scores_sqnr_db["int16x8"] > found.scores_sqnr_db["int8"] > 25
    assert events[-1].done == events[-1].total
    assert [e.done for e in events] == sorted(e.done for e in events)


def test_a_layer_with_one_wide_channel_is_named_and_fixed(wide_channel, opened, digits, litert) -> None:
    place = opened(wide_channel)
    found = analysis.analyse(place.source, place.dataset, Options(max_drop=1.0), None, quiet)
    worst = found.layers[0]
    assert worst.name == "middle"
    assert worst.share > 0.9
    assert worst.only.low > 5
    assert worst.all_but.low <= 0
    assert worst.weights is not None
    assert worst.weights.spread > 50
    assert worst.activations.spread > 50
    assert "one output channel" in reason(worst)
    for other in found.layers[1:]:
        assert other.only.low <= 0, other.name
        assert other.all_but.low > 5, other.name
    assert found.int8.low > 5
    assert found.int16x8.low <= 0
    assert found.fix.verdict == "mixed"
    assert found.fix.precision == {"middle": "int16x8"}
    assert found.fix.sentence.startswith("keep this layer int16: middle; then accuracy drops by ")
    before, size = accuracy_of(place, {}, digits, litert)
    after, larger = accuracy_of(place, found.fix.precision, digits, litert)
    original = float((wide_channel.predict(digits[2], verbose=0).argmax(1) == digits[3]).mean())
    assert before < original - 0.05
    assert after > original - 0.02
    assert size < larger < 1.2 * size
    assert found.fix.estimated_bytes - found.int8_bytes == pytest.approx(larger - size, rel=0.3)


def test_a_layer_with_coarse_weights_is_kept_float(large_weights, opened, digits, litert) -> None:
    place = opened(large_weights)
    fix = analysis.propose(place.source, place.dataset, Options(max_drop=1.0), None, quiet)
    assert fix.precision == {"digit": "float32"}
    assert "this layer float: digit" in fix.sentence
    before, size = accuracy_of(place, {}, digits, litert)
    after, larger = accuracy_of(place, fix.precision, digits, litert)
    assert after > before + 0.05
    assert fix.steps[0].extra_bytes == pytest.approx(larger - size, rel=0.15)


def test_a_budget_that_is_too_small_is_said(large_weights, opened) -> None:
    place = opened(large_weights)
    fix = analysis.propose(place.source, place.dataset, Options(max_growth=0.1), None, quiet)
    assert fix.verdict == "none"
    assert fix.drop.low > 0.5
    assert fix.sentence.startswith(("no mix within the limits is enough", "int8 costs too much"))


class Samples:
    """A task whose int8 drop stays beyond the limit; its interval gets narrower with the samples."""

    metric = Accuracy()

    def __init__(self, most: int) -> None:
        self._n, self._most = 1000, most

    def widen(self) -> bool:
        before, self._n = self._n, min(2 * self._n, self._most)
        return self._n > before

    def drop(self, _):
        half = 35 / self._n**0.5
        return Drop(1.0, 1.0 - half, 1.0 + half, self._n)


@pytest.mark.parametrize(("most", "verdict"), [(1000, "unclear"), (1200, "unclear"), (8000, "none")])
def test_samples_that_cannot_tell_are_not_good_news(most, verdict) -> None:
    nothing = SimpleNamespace(units=[], kernels={})
    noise = SimpleNamespace(of=lambda _: 1.0)
    fix = Search(nothing, (Samples(most), noise), Options(max_drop=0.5), 10_000).run()
    assert fix.verdict == verdict
    assert fix.drop.n == min(most, 2000)  # twice as many are enough here
    said = f"{fix.drop.n:,} samples cannot tell whether int8 everywhere is good enough: accuracy drops by +1.00"
    assert fix.sentence.startswith(said if verdict == "unclear" else "int8 costs too much")


def test_samples_double_up_to_all_of_the_split(healthy, opened) -> None:
    place = opened(healthy)
    _, task, _, _ = analysis._open(place.source, place.dataset, Options(samples=100))
    _, whole, _, _ = analysis._open(place.source, place.dataset, Options())
    counts, first = [task.n], set(task.batches.rows)
    while task.widen():
        counts.append(task.n)
    assert counts == [100, 200, 390]
    assert first < set(task.batches.rows)
    assert task.original == whole.original
    assert not whole.widen()


def test_says_what_it_needs(healthy, opened) -> None:
    from dataclasses import replace

    place = opened(healthy)
    with pytest.raises(DataError, match="labels"):
        analysis.analyse(place.source, replace(place.dataset, task="unlabelled"), Options(), None, quiet)
    with pytest.raises(UnsupportedModelError, match="tf_keras"):
        analysis.analyse(replace(place.source, loader="tf_keras"), place.dataset, Options(), None, quiet)
    for wrong in ({"samples": 0}, {"sparsity": 1.0}, {"max_drop": -1}, {"max_growth": 9}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            Options(**wrong)


def test_sums_without_a_layer_are_measured_but_never_chosen(opened) -> None:
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 1), name="image")
    x = keras.layers.Conv2D(4, 3, padding="same", name="one")(image)
    y = keras.layers.Conv2D(4, 3, padding="same", name="two")(image)
    scores = keras.layers.Dense(10, name="scores")(keras.layers.Flatten()(x + y))
    place = opened(keras.Model(image, scores))
    found = analysis.analyse(place.source, place.dataset, Options(max_drop=0, samples=50), None, quiet)
    total = next(layer for layer in found.layers if layer.kind == "Add")
    assert total.only.n == 50
    assert total.name not in found.fix.precision
    assert all(step.layer != total.name for step in found.fix.steps)
    assert np.isfinite([layer.share for layer in found.layers]).all()
