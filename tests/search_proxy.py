"""A search with everything real but the trials, which are a formula: for what holds of storages and executors.

`python -m tests.search_proxy FOLDER ...` runs it as a process that a test may kill. The formula has a front that is
known, recipes that fail and recipes that are given up.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import queue
import sys
import threading
import time
from pathlib import Path

from edgeship import codec
from edgeship.errors import EdgeshipError
from edgeship.searching import space
from edgeship.searching.database import Setting
from edgeship.searching.executors import DaskExecutor, Executor, RayExecutor, Result
from edgeship.searching.limits import Limits
from edgeship.searching.options import Options
from edgeship.searching.running import Running
from edgeship.searching.study import Study
from edgeship.searching.trials import Job, Task, Trial
from edgeship.types import Change, ProgressCallback, Stage, StageFile

OBJECTIVES = ("drop", "bytes")
LIMITS = Limits(max_drop=0.5)
SPACE = space.parse(
    {
        "schema": space.SCHEMA,
        "recipes": [
            "int8",
            "float16",
            {
                "name": "proxy",
                "stages": [
                    {"prune": {"sparsity": {"from": 0.05, "to": 0.95}, "epochs": {"from": 1, "to": 30}}},
                    {"quantize-aware": {"bits": {"from": 1.0, "to": 8.0},
                                        "learning_rate": {"from": 1e-5, "to": 1e-1, "log": True}}},
                ],
                "variants": ["int8"],
            },
        ],
    },
    "the proxy's space",
)  # fmt: skip
TASK = Task(Path("model.keras"), "digits")


def figures(recipe: dict) -> tuple[float, float]:
    """Drop in points and bytes: each setting has its optimum, and what is smaller loses more."""
    if not recipe["stages"]:
        return (0.2, 80_000.0) if recipe["variants"] == ["int8"] else (0.0, 140_000.0)
    prune, tuned = recipe["stages"][0]["prune"], recipe["stages"][1]["quantize-aware"]
    sparsity, bits = prune["sparsity"], tuned["bits"]
    size = 80_000 * (1 - 0.75 * sparsity) * (0.15 + 0.85 * bits / 8)
    lost = 0.1 + 9 * max(0.0, sparsity - 0.55) ** 2 + 60 * math.exp(-1.7 * (bits - 0.6))
    lost += 0.5 * abs(math.log10(tuned["learning_rate"] / 7e-4)) ** 1.5 + 2.5 / prune["epochs"] ** 0.7
    return round(lost, 4), size


def trial(job: Job) -> Trial:
    """The result of a proxy trial."""
    recipe = dict(job.recipe)
    drop, size = figures(recipe)
    stages = (Stage("base", 0.9, 10, 10, 0.0, 0, 0.0), Stage("prune", 0.9 - drop / 100, 5, 10, 0.5, 1, 0.0))
    if drop > job.far_beyond:
        return Trial("stopped", recipe, job.number, "far beyond", stages=stages, lost=drop)
    change = Change(drop, (drop - 0.1, drop + 0.1), "points")
    sizes = (round(size),) * 4
    file = StageFile("tflite/int8", "0" * 64, "litert", 5000, 0.9 - drop / 100, change, change, *sizes)
    return Trial("finished", recipe, job.number, stages=stages, file=file, metric="accuracy", machine=str(os.getpid()))


def run_text(task: str, job: str) -> str:
    """A proxy trial on a worker of a cluster; the environment says which one never ends there, once."""
    del task
    given = codec.from_json(Job, job)
    hold = os.environ.get("PROXY_HOLD")
    if hold:
        _hold(Path(hold))
    _compute(float(os.environ.get("PROXY_SECONDS", "0")))
    return codec.to_json(trial(given))


def _hold(flag: Path) -> None:
    """Never return, for the first who comes; the flag says who."""
    try:
        handle = os.open(flag, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    except FileExistsError:
        return
    os.write(handle, str(os.getpid()).encode())
    os.close(handle)
    threading.Event().wait()


def _compute(seconds: float) -> None:
    """Keep a core busy for so much of its own time, however many others want it."""
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        sum(range(10_000))


class ProxyExecutor:
    """Trials in threads; each takes `seconds` of waiting or, with `busy`, of computing."""

    def __init__(self, log: Path, hold_at: int | None, seconds: float, *, busy: bool) -> None:
        self._log, self._hold_at, self._seconds, self._busy = log, hold_at, seconds, busy
        self._results: queue.SimpleQueue[tuple[int, Result]] = queue.SimpleQueue()
        self._begun = 0

    def submit(self, job: Job) -> None:
        """Begin a trial."""
        self._begun += 1
        threading.Thread(target=self._work, args=(job, self._begun), daemon=True).start()

    def ended(self, seconds: float) -> list[tuple[int, Result]]:
        """As `Executor`."""
        try:
            return [self._results.get(timeout=seconds)]
        except queue.Empty:
            return []

    def close(self) -> None:
        """The threads go with the process."""

    def _work(self, job: Job, begun: int) -> None:
        if begun == self._hold_at:
            (self._log.parent / "held").write_text(str(job.number))
            threading.Event().wait()
        if self._busy:
            _compute(self._seconds)
        else:
            time.sleep(self._seconds)
        with self._log.open("a") as log:
            log.write(json.dumps({"trial": job.number, "pid": os.getpid()}) + "\n")
        self._results.put((job.number, trial(job)))


def setting(asked: argparse.Namespace) -> Setting:
    """The study of a proxy search."""
    folder = Path(asked.folder)
    folder.mkdir(parents=True, exist_ok=True)
    return Setting(
        folder, asked.key, SPACE, OBJECTIVES, LIMITS, str(folder), asked.storage, asked.sampler, asked.seed,
        asked.heartbeat, asked.patience,
    )  # fmt: skip


def run(asked: argparse.Namespace) -> str:
    """A proxy search; returns why it ended."""
    with Study(setting(asked)) as study:
        options = Options(
            Path(asked.folder), trials=asked.trials, budget_seconds=asked.budget, workers=asked.workers,
            storage=asked.storage, heartbeat_seconds=asked.heartbeat,
        )  # fmt: skip

        def start(_: ProgressCallback) -> Executor:
            if asked.dask:
                return DaskExecutor(TASK, asked.dask, run_text)
            if asked.ray:
                return RayExecutor(TASK, asked.workers, run_text)
            return ProxyExecutor(Path(asked.folder) / "log", asked.hold_at, asked.seconds, busy=asked.busy)

        until = None if asked.budget is None else time.time() + asked.budget
        return Running(TASK, options, study, lambda _: None, {}, until).run(start)


def arguments(words: list[str]) -> argparse.Namespace:
    """What a proxy search is told."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--storage")
    parser.add_argument("--dask")
    parser.add_argument("--ray", action="store_true")
    parser.add_argument("--key", default="proxy" * 6)
    parser.add_argument("--trials", type=int)
    parser.add_argument("--budget", type=float)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=0.0)
    parser.add_argument("--busy", action="store_true")
    parser.add_argument("--hold-at", type=int)
    parser.add_argument("--heartbeat", type=int, default=1)
    parser.add_argument("--patience", type=float, default=60)
    parser.add_argument("--sampler", default="random")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(words)


def main() -> int:
    """Exit status 0, or that of the typed error."""
    try:
        print(run(arguments(sys.argv[1:])))
    except EdgeshipError as error:
        print(f"{type(error).__name__}: {error.message}")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
