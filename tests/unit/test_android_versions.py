"""Maven and Gradle build the same client: of the same versions, by names of repositories that each knows itself."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

_FOLDER = Path(__file__).parents[2] / "android_demo"


@pytest.mark.parametrize("name", ["bouncycastle", "brotli", "junit", "gummy-bears"])
def test_maven_and_gradle_have_the_same_versions(name: str) -> None:
    catalog = tomllib.loads((_FOLDER / "gradle" / "libs.versions.toml").read_text())
    pom = (_FOLDER / "edgeship-client" / "pom.xml").read_text()
    found = re.search(rf"<{name}\.version>([^<]+)</{name}\.version>", pom)
    assert found is not None
    assert catalog["versions"][name] == found[1]


def test_no_file_names_the_host_of_a_repository() -> None:
    files = [
        *_FOLDER.glob("*.kts"),
        *_FOLDER.glob("*/*.kts"),
        *_FOLDER.glob("*/pom.xml"),
        *_FOLDER.glob("*.properties"),
    ]
    assert len(files) >= 4
    for file in files:
        assert not re.search(r"<(repository|pluginRepository|mirror)>|maven\s*\(|url\s*=", file.read_text()), file
