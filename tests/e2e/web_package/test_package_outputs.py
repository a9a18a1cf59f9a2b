"""What packages give in real browsers, held against Python's runtimes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeship.standalone import predict
from tests.e2e.conftest import Demo
from tests.e2e.web_package.driven import Driven

SIZE = 32 * 32


def outputs(browser: Driven, pkg: str, runtime: str, **options: object) -> tuple[dict[str, object], np.ndarray]:
    browser.fresh()
    found = browser.do("outputs", pkg=pkg, options={"runtime": runtime, **options}, inputs="inputs.bin", size=SIZE)
    assert found["info"]["runtime"] == runtime
    return found["info"], np.array(found["values"])


@pytest.mark.parametrize(
    ("pkg", "runtime", "reference"),
    [
        ("digits", "tfjs-wasm", "tfjs-uint8"),
        ("floats", "tfjs-wasm", "tflite-float32"),
        ("both", "litert-wasm", "tflite-float32"),
    ],
)
def test_outputs_are_those_of_python(browser: Driven, data: Path, pkg: str, runtime: str, reference: str) -> None:
    info, found = outputs(browser, pkg, runtime)
    expected = np.load(data / f"{reference}.npy")
    assert info["thread"] == "worker"
    assert found.shape == expected.shape == (100, 10)
    assert np.ptp(expected) > 0.1  # a thousand times what is allowed
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("pkg", "runtime"), [("floats", "tfjs-webgl"), ("floats", "tfjs-webgpu"), ("both", "litert-webgpu")]
)
def test_outputs_of_graphics(browser: Driven, data: Path, pkg: str, runtime: str) -> None:
    """With software for a GPU in Chromium; Firefox has none without a window, and says so."""
    if browser.name == "firefox":
        browser.fresh()
        found = browser.do("error", pkg=pkg, options={"runtime": runtime})
        assert found["code"] == "unsupported-runtime"
        assert found["remedy"]
        return
    _, found = outputs(browser, pkg, runtime)
    np.testing.assert_allclose(found, np.load(data / "tflite-float32.npy"), rtol=0, atol=1e-4)


def test_images_are_prepared_as_in_python(browser: Driven, data: Path, demo: Demo) -> None:
    browser.fresh()
    urls = [f"/data/{k}.png" for k in range(3)]
    found = browser.do("images", pkg="floats", options={}, urls=urls)
    for k, answer in enumerate(found):
        (scores,) = predict(demo.build / "artifacts/tflite/float32", data / f"{k}.png", None, 10).samples
        expected = {int(score.label): score.value for score in scores}
        for kind, values in answer["results"].items():
            assert values == pytest.approx([expected[i] for i in range(10)], abs=1e-5), kind
        assert [c["index"] for c in answer["classes"]] == [int(score.label) for score in scores]
        assert answer["classes"][0]["confidence"] == pytest.approx(scores[0].value, abs=1e-5)


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("transparent.png", 0.01),  # canvases keep colors multiplied by their alpha
        ("lying.jpg", 0.02),  # decoders differ a little
    ],
)
def test_pictures_look_the_same_in_python(browser: Driven, data: Path, demo: Demo, name: str, most: float) -> None:
    browser.fresh()
    (answer,) = browser.do("images", pkg="floats", options={}, urls=[f"/data/{name}"])
    (scores,) = predict(demo.build / "artifacts/tflite/float32", data / name, None, 10).samples
    expected = {int(score.label): score.value for score in scores}
    for kind, values in answer["results"].items():
        assert values == pytest.approx([expected[i] for i in range(10)], abs=most), kind


def test_wrong_inputs_are_typed_errors(browser: Driven) -> None:
    browser.fresh()
    codes = browser.do("inputs", pkg="digits")
    assert codes.pop("disposed") == "ModelError disposed true"
    assert set(codes.values()) == {"ModelError input true"}, codes


def test_runtimes_that_the_package_lacks_are_named(browser: Driven) -> None:
    browser.fresh()
    found = browser.do("error", pkg="digits", options={"runtime": "litert-wasm"})
    assert found["code"] == "unsupported-runtime"
    assert "tfjs-wasm" in found["remedy"]
