"""Times of the operators of a file, taken apart from the times of the file: profiling costs time."""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

#: Runs of each visit that are not counted: others ran in between.
_REWARM_RUNS = 1
#: Of a visit; fewer say little, and more wait for a change of the machine.
_LEAST_RUNS, _MOST_RUNS = 3, 200
#: Of slow files there are fewer rounds, where all of them would take longer than so many times what was asked for.
_LEAST_ROUNDS, _PATIENCE = 9, 3.0


def alternating(
    steps: Sequence[Callable[[], None]], rounds: int, seconds: float, told: Callable[[int, int], None]
) -> list[list[float]]:
    """Milliseconds of each step in each round: the lower quartile of its runs, which other work disturbs least.

    A round goes through all steps, forth and back in turn: what is compared, neighbours, meets the same machine.

    Args:
        steps: what is timed.
        rounds: at most.
        seconds: about what all of it takes, where steps are not so slow that the fewest runs take longer.
        told: with the rounds that are done, and all of them.
    """
    sweep = max(1e-6, sum(_timed(step) for step in steps)) / 1e3
    affordable = int(_PATIENCE * seconds / sweep / (_REWARM_RUNS + _LEAST_RUNS))
    rounds = min(rounds, max(_LEAST_ROUNDS, affordable))
    runs = int(min(_MOST_RUNS, max(_LEAST_RUNS, seconds / rounds / sweep - _REWARM_RUNS)))
    found: list[list[float]] = [[] for _ in steps]
    gc.disable()  # Python's collector is part of no step
    try:
        for number in range(rounds):
            order = range(len(steps))
            for k in order if number % 2 == 0 else reversed(order):
                for _ in range(_REWARM_RUNS):
                    steps[k]()
                times = sorted(_timed(steps[k]) for _ in range(runs))
                found[k].append(times[len(times) // 4])
            told(number + 1, rounds)
    finally:
        gc.enable()
    return found


def _timed(step: Callable[[], None]) -> float:
    started = time.perf_counter_ns()
    step()
    return (time.perf_counter_ns() - started) / 1e6


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
