"""Measure what holds of `edgeship search`, and write the tables of docs/search.md from the records.

python -m tests.acceptance.search [--only speed-up,random,resnet8] [--smoke] [--table]

What has a record is not measured again without --again. A search that was stopped goes on. `--smoke` does the first two
in short and keeps no record.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from edgeship import cache
from edgeship.files import write_text
from tests.acceptance.search import page, proxy

RECORDS = Path(__file__).with_name("records")
#: Five left the difference from chance within its interval.
SEEDS = tuple(range(10))


def main() -> int:
    """Exit status 0 where every goal that was measured is met, 1 otherwise."""
    parser = argparse.ArgumentParser(prog="python -m tests.acceptance.search", description=__doc__)
    parser.add_argument("--only", default="speed-up,random,resnet8", help="parts, divided by commas")
    parser.add_argument("--minutes", type=float, default=60.0, help="of the search on ResNet-8")
    parser.add_argument("--workers", type=int, default=2, help="of the search on ResNet-8")
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--table", action="store_true", help="only write the tables")
    asked = parser.parse_args()
    # Workers do not look into the working directory; the tasks' functions lie there.
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(proxy.ROOT), os.environ.get("PYTHONPATH"))))
    if asked.smoke:
        proxy.speed_up(5, 0.5, 1)
        proxy.against_random(SEEDS[:1], 15)
        return 0
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "speed-up": lambda: proxy.speed_up(60, 1.0, 3),
        "random": lambda: proxy.against_random(SEEDS, 60),
        "resnet8": lambda: _resnet8(asked.minutes, asked.workers),
    }
    for name in () if asked.table else asked.only.split(","):
        path = RECORDS / f"{name}.json"
        if path.is_file() and not asked.again:
            print(f"{name}: there is a record")
            continue
        found = {
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": cache.versions(),
            **parts[name](),
        }
        write_text(path, json.dumps(found, indent=1) + "\n")
    met = page.write(RECORDS)
    for name, word in met.items():
        print(f"{name}: {'met' if word else 'NOT met'}")
    return 0 if all(met.values()) else 1


def _resnet8(minutes: float, workers: int) -> dict[str, Any]:
    from tests.acceptance.search import resnet8

    return resnet8.search(minutes, workers)


if __name__ == "__main__":
    sys.exit(main())
