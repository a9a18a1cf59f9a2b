"""Run what is missing or stale, one cell after another; write the table from the records."""

from __future__ import annotations

import argparse
import fnmatch
import os
import sys
import time

from edgeship.errors import EdgeshipError, UnavailableError
from tests.acceptance.compression import cells, code, records, table

#: Minutes that a cell is thought to take when no record says it.
_GUESS = 30.0


def main() -> int:
    """Exit status 0 when everything that was asked for has a record, 1 otherwise."""
    asked = _arguments()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")  # its notices are not ours
    # Workers do not look into the working directory; the tasks' functions lie there.
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(code.ROOT), os.environ.get("PYTHONPATH"))))
    chosen = [cell for cell in cells.cells() if fnmatch.fnmatch(str(cell), asked.only)]
    if not chosen:
        print(f"no cell is called {asked.only!r}; see --list", file=sys.stderr)
        return 2
    _mark()
    if not (asked.list or asked.table or asked.measure or asked.dirty) and (unclean := _unclean(chosen, asked)):
        print(unclean, file=sys.stderr)
        return 2
    if asked.list:
        for cell in chosen:
            print(f"{cells.due(cell) or 'done':<8} {cell}")
        return 0
    complete = asked.table or _run(chosen, asked)
    if asked.table or complete:
        table.write()
    return 0 if complete else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.acceptance.compression", description=__doc__)
    parser.add_argument("--only", default="*", metavar="GLOB", help="cells by name, such as 'cifar10/small*'")
    parser.add_argument("--list", action="store_true", help="which cells there are, and which have to run")
    parser.add_argument("--table", action="store_true", help="write the table and the plot, run nothing")
    parser.add_argument("--again", action="store_true", help="run cells that have a record of today's code too")
    parser.add_argument("--measure", action="store_true", help="measure the files in the cache again, train nothing")
    parser.add_argument("--dirty", action="store_true", help="run recipes of ours from code that is not committed too")
    parser.add_argument("--budget-minutes", type=float, default=float("inf"), help="start no cell that may end later")
    return parser.parse_args()


def _unclean(chosen: list[cells.Cell], asked: argparse.Namespace) -> str:
    """Why recipes of ours are not run; empty where they can be. Nobody can make again what uncommitted code made."""
    if not any(cells.is_ours(cell) and (asked.again or cells.due(cell)) for cell in chosen):
        return ""
    found = cells.changed()
    return f"not committed: {', '.join(found)}; commit them, or give --dirty" if found else ""


def _mark() -> None:
    """Set the `stale` flag of every record by what is true now."""
    known = {(c.task.name, c.method, c.seed): c for c in cells.cells()}
    for record in records.read():
        cell = known.get((record.task, record.method, record.seed))
        records.mark(record, cells.key(cell) if cell else "")


def _run(chosen: list[cells.Cell], asked: argparse.Namespace) -> bool:
    started, complete = time.monotonic(), True
    for cell in chosen:
        if not asked.again and not asked.measure and not cells.due(cell):
            continue
        before = records.find(cell.task.name, cell.method, cell.seed)
        wanted = before.seconds / 60 if before else _GUESS
        if (time.monotonic() - started) / 60 + wanted > asked.budget_minutes:
            print(f"{cell}: left, it takes about {wanted:.0f} minutes", flush=True)
            complete = False
            continue
        with cells.lock(str(cell)) as mine:
            if not mine:
                print(f"{cell}: another runner does it", flush=True)
                complete = False
                continue
            complete &= _one(cell, remeasure=asked.measure)
    return complete


def _one(cell: cells.Cell, *, remeasure: bool) -> bool:
    try:
        record = cells.remeasure(cell) if remeasure else cells.run(cell)
    except UnavailableError as error:
        print(f"{cell}: {error}", flush=True)
        return False
    except EdgeshipError as error:  # measuring an old file
        print(f"{cell}: {type(error).__name__}: {error}", flush=True)
        return False
    print(f"{cell}: {_line(record)}", flush=True)
    return True


def _line(record: records.Record) -> str:
    if record.failure:
        return f"failed: {record.failure}"
    speed = f", {1 / record.latency.ratio:.2f}x the yardstick's speed" if record.latency else ""
    return f"{record.sizes['brotli']:,} B brotli, {record.accuracy:.2%}, drop {record.drop:+.2f}{speed}"


if __name__ == "__main__":
    sys.exit(main())
