"""`edgeship benchmark --compare`: its options, what it shows, and its exit code."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgeship.cli import options, ui

if TYPE_CHECKING:
    from edgeship.benchmarking import Found, Wanted
    from edgeship.pipeline.results import ByProvenance

settings = options.together(
    click.option(
        "--compare",
        "baseline",
        metavar="BASELINE",
        help="A build folder, an exported file, a results file (--json), or of the history: last, a label, a commit.",
    ),
    click.option(
        "--allow",
        type=click.FloatRange(0, 1000),
        default=0,
        show_default=True,
        metavar="PERCENT",
        help="With --compare: how much slower or larger a file may become.",
    ),
    click.option("--label", default="", metavar="WORD", help="Of this session in the history, for a later --compare."),
)
_COLOURS = {"regression": "red", "improvement": "green"}


def wanted(files: tuple[Path, ...], given: Mapping[str, Any]) -> Wanted:
    """What the options of `edgeship benchmark` say."""
    from edgeship.benchmarking import Wanted

    return Wanted(
        files=files,
        targets=given["targets"] or ("local",),
        inputs=given["inputs"],
        plan=options.make_plan(given),
        baseline=given["baseline"],
        allowed=given["allow"] / 100,
        label=given["label"],
    )


def show(found: Found) -> None:
    """A table of what was judged, and the line that says what comes of it."""
    from edgeship.report import results

    if not found.baseline:
        return
    made = ui.table(
        "file", "target", "runtime", "figure", ">before", ">now", ">ratio", "verdict", "how", title="compared"
    )
    for item in found.judged:
        figures = (results.figure_text(item.before, item), results.figure_text(item.now, item))
        cells = (item.figure, *figures, results.judged_ratio_text(item), item.verdict, item.how)
        ui.row(made, item.artifact, item.target, item.runtime, *cells, style=_COLOURS.get(item.verdict, ""))
    ui.print_table(made)
    ui.say(f"against {found.baseline}: {_summed_up(found)}")


def _summed_up(found: Found) -> str:
    count = {word: sum(item.verdict == word for item in found.judged) for word in ("regression", "no verdict")}
    said = "nothing is worse" if not count["regression"] else f"worse: {count['regression']}"
    return f"{said}; without a verdict: {count['no verdict']}" if count["no verdict"] else said


def document(found: Found, divided: ByProvenance) -> dict[str, Any]:
    """The JSON document; with a baseline also what was judged. `--compare` reads it back."""
    from edgeship.codec import to_data

    data: dict[str, Any] = to_data(divided)
    if found.baseline:
        data["comparison"] = {"baseline": found.baseline, "figures": to_data(found.judged)}
    return data


def outcome(found: Found) -> int:
    """1 where something is worse than it may be."""
    return int(any(item.verdict == "regression" for item in found.judged))
