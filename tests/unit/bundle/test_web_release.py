"""What publishing takes of a folder that may be a web package."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgeship.bundle.web import release
from edgeship.errors import ArtifactError, InputError


@pytest.fixture
def package(tmp_path: Path) -> Path:
    (tmp_path / "package").mkdir()
    (tmp_path / "package/manifest.json").write_text(json.dumps({"schema": release.SCHEMA}))
    return tmp_path / "package"


def test_a_package_is_published_as_its_bundles(package: Path) -> None:
    for name in ("tfjs-uint8", "tflite-float32"):
        (package / "release" / name).mkdir(parents=True)
    assert release.bundles(package) == (package / "release/tfjs-uint8", package / "release/tflite-float32")


def test_a_package_of_a_build_without_golden_samples_is_refused(package: Path) -> None:
    with pytest.raises(InputError, match="golden samples") as caught:
        release.bundles(package)
    assert "--data" in str(caught.value.remedy)


@pytest.mark.parametrize("link", ["release", "release/tfjs-uint8"])
def test_links_are_not_followed(package: Path, tmp_path: Path, link: str) -> None:
    (tmp_path / "elsewhere/tfjs-uint8").mkdir(parents=True)
    (package / link).parent.mkdir(exist_ok=True)
    (package / link).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ArtifactError, match="link"):
        release.bundles(package)


@pytest.mark.parametrize("content", [None, "no JSON", "[]", "{}", '{"schema": "edgeship.manifest/1"}'])
def test_all_else_is_left_to_the_reader_of_bundles(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "manifest.json").write_text(content)
    assert release.bundles(tmp_path) == (tmp_path,)
