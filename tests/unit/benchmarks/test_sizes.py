"""Bytes of an artifact, plain and compressed."""

from __future__ import annotations

import gzip
import tomllib
from pathlib import Path

import numpy as np
import pytest

from edgeship.errors import ArtifactError
from edgeship.types import Artifact, FileEntry
from edgeship_benchmarks.sizes import sizes


def artifact(folder: Path, *names: str) -> Artifact:
    entries = tuple(FileEntry(name, "", 0) for name in names)
    return Artifact(folder, "tfjs", "float32", entries, (), (), "")


def test_sums_over_all_files(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).bytes(5000)
    (tmp_path / "model.json").write_bytes(b"{}" * 4000)
    (tmp_path / "weights.bin").write_bytes(noise)
    found = sizes(artifact(tmp_path, "model.json", "weights.bin"))
    assert found.raw_bytes == 13_000
    assert found.gzip_bytes == sum(len(gzip.compress(b, 9, mtime=0)) for b in (b"{}" * 4000, noise))
    assert 5000 < found.brotli_bytes < found.gzip_bytes < 5200
    assert 5000 < found.zstd_bytes < 5200
    assert found == sizes(artifact(tmp_path, "model.json", "weights.bin"))


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"tfjs/float32: cannot read gone\.bin"):
        sizes(artifact(tmp_path, "gone.bin"))


def test_compressors_come_with_the_base_install() -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]
    for wanted in ("brotli", "backports.zstd"):
        assert any(name.startswith(wanted) for name in project["dependencies"])
