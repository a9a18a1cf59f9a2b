"""`python -m tests.acceptance.table`: write the acceptance records into README.md as a table."""

from __future__ import annotations

import json
from pathlib import Path

ROOT = Path(__file__).parents[2]
RECORDS = ROOT / "tests" / "acceptance" / "records"
BEGIN, END = "<!-- acceptance:begin -->", "<!-- acceptance:end -->"


def table() -> str:
    """Markdown of all records of `test_real_model`."""
    parts = []
    for file in sorted(RECORDS.glob("resnet8_*.json")):
        record = json.loads(file.read_text())
        head = f"{record['model']}: {record['original_accuracy']:.2%} in Keras, 5,000 test images"
        parts += [f"**{head}** ({record['created'][:10]}, {record['cpu']}, 1 thread)", ""]
        parts += ["| file | bytes | brotli | accuracy | drop, points [95 %] | ms, median [95 %] | runtime |"]
        parts += ["|---|--:|--:|--:|--:|--:|---|"]
        for row in record["rows"]:
            drop = "{:+.2f} [{:+.2f}, {:+.2f}]".format(row["drop"], *row["interval"])
            speed = "{:.3f} [{:.3f}, {:.3f}]".format(row["median_ms"], *row["median_interval_ms"])
            cells = (f"{row['bytes']:,}", f"{row['brotli']:,}", f"{row['accuracy']:.2%}", drop, speed, row["runtime"])
            parts.append(f"| {row['file']} | {' | '.join(cells)} |")
        parts.append("")
    return "\n".join(parts)


def main() -> None:
    """Replace the marked part of README.md."""
    readme = ROOT / "README.md"
    text = readme.read_text()
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    readme.write_text(f"{before}{BEGIN}\n{table()}\n{END}{after}")


if __name__ == "__main__":
    main()
