"""Raw values to what a model takes, and back."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edgeship.errors import ArtifactError, DataError
from edgeship.preprocessing import NAMED, affine, changes, check, fits, in_words, prepare, restore
from edgeship.types import Preprocessing

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 6, 7, 3)).astype("float32")


@pytest.mark.parametrize("mode", ["tf", "torch", "caffe"])
def test_named_ways_are_those_of_keras_applications(mode: str) -> None:
    from keras.applications.imagenet_utils import preprocess_input

    assert np.allclose(prepare(PIXELS, NAMED[mode]), preprocess_input(PIXELS.copy(), mode=mode), atol=1e-4, rtol=1e-6)


@pytest.mark.parametrize("done", [*NAMED.values(), Preprocessing(0.5, mean=(1.0, 2.0, 3.0)), Preprocessing(std=(4.0,))])
def test_prepared_values_lead_back_to_raw_ones(done: Preprocessing) -> None:
    assert np.array_equal(restore(prepare(PIXELS, done), done), PIXELS)
    factors, offsets = affine(done)
    turned = PIXELS[..., ::-1] if done.channels == "BGR" else PIXELS
    assert np.allclose(turned * np.array(factors) + np.array(offsets), prepare(PIXELS, done), atol=1e-4)
    assert changes(done) == (done != NAMED["raw"])


def test_values_that_are_not_whole_stay_so() -> None:
    raw = np.array([[0.25, 1.5], [2.125, -3.0]], np.float32)
    done = Preprocessing(0.1, mean=(3.0, 4.0), std=(2.0, 5.0))
    assert np.allclose(restore(prepare(raw, done), done), raw, atol=1e-6)


def test_dtypes() -> None:
    bytes_ = PIXELS.astype("uint8")
    assert prepare(bytes_, NAMED["raw"]).dtype == np.uint8
    assert prepare(bytes_, NAMED["torch"]).dtype == np.float32
    assert prepare(PIXELS.astype("float64"), NAMED["torch"]).dtype == np.float64
    assert np.array_equal(prepare(PIXELS, Preprocessing(1 / 255)), PIXELS * np.float32(1 / 255))


@pytest.mark.parametrize(
    ("done", "message"),
    [
        (Preprocessing(0.0), "the scale of its preprocessing is 0.0"),
        (Preprocessing(math.nan), "the scale of its preprocessing is nan"),
        (Preprocessing(1.0, mean=(math.inf,)), "mean or std is no number"),
        (Preprocessing(1.0, std=(1.0, 0.0)), "mean or std is no number"),
        (Preprocessing(1.0, mean=(1.0, 2.0), std=(1.0, 2.0, 3.0)), "mean has 2 numbers and std 3"),
        (Preprocessing(1.0, mean=(0.0,) * 70_000), "more than 65,536 numbers"),
        (Preprocessing(1.0, value_range=(1.0, 1.0)), "the range of raw values is 1.0 to 1.0"),
    ],
)
def test_numbers_that_nothing_can_be_prepared_with(done: Preprocessing, message: str) -> None:
    with pytest.raises(ArtifactError, match=f"here: {message}|here: .*{message}"):
        check(done, "here", ArtifactError)


def test_numbers_must_fit_the_channels() -> None:
    fits(NAMED["torch"], (None, 4, 4, 3), "x")
    with pytest.raises(DataError, match="mean has 3 numbers, but the last axis of x has 1"):
        fits(NAMED["torch"], (None, 4, 4, 1), "x")
    with pytest.raises(DataError, match="BGR is for images of three channels; the last axis of x has 4"):
        fits(Preprocessing(channels="BGR"), (None, 4, 4, 4), "x")


def test_in_words() -> None:
    assert in_words(Preprocessing()) == ()
    torch = Preprocessing(1 / 255, "bilinear", "RGB", (0.5,), tuple(range(1, 12)), (0.0, 255.0))
    assert in_words(torch) == (
        "resize: bilinear",
        "channels: RGB",
        "values 0..255",
        "x 0.00392157",
        "- (0.5)",
        "/ (1, 2, 3, 4, 5, 6, 7, 8, ...)",
    )
