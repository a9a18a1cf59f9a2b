"""The child of a self-test, `python -m edgeship.device.trial`: what it loads may crash or hang it, and nothing else.

One request on standard input, one answer on standard output (`edgeship.child`):
`{"file", "current", "inputs": {name: .npy}, "outputs": {name: .npy}, "rounds"}`; `current` may be null.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from edgeship.device.engine import Engine
from edgeship.errors import ArtifactError, EdgeshipError, to_wire
from edgeship_benchmarks.agent import facts
from edgeship_benchmarks.agent.arrays import np, read_array
from edgeship_benchmarks.agent.protocol import end_with_parent

if TYPE_CHECKING:
    from edgeship.types import Array

_WARM_UP_RUNS = 5


def examine(
    file: str, current: str | None, inputs: Mapping[str, str], outputs: Mapping[str, str], rounds: int
) -> dict[str, Any]:
    """Run the golden inputs, then time single inferences of both files in turns.

    Returns:
        `outputs`: name -> `max_abs` (None: NaN or another shape) and `agreement` with the golden output;
        `memory_bytes` that loading and running took; `latency_ms` and `current_ms` of each round.
    """
    before = _resident_bytes()
    engine = Engine(file, list(inputs), list(outputs))
    samples = {name: np.asarray(read_array(name, path)) for name, path in inputs.items()}
    found = engine.run(samples)
    peak = facts.peak_memory_mib()
    took = None if before is None or peak is None else max(0, int(peak * 2**20) - before)
    golden = {name: np.asarray(read_array(name, path)) for name, path in outputs.items()}
    engines = [engine]
    if current is not None:
        try:
            engines.append(Engine(current, list(inputs), list(outputs)))
        except EdgeshipError:
            pass  # what runs cannot be compared with; it is no fault of the new one
    times = _in_turns(engines, samples, rounds)
    return {
        "outputs": {name: compare(found[name], golden[name]) for name in golden},
        "memory_bytes": took,
        "latency_ms": times[0],
        "current_ms": times[1] if len(times) > 1 else None,
    }


def compare(found: Array, golden: Array) -> dict[str, float | None]:
    """Largest difference, and the share of samples (of values, where they are integers) that say the same."""
    if found.shape != golden.shape:
        return {"max_abs": None, "agreement": None}
    difference = float(np.abs(found.astype(np.float64) - golden.astype(np.float64)).max(initial=0.0))
    if golden.dtype.kind in "iub" or golden.ndim < 2:
        same = found == golden
    else:
        rows = len(golden)
        same = found.reshape(rows, -1).argmax(axis=1) == golden.reshape(rows, -1).argmax(axis=1)
    return {"max_abs": difference if np.isfinite(difference) else None, "agreement": float(same.mean())}


def _in_turns(engines: Sequence[Engine], samples: Mapping[str, Array], rounds: int) -> list[list[float]]:
    """Milliseconds of single inferences; both files see the same moments of the machine."""
    feeds = [engine.feeds(samples, 0) for engine in engines]
    for _ in range(_WARM_UP_RUNS):
        for engine, feed in zip(engines, feeds, strict=True):
            engine.infer(feed)
    times: list[list[float]] = [[] for _ in engines]
    for turn in range(rounds):
        order = range(len(engines)) if turn % 2 else reversed(range(len(engines)))
        for k in order:
            started = time.perf_counter_ns()
            engines[k].infer(feeds[k])
            times[k].append((time.perf_counter_ns() - started) / 1e6)
    return times


def _resident_bytes() -> int | None:
    try:
        with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 - a line of the kernel's
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None


def main() -> None:
    """Answer one request."""
    end_with_parent()
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    try:
        answer: dict[str, Any] = {"result": examine(**json.loads(sys.stdin.readline()))}
    except EdgeshipError as error:
        answer = {"error": to_wire(error)}
    except MemoryError as error:
        answer = {"error": to_wire(error)}
    except Exception as error:  # noqa: BLE001 - the boundary: every failure becomes an answer
        traceback.print_exc()
        answer = {"error": to_wire(ArtifactError(f"{type(error).__name__}: {error}"))}
    channel.write(json.dumps(answer) + "\n")
    channel.flush()


if __name__ == "__main__":
    main()
