"""`make bench`: times that users feel, measured side by side in one run; prints ratios, asserts nothing.

Each benchmark interleaves its candidates, because a busy machine drifts by more than they differ.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

RUNS = 21


def interleaved(commands: Mapping[str, Sequence[str]], runs: int = RUNS) -> dict[str, list[float]]:
    """Wall seconds of whole processes, `runs` times each, taking turns."""
    samples: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(runs):
        for name, command in commands.items():
            start = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            samples[name].append(time.perf_counter() - start)
    return samples


def startup() -> None:
    """`edgeship --help` against an interpreter that imports click and rich (goal: at most 1.5 times)."""
    script = str(Path(sys.executable).parent / "edgeship")
    commands = {
        "import click, rich": [sys.executable, "-c", "import click, rich.console, rich.table, rich.progress"],
        "edgeship --help": [script, "--help"],
    }
    samples = interleaved(commands)
    base = samples["import click, rich"]
    print(f"start-up, median of {RUNS} interleaved runs")
    for name, values in samples.items():
        ratio = statistics.median(a / b for a, b in zip(values, base, strict=True))
        print(f"  {name:<20} {statistics.median(values) * 1000:7.1f} ms   {ratio:.2f}x")


if __name__ == "__main__":
    startup()
