"""Run the week, keep its record, and write docs/updates/fleet.md from it. Exit status 0 when all of it held."""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from edgeship.files import write_text
from tests.acceptance.fleet import page, story
from tests.acceptance.fleet.run import Run
from tests.acceptance.fleet.story import Story

RECORD = Path(__file__).parent / "record.json"


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m tests.acceptance.fleet", description=__doc__)
    parser.add_argument("--devices", type=int, default=1000, metavar="N")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="processes that share them")
    parser.add_argument("--folder", type=Path, help="where the devices live for the time; about 0.4 MB each")
    parser.add_argument("--short", action="store_true", help="two days instead of a week; keeps no record")
    parser.add_argument("--page", action="store_true", help="write the page from the record, run nothing")
    asked = parser.parse_args()
    if asked.page:
        page.write(json.loads(RECORD.read_text(encoding="utf-8")))
        return 0
    told = Story(asked.devices, 2, story.TWO_DAYS) if asked.short else Story(asked.devices, 7, story.WEEK)
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        record = Run(told, Path(folder), asked.workers, lambda text: print(text, flush=True)).run()
    print(json.dumps({name: record[name] for name in ("seconds", "outcomes", "violations")}, indent=1))
    if not asked.short:
        write_text(RECORD, json.dumps(record, indent=1) + "\n")
        page.write(record)
    return 1 if record["violations"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
