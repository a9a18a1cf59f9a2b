"""What files say about their use, as plain data; what others write; what nobody should write."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from onnx import TensorProto, helper

from edgeship.errors import ArtifactError, DataError
from edgeship.preprocessing import NAMED
from edgeship.types import Preprocessing
from edgeship.usage import Usage, onnx, read, tfjs, usage, values

LABELS = ("cat", 'a "dog"', "größe")
FULL = Usage(LABELS, Preprocessing(1 / 255, "bilinear", "BGR", (0.1, 0.2, 0.3), (0.5,), (0.0, 255.0)))


def test_numbers_in_order_are_no_labels() -> None:
    assert usage(("0", "1", "2"), Preprocessing()).labels == ()
    assert not usage(("0", "1"), Preprocessing())
    assert usage(("1", "0"), Preprocessing()).labels == ("1", "0")
    assert usage((), NAMED["raw"])


@pytest.mark.parametrize("bad", ["two\nlines", "bell\a", "x" * 501, "\u2028"])
def test_names_that_no_list_can_hold_are_refused(bad: str) -> None:
    with pytest.raises(DataError, match=r"class name .* cannot be delivered"):
        usage(("a", bad), Preprocessing())


@pytest.mark.parametrize("given", [FULL, Usage(LABELS), Usage(preprocessing=NAMED["torch"]), Usage()])
def test_plain_data_and_back(given: Usage) -> None:
    data = values.to_data(given)
    assert values.from_data(json.loads(json.dumps(data))) == given
    assert None not in data.get("preprocessing", {}).values()
    assert onnx.from_props(onnx.to_props(given)) == given
    assert tfjs.from_model({"userDefinedMetadata": tfjs.to_metadata(given)}) == given


@pytest.mark.parametrize(
    "bad",
    [
        "imagenet",
        {"scale": 0},
        {"scale": "0.5"},
        {"scale": math.inf},
        {"std": [1, 0]},
        {"scale": 1, "crop": 0.875},
        {"mean": [1] * 70_000},
        {"channels": "CMYK"},
        [1, 2],
        None,
    ],
)
def test_preprocessing_that_is_not_understood_is_not_half_understood(bad: object) -> None:
    assert values.preprocessing_of(bad) == Preprocessing()


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ('["a", "b"]', ("a", "b")),
        ('{"1": "b", "0": "a"}', ("a", "b")),
        ("{0: 'person', 1: 'bi,cycle'}", ("person", "bi,cycle")),
        ("a\nb", ("a", "b")),
        ("a, b", ("a", "b")),
        ('["a", null]', ()),
        ('{"0": "a", "2": "b"}', ()),
        ("{0: 'a'", ()),
        ("[" * 5000, ()),
        ("a" * (9 << 20), ()),
        ('["\\u001b[31mred", "b"]', ("\ufffd[31mred", "b")),
        (json.dumps(["x" * 1000]), ("x" * 500,)),
        (json.dumps(["x"] * 100_001), ()),
        ("", ()),
    ],
)
def test_labels_as_people_write_them(said: str, expected: tuple[str, ...]) -> None:
    assert values.labels_of_text(said) == expected


def test_image_metadata_of_the_onnx_specification() -> None:
    props = {"Image.BitmapPixelFormat": "Bgr8", "image.nominalpixelrange": "Normalized_0_1", "classes": "a,b"}
    assert onnx.from_props(props) == Usage(("a", "b"), Preprocessing(1 / 255, channels="BGR"))
    assert onnx.from_props({"preprocessing": "{"}) == Usage()


def model_with(props: dict[str, str]) -> bytes:
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", ends[:1], ends[1:])
    model = helper.make_model(graph, producer_name="test")
    helper.set_model_props(model, props)
    return bytes(model.SerializeToString())


def test_an_onnx_file_is_read_without_onnx(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(model_with({**onnx.to_props(FULL), "author": "me"}))
    assert read("onnx", path) == FULL
    path.write_bytes(model_with({f"key {i}": "x" for i in range(1001)}))
    with pytest.raises(ArtifactError, match="more than 1,000 entries"):
        read("onnx", path)


@pytest.mark.parametrize("cut", [1, 3, 10, 30, 60])
def test_a_cut_onnx_file_is_damaged_or_says_nothing(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(model_with(onnx.to_props(FULL))[:-cut])
    try:
        assert read("onnx", path).preprocessing in (FULL.preprocessing, Preprocessing())
    except ArtifactError as error:
        assert "is broken" in error.message  # noqa: PT017 - one of two right answers


@pytest.mark.parametrize("content", [b"\xff" * 40, b"\x72\x7f", b"\x73", b"\x77\x00"])
def test_bytes_that_are_no_protocol_buffer(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match="is broken"):
        read("onnx", path)


def test_a_tfjs_model(tmp_path: Path) -> None:
    path = tmp_path / "model.json"
    path.write_text(json.dumps({"userDefinedMetadata": tfjs.to_metadata(FULL)}))
    assert read("tfjs", path) == FULL
    for other in ({}, [], {"userDefinedMetadata": "x"}, {"userDefinedMetadata": {"labels": {"a": 1}}}):
        path.write_text(json.dumps(other))
        assert read("tfjs", path) == Usage()
    path.write_text("{")
    with pytest.raises(ArtifactError, match="is broken"):
        read("tfjs", path)


def test_formats_that_hold_neither(tmp_path: Path) -> None:
    assert read("micro", tmp_path / "x") == Usage()


def test_a_python_text_that_takes_seconds_to_parse_is_no_list_of_labels() -> None:
    said = str({index: f"name {index}" for index in range(5000)})
    assert values.labels_of_text(said) == ()
    assert len(values.labels_of_text(str({index: f"name {index}" for index in range(1000)}))) == 1000


@pytest.mark.parametrize("format_name", ["onnx", "savedmodel"])
def test_more_fields_than_any_model_has_are_not_walked(tmp_path: Path, format_name: str) -> None:
    path = tmp_path / "model"
    many = b"\x08\x01" * 70_000
    path.write_bytes(many if format_name == "onnx" else b"\x12\xe0\xc5\x08" + many)  # a meta graph of 140,000 bytes
    with pytest.raises(ArtifactError, match="more in it than fits"):
        read(format_name, path)
