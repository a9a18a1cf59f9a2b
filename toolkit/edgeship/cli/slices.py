"""Options on slices of the data, and how the worst ones are shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from edgeship.cli import options

if TYPE_CHECKING:
    from edgeship.types import Report

#: Slices of the files that a terminal shows; all are in the report.
SHOWN = 6

settings = options.together(
    click.option(
        "--slices",
        metavar="COLUMN[,COLUMN x COLUMN,...]",
        help="Parts of the test samples: columns of the data, label, brightness, contrast, noise, level; pairs; "
        "conditions such as age>60. Default: label and every column.",
    ),
    click.option("--max-slice-drop", type=float, metavar="POINTS", help="Most the metric may drop in any slice."),
    click.option(
        "--min-slice",
        type=click.IntRange(2),
        default=30,
        show_default=True,
        help="Slices with fewer samples are listed, not tested.",
    ),
)
shown = options.together(
    click.option(
        "--occlusion", is_flag=True, help="Cover parts of inputs: does each file look where the original looks?"
    ),
    click.option(
        "--exhibits/--no-exhibits", default=True, help="Show samples that changed sides in the report. Default: yes."
    ),
)


def values(given: Mapping[str, Any]) -> dict[str, Any]:
    """What the options say, as fields of a request; nothing for a command without them."""
    return {
        name: given[name]
        for name in ("slices", "max_slice_drop", "min_slice", "occlusion", "exhibits")
        if name in given
    }


def show(report: Report) -> None:
    """The worst slices of all files: those that certainly lost something, and those beyond their limit."""
    from edgeship.cli import ui
    from edgeship.report.slices import worst

    found = worst(report.slices)
    if not found:
        return
    title = "slices that lost (Holm-corrected), worst first"
    made = ui.table("slice", "file", ">samples", ">broken", ">fixed", ">drop [95 %]", ">p", "limit", title=title)
    for line in found[:SHOWN]:
        ui.row(made, *line.cells)
    ui.print_table(made)
    if len(found) > SHOWN:
        ui.say(f"{len(found) - SHOWN} more in the report")
