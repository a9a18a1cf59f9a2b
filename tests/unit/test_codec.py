"""Values to and from JSON: nothing is lost, nothing is guessed."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from edgeship import codec
from edgeship.errors import InputError
from edgeship.types import (
    Artifact,
    DeviceInfo,
    Emulation,
    Energy,
    Estimate,
    FileEntry,
    Gate,
    Instructions,
    Measurement,
    NotMeasured,
    Parity,
    Plan,
    Quantization,
    Result,
    Source,
    TensorSpec,
    Throughput,
)

_SPEC = TensorSpec("image", (None, 8, 8, 1), "int8", Quantization(0.5, -128))
_GATE = Gate("cosine", "tflite/int8", "litert", "pass", True, 0.999, 0.99, "", 100, (0.99, 1.0))
_MEASUREMENT = Measurement(
    *("tflite/int8", "ab", "local", "litert"),
    *((0.1, 0.2), (1, 1), 20, 1.0, 2.0, 3.0, None, 3, 2, 1, 2, 1),
    DeviceInfo("local", "measured", {"cores": "2"}),
    ("a note",),
    batch=Throughput(8, 120.0),
    energy=Energy(2.5, "package-0"),
)
_EMULATION = Emulation(
    *("tflite/int8", "ab", "emulated:cortex-a72", "litert"),
    DeviceInfo("emulated:cortex-a72", "emulated", {}),
    Parity("litert on x86_64", 8, True, 0.0),
    Instructions(3_000_000, {"loads": 10}, 3, 0.0),
    *(None, 3, 2, 1, 2),
)
_ESTIMATE = Estimate(
    *("tflite/int8", "ab", "coral", "edgetpu"),
    DeviceInfo("coral", "estimated", {}),
    "the transfer of 2 MB over USB 3",
    at_least_ms=1.9,
)
_RESULTS = [_MEASUREMENT, _EMULATION, _ESTIMATE]
_VALUES = [
    _SPEC,
    TensorSpec("scalar", (), "float32"),
    _GATE,
    Plan(min_seconds=0.25),
    Source(Path("a/m.keras"), "keras", "keras", "0" * 64, (_SPEC,), (_SPEC,), 10, True, custom_objects=("m:f",)),
    Artifact(Path("x"), "tflite", "int8", (FileEntry("m.tflite", "ab", 3),), (_SPEC,), (), "s", made_by={"a": "1"}),
    *_RESULTS,
    NotMeasured("tflite/int8", "coral", "", "there is no Edge TPU", "Plug one in."),
]


@pytest.mark.parametrize("value", _VALUES, ids=lambda v: type(v).__name__)
def test_round_trip(value: Any) -> None:
    text = codec.to_json(value)
    assert text.endswith("}\n")
    assert codec.from_json(type(value), text) == value


def test_non_finite_numbers_are_refused_both_ways() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        codec.to_json(Plan(min_seconds=math.nan))
    with pytest.raises(InputError, match="NaN is not JSON"):
        codec.from_json(Plan, '{"min_seconds": NaN}')


_GOOD = codec.to_data(_SPEC)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"unknown": 1}, "extra fields found (unknown)"),
        ({"name": None}, "None is not of type str @ $.name"),
        ({"name": 5}, "5 is not of type str @ $.name"),
        ({"shape": "123"}, "'123' is not a list @ $.shape"),
        ({"shape": [1, "2"]}, "'2' is not of type int @ $.shape"),
        ({"shape": [1, 2.5]}, "2.5 is not of type int @ $.shape"),
        ({"shape": [True]}, "True is not of type int @ $.shape"),
        ({"quantization": {"scale": "1", "zero_point": 0}}, "'1' is not of type float @ $.quantization.scale"),
        ({"quantization": [1]}, "@ $.quantization"),
    ],
)
def test_what_does_not_fit_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        codec.from_data(TensorSpec, {**_GOOD, **change})
    assert "not a valid TensorSpec" in caught.value.message
    assert message in caught.value.message


@pytest.mark.parametrize(
    ("cls", "data"),
    [
        (TensorSpec, {"name": "a", "dtype": "int8"}),
        (TensorSpec, []),
        (TensorSpec, None),
        (TensorSpec, "text"),
        (Gate, {**codec.to_data(_GATE), "accepted": "no"}),
        (Gate, {**codec.to_data(_GATE), "status": "maybe"}),
        (Gate, {**codec.to_data(_GATE), "interval": [1, 2, 3]}),
        (DeviceInfo, {"name": "a", "provenance": "guessed", "facts": {}}),
        (DeviceInfo, {"name": "a", "provenance": "measured", "facts": {"cores": 2}}),
        (DeviceInfo, {"name": "a", "provenance": "measured", "facts": []}),
        (dict[str, int], {"a": "b"}),
        (int, "5"),
        (Path, 5),
    ],
)
def test_what_is_not_of_the_type_is_refused(cls: type[Any], data: Any) -> None:
    with pytest.raises(InputError, match="not a valid"):
        codec.from_data(cls, data)


def test_integers_are_fine_where_floats_are_wanted() -> None:
    found = codec.from_data(Plan, {"min_seconds": 1})
    assert isinstance(found.min_seconds, float)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "{} {}"])
def test_text_that_is_no_json(text: str) -> None:
    with pytest.raises(InputError, match="not JSON"):
        codec.from_json(Plan, text)


def test_to_data_is_plain() -> None:
    assert json.loads(json.dumps(codec.to_data(_VALUES[4])))["path"] == "a/m.keras"


@pytest.mark.parametrize("value", _RESULTS, ids=lambda v: v.provenance)
def test_results_are_told_apart_by_their_provenance(value: Measurement | Emulation | Estimate) -> None:
    data = codec.to_data(value)
    assert data["provenance"] == value.provenance
    assert codec.from_data(Result, data) == value  # type: ignore[arg-type] # a union is no class
    for other in _RESULTS:
        if other is not value:
            with pytest.raises(InputError, match="provenance"):
                codec.from_data(type(other), data)
            with pytest.raises(InputError):
                codec.from_data(Result, {**data, "provenance": other.provenance})  # type: ignore[arg-type] # a union
    for tag in ("guessed", None, ["measured"]):
        with pytest.raises(InputError, match="provenance"):
            codec.from_data(Result, {**data, "provenance": tag})  # type: ignore[arg-type] # a union is no class
    with pytest.raises(InputError, match="extra fields"):
        codec.from_data(type(value), {**data, "more": 1})


def test_nothing_but_a_measurement_has_a_latency() -> None:
    def fields(kind: type) -> set[str]:
        return set(kind.__dataclass_fields__)  # type: ignore[attr-defined] # a dataclass

    assert not any(name.endswith("_ms") for name in fields(Emulation))
    assert "latency_ms" not in fields(Estimate) | fields(Emulation)


@pytest.mark.parametrize(
    "given",
    [{}, {"at_least_ms": 1.0, "fitted_ms": 2.0}, {"fitted_ms": 2.0}, {"at_least_ms": 1.0, "leave_one_out_error": 0.1}],
)
def test_an_estimate_is_a_bound_or_a_fit_with_its_error(given: dict[str, float]) -> None:
    with pytest.raises(InputError, match="neither a lower bound nor a fit"):
        Estimate("a", "b", "coral", "edgetpu", DeviceInfo("coral", "estimated", {}), "words", **given)
    fit = codec.to_data(_ESTIMATE) | {"at_least_ms": None, "fitted_ms": 2.0}
    with pytest.raises(InputError, match="neither a lower bound nor a fit"):
        codec.from_data(Estimate, fit)
    assert codec.from_data(Estimate, fit | {"leave_one_out_error": 0.1}).fitted_ms == 2.0
