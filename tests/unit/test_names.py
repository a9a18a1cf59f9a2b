"""Names that are safe everywhere."""

from __future__ import annotations

import pytest

from edgeship.names import artifact_slug, safe_names


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["image", "probabilities"], ("image", "probabilities")),
        (["serving/x:0", "a b c", "../../etc"], ("serving_x_0", "a_b_c", "etc")),
        (["dense", "dense", "Dense"], ("dense", "dense_1", "Dense_2")),
        (["dense", "dense", "dense_1"], ("dense", "dense_1", "dense_1_1")),
        (["", "é", "1x"], ("input", "input_1", "input_1x")),
        (["n" * 100], ("n" * 64,)),
    ],
)
def test_safe_names(names: list[str], expected: tuple[str, ...]) -> None:
    assert safe_names(names, "input") == expected


def test_slug_is_one_safe_folder_name() -> None:
    assert artifact_slug("tflite/int8", "litert") == "tflite__int8__litert"
    assert artifact_slug("tfjs/uint8", "browser:chromium") == "tfjs__uint8__browser%3Achromium"
    slug = artifact_slug("tflite/foreign:a/model.tflite#2", 'ssh://pi@board<>"|?*')
    assert not set(slug) & set('<>:"/\\|?*')
    assert artifact_slug("a:b") != artifact_slug("a%3Ab")
