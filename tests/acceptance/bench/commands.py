"""Whole commands: how long the CLI takes to start, and what the cache saves."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from edgeship import cache
from edgeship.child import Limits, Worker
from tests.acceptance import tfjs_models
from tests.acceptance.bench.records import Timed, taking_turns, timed
from tests.acceptance.tfjs_reference import _tests_importable

EDGESHIP = str(Path(sys.executable).parent / "edgeship")
#: What a command line of Python that draws tables has to load anyway.
_LIBRARIES = "import click, rich.console, rich.table, rich.progress"


def seconds(command: Sequence[str], **environment: str) -> float:
    """Wall time of a process that succeeds."""
    started = time.perf_counter()
    done = subprocess.run(command, check=False, capture_output=True, text=True, env={**os.environ, **environment})
    took = time.perf_counter() - started
    if done.returncode:
        raise RuntimeError(
            f"{' '.join(command)} ended with {done.returncode}: {done.stdout[-500:]}{done.stderr[-500:]}"
        )
    return took


def startup(rounds: int) -> tuple[list[Timed], list[str]]:
    """`edgeship --help` and `--version` against an interpreter that only imports click and rich."""
    libraries = "python, importing click and rich"
    commands: Mapping[str, Sequence[str]] = {
        libraries: [sys.executable, "-c", _LIBRARIES],
        "edgeship --help": [EDGESHIP, "--help"],
        "edgeship --version": [EDGESHIP, "--version"],
    }
    found = taking_turns({name: lambda c=command: seconds(c) for name, command in commands.items()}, rounds)
    names = ("edgeship --help", "edgeship --version")
    return [timed(name, (name, found[name]), (libraries, found[libraries])) for name in names], []


def cached(rounds: int) -> tuple[list[Timed], list[str]]:
    """`edgeship convert` and `edgeship demo` with an empty cache, and again with what the first left there."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        with _tests_importable(), Worker(Limits(seconds=300)) as worker:
            worker.call(tfjs_models.make, folder=folder)
        convert = ("convert", str(folder / "small_cnn.keras"), "--to", "tflite", "--to", "onnx")
        commands = {"edgeship convert, TFLite and ONNX": convert, "edgeship demo": ("demo",)}
        return [_twice(name, words, rounds, folder) for name, words in commands.items()], []


def _twice(name: str, words: Sequence[str], rounds: int, folder: Path) -> Timed:
    """A command with an empty cache and right after it with a full one, each into a folder of its own."""
    cold: list[float] = []
    warm: list[float] = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory(dir=folder) as place:
            own = {"EDGESHIP_CACHE": f"{place}/cache", "EDGESHIP_HISTORY": f"{place}/history.sqlite3"}
            Path(own["EDGESHIP_CACHE"]).mkdir()
            if (cache.root() / "node").is_dir():  # npm's packages are no result of either
                (Path(own["EDGESHIP_CACHE"]) / "node").symlink_to(cache.root() / "node")
            for out, times in (("first", cold), ("second", warm)):
                done = [EDGESHIP, *words, "--out", f"{place}/{out}", "--json"]
                times.append(1e3 * seconds(done, **own))
    return timed(name, ("again, from the cache", warm), ("with an empty cache", cold))
