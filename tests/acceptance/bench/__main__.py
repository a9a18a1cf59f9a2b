"""Take the parts that are missing, write the page."""

from __future__ import annotations

import argparse
import time

from tests.acceptance.bench import commands, exports, page, records

DOCS = records.FOLDER.parents[3] / "docs" / "benchmarks.md"
#: Part -> what measures it, and how many rounds it takes: many where turns are short.
PARTS = {
    "startup": (commands.startup, 21),
    "cache": (commands.cached, 3),
    "conversions": (exports.conversions, 5),
    "tfjs": (exports.tfjs, 5),
}


def main() -> None:
    """Parts are kept one by one, so that a run may be stopped and goes on with the next."""
    parser = argparse.ArgumentParser(prog="python -m tests.acceptance.bench", description=__doc__)
    parser.add_argument("--only", action="append", choices=PARTS, help="this part; repeat for several")
    parser.add_argument("--again", action="store_true", help="take parts that have a record too")
    parser.add_argument("--quick", action="store_true", help="two rounds, to see that all of it works")
    asked = parser.parse_args()
    for name in asked.only or PARTS:
        measure, rounds = PARTS[name]
        rounds = 2 if asked.quick else rounds
        if not asked.again and records.stands(records.read(name), rounds):
            print(f"{name}: has a record of this machine and of today's code")
            continue
        started = time.monotonic()
        part = records.take(name, rounds, measure)
        print(f"{name}: {time.monotonic() - started:.0f} s", flush=True)
        for row in part.rows:
            print(f"  {page._row(row)}", flush=True)
        for reason in part.left_out:
            print(f"  not measured: {reason}", flush=True)
    DOCS.write_text(page.page(), encoding="utf-8")


if __name__ == "__main__":
    main()
