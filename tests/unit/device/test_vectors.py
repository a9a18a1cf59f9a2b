"""The Python client against the vectors that clients in other languages are held to."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.device_repository import served
from tests.enrolled_device import LIMITS, Device

from edgeship.device import enrol
from edgeship.device.config import Config, Place, Probation
from edgeship.errors import EdgeshipError

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "repositories.json").read_text())
#: The attacks themselves are run elsewhere; of the vectors that come from them a few show that they are whole.
_EVERY = 9


def moment(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


def content(digest: str) -> bytes:
    return base64.b64decode(VECTORS["files"][digest])


def write(folder: Path, files: dict[str, str]) -> None:
    """Exactly these files."""
    for old in sorted(folder.rglob("*"), reverse=True):
        old.unlink() if old.is_file() else old.rmdir()
    for path, digest in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content(digest))


def check(case: dict[str, Any], folder: Path) -> None:
    repo = folder / "repo"
    repo.mkdir()
    write(repo, VECTORS["states"][case["before"]])
    with served(repo) as server:
        config = Config(
            server.url, VECTORS["line"], tuple(VECTORS["variants"]), limits=LIMITS, probation=Probation(0, 0)
        )
        device = Device(Place(folder / "device"), config, moment(VECTORS["enrolled"]))
        enrol(device.place, config, content(case["root"]))
        device.update()
        write(repo, case["repository"])
        device.now = moment(case["now"])
        try:
            refused = bool(device.update().refused)
        except EdgeshipError:
            refused = True
        assert (device.active, refused) == (case["serves"], case["refused"])


@pytest.mark.parametrize("case", VECTORS["cases"][::_EVERY] + VECTORS["cases"][-1:], ids=lambda case: case["name"])
def test_some_vectors(case: dict[str, Any], tmp_path: Path) -> None:
    check(case, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: case["name"])
def test_all_vectors(case: dict[str, Any], tmp_path: Path) -> None:
    check(case, tmp_path)


def test_other_clients_meet_what_matters() -> None:
    names = " ".join(case["name"] for case in VECTORS["cases"])
    for word in ("replay", "freeze", "mix and match", "tampered", "cut off", "wrong key", "stolen", "patch", "P-256"):
        assert word in names
    assert sum(case["refused"] for case in VECTORS["cases"]) > 40
