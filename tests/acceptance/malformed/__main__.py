"""Damage files that have no record of today's code, and give them to edgeship; or write the page of the records."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.acceptance.compression.data import SHARED
from tests.acceptance.fuzz.runner import environment
from tests.acceptance.malformed import records
from tests.acceptance.malformed.trial import Trials


def main() -> int:
    """Exit status 1 where there was a fault, or where files are left for another time."""
    parser = argparse.ArgumentParser(prog="python -m tests.acceptance.malformed", description=__doc__)
    parser.add_argument("--files", type=int, default=10_000, help="seeds 0 to N-1 (default 10000)")
    parser.add_argument("--seeds", type=int, nargs="+", help="these seeds instead; nothing is recorded")
    parser.add_argument("--budget-minutes", type=float, default=float("inf"), help="start no block after that")
    parser.add_argument("--table", action="store_true", help="write docs/malformed-files.md, run nothing")
    asked = parser.parse_args()
    if asked.table:
        records.page()
        return 0
    with (
        tempfile.TemporaryDirectory() as scratch,
        environment(),
        Trials(Path(scratch), SHARED) as trials,
    ):
        return _seeds(trials, asked.seeds) if asked.seeds else _blocks(trials, asked.files, asked.budget_minutes)


def _seeds(trials: Trials, seeds: list[int]) -> int:
    fault = False
    for seed in seeds:
        name, outcomes = trials.run(seed)
        for outcome in outcomes:
            print(f"{seed} {name} {outcome.question}: {outcome.status} {outcome.message}", flush=True)
            fault |= outcome.status == "FAULT"
    return int(fault)


def _blocks(trials: Trials, files: int, minutes: float) -> int:
    made_by = records.key()
    done = {record.block for record in records.read() if record.key == made_by}
    started, fault = time.monotonic(), False
    for block in range(-(-files // records.BLOCK)):
        if block in done:
            continue
        if time.monotonic() - started > 60 * minutes:
            print(f"block {block} and those after it: left for another time")
            return 1
        begun = time.monotonic()
        seeds = range(block * records.BLOCK, (block + 1) * records.BLOCK)
        record = records.of(block, made_by, ((s, *trials.run(s)) for s in seeds), time.monotonic() - begun)
        records.write(record)
        fault |= any("FAULT" in line for line in record.telling)
        print(f"block {block}: {time.monotonic() - begun:.0f} s", *record.telling, sep="\n  ", flush=True)
    return int(fault)


if __name__ == "__main__":
    sys.exit(main())
