"""Run the trials that are missing; each is kept when it is done."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.acceptance.benchmarks import construction, layers, overhead, trials
from tests.acceptance.benchmarks.trials import KINDS, Kind

#: Layers of the file for the overhead: long enough for the tool's two decimals, and nearly all of it arithmetic.
OVERHEAD_LAYERS = 80


def main() -> int:
    """Exit status 0 when what was asked for held, 1 otherwise."""
    parser = argparse.ArgumentParser(prog="python -m tests.acceptance.benchmarks", description=__doc__)
    for kind in KINDS:
        ratio = f"{100 * (kind.true_ratio - 1):.3g} %"
        parser.add_argument(f"--{kind.name}", type=int, default=0, metavar="N", help=f"trials; true difference {ratio}")
    parser.add_argument("--overhead", type=int, default=0, metavar="N", help="rounds against LiteRT's own tools")
    parser.add_argument("--construction", action="store_true", help="show that the constructed differences are true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        models = Path(scratch)
        make(models, asked)
        held = [_run(kind, getattr(asked, kind.name), models) for kind in KINDS if getattr(asked, kind.name)]
        if asked.construction:
            held.append(_construction(models))
        if asked.overhead:
            held.append(_overhead(models, asked.overhead))
    return 0 if all(held) else 1


def make(folder: Path, asked: argparse.Namespace) -> None:
    """Write the files that are needed."""
    counts = {count for kind in KINDS if getattr(asked, kind.name) for count in (kind.first, kind.second)}
    counts |= set(construction.COUNTS) if asked.construction else set()
    counts |= {OVERHEAD_LAYERS} if asked.overhead else set()
    command = [sys.executable, str(layers.__file__), str(folder), *map(str, sorted(counts))]
    subprocess.run(command, check=True, capture_output=True)


def _run(kind: Kind, count: int, models: Path) -> bool:
    """Trials of a kind up to `count` of them; whether the rule of the kind holds."""
    made_by, found = trials.read(kind.name)
    if found and made_by != trials.method():
        print(f"{kind.name}: {len(found)} records are of another method and are made anew", flush=True)
        found = []
    while len(found) < count:
        found.append(trials.trial(kind, models, seed=len(found)))
        trials.write(kind.name, found)
        print(f"{kind.name} {len(found)} of {count}: {found[-1]}", flush=True)
    slowest = max(item.seconds for item in found)
    called, right = trials.called(found), trials.right(found)
    print(f"{kind.name}: {called} of {len(found)} called a difference, {right} the true one; slowest {slowest:.0f} s")
    if kind.first == kind.second:
        return called <= 5 * len(found) / 200
    return right >= 0.9 * len(found)


def _construction(models: Path) -> bool:
    found = construction.line(models)
    print(f"construction: {found}")
    held = True
    for kind in KINDS[1:]:
        ratio = found.ratio(kind.first, kind.second)
        print(
            f"  {kind.second} layers against {kind.first}: {ratio:.4f} by the line, {kind.true_ratio:.4f} by the work"
        )
        held &= abs(ratio - kind.true_ratio) < 0.005
    return held


def _overhead(models: Path, count: int) -> bool:
    bare, tool = overhead.ratios(overhead.rounds(models / f"{OVERHEAD_LAYERS}.tflite", count))
    print(f"overhead: ours is {bare:.4f} of the bare loop and {tool:.4f} of LiteRT's benchmark tool, {count} rounds")
    return max(abs(bare - 1), abs(tool - 1)) <= 0.03


if __name__ == "__main__":
    sys.exit(main())
