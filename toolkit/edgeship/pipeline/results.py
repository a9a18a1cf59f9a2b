"""Rows of targets, by provenance, and what of them counts as a failure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgeship.errors import InputError, UnavailableError, from_wire
from edgeship.types import Emulation, Estimate, Failure, Measurement, NotMeasured, Result


@dataclass(frozen=True)
class ByProvenance:
    """What targets gave, each kind for itself; what they could not give last."""

    measurements: tuple[Measurement, ...]
    emulations: tuple[Emulation, ...]
    estimates: tuple[Estimate, ...]
    unmeasured: tuple[NotMeasured, ...]


def divide(rows: Sequence[Result | NotMeasured]) -> ByProvenance:
    """The rows by what they are, in their order."""
    return ByProvenance(
        tuple(row for row in rows if isinstance(row, Measurement)),
        tuple(row for row in rows if isinstance(row, Emulation)),
        tuple(row for row in rows if isinstance(row, Estimate)),
        tuple(row for row in rows if isinstance(row, NotMeasured)),
    )


def failures(rows: Sequence[Result | NotMeasured]) -> tuple[Failure, ...]:
    """What counts as a failure: something broke, a file that runs nowhere, or a target that gave nothing at all.

    It is how things are that a target has no runtime for a format, a browser no GPU, or a runtime not all that a file
    needs which others run.
    """
    gave = {row.target for row in rows if isinstance(row, Result)}
    ran = {row.artifact for row in rows if isinstance(row, Result)}
    found: dict[tuple[str, ...], Failure] = {}
    for row in (row for row in rows if isinstance(row, NotMeasured)):
        said, error = (row.type, row.reason, row.remedy), from_wire({"type": row.type})
        excused = isinstance(error, UnavailableError) or (isinstance(error, InputError) and row.artifact in ran)
        if not excused:
            found[row.artifact, row.target, *said] = Failure(row.artifact, "benchmark", *said, asked_by_name=True)
        elif row.target not in gave:
            found[row.target, *said] = Failure(f"all/{row.target}", "benchmark", *said, asked_by_name=True)
    return tuple(found.values())
