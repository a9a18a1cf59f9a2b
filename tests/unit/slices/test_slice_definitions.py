"""Which samples belong to which slice, and how inputs become pictures."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

import edgeship
from edgeship.errors import DataError
from edgeship.slices.definitions import MAX_SLICES, QUALITIES, parse, quality, slices_of
from edgeship.slices.exhibits import MOST, POINTS, SIDE, VALUES, data_uri, exhibits
from edgeship.types import Preprocessing

SEX = np.array(["f", "m", "f", "m"])
AGE = np.arange(100, 140.0)


def names(columns: dict, text: str) -> list[str]:
    return [part.name for part in slices_of(columns, parse(text))]


def test_columns_pairs_and_conditions() -> None:
    columns = {"sex": SEX, "race": np.array(["a", "a", "b", "b"]), "age": np.array([20, 30, 40, 50])}
    assert names(columns, "sex") == ["sex=f", "sex=m"]
    assert names(columns, " sex x race, sex") == [
        "sex=f x race=a", "sex=f x race=b", "sex=m x race=a", "sex=m x race=b", "sex=f", "sex=m",
    ]  # fmt: skip
    assert names(columns, "age>=40, sex == m, age<10") == ["age>=40", "sex=m"]  # the empty one is left out
    (old,) = slices_of(columns, parse("age>=40"))
    assert old.mask.tolist() == [False, False, True, True]
    (men,) = slices_of(columns, parse("sex!=f"))
    assert men.mask.tolist() == [False, True, False, True]


def test_numbers_of_many_values_are_divided_at_their_quartiles() -> None:
    parts = slices_of({"age": AGE}, parse("age"))
    assert [int(part.mask.sum()) for part in parts] == [10, 10, 10, 10]
    assert np.sum([part.mask for part in parts], axis=0).tolist() == [1] * 40
    assert parts[0].name == "age=100..109.8"
    holes = AGE.copy()
    holes[:7] = np.nan
    assert sum(int(part.mask.sum()) for part in slices_of({"age": holes}, parse("age"))) == 33


def test_quartiles_of_close_large_numbers_keep_names_of_their_own() -> None:
    times = np.arange(1.7e9, 1.7002e9, 100.0)  # seconds since 1970, of two days
    parts = slices_of({"time": times}, parse("time"))
    assert [int(part.mask.sum()) for part in parts] == [500] * 4
    assert parts[0].name == "time=1.7e+09..1.70005e+09"
    closest = np.nextafter(1.0, 2.0, dtype=np.float64) ** np.arange(16)
    assert len({part.name for part in slices_of({"x": closest}, parse("x"))}) == 4


def test_two_slices_of_one_name_are_refused_and_the_same_slice_comes_once() -> None:
    columns = {"a": np.array(["1", "1 x b=2", "1", "2"]), "b": np.array(["2", "3", "3", "2"])}
    assert names(columns, "a, a=2") == ["a=1", "a=1 x b=2", "a=2"]
    with pytest.raises(DataError, match="two different slices are called 'a=1 x b=2'"):
        names(columns, "a, a x b")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("colour", "no column 'colour'"),
        ("sex x", "no slice"),
        ("", "no slice"),
        ("age>old", "'old' is none"),
        ("sex<m", "holds no numbers"),
        ("sex; rm", "no slice"),
    ],
)
def test_what_cannot_be_is_refused(text: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        names({"sex": SEX, "age": np.array([1, 2, 3, 4])}, text)


def test_too_many_slices_are_refused() -> None:
    words = np.array([f"w{k}" for k in range(100)])
    with pytest.raises(DataError, match="different values"):
        names({"id": np.array([f"w{k}" for k in range(300)])}, "id")
    many = {"a": np.repeat(words, 100), "b": np.tile(words, 100)}
    with pytest.raises(DataError, match=f"{MAX_SLICES:,} are allowed"):
        names(many, "a x b")


def test_quality_of_inputs() -> None:
    rng = np.random.default_rng(0)
    flat = np.full((4, 32, 32, 3), 100.0)
    noisy = flat + rng.normal(0, [[[[0.0]]], [[[1.0]]], [[[5.0]]], [[[20.0]]]], flat.shape)
    grey_noise = np.array([0, 1, 5, 20]) / np.sqrt(3)  # the mean of three channels
    assert quality("noise", noisy) == pytest.approx(grey_noise, rel=0.1)
    assert quality("contrast", noisy) == pytest.approx(grey_noise, rel=0.1)
    assert quality("brightness", flat / 2).tolist() == [50.0] * 4
    assert quality("level", np.array([[3.0, 4.0], [0.0, 0.0]])) == pytest.approx([np.sqrt(12.5), 0])
    for word in QUALITIES[:-1]:
        with pytest.raises(DataError, match="of images"):
            quality(word, np.zeros((3, 64)))


def test_a_wrong_call_of_compare_is_refused() -> None:
    good = np.ones(40)
    for base, found, groups, said in (
        (good, good[1:], {}, "not of the same samples"),
        (good, good, {"g": np.ones(3)}, "has shape"),
        (good, good * np.nan, {}, "finite"),
        (good[:0], good[:0], {}, "not of the same samples"),
    ):
        with pytest.raises(DataError, match=said):
            edgeship.slices.compare(base, found, groups)
    with pytest.raises(DataError, match="no metric"):
        edgeship.slices.compare(good, good, {}, metric="f1")
    with pytest.raises(DataError, match="min_n"):
        edgeship.slices.compare(good, good, {}, min_n=1)


def test_small_slices_are_listed_and_never_tested() -> None:
    base, found = np.ones(100, bool), np.arange(100) >= 60
    small = np.arange(100) < 20
    rows = edgeship.slices.compare(base, found, {"small": small, "rest": ~small})
    assert [row.slice for row in rows] == ["rest", "small"]
    assert rows[1].note == "fewer than 30 samples"
    assert (rows[1].n, rows[1].broken, rows[1].delta, rows[1].p, rows[1].low) == (20, 20, -1.0, None, None)
    assert not rows[1].significant


def test_a_picture_is_a_png_of_the_input() -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)
    head, _, body = data_uri(pixels).partition(",")
    assert head == "data:image/png;base64"
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(body))))
    assert np.array_equal(shown, pixels)
    images = np.stack([pixels, 255 - pixels]).astype(np.float32) / 255
    first, second = exhibits({"x": images}, [1, 0, 1], {"time": np.array(["day", "night"])}, Preprocessing())
    assert [first.index, second.index] == [0, 1]
    assert second.facts == {"time": "night"}
    assert np.array_equal(_decoded(first.picture), pixels)
    (turned,) = exhibits({"x": images[:1]}, [0], {}, Preprocessing(channels="BGR"))
    assert np.array_equal(_decoded(turned.picture), pixels[..., ::-1])


def _decoded(uri: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))


def test_sizes_of_exhibits_are_bounded() -> None:
    rng = np.random.default_rng(0)
    (large,) = exhibits({"x": rng.random((1, 700, 300, 1))}, [0], {}, Preprocessing())
    assert max(_decoded(large.picture).shape) <= SIDE
    assert len(exhibits({"x": np.zeros((500, 3))}, range(500), {}, Preprocessing())) == MOST
    (signal,) = exhibits({"x": rng.random((1, 16000, 1))}, [0], {}, Preprocessing())
    assert (signal.kind, len(signal.values)) == ("signal", POINTS)


def test_of_a_long_row_those_values_are_shown_that_tell_the_sample() -> None:
    table = np.random.default_rng(0).normal(size=(200, 40))
    table[:, 0] = 1000.0  # large, and the same everywhere
    table[7, [5, 33]] = 90.0, -90.0
    (row,) = exhibits({"x": table}, [7], {}, Preprocessing())
    assert (row.kind, row.total, len(row.values), row.input) == ("row", 40, VALUES, "")
    assert {"[5]": 90.0, "[33]": -90.0}.items() <= dict(zip(row.names, row.values, strict=True)).items()
    assert "[0]" not in row.names
    assert list(row.names) == sorted(row.names, key=lambda name: int(name[1:-1]))
    (row,) = exhibits({"x": np.array([[1.5, np.nan]])}, [0], {}, Preprocessing())
    assert (row.names, row.values, row.total) == (("[0]",), (1.5,), 2)  # what is no number is left out


def test_of_several_inputs_the_one_is_shown_that_people_can_tell() -> None:
    rng = np.random.default_rng(0)
    inputs = {
        "age": np.array([30, 40]), "person": rng.random((2, 3)), "sound": rng.random((2, 500)),
        "camera": rng.random((2, 8, 8, 3)), "word": np.array(["a", "b"]),
    }  # fmt: skip
    for left, kind, told in (("", "image", "camera"), ("camera", "signal", "sound"), ("sound", "row", "")):
        inputs.pop(left, None)
        (shown,) = exhibits(inputs, [1], {}, Preprocessing())
        assert (shown.kind, shown.input) == (kind, told)
    assert shown.names == ("age", "person[0]", "person[1]", "person[2]")
    assert shown.values[0] == 40.0
    assert exhibits({"word": inputs["word"]}, [1], {}, Preprocessing()) == ()
