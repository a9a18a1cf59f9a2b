"""Measured on the proxy task of `tests.search_proxy`: its trials are a formula, everything else is the real search."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edgeship.searching.choice import choose
from edgeship.searching.study import Study
from edgeship.searching.trials import Trial
from tests import search_proxy
from tests.postgres import Postgres

ROOT = Path(__file__).parents[3]
#: Where the hypervolume ends: points lost, and bytes. A file beyond is worth nothing.
CORNER = (5.0, 80_000.0)


def hypervolume(trials: Sequence[Trial]) -> float:
    """Share of the box to `CORNER` that the finished trials dominate (Zitzler and Thiele, PPSN V, 1998)."""
    found = [(t.file.drop.value, float(t.wire_bytes)) for t in trials if t.file is not None]
    inside = sorted(p for p in found if p[0] < CORNER[0] and p[1] < CORNER[1])
    area, lowest = 0.0, CORNER[1]
    for drop, size in inside:
        if size < lowest:
            area += (CORNER[0] - max(drop, 0.0)) * (lowest - size)
            lowest = size
    return area / (CORNER[0] * CORNER[1])


def against_random(seeds: Sequence[int], trials: int) -> dict[str, Any]:
    """TPE and random search, each with so many trials: hypervolume, and bytes of what is chosen, by seed."""
    rows = []
    for seed in seeds:
        row: dict[str, Any] = {"seed": seed}
        for sampler in ("tpe", "random"):
            with tempfile.TemporaryDirectory() as folder:
                words = [folder, "--trials", str(trials), "--sampler", sampler, "--seed", str(seed)]
                asked = search_proxy.arguments(words)
                search_proxy.run(asked)
                with Study(search_proxy.setting(asked)) as study:
                    found = study.trials()
            picked = choose(found, search_proxy.OBJECTIVES, search_proxy.LIMITS).trial
            row[sampler] = {"hypervolume": hypervolume(found), "bytes": picked.wire_bytes if picked else None}
        rows.append(row)
        print(json.dumps(row), flush=True)
    return {"task": "the formula of tests/search_proxy.py", "trials": trials, "rows": rows}


def speed_up(budget_seconds: float, trial_seconds: float, repeats: int) -> dict[str, Any]:
    """Trials that one worker and two finish in the same time, on PostgreSQL and on Dask, taking turns."""
    rows: list[dict[str, Any]] = []
    for _ in range(repeats):
        for kind, count in (("postgresql", _on_postgres), ("dask", _on_dask)):
            one, two = (count(workers, budget_seconds, trial_seconds) for workers in (1, 2))
            rows.append({"storage": kind, "one": one, "two": two, "times": two / max(one, 1)})
            print(json.dumps(rows[-1]), flush=True)
    return {"budget_seconds": budget_seconds, "trial_seconds": trial_seconds, "cores": os.cpu_count(), "rows": rows}


def _on_postgres(workers: int, budget: float, seconds: float) -> int:
    with tempfile.TemporaryDirectory() as folder, Postgres() as server:
        words = ["--storage", server.address, "--budget", f"{budget}", "--seconds", f"{seconds}", "--busy"]
        ran = [_begin(f"{folder}/{number}", "--seed", f"{number}", *words) for number in range(workers)]
        for process in ran:
            assert process.wait() == 0
        return _finished(f"{folder}/0", *words)


def _on_dask(workers: int, budget: float, seconds: float) -> int:
    with tempfile.TemporaryDirectory() as folder, _cluster(Path(folder), workers, seconds) as address:
        process = _begin(f"{folder}/s", "--dask", address, "--workers", f"{workers}", "--budget", f"{budget}")
        assert process.wait() == 0
        return _finished(f"{folder}/s")


def _finished(*words: str) -> int:
    """Trials whose result is in the study, the written recipes not counted: one of the workers finds these done."""
    with Study(search_proxy.setting(search_proxy.arguments([*words]))) as study:
        return sum(t.recipe["name"] == "proxy" for t in study.trials())


def _begin(*words: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.search_proxy", *words]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)


@contextmanager
def _cluster(folder: Path, workers: int, seconds: float) -> Iterator[str]:
    """A scheduler and workers of one thread each, on loopback."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = str(found.getsockname()[1])
    address = f"tcp://127.0.0.1:{port}"
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore", "PROXY_SECONDS": str(seconds)}
    scheduler = ["scheduler", "--host", "127.0.0.1", "--port", port, "--no-dashboard", "--no-show"]
    worker = ["worker", address, "--host", "127.0.0.1", "--nthreads", "1", "--no-nanny", "--no-dashboard"]
    commands = [scheduler, *([*worker, "--local-directory", str(folder)] for _ in range(workers))]
    with (folder / "cluster.log").open("wb") as log:
        ran = [
            subprocess.Popen([sys.executable, "-m", "dask", *words], env=env, cwd=ROOT, stdout=log, stderr=log)
            for words in commands
        ]
    try:
        from distributed import Client

        client: Any = Client
        with client(address, timeout=60, set_as_default=False) as waiting:
            waiting.wait_for_workers(workers, timeout=120)
        yield address
    finally:
        for process in ran:
            process.send_signal(signal.SIGKILL)
            process.wait()
