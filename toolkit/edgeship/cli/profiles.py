"""Profiles on the terminal: a table of the operators of each file that was profiled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgeship.cli import ui

if TYPE_CHECKING:
    from edgeship.types import Measurement


def print_profiles(rows: Sequence[Measurement]) -> None:
    """Nothing where no operators were timed."""
    from edgeship.report import profiles

    for measurement, profile in profiles.profiled(rows):
        title = f"where the time of {measurement.artifact} goes, on {measurement.target} in {measurement.engine}"
        made = ui.table("operator", "type", ">ms, ± of 95 %", ">share", ">MACs", ">GMAC/s", title=title)
        for line in profiles.lines(profile):
            figures = (line.ms, line.share, line.macs, line.rate)
            ui.row(made, line.operator.name, line.operator.type, *figures)
        ui.print_table(made)
        for sentence in profiles.sentences(measurement, profile):
            ui.say(sentence)
