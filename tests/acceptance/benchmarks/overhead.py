"""Our median against a bare interpreter loop, and against LiteRT's own benchmark tool, on one file, interleaved."""

from __future__ import annotations

import contextlib
import json
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from edgeship_benchmarks.session import AgentSession
from tests.acceptance.benchmarks.trials import samples

#: Inferences of a burst, bursts before and after the tool's turn, inferences that the tool times, and of each warm-up.
BURST_RUNS, BURSTS, TOOL_RUNS, WARM_UP_RUNS = 20, 6, 150, 50
_BARE = """
import statistics, sys, time
import numpy as np
from ai_edge_litert.interpreter import Interpreter
lite = Interpreter(sys.argv[1], num_threads=1)
lite.allocate_tensors()
given, made = lite.get_input_details()[0]["index"], lite.get_output_details()[0]["index"]
x = np.random.default_rng(0).normal(size=lite.get_input_details()[0]["shape"]).astype(np.float32)
for line in sys.stdin:
    times = []
    for _ in range(int(line)):
        started = time.perf_counter_ns()
        lite.set_tensor(given, x)
        lite.invoke()
        y = lite.get_tensor(made)
        times.append(time.perf_counter_ns() - started)
    print(statistics.median(times) / 1e6, flush=True)
"""


@dataclass(frozen=True)
class Round:
    """Medians in milliseconds of new processes: of the bursts of ours and of the bare loop, and the tool's."""

    ours: float
    bare: float
    tool: float


def rounds(model: Path, count: int) -> list[Round]:
    """In each: bursts of ours and of the bare loop in an order that is drawn; amid them the tool."""
    draw = random.Random(0)
    return [_round(model, draw) for _ in range(count)]


def _round(model: Path, draw: random.Random) -> Round:
    inputs = samples()
    taken: dict[str, list[float]] = {"ours": [], "bare": []}
    tools = 0.0
    with AgentSession() as session, bare_loop(model) as bare:
        session.load("litert", model)
        session.warm_up(inputs, WARM_UP_RUNS)
        bare(WARM_UP_RUNS)
        for number in range(2 * BURSTS):
            if number == BURSTS:
                tools = tool(model)
            for who in draw.sample(sorted(taken), 2):
                if who == "ours":
                    session.warm_up(inputs, 10)
                    taken[who].append(statistics.median(session.measure(inputs, BURST_RUNS, 0.0)))
                else:
                    bare(10)
                    taken[who].append(bare(BURST_RUNS))
    return Round(statistics.median(taken["ours"]), statistics.median(taken["bare"]), tools)


@contextlib.contextmanager
def bare_loop(model: Path) -> Iterator[Callable[[int], float]]:
    """A loop around LiteRT's interpreter and nothing else: a number of inferences -> their median."""
    command = [sys.executable, "-P", "-c", _BARE, str(model)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        given, made = child.stdin, child.stdout

        def burst(runs: int) -> float:
            given.write(f"{runs}\n")
            given.flush()
            return float(made.readline())

        yield burst
        given.close()


def tool(model: Path) -> float:
    """Median of LiteRT's own tool; it writes two decimals of a millisecond."""
    counts = ["--warmup_runs", str(WARM_UP_RUNS), "--num_runs", str(TOOL_RUNS)]
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        options = ["--num_threads", "1", *counts, "--result_json", str(result)]
        command = [sys.executable, "-m", "ai_edge_litert.tools.benchmark_litert_model", "--model", str(model), *options]
        subprocess.run(command, capture_output=True, check=True, timeout=120)
        return float(json.loads(result.read_text())["latency"]["median_ms"])


def ratios(found: list[Round]) -> tuple[float, float]:
    """Medians over the rounds of ours against the bare loop, and against the tool."""
    return statistics.median(r.ours / r.bare for r in found), statistics.median(r.ours / r.tool for r in found)
