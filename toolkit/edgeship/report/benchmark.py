"""The page of `edgeship benchmark --html`, and what it and the report of a build show of what targets gave."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from edgeship.report import plots, profiles, results, view
from edgeship.report.view import Row, Timing, clean

if TYPE_CHECKING:
    from edgeship.benchmarking import Found
    from edgeship.types import Measurement, Result

#: Verdicts that are told by a sign, as gates are.
_SIGN_OF = {"regression": "fail", "improvement": "pass", "no verdict": "inconclusive"}
#: Files that a title names.
_NAMED = 3


def page(found: Found) -> str:
    """One self-contained HTML page, as the report of a build is; equal results give equal pages."""
    from edgeship.pipeline.results import divide
    from edgeship.report.page import render

    divided = divide(found.rows)
    table = view.measured_rows(found.artifacts, divided.measurements, divided.emulations)
    every: tuple[Result, ...] = (*divided.measurements, *divided.emulations, *divided.estimates)
    content = {
        "title": ", ".join(row.artifact.id for row in table) if len(table) <= _NAMED else f"{len(table)} files",
        "created": found.created,
        "notes": found.notes,
        "rows": table,
        "baseline": found.baseline,
        "judged": found.judged,
        "SIGN_OF": _SIGN_OF,
        "found": divided,
        "devices": view.devices(every),
        "over_time": (),
        **shared(table, divided.measurements),
    }
    return render("benchmark.html.j2", content)


def shared(table: tuple[Row, ...], measurements: Sequence[Measurement]) -> dict[str, Any]:
    """What the template of results draws and says beside its tables."""
    labels = {row.artifact.id: row.label for row in table}
    return {
        "measured_notes": results.notes(measurements),
        "verdicts": results.verdicts(measurements, labels),
        "distributions": {
            place: plots.latencies(timed, f"on {clean(place)}") for place, timed in by_place(table).items()
        },
        "profiles": [
            {
                "measurement": m,
                "name": labels.get(m.artifact, m.artifact),
                "charts": profiles.chart(m, found, labels.get(m.artifact, m.artifact)),
                "lines": profiles.lines(found),
                "sentences": profiles.sentences(m, found),
            }
            for m, found in profiles.profiled(measurements)
        ],
    }


def by_place(table: tuple[Row, ...]) -> dict[str, list[tuple[Row, Timing]]]:
    """Timings by target, threads and provenance: only these may stand in one picture."""
    places: dict[str, list[tuple[Row, Timing]]] = {}
    for row in table:
        for timing in row.timings:
            m = timing.measurement
            threads = "1 thread" if m.threads == 1 else f"{m.threads} threads"
            places.setdefault(f"{m.target} ({m.provenance}, {threads})", []).append((row, timing))
    return places
