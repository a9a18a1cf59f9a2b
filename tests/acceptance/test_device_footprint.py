"""What the device client costs: installed bytes, memory, requests. Figures go to docs/updates/device.md."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from edgeship.device import enrol
from edgeship.device.config import Config, Place
from tests.device_repository import LINE, Published, Server, served

ROOT = Path(__file__).parent.parent.parent
#: What a device has anyway, for any model.
GIVEN = {"ai-edge-litert", "numpy"}
#: The goal, in MB.
MOST_INSTALLED_MB = 60
#: Beyond what runs without us.
MOST_MEMORY_MIB = 50

_PEAK = """
import json, re, sys
def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024
"""
_ALONE = """
import numpy as np
from ai_edge_litert import interpreter
lite = interpreter.Interpreter(model_path=sys.argv[1], num_threads=1)
lite.allocate_tensors()
lite.set_tensor(lite.get_input_details()[0]["index"], np.zeros((1, 4), np.float32))
lite.invoke()
print(json.dumps(peak()))
"""
_MODEL = """
import numpy as np
from edgeship.device import Model
with Model() as model:
    model.predict(np.zeros((1, 4), np.float32))
print(json.dumps(peak()))
"""
# securesystemslib loads boto3 where that is installed, which it is not on a device.
_UPDATE = """
sys.modules["boto3"] = None
from edgeship.device import enrolled, update
update(enrolled())
print(json.dumps([peak(), "tensorflow" in sys.modules]))
"""


def closure(name: str, found: set[str]) -> set[str]:
    """A distribution and all that it needs here."""
    name = re.sub(r"[-_.]+", "-", name).lower()
    if name in found or name in GIVEN:
        return found
    found.add(name)
    for requirement in importlib.metadata.requires(name) or []:
        words, _, marker = requirement.partition(";")
        if "extra" in marker or "sys_platform ==" in marker or "python_version <" in marker:
            continue
        try:
            closure(re.split(r"[\s<>=!~\[(]", words.strip())[0], found)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def installed_bytes(name: str) -> int:
    """Of a distribution's files, bytecode left out."""
    if name == "edgeship":
        folders = ("toolkit/edgeship", "converters/edgeship_converters", "benchmarks/edgeship_benchmarks")
        files = [file for folder in folders for file in (ROOT / folder).rglob("*") if file.is_file()]
    else:
        listed = importlib.metadata.files(name) or []
        files = [Path(str(file.locate())) for file in listed]
    return sum(file.stat().st_size for file in files if file.is_file() and "__pycache__" not in file.parts)


def test_installed_size() -> None:
    sizes = {name: installed_bytes(name) for name in closure("edgeship", set())}
    assert {"tuf", "cryptography", "urllib3", "click", "backports-zstd"} <= set(sizes)
    for name, size in sorted(sizes.items(), key=lambda pair: -pair[1]):
        print(f"{name:<20}{size / 1e6:8.2f} MB")
    print(f"{'all':<20}{sum(sizes.values()) / 1e6:8.2f} MB")
    assert sum(sizes.values()) <= MOST_INSTALLED_MB * 1e6


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    published = Published(tmp_path / "publisher")
    published.now = datetime.now(UTC)
    published.release("1.0.0", 1)
    with served(tmp_path / "publisher/repo") as found:
        enrol(Place(tmp_path / "devices/points"), Config(found.url, str(LINE), ("tflite-float32",)), published.root)
        yield found


def test_memory_and_requests(server: Server, tmp_path: Path) -> None:
    def run(code: str, *arguments: object) -> Any:
        env = {**os.environ, "EDGESHIP_DEVICE_DIR": str(tmp_path / "devices")}
        command = [sys.executable, "-c", _PEAK + code, *map(str, arguments)]
        return json.loads(subprocess.run(command, env=env, capture_output=True, check=True).stdout)

    first = run(_UPDATE)
    server.requests.clear()
    again = run(_UPDATE)
    assert len(server.requests) == 2
    alone = run(_ALONE, tmp_path / "devices/points/a/files/model.tflite")
    model = run(_MODEL)
    python = run("print(json.dumps(peak()))")
    print(f"an application: {model:.1f} MiB, LiteRT with the same file alone {alone:.1f} MiB")
    print(f"an update: {first[0]:.1f} MiB, without news {again[0]:.1f} MiB, Python alone {python:.1f} MiB")
    assert not first[1]
    assert not again[1]
    assert model - alone <= MOST_MEMORY_MIB
    assert max(first[0], again[0]) - python <= MOST_MEMORY_MIB
