"""Run models that have no result of today's code, shrink a failure, or write docs/fuzzing.md from the records."""

from __future__ import annotations

import argparse
import os
import secrets
import sys
import time
from fnmatch import fnmatch

from edgeship.errors import UnavailableError
from tests.acceptance.fuzz import records, regressions, table
from tests.acceptance.fuzz.runner import Result, Runner, all_exports, runner


def main() -> int:
    """Exit status 0 when all went as it should: no silent mismatch, no untyped error among what was run."""
    asked = _arguments()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")  # its notices are not ours
    if asked.table:
        table.write()
        return 0
    try:
        with runner() as run:
            if asked.shrink:
                return _shrink(run, int(asked.shrink[0]), asked.shrink[1], asked.tries)
            return _run(run, asked)
    except UnavailableError as error:
        print(error, file=sys.stderr)
        return 3


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.acceptance.fuzz", description=__doc__)
    parser.add_argument("--models", type=int, default=1000, help="seeds 0 to N-1 (default 1000)")
    parser.add_argument("--shard", type=_shard, default=(0, 1), metavar="I/N", help="the I-th of N parts, from 0")
    parser.add_argument("--seeds", type=int, nargs="+", help="these seeds instead; nothing is recorded")
    parser.add_argument("--fresh", type=int, metavar="N", help="N seeds that nobody has seen; nothing is recorded")
    parser.add_argument(
        "--only", nargs="+", metavar="PATTERN", help="with --seeds or --fresh: these files, such as 'tflite/*'"
    )
    parser.add_argument("--shrink", nargs=2, metavar=("SEED", "FORMAT/VARIANT"), help="keep the smallest model")
    parser.add_argument("--tries", type=int, default=120, help="simplifications to try (default 120)")
    parser.add_argument("--budget-minutes", type=float, default=float("inf"), help="start no model after that")
    parser.add_argument("--table", action="store_true", help="write docs/fuzzing.md from the records, run nothing")
    return parser.parse_args()


def _shard(text: str) -> tuple[int, int]:
    index, _, count = text.partition("/")
    found = int(index), int(count)
    if not 0 <= found[0] < found[1]:
        raise argparse.ArgumentTypeError(f"{text}: there are the shards 0/{count} to {found[1] - 1}/{count}")
    return found


def _run(run: Runner, asked: argparse.Namespace) -> int:
    chosen = [e for e in all_exports() if not asked.only or any(fnmatch(e.id, one) for one in asked.only)]
    made_by = records.key()
    passing = asked.seeds or [secrets.randbelow(2**31) for _ in range(asked.fresh or 0)]
    seeds = passing or records.due(asked.models, asked.shard, made_by, records.read())
    started, wrong = time.monotonic(), False
    for seed in seeds:
        if time.monotonic() - started > 60 * asked.budget_minutes:
            print(f"seed {seed} and those after it: left for another time")
            return 1
        found = run.from_seed(seed, chosen)
        wrong |= any(outcome.status in ("silent", "broken") for outcome in found.outcomes.values())
        print(_line(found), flush=True)
        if not passing:
            records.write(records.of(found, made_by))
    if not passing:
        short = table.missed([record for record in records.read() if record.key == made_by])
        print("\n".join(short))
        wrong |= bool(short)
    return 1 if wrong else 0


def _line(result: Result) -> str:
    if result.invalid:
        return f"seed {result.seed}: no model: {result.invalid}"
    bad = [f"\n  {name}: {o.status}: {o.message}" for name, o in result.outcomes.items() if o.status != "agrees"]
    good = len(result.outcomes) - len(bad)
    return f"seed {result.seed}: {good} of {len(result.outcomes)} files agree, {result.seconds:.0f} s{''.join(bad)}"


def _shrink(run: Runner, seed: int, export_id: str, tries: int) -> int:
    found = run.from_seed(seed, [e for e in all_exports() if e.id == export_id])
    outcome = found.outcomes.get(export_id)
    if found.description is None or outcome is None or outcome.status == "agrees":
        print(f"seed {seed}: nothing is wrong with {export_id}: {found.invalid or outcome}")
        return 2
    smallest = regressions.minimal(run, found.description, export_id, outcome, tries)
    again = run.from_description(smallest, [e for e in all_exports() if e.id == export_id])
    path = regressions.keep(smallest, export_id, again.outcomes[export_id])
    print(f"{len(found.description.nodes)} layers became {len(smallest.nodes)}: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
