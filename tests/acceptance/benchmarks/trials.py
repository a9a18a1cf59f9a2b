"""Trials of the method: two files, a load in the background, a verdict; kept one by one."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

import edgeship_benchmarks
from edgeship.codec import from_data
from edgeship.types import Artifact, FileEntry, Measurement, Plan
from edgeship_benchmarks.comparison import verdict
from edgeship_benchmarks.stats import summary
from edgeship_benchmarks.targets.local import LocalTarget
from tests.acceptance.benchmarks import layers
from tests.acceptance.benchmarks.load import background

FOLDER = Path(__file__).parent / "records"
#: Longest that a trial may take to count.
LIMIT_SECONDS = 60.0
#: Eight starts of both files, twelve rounds each, 25 ms of either file in a round.
PLAN = Plan(min_runs=8 * 12 * 5, min_seconds=8 * 12 * 0.025, rounds=12, repeats=8)
#: What a trial rests on; with another method its records say nothing.
_METHOD = ("comparison.py", "intervals.py", "plan.py")


@dataclass(frozen=True)
class Kind:
    """Two files of so many layers each; the second has `true_ratio` times the work of the first."""

    name: str
    first: int
    second: int

    @property
    def true_ratio(self) -> float:
        return self.second / self.first


KINDS = (Kind("aa", 20, 20), Kind("five", 20, 21), Kind("three", 33, 34))


@dataclass(frozen=True)
class Trial:
    """One comparison of the second file with the first.

    Attributes:
        seconds: of the whole call, starts of all processes included.
        turns: how often the load was switched on or off meanwhile.
        drift: of the first file, largest over smallest round median, minus one.
    """

    seed: int
    word: str
    ratio: float
    low: float
    high: float
    seconds: float
    turns: int
    drift: float


def method() -> str:
    """Hash of the code that judges, and of who runs when."""
    folder = Path(edgeship_benchmarks.__file__).parent
    parts = [(folder / name).read_bytes() for name in _METHOD]
    plan = PLAN.warmup_max_runs, PLAN.min_runs, PLAN.min_seconds, PLAN.rounds, PLAN.repeats, PLAN.cool_down_seconds
    return hashlib.sha256(b"\0".join([*parts, repr(plan).encode()])).hexdigest()[:16]


def artifact(file: Path, variant: str) -> Artifact:
    """A file as our targets take it."""
    content = file.read_bytes()
    entry = FileEntry(file.name, hashlib.sha256(content).hexdigest(), len(content))
    return Artifact(file.parent, "tflite", variant, (entry,), (), (), "")


def samples() -> dict[str, np.ndarray]:
    """Eight inputs."""
    shape = (8, layers.SIZE, layers.SIZE, layers.CHANNELS)
    return {"x": np.random.default_rng(0).normal(size=shape).astype(np.float32)}


def trial(kind: Kind, models: Path, seed: int, plan: Plan = PLAN) -> Trial:
    """Compare, beside a load that is switched on and off."""
    files = [artifact(models / f"{count}.tflite", name) for count, name in ((kind.first, "a"), (kind.second, "b"))]
    with background(seed) as turns:
        started = time.monotonic()
        rows = LocalTarget().measure(files, samples(), replace(plan, seed=seed))
        seconds = time.monotonic() - started
    first, second = rows
    assert isinstance(first, Measurement), first
    assert isinstance(second, Measurement), second
    found = verdict(second, first)
    assert found.ratio.interval is not None
    interval = (round(end, 5) for end in found.ratio.interval)
    drift = round(summary(first).drift, 3)
    return Trial(seed, found.word, round(found.ratio.value, 5), *interval, round(seconds, 1), len(turns), drift)


def read(name: str, folder: Path = FOLDER) -> tuple[str, list[Trial]]:
    """The method of the records of a kind, and its trials; none where there are none."""
    file = folder / f"{name}.json"
    if not file.is_file():
        return "", []
    data = json.loads(file.read_text())
    return data["method"], [from_data(Trial, item) for item in data["trials"]]


def write(name: str, found: list[Trial], folder: Path = FOLDER) -> None:
    """One line for each trial."""
    lines = ",\n".join(json.dumps(asdict(item)) for item in found)
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.json").write_text(f'{{"method": "{method()}", "trials": [\n{lines}\n]}}\n')


def called(found: list[Trial]) -> int:
    """Trials that called a difference."""
    return sum(item.word in ("faster", "slower") for item in found)


def right(found: list[Trial]) -> int:
    """Trials of a slower second file that said so in time."""
    return sum(item.word == "slower" and item.seconds <= LIMIT_SECONDS for item in found)
