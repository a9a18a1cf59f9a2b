"""Which files of a build a web package takes, and which it refuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests import report_builder

from edgeship.bundle.web import choosing
from edgeship.errors import GateFailed, InputError
from edgeship.types import Report


@pytest.fixture
def report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Report:
    """Of real files; that they are what their sidecars say is tested elsewhere."""
    monkeypatch.setattr(choosing, "check_files", lambda artifacts: None)
    return report_builder.build(tmp_path)


def chosen(report: Report, wanted: str | None = None, *runtimes: str) -> dict[str, str]:
    return {name: artifact.id for name, artifact in choosing.choose(report, wanted, runtimes).items()}


def test_the_default_is_the_smallest_passing_file_of_tfjs(report: Report) -> None:
    failed = [a.id for a in report.artifacts if a.format == "tfjs" and a.verification != "passed"]
    assert "tfjs/uint8" in failed
    assert chosen(report) == {"tfjs-wasm": "tfjs/float16"}


def test_runtimes_come_in_the_order_of_auto(report: Report) -> None:
    found = chosen(report, "tflite/float32", "tfjs-webgl", "litert-wasm", "tfjs-wasm")
    assert list(found.items()) == [
        ("tfjs-wasm", "tfjs/float16"),
        ("litert-wasm", "tflite/float32"),
        ("tfjs-webgl", "tfjs/float16"),
    ]


def test_a_tflite_file_alone_is_for_litert(report: Report) -> None:
    assert chosen(report, "tflite/float16") == {"litert-wasm": "tflite/float16"}
    without = replace(report, artifacts=tuple(a for a in report.artifacts if a.format == "tflite"))
    assert list(chosen(without)) == ["litert-wasm"]


def test_int8_floatio_is_taken_before_smaller_files(report: Report) -> None:
    int8 = next(a for a in report.artifacts if a.id == "tflite/float32")
    report = replace(report, artifacts=(*report.artifacts, replace(int8, variant="int8-floatio")))
    assert chosen(report, None, "litert-wasm") == {"litert-wasm": "tflite/int8-floatio"}


@pytest.mark.parametrize(
    ("wanted", "runtimes", "word"),
    [
        ("onnx/int8", (), "not for browsers"),
        ("tflite/int8", (), "int8-floatio"),
        ("tfjs/float99", (), "not in the build"),
        ("tflite/float32", ("tfjs-wasm",), "litert-wasm"),
        (None, ("netscape",), "tfjs-wasm"),
    ],
)
def test_what_no_browser_runs_is_refused_with_a_remedy(
    report: Report, wanted: str | None, runtimes: tuple[str, ...], word: str
) -> None:
    with pytest.raises(InputError) as found:
        chosen(report, wanted, *runtimes)
    assert word in str(found.value)
    assert found.value.remedy


def test_a_file_that_failed_is_refused(report: Report) -> None:
    with pytest.raises(GateFailed):
        chosen(report, "tfjs/uint8")


def test_sizes_that_litert_js_would_have_to_guess_are_refused(report: Report) -> None:
    free = [
        replace(a, inputs=(replace(a.inputs[0], shape=(None, None, 32, 3)),)) if a.format == "tflite" else a
        for a in report.artifacts
    ]
    with pytest.raises(InputError, match="one size only"):
        chosen(replace(report, artifacts=tuple(free)), "tflite/float32")


def test_files_of_different_outputs_do_not_share_a_package(report: Report) -> None:
    other = [
        replace(a, outputs=(replace(a.outputs[0], name="other"),)) if a.format == "tflite" else a
        for a in report.artifacts
    ]
    with pytest.raises(InputError, match="cannot hold both"):
        chosen(replace(report, artifacts=tuple(other)), "tflite/float32", "tfjs-wasm", "litert-wasm")
