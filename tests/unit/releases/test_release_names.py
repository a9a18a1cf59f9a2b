from __future__ import annotations

import pytest

from edgeship.errors import InputError
from edgeship.releases import names
from edgeship.releases.names import Line, Version, line, version


def test_versions_are_ordered_by_their_numbers() -> None:
    assert version("1.10.0") > version("1.9.9") > version("1.9.0") > version("0.99.99")
    assert str(version("1.0.20")) == "1.0.20"


@pytest.mark.parametrize(
    "text",
    ["", "1", "1.2", "1.2.3.4", "v1.2.3", "01.2.3", "1.2.3-rc1", "1.2.-3", "1.2.3\n", "1.2.\uff14", "1.2.2147483648"],
)
def test_what_is_no_version(text: str) -> None:
    with pytest.raises(InputError, match="is not a version"):
        version(text)


def test_a_line_is_a_model_and_a_major_version() -> None:
    assert line("wake-word/v1") == Line("wake-word", 1)
    assert str(Line("wake-word", 1)) == "wake-word/v1"


@pytest.mark.parametrize(
    "text", ["wake-word", "wake-word/1", "/v1", "../v1", "a/b/v1", "Wake/v1", "a/v01", "a" * 65 + "/v1"]
)
def test_what_is_no_line(text: str) -> None:
    with pytest.raises(InputError):
        line(text)


@pytest.mark.parametrize("name", ["", ".", "..", "-a", "a-", "a/b", "a\\b", "A", "ä", "a b", "a\0", "con:"])
def test_a_model_cannot_be_called_so(name: str) -> None:
    with pytest.raises(InputError, match="cannot be the name"):
        names.check_model(name)


@pytest.mark.parametrize("name", ["", "tflite", "tflite/int8", "..-..", "tflite-", "TFLITE-int8", "a-" * 40 + "b"])
def test_a_variant_cannot_be_called_so(name: str) -> None:
    with pytest.raises(InputError, match="is no variant"):
        names.check_variant(name)


def test_where_everything_lies() -> None:
    release = Version(1, 2, 3)
    assert names.manifest_path("m", release, "tflite-int8") == "models/m/v1/1.2.3/tflite-int8/manifest.json"
    assert names.policy_path(Line("m", 1)) == "models/m/v1/policy.json"
    assert names.rollout_path(Line("m", 1)) == "rollout/m/v1.json"
    assert names.patch_path(Line("m", 1), "a" * 64, "b" * 64) == f"models/m/v1/patches/{'a' * 12}-{'b' * 12}.esd"
