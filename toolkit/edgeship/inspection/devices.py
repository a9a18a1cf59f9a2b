"""What is predicted for devices, op by op, in the words of `description`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from edgeship.errors import EdgeshipError
from edgeship.inspection.description import Description, OpNote, Support

_STATES: Mapping[str, Literal["runs", "elsewhere", "uncertain"]] = {
    "tpu": "runs",
    "cpu": "elsewhere",
    "uncertain": "uncertain",
}


def edgetpu(found: Description) -> Support | None:
    """Where the ops of a .tflite file run on a machine with an Edge TPU; None for other files and pure float ones."""
    if found.format != "tflite":
        return None
    from edgeship.edgetpu import predict

    try:
        report = predict(Path(found.file))
    except EdgeshipError as error:
        return Support("edgetpu", "uncertain", "predicted", error.message)
    main = [op for op in found.ops if not op.graph]
    said = report.operators if report.basis != "compared" else ()  # those are operators of another file
    notes = tuple(
        OpNote(main[p.index].name, _STATES[p.place], " ".join(filter(None, (p.reason, p.change))))
        for p in said
        if p.index < len(main)
    )
    if report.refusals:
        reason = "; ".join(f"{refusal.reason}: {refusal.change}" for refusal in report.refusals)
        return Support("edgetpu", "refused" if report.refusals[0].certain else "uncertain", "predicted", reason, notes)
    on = "an unknown number" if report.tpu is None else report.tpu
    reason = f"{on} on the Edge TPU, {report.cpu} on the CPU, {report.uncertain} uncertain ({report.basis})"
    return Support(
        "edgetpu", _state(report.cpu, report.uncertain), "predicted", "; ".join((reason, *report.notes)), notes
    )


def _state(cpu: int, uncertain: int) -> Literal["runs", "partly", "uncertain"]:
    return "uncertain" if uncertain else "partly" if cpu else "runs"
