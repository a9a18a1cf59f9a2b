"""Times of the operators of a file, taken apart from the times of the file: profiling costs time."""

# ruff: noqa: B905 - zip(strict=) needs Python 3.10
from __future__ import annotations

import gc
import json
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

#: Runs of each visit that are not counted: others ran in between.
_REWARM_RUNS = 2
#: Of a visit; fewer say little, and more wait for a change of the machine.
_LEAST_RUNS, _MOST_RUNS = 3, 200


def alternating(steps: Sequence[Callable[[], None]], rounds: int, seconds: float) -> Iterator[list[float]]:
    """Median milliseconds of each step, round by round.

    A round goes through all steps, forth and back in turn: what is compared, neighbours, meets the same machine.
    `seconds` is about what all of it takes, where steps are not so slow that the fewest runs take longer.
    """
    sweep = sum(_timed(step) for step in steps)
    runs = int(min(_MOST_RUNS, max(_LEAST_RUNS, seconds * 1e3 / rounds / max(sweep, 1e-6) - _REWARM_RUNS)))
    for number in range(rounds):
        found = [0.0] * len(steps)
        order = range(len(steps))
        for k in order if number % 2 == 0 else reversed(order):
            for _ in range(_REWARM_RUNS):
                steps[k]()
            found[k] = statistics.median(_timed(steps[k]) for _ in range(runs))
        yield found


def _timed(step: Callable[[], None]) -> float:
    started = time.perf_counter_ns()
    step()
    return (time.perf_counter_ns() - started) / 1e6


def collect(rounds: Iterator[list[float]], told: Callable[[int], None]) -> list[list[float]]:
    """Times by step: those of each round."""
    gc.disable()  # Python's collector is part of no step
    try:
        found = []
        for number, times in enumerate(rounds, start=1):
            found.append(times)
            told(number)
    finally:
        gc.enable()
    return [list(column) for column in zip(*found)]


def read_trace(file: str) -> list[list[tuple[str, str, float]]]:
    """Name, type and milliseconds of each node in each run, from a trace of ONNX Runtime.

    Its times are whole microseconds. The events of a run lie before that of the run itself.
    """
    runs: list[list[tuple[str, str, float]]] = [[]]
    for event in sorted(json.loads(Path(file).read_text()), key=lambda event: event["ts"] + event["dur"]):
        name = event["name"]
        if event["cat"] == "Node" and name.endswith("_kernel_time"):
            kind = str(event["args"].get("op_name", ""))
            runs[-1].append((name[: -len("_kernel_time")], kind, event["dur"] / 1e3))
        elif name == "model_run":
            runs.append([])
    runs.pop()
    return runs
