"""`python -m tests.acceptance.web_comparison`: measure what has no record yet, and write docs/web-comparison.md."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from edgeship import cache
from tests.acceptance.web_comparison import measuring, models, page, site

RECORDS = Path(__file__).with_name("records.jsonl")
DOCS = Path(__file__).parents[3] / "docs" / "web-comparison.md"
_KEY = ("kind", "browser", "model", "repeat", "link", "subject")


def read() -> list[dict[str, object]]:
    """All records."""
    return [json.loads(line) for line in RECORDS.read_text().splitlines()] if RECORDS.is_file() else []


def main() -> None:
    """Measure, write, print the place of the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", action="store_true", help="write the page only")
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=20, help="of steady latency in each repeat")
    parser.add_argument("--browser", action="append", choices=("chromium", "firefox"))
    parser.add_argument("--model", action="append", choices=tuple(models.SETUPS))
    parser.add_argument("--work", type=Path, default=cache.root() / "web-comparison", help="for models in all forms")
    given = parser.parse_args()
    if not given.table:
        have = {tuple(record.get(name) for name in _KEY) for record in read()}
        names = given.model or list(models.SETUPS)
        keys = [
            key
            for key in measuring.wanted(given.browser or ["chromium", "firefox"], names, given.repeats)
            if tuple(key.get(name) for name in _KEY) not in have
        ]
        made = {name: models.made(name, given.work / "models" / name) for name in names}
        site.scripts(given.work / "subjects", made.values())
        with RECORDS.open("a", encoding="utf-8") as file:
            for record in measuring.measure(keys, site.folders(given.work), made, given.rounds):
                file.write(json.dumps(record) + "\n")
                file.flush()
                print({name: record.get(name) for name in (*_KEY, "cold_ms", "warm_ms", "offline_ms", "wire_bytes")})
    DOCS.write_text(page.text(read()), encoding="utf-8")
    print(DOCS)


if __name__ == "__main__":
    main()
