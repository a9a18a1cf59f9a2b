"""Which files are made for which words of the user."""

from __future__ import annotations

import pytest

from edgeship import plugins
from edgeship.errors import DataError, InputError
from edgeship.pipeline import exports
from edgeship.types import VARIANTS
from edgeship_benchmarks import node


def test_all_formats_when_none_is_named() -> None:
    plan = exports.plan((), ("float32",))
    noted = {note.partition(" left out: ")[0] for note in plan.notes}
    assert noted == ({"tfjs"} if node.missing() else set())
    assert {e.id for e in plan.exports} == {f"{name}/float32" for name in {"tflite", "tfjs", "onnx"} - noted}
    assert not any(e.by_name for e in plan.exports)
    assert "micro" in plugins.names("converters")  # on request only
    assert [e.id for e in exports.plan(("micro",), ("float32",)).exports] == ["micro/float32"]


def test_an_equivalent_is_made_once_and_noted() -> None:
    plan = exports.plan(("tfjs", "tflite"), ("int8", "int8-floatio"))
    assert [e.id for e in plan.exports] == ["tfjs/uint8", "tflite/int8", "tflite/int8-floatio"]
    assert plan.notes[0] == "tfjs has no int8: made uint8 (weights stored in 8 bits, float arithmetic)"
    assert all(e.by_name for e in plan.exports)


def test_a_format_without_any_of_the_variants_is_refused_by_name() -> None:
    with pytest.raises(InputError, match="onnx has none of the variants int16x8") as caught:
        exports.plan(("onnx",), ("int16x8",))
    assert "float16" in caught.value.remedy
    assert "onnx" not in {e.format for e in exports.plan((), ("int16x8",)).exports}


def test_unknown_words_are_refused_with_what_is_allowed() -> None:
    with pytest.raises(InputError, match="no converter writes 'tflitee'") as caught:
        exports.plan(("tflitee",), ("float32",))
    assert "onnx, savedmodel, tfjs, tflite" in caught.value.remedy
    with pytest.raises(InputError, match="unknown variant 'int7'"):
        exports.plan((), ("int7",))


def test_nothing_is_calibrated_on_noise() -> None:
    plan = exports.plan(("tflite",), ("float16", "int8"))
    with pytest.raises(DataError, match="tflite/int8 need sample inputs"):
        exports.check_calibration(plan.exports, has_ranges=False)
    exports.check_calibration(plan.exports, has_ranges=True)
    exports.check_calibration(exports.plan(("tfjs",), ("int8",)).exports, has_ranges=False)


def test_variants_and_equivalents_are_from_the_one_list() -> None:
    for name in plugins.names("converters"):
        converter = plugins.converter(name)
        assert set(converter.variants) <= set(VARIANTS)
        assert set(converter.equivalents) <= set(VARIANTS) - set(converter.variants)
        assert set(converter.equivalents.values()) <= set(converter.variants)


def test_an_opset_is_one_that_is_written_and_of_onnx_files() -> None:
    both = exports.plan(("tflite", "onnx"), ("float32",)).exports
    for opset in (None, 13, 18, 26):
        exports.check_opset(opset, both)
    for opset in (0, 12, 27):
        with pytest.raises(InputError, match=f"opset {opset} is not written") as caught:
            exports.check_opset(opset, both)
        assert "13 to 26" in caught.value.remedy
    with pytest.raises(InputError, match="none is made") as caught:
        exports.check_opset(18, exports.plan(("tflite",), ("float32",)).exports)
    assert "--to onnx" in caught.value.remedy
