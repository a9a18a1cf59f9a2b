"""A load in the background that comes and goes, as other work on a machine does.

python load.py SEED    works and rests in turns of 0.3 to 3 s until it is ended; a line for each turn
"""

from __future__ import annotations

import contextlib
import ctypes
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path


def main() -> None:
    """Turns of multiplying matrices that do not fit the first cache, and of sleep."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: ends with who started it
    import numpy as np

    draw = random.Random(int(sys.argv[1]))
    matrix = np.random.default_rng(0).random((400, 400))
    while True:
        end = time.monotonic() + draw.uniform(0.3, 3)
        print("on", flush=True)
        while time.monotonic() < end:
            matrix @ matrix
        print("off", flush=True)
        time.sleep(draw.uniform(0.3, 3))


@contextlib.contextmanager
def background(seed: int) -> Iterator[list[str]]:
    """The load runs inside; the list holds its turns so far."""
    turns: list[str] = []
    environment = {"OPENBLAS_NUM_THREADS": "1", "PATH": ""}
    command = [sys.executable, "-P", str(Path(__file__)), str(seed)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as child:
        reader = threading.Thread(target=_read, args=(child, turns))
        reader.start()
        try:
            yield turns
        finally:
            child.kill()
            reader.join()


def _read(child: subprocess.Popen[str], turns: list[str]) -> None:
    assert child.stdout is not None
    turns.extend(line.strip() for line in child.stdout)  # one by one, as they come


if __name__ == "__main__":
    main()
