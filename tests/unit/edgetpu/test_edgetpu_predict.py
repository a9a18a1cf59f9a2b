"""Whole files: Google's compiled pairs, counting, comparing, refusals, and what is no file at all."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from tests.quantized_tflite import Builder, chain, one

from edgeship.codec import from_data, to_data
from edgeship.edgetpu import Report, compare, predict
from edgeship.edgetpu.graph import COMPILED
from edgeship.errors import ArtifactError, InputError

IMAGE = (1, 8, 8, 4)


def written(folder: Path, content: bytes, name: str = "model.tflite") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def compiled_chain(left: int = 1) -> bytes:
    """What the compiler would make of chain("RELU", "TANH", "ELU"): a program, and the last `left` operators."""
    builder = Builder()
    tensors = [builder.tensor(IMAGE) for _ in range(4)]
    first = 3 - left
    builder.operator(COMPILED, [tensors[0]], [tensors[first]], custom_data=b"program!")
    for number, kind in list(enumerate(("RELU", "TANH", "ELU")))[first:]:
        builder.operator(kind, [tensors[number]], [tensors[number + 1]])
    return builder.file(tensors[:1], tensors[-1:])


@pytest.mark.parametrize(
    ("name", "left"),
    [
        ("mobilenet_v1_0.25_128_quant", {}),
        (
            "deeplabv3_mnv2_dm05_pascal_quant",
            {"RESIZE_BILINEAR": 3, "QUANTIZE": 1, "CONCATENATION": 1, "CONV_2D": 2, "ARG_MAX": 1},
        ),
    ],
)
def test_what_google_compiled_is_counted_and_predicted(shared_data: Path, name: str, left: dict[str, int]) -> None:
    original, compiled = (shared_data / "coral" / f"{name}{end}.tflite" for end in ("", "_edgetpu"))
    predicted, actual = predict(original), predict(compiled)
    assert (actual.basis, actual.original) == ("compared", original)
    assert Counter(op.kind for op in actual.operators if op.place == "cpu") == left
    assert actual.cpu == sum(left.values())
    assert len(actual.programs) == 1
    assert actual.programs[0].size_bytes > 500_000
    assert [op.place for op in predicted.operators] == [op.place for op in actual.operators]
    assert predicted.refusals == ()


def test_the_counts_add_up_and_the_report_is_data(tmp_path: Path) -> None:
    report = predict(written(tmp_path, chain("RELU", "TANH", "ELU", "TANH")))
    assert report.basis == "predicted"
    assert [op.place for op in report.operators] == ["tpu", "tpu", "cpu", "cpu"]
    assert [op.rule for op in report.operators] == ["", "", "not-listed", "one-part"]
    assert "ELU (operator 2)" in report.operators[3].reason
    assert (report.tpu, report.cpu, report.uncertain) == (2, 2, 0)
    assert from_data(Report, to_data(report)) == report


def test_what_depends_on_an_uncertain_operator_is_uncertain(tmp_path: Path) -> None:
    report = predict(written(tmp_path, chain("RELU", "TILE", "TANH")))
    assert [op.place for op in report.operators] == ["tpu", "uncertain", "uncertain"]
    assert "TILE (operator 1)" in report.operators[2].reason


def test_a_compiled_file_alone_says_what_is_left_and_not_what_is_inside(tmp_path: Path) -> None:
    report = predict(written(tmp_path, compiled_chain(), "other_edgetpu.tflite"))
    assert (report.basis, report.tpu, report.cpu) == ("compiled", None, 1)
    assert [op.kind for op in report.operators] == ["ELU"]
    assert report.programs[0].size_bytes == len(b"program!")
    assert "not in the open part" in report.notes[0]


def test_beside_its_original_each_operator_is_known(tmp_path: Path) -> None:
    original = written(tmp_path, chain("RELU", "TANH", "ELU"), "net.tflite")
    report = predict(written(tmp_path, compiled_chain(left=2), "net_edgetpu.tflite"))
    assert (report.basis, report.original) == ("compared", original)
    assert [op.place for op in report.operators] == ["tpu", "cpu", "cpu"]
    assert (report.tpu, report.cpu) == (1, 2)


def test_another_model_beside_it_is_not_taken_for_the_original(tmp_path: Path) -> None:
    written(tmp_path, one("ADD", [IMAGE, IMAGE], [IMAGE]), "net.tflite")
    report = predict(written(tmp_path, compiled_chain(), "net_edgetpu.tflite"))
    assert report.basis == "compiled"
    assert any("not what it was made from" in note for note in report.notes)
    with pytest.raises(InputError, match="was not made from"):
        compare(tmp_path / "net.tflite", tmp_path / "net_edgetpu.tflite")


def test_operators_newer_than_the_compiler_are_refusals(tmp_path: Path) -> None:
    builder = Builder()
    inputs = [(1, 4), builder.weights(3, 4), builder.weights(3)]
    report = predict(written(tmp_path, one("FULLY_CONNECTED", inputs, [(1, 3)], None, builder, version=12)))
    (refusal,) = report.refusals
    assert (refusal.rule, refusal.certain) == ("operator-version", True)
    assert "version 12" in refusal.reason
    assert refusal.change
    assert report.operators[0].rule == "version"


def test_a_float_model_is_a_refusal(tmp_path: Path) -> None:
    (refusal,) = predict(written(tmp_path, one("ADD", [IMAGE, IMAGE], [IMAGE], dtype="FLOAT32"))).refusals
    assert (refusal.rule, refusal.certain) == ("not-quantized", True)
    assert "--quantize int8" in refusal.change


def test_operators_that_came_later_are_refusals(tmp_path: Path) -> None:
    (refusal,) = predict(written(tmp_path, one("SIGN", [IMAGE], [IMAGE]))).refusals
    assert (refusal.rule, refusal.certain) == ("operator-version", True)
    assert "SIGN came" in refusal.reason


def test_names_that_do_not_tell_operators_apart_are_no_ground_for_comparing(tmp_path: Path) -> None:
    content = chain("RELU", "TANH", "ELU").replace(b"t1\x00", b"t2\x00")
    with pytest.raises(InputError, match="do not tell its operators apart"):
        compare(written(tmp_path, content, "net.tflite"), written(tmp_path, compiled_chain(), "net_edgetpu.tflite"))


def test_unknown_custom_operators_are_refusals(tmp_path: Path) -> None:
    (refusal,) = predict(written(tmp_path, one("Atan", [IMAGE], [IMAGE]))).refusals
    assert refusal.rule == "custom-operator"
    assert predict(written(tmp_path, one("TFLite_Detection_PostProcess", [IMAGE], [IMAGE]))).refusals == ()


def test_a_shape_that_is_computed_is_a_refusal_and_an_open_size_may_be_one(tmp_path: Path) -> None:
    builder = Builder()
    shape = builder.tensor([2], "INT32")
    (refusal,) = predict(written(tmp_path, one("RESHAPE", [IMAGE, shape], [(1, 256)], None, builder))).refusals
    assert (refusal.rule, refusal.certain) == ("dynamic-size", True)
    builder = Builder()
    given = builder.tensor(IMAGE, signature=(-1, 8, 8, 4))
    made = builder.tensor(IMAGE)
    builder.operator("RELU", [given], [made])
    report = predict(written(tmp_path, builder.file([given], [made])))
    assert [(r.rule, r.certain) for r in report.refusals] == [("dynamic-size", False)]
    assert report.tpu == 1


@pytest.mark.parametrize(("mib", "word"), [(5, None), (7, "may not fit"), (9, "do not fit")])
def test_parameters_that_do_not_fit_on_the_chip_are_noted(tmp_path: Path, mib: int, word: str | None) -> None:
    builder = Builder()
    inputs = [(1, 1024), builder.weights(mib * 1024, 1024)]
    report = predict(written(tmp_path, one("FULLY_CONNECTED", inputs, [(1, mib * 1024)], None, builder)))
    assert report.parameter_bytes == mib << 20
    assert len(report.notes) == (word is not None)
    assert all(str(word) in note for note in report.notes)


@pytest.mark.parametrize("content", [b"", b"no model", b"\x1c\x00\x00\x00TFL3" + b"\xff" * 64])
def test_what_is_no_model_is_an_error_of_ours(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(ArtifactError):
        predict(written(tmp_path, content))


def test_a_missing_file_is_an_error_of_ours(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="cannot read"):
        predict(tmp_path / "absent.tflite")


def test_cut_and_overwritten_files_give_a_report_or_an_error_of_ours(tmp_path: Path) -> None:
    whole = chain("RELU", "TANH", "ELU")
    for size in range(8, len(whole), 16):
        broken = written(tmp_path, whole[:size])
        with pytest.raises(ArtifactError):
            predict(broken)
    outcomes: set[str] = set()
    for place in range(8, len(whole), 5):
        changed = bytearray(whole)
        changed[place] ^= 0xFF
        try:
            outcomes.add(predict(written(tmp_path, bytes(changed))).basis)
        except ArtifactError:
            outcomes.add("refused")
    assert outcomes == {"predicted", "refused"}


def test_an_operator_without_its_tensors_is_a_broken_file(tmp_path: Path) -> None:
    builder = Builder()
    tensor = builder.tensor(IMAGE)
    builder.operator("RESHAPE", [tensor], [])
    with pytest.raises(ArtifactError, match="is broken: RESHAPE has 1 inputs and 0 outputs"):
        predict(written(tmp_path, builder.file([tensor], [tensor])))
