"""The section of docs/search.md on what was measured, from the records; what has no record is said to be open."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from scipy.special import stdtrit

from edgeship.codec import from_json
from edgeship.files import write_text
from tests.acceptance.compression import goals
from tests.acceptance.compression import records as compression

PAGE = Path(__file__).parents[3] / "docs" / "search.md"
HEADING = "## Measured\n"
#: Trials of two workers for one of a single one, at least.
SPEED_UP = 1.7
#: The recipes that people wrote, which the front must match.
WRITTEN = ("float16", "int8", "mixed", "int8-qat", "small", "fast", "tiny")
_INTRO = """
Made by `python -m tests.acceptance.search` from the records in `tests/acceptance/search/records/`; do not edit. The
proxy task is a formula of four settings (`tests/search_proxy.py`); all else in it is the real search.
"""


def write(records: Path, page: Path = PAGE) -> dict[str, bool]:
    """Write the section; returns which goals are met, of those that were measured."""
    found = {path.stem: json.loads(path.read_text()) for path in sorted(records.glob("*.json"))}
    met: dict[str, bool] = {}
    parts = [HEADING + _INTRO]
    for name, title, make in (
        ("speed-up", "Two workers, and one", _speed_up),
        ("random", "Against random search", _random),
        ("resnet8", "ResNet-8 in an hour", _resnet8),
    ):
        text = "Not measured yet."
        if name in found:
            text, met[name] = make(found[name])
        parts.append(f"### {title}\n\n{text}\n")
    text = page.read_text()
    write_text(page, text.partition(HEADING)[0].rstrip() + "\n\n" + "\n".join(parts))
    return met


def _speed_up(found: dict[str, Any]) -> tuple[str, bool]:
    rows = found["rows"]
    kinds = list(dict.fromkeys(row["storage"] for row in rows))
    times = {kind: mean(row["times"] for row in rows if row["storage"] == kind) for kind in kinds}
    lines = [f"| {r['storage']} | {r['one']} | {r['two']} | {r['times']:.2f} |" for r in rows]
    head = (
        f"Proxy trials of {found['trial_seconds']:g} s of computing, finished in {found['budget_seconds']:g} s on "
        f"{found['cores']} cores; the goal is {SPEED_UP} times as many.\n\n"
        "| On | One worker | Two | Times |\n|---|--:|--:|--:|\n"
    )
    return head + "\n".join(lines), all(value >= SPEED_UP for value in times.values())


def _random(found: dict[str, Any]) -> tuple[str, bool]:
    lines = [
        f"| {r['seed']} | {r['tpe']['hypervolume']:.4f} | {r['random']['hypervolume']:.4f} | "
        f"{_bytes(r['tpe'])} | {_bytes(r['random'])} |"
        for r in found["rows"]
    ]
    means = [mean(r[sampler]["hypervolume"] for r in found["rows"]) for sampler in ("tpe", "random")]
    gains = [r["tpe"]["hypervolume"] - r["random"]["hypervolume"] for r in found["rows"]]
    low, high = paired(gains)
    head = (
        f"{found['trials']} trials each on {found['task']}. Share of the box of 5 points and 80,000 bytes that the "
        "front dominates, and bytes of the choice; the goal is that the interval of the difference is above 0.\n\n"
        "| Seed | TPE | Random | TPE, bytes | Random, bytes |\n|---|--:|--:|--:|--:|\n"
    )
    tail = (
        f"\n\nMeans {means[0]:.4f} and {means[1]:.4f}. By seed TPE gains {mean(gains):+.4f} [{low:+.4f}, {high:+.4f}] "
        f"(paired differences, 95 % by Student's t); it is ahead with {sum(gain > 0 for gain in gains)} of "
        f"{len(gains)} seeds."
    )
    return head + "\n".join(lines) + tail, low > 0


def paired(differences: Sequence[float]) -> tuple[float, float]:
    """95 % interval of the mean of paired differences, by Student's t."""
    half = stdtrit(len(differences) - 1, 0.975) * stdev(differences) / math.sqrt(len(differences))
    return mean(differences) - half, mean(differences) + half


def _bytes(row: dict[str, Any]) -> str:
    return "none" if row["bytes"] is None else f"{row['bytes']:,}"


def _resnet8(found: dict[str, Any]) -> tuple[str, bool]:
    outcomes = ", ".join(f"{count} {word}" for word, count in found["outcomes"].items())
    front = [
        f"| {r['method']} | {r['sizes']['brotli']:,} | {r['accuracy']:.2%} | "
        f"{r['drop']:+.2f} [{r['interval'][0]:+.2f}, {r['interval'][1]:+.2f}] |"
        for r in found["front"]
    ]
    written = [r for r in compression.read() if r.task == "cifar10" and r.method in WRITTEN and not r.failure]
    ours = [from_json(compression.Record, json.dumps(row)) for row in found["front"]]
    beaten = dominating(written, ours)
    head = (
        f"{found['minutes']:g} minutes, {found['workers']} workers on {found['cores']} cores, an empty cache; trials: "
        f"{outcomes}. The front on the 5,000 test images:\n\n"
        "| Trial | Brotli | Accuracy | Drop [95 %] |\n|---|--:|--:|--:|\n"
    )
    methods = sorted({r.method for r in written})
    told = f"dominated beyond noise by: {', '.join(beaten)}" if beaten else "none of them dominates it beyond noise"
    tail = (
        f"\n\nAgainst the hand-written recipes ({', '.join(methods)}; means of their seeds), same images: {told}. "
        "Noise is the paired 95 % interval of the accuracy, and the bytes that one run more of the recipe may have "
        "(95 %, by Student's t over its seeds)."
    )
    return head + "\n".join(front) + tail, not beaten


def dominating(written: Iterable[compression.Record], front: Iterable[compression.Record]) -> list[str]:
    """Hand-written recipes that no file of the front matches, which is as small and as accurate but for noise.

    That of the accuracy is the paired interval on the same samples; that of the bytes, what one run more of the recipe
    may have (95 % by Student's t over its seeds): a front has one run of each.
    """
    runs = list(written)
    each = [point for record in front for point in goals.points([record])]
    found = []
    for point in goals.points(runs):
        most = one_more([r.sizes["brotli"] for r in runs if r.method == point.method])
        if goals.unmatched(replace(point, size=most), each):
            found.append(point.method)
    return found


def one_more(values: Sequence[float]) -> float:
    """The upper end of the 95 % prediction interval of one value more, by Student's t; a single value is its own."""
    n = len(values)
    if n == 1:
        return values[0]
    return mean(values) + stdtrit(n - 1, 0.975) * stdev(values) * math.sqrt(1 + 1 / n)
