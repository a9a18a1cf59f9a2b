"""Make the pairs that are not there, patch each with ours and other tools, and write docs/updates/delta-sizes.md."""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np

from edgeship.delta import decode, encode, snap
from edgeship.files import write_text
from tests.acceptance.deltas import page, pairs, snapped
from tests.acceptance.deltas.peers import sizes

RECORDS = Path(__file__).parent / "records.json"
#: Files with fewer bytes describe a model and are no part of its weights.
_SMALLEST = 16 << 10


def measure(model: str) -> list[dict[str, object]]:
    """One row for each file of weights that changed."""
    rows: list[dict[str, object]] = []
    for state in pairs.STATES:
        for name, old, new in pairs.files(model, state):
            if len(new) < _SMALLEST or old == new:
                continue
            started = time.perf_counter()
            patch = encode(old, new)
            made = time.perf_counter()
            assert decode(old, patch) == new
            applied = time.perf_counter()
            row: dict[str, object] = {
                "model": model, "state": state, "file": name.split("/")[0], "bytes": len(new), "ours": len(patch),
                "encode_s": round(made - started, 2), "decode_s": round(applied - made, 3), **sizes(old, new),
            }  # fmt: skip
            if state.startswith("full") and "float32" in name:
                row["snapped"] = len(encode(old, snap(old, new)))
            rows.append(row)
            print(f"{model} {state} {row['file']}: {len(patch):,} of {len(new):,}", flush=True)
    return rows


def main() -> None:
    """Make, measure, write."""
    parser = argparse.ArgumentParser(prog="python -m tests.acceptance.deltas", description=__doc__)
    parser.add_argument("--table", action="store_true", help="write the page from the records, measure nothing")
    if not parser.parse_args().table:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
        rows: list[dict[str, object]] = []
        for model in pairs.TASKS:
            pairs.make(model)
            rows += measure(model)
        record = {"rows": rows, "snapped": snapped.accuracy(), "numpy": np.__version__}
        write_text(RECORDS, json.dumps(record, indent=1) + "\n")
    page.write(json.loads(RECORDS.read_text()))


if __name__ == "__main__":
    main()
