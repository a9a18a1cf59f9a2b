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
    return "\n".join([*parts, *tfjs()])


def tfjs() -> list[str]:
    """Markdown of the record of `test_tfjs_reference`."""
    parts = [
        "**Our TF.js graph model against the official converter's** (tensorflowjs 4.22; same Keras file, same agent,"
    ]
    parts += ["taking turns; latency is of TF.js's WebAssembly in Node, one thread; export is from a warm process)", ""]
    parts += ["| model | largest difference | bytes, ours / theirs | latency, ours / theirs | export, ours / theirs |"]
    parts += ["|---|--:|--:|--:|--:|"]
    for line in (RECORDS / "tfjs_reference.jsonl").read_text().splitlines():
        found = json.loads(line)
        sizes = "{:,} / {:,}".format(*found["sizes"])
        latency = "{:.3f} / {:.3f} ms: {:.2f}x".format(*found["latency_ms"], found["latency"])
        export = "{:.2f} / {:.2f} s: {:.1f}x".format(*found["export_s"], found["export"])
        parts.append(f"| {found['model']} | {found['difference']:.0e} | {sizes} | {latency} | {export} |")
    return [*parts, ""]


def main() -> None:
    """Replace the marked part of README.md."""
    readme = ROOT / "README.md"
    text = readme.read_text()
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    readme.write_text(f"{before}{BEGIN}\n{table()}\n{END}{after}")


if __name__ == "__main__":
    main()
