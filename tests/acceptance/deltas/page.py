"""The records as docs/updates/delta-sizes.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgeship.files import write_text

PAGE = Path(__file__).parents[3] / "docs" / "updates" / "delta-sizes.md"
TOOLS = ("brotli", "bsdiff4", "zstd", "xdelta3", "detools")
#: Goals: the most that a patch may exceed the smallest of the others, the mean over full fine-tunes, and snapped files.
WORST, MEAN, SNAPPED = 1.02, 0.70, 0.30
_NAMES = {"brotli": "whole, brotli 11", "zstd": "zstd -22 --patch-from", "xdelta3": "xdelta3 -9"}
_WHAT = {
    "full-1e-3": "one epoch of Adam at 1e-3, all layers",
    "full-1e-4": "one epoch of Adam at 1e-4, all layers",
    "last-layer": "one epoch, the last layer only",
    "recalibrated": "the same weights, other calibration samples",
    "pruned": "70 % of the weights taken away, one epoch with the mask",
}


def write(record: Mapping[str, Any]) -> None:
    """Write the page."""
    write_text(PAGE, "\n".join(lines(record)) + "\n")


def lines(record: Mapping[str, Any]) -> list[str]:
    """The page, line by line."""
    rows = record["rows"]
    return [*_head(rows), *_table(rows), "", *_snapped(record), *_times(rows)]


def _ratio(row: Mapping[str, Any]) -> float:
    return float(row["ours"] / min(row[tool] for tool in TOOLS))


def _geometric(values: Sequence[float]) -> float:
    return float(np.exp(np.mean(np.log(values))))


def _head(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    full = [_ratio(row) for row in rows if row["state"].startswith("full")]
    worst = max(rows, key=_ratio)
    text = f"""\
# Sizes of patches, measured

Made by `python -m tests.acceptance.deltas` from its records; do not edit. Three trained models (ResNet-8 for CIFAR-10,
a network for MNIST, the autoencoder ad01), trained on as devices would get them and exported by edgeship to every
format, before and after. Each patch was applied and compared byte for byte. Training data: 12,000 samples, darker and
with noise, as from another sensor. Ours is compared with the smallest of the others, row by row.

- Over {len(full)} full fine-tunes, patches have **{_geometric(full):.3f}** of the bytes of the best other way, as a
  geometric mean (goal: at most {MEAN:.2f}).
- In the worst of {len(rows)} rows ours has {_ratio(worst):.3f} of the best other way (goal: at most {WORST:.2f}):
  {worst["model"]}, {worst["state"]}, {worst["file"]}.
"""
    return [*text.splitlines(), "", *(f"- `{state}`: {what}." for state, what in _WHAT.items()), ""]


def _table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    names = [_NAMES.get(tool, tool) for tool in TOOLS]
    found = [f"| model | change | file | bytes | {' | '.join(names)} | edgeship | of the best other |"]
    found.append("|---|---|---|" + "--:|" * (len(TOOLS) + 3))
    for row in rows:
        best = min(row[tool] for tool in TOOLS)
        cells = [f"*{row[tool]:,}*" if row[tool] == best else f"{row[tool]:,}" for tool in TOOLS]
        begun = f"| {row['model']} | {row['state']} | {row['file']} | {row['bytes']:,} "
        found.append(f"{begun}| {' | '.join(cells)} | {row['ours']:,} | {_ratio(row):.3f} |")
    return found


def _snapped(record: Mapping[str, Any]) -> list[str]:
    rows = [row for row in record["rows"] if "snapped" in row]
    shares = [row["snapped"] / row["brotli"] for row in rows]
    text = f"""\
## Snapped to a grid

`edgeship.delta.snap` moves the new float32 weights by at most 1/32 of the root mean square of what training changed in
their tensor. Patches of {len(rows)} snapped fine-tunes have {min(shares):.3f} to {max(shares):.3f} of the whole file in
brotli (goal: at most {SNAPPED:.2f}). What that does to ResNet-8, on the same images:

| change | images | accuracy | snapped, points [95 %] | answers changed | bytes of the patch |
|---|--:|--:|--:|--:|--:|"""
    found = text.splitlines()
    for row in record["snapped"]:
        low, high = row["difference"] - row["half_width"], row["difference"] + row["half_width"]
        change = f"{row['difference']:+.2f} [{low:+.2f}, {high:+.2f}] | {row['changed_answers']}"
        found.append(f"| {row['state']} | {row['n']:,} | {row['accuracy']:.2f} % | {change} | {row['bytes']:,} |")
    return [*found, ""]


def _times(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    speed = [row["bytes"] / 1e6 / row["decode_s"] for row in rows if row["decode_s"] > 0 and row["bytes"] > 100_000]
    text = f"""\
## Time

Applying a patch in Python took {max(row["decode_s"] for row in rows):.2f} s at most, {np.median(speed):.1f} MB of new
file a second in the median (one run each, on a shared x86-64 machine); making one, with all candidates, up to
{max(row["encode_s"] for row in rows):.1f} s."""
    return text.splitlines()
